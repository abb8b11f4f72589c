//! The ledger: where stake, registrations and reward weights live.
//!
//! [`Ledger`] says what any ledger does and [`ledger_conformance`] checks that one does it. [`LocalLedger`] is the
//! default, a signed file on this machine; [`MemoryLedger`] is its twin for tests. [`keyfile`] reads and writes the
//! files that hold hotkeys. [`Replica`] is what somebody else sees of a local ledger, and verifies.
//!
//! Everything here blocks: an async caller wraps it in `spawn_blocking`. It does NOT know how weights are computed, who
//! wins, or when a round ends.

#![warn(missing_docs)]

pub mod keyfile;
pub mod ledger;
pub mod local;

mod book;
mod conformance;
mod memory;
mod replica;

pub use conformance::ledger_conformance;
pub use ledger::{Ledger, LedgerError, Registration, WEIGHT_PPM_SUM_MAX};
pub use local::{LocalLedger, Recovery};
pub use memory::MemoryLedger;
pub use replica::{Replica, ReplicaError};
