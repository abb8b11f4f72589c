//! What a checker finds: what doesn't fit in a log, where, and whose fault it is.
//!
//! It does NOT find anything: `verify` does.

use crate::checkpoint::CheckpointError;
use crate::proof::ProofError;
use crate::tile::TileError;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Whoever keeps or serves the files: they are not what was signed. Another copy may be sound.
    Server,
    /// The holder of the log's key, who signed two histories. The two notes prove it to anyone.
    Signer,
    /// Nobody yet: the files could not be read. Try again.
    Connection,
    /// The caller: what was remembered belongs to another log.
    Caller,
}

/// What doesn't fit, and where.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file could not be read.
    #[error("can't read {path}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A hole: the checkpoint promises this file.
    #[error("{path} is missing")]
    Missing {
        /// The file.
        path: String,
    },
    /// A file is cut off, or has bytes that don't belong to it.
    #[error("{path} is malformed: {source}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: TileError,
    },
    /// The checkpoint is not one of the log's key.
    #[error("the checkpoint is not signed by the log")]
    BadCheckpoint(#[source] CheckpointError),
    /// An entry was changed.
    #[error("entry {index} in {path} is not the one that was signed")]
    EntryChanged {
        /// The entry.
        index: u64,
        /// The bundle that it is in.
        path: String,
    },
    /// A hash was changed.
    #[error("hash {number} in {path} is not the one that was signed")]
    HashChanged {
        /// Which hash of the tile.
        number: usize,
        /// The tile.
        path: String,
    },
    /// An older bundle holds other entries than the newer one.
    #[error("{path} holds other entries than the bundle that followed it")]
    BundleChanged {
        /// The older bundle.
        path: String,
    },
    /// Entries and tiles fit one another, and together they are not what was signed.
    #[error("the {size} entries served do not have the root that was signed")]
    WrongRoot {
        /// Entries in the log.
        size: u64,
        /// The checkpoint.
        note: String,
    },
    /// Less than was there before: an old copy, or entries taken away.
    #[error("the log has {found} entries, and had {remembered}")]
    Shrunk {
        /// Entries before.
        remembered: u64,
        /// Entries now.
        found: u64,
    },
    /// Two checkpoints of one size with different roots.
    #[error("the log signed two histories of {size} entries")]
    SplitView {
        /// Entries in both.
        size: u64,
        /// Both notes: the evidence.
        notes: Box<[String; 2]>,
    },
    /// The log no longer begins with what was signed before.
    #[error("the log signed another history of its first {size} entries before")]
    Rewritten {
        /// Entries in the older checkpoint.
        size: u64,
        /// The older note and the newer: the evidence, together with the entries.
        notes: Box<[String; 2]>,
    },
    /// A proof between two checkpoints that doesn't hold.
    #[error("the log does not prove that it only grew: {source}")]
    NoProof {
        /// What is wrong with the proof.
        source: ProofError,
    },
    /// The entry at this place is another one, or there is no such place.
    #[error("entry {index} of the log is not this one: {source}")]
    NotIncluded {
        /// The place.
        index: u64,
        /// What is wrong with the proof.
        source: ProofError,
    },
    /// The remembered checkpoint is another log's.
    #[error("the remembered checkpoint is of {remembered}, not of {log}")]
    OtherLog {
        /// Of which log it is.
        remembered: String,
        /// Which log is checked.
        log: String,
    },
}

impl VerifyError {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::SplitView { .. } | Self::Rewritten { .. } => Blame::Signer,
            Self::Unreadable { .. } => Blame::Connection,
            Self::OtherLog { .. } => Blame::Caller,
            Self::Missing { .. }
            | Self::Malformed { .. }
            | Self::BadCheckpoint(_)
            | Self::EntryChanged { .. }
            | Self::HashChanged { .. }
            | Self::BundleChanged { .. }
            | Self::WrongRoot { .. }
            | Self::Shrunk { .. }
            | Self::NoProof { .. }
            | Self::NotIncluded { .. } => Blame::Server,
        }
    }
}
