//! What all parties must agree on byte for byte: types, digests, signatures, admission rules, scoring.
//!
//! Invariant: this crate reads no clock, does no I/O, spawns nothing, and holds no float in anything that is hashed,
//! signed or ranked. Time, bytes and randomness are passed in; what comes out can be recomputed by anyone.

#![warn(missing_docs)]

pub mod amendment;
pub mod api;
pub mod architecture;
pub mod attempt;
pub mod auth;
pub mod backend;
pub mod competition;
pub mod dethrone;
pub mod digest;
pub mod evaluation;
pub mod fleet;
pub mod hardware;
pub mod latency;
pub mod leaf;
pub mod name;
pub mod needs;
pub mod nulls;
mod official;
pub mod outcomes;
pub mod package;
pub mod pixels;
mod pool;
pub mod published;
pub mod receipt;
pub mod report;
pub mod reward;
pub mod round;
pub mod rules;
pub mod score;
pub mod significance;
pub mod standing;
pub mod submission;
pub mod transforms;

mod schema;
pub mod strict;

pub use auth::Hotkey;
pub use competition::{CompetitionId, Manifest};
pub use digest::Digest;
pub use published::Competition;
pub use receipt::{Receipt, SignedReceipt};
pub use report::Report;
pub use submission::SubmissionId;
