//! The public log: what a validator did, append-only, so that nobody can rewrite it unseen.
//!
//! Each receipt, round, reward and act of administration is one [`Entry`]. [`Log`] appends entries to an object store as
//! static files in the formats of C2SP (tlog-tiles, tlog-checkpoint, signed-note), so that any web server can serve them
//! and any tool of that family can read them. [`verify_log`] is for everyone else: it reads all of a log and says who is
//! to blame for what doesn't fit; [`verify_inclusion`] reads a few files and shows that one entry is in it. Witnesses
//! ([`witness`]) cosign checkpoints, so that a log can't tell two histories and its entries have times that aren't its own
//! ([`witnessed()`]).
//!
//! [`merkle`], [`frontier`], [`proof`], [`tile`], [`note`], [`cosignature`], [`witness`] and [`checkpoint`] are pure; [`log`] and
//! [`store`] know an object store; [`keyfile`] and [`witness_state`] know files. Nothing here reads a clock, knows HTTP, or knows what an entry means.

#![warn(missing_docs)]

pub mod checkpoint;
pub mod cosignature;
pub mod entry;
mod files;
pub mod finding;
pub mod frontier;
pub mod inclusion;
pub mod keyfile;
pub mod log;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod repair;
pub mod store;
pub mod tile;
pub mod verify;
pub mod witness;
pub mod witness_state;
pub mod witnessed;

mod view;

pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
pub use cosignature::{WitnessKey, WitnessSigner};
pub use entry::{Entry, EntryError, EntryKind, Envelope};
pub use files::LogError;
pub use finding::{Blame, VerifyError};
pub use inclusion::verify_inclusion;
pub use log::Log;
pub use note::{LogKey, LogSigner};
pub use proof::{ConsistencyProof, InclusionProof, ProofError};
pub use repair::{KnownEntries, repair, restore};
pub use store::LogStore;
pub use tile::{Resource, Tile};
pub use verify::{Reader, Verified, verify_entries, verify_log};
pub use view::LogView;
pub use witness::{AddCheckpoint, Latest, Refusal, Witness};
pub use witness_state::{WitnessStore, WitnessStoreError};
pub use witnessed::{CosignedCheckpoint, Witnessed, verify_beginning, witnessed};
