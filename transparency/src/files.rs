//! The files of a log as they lie in its store, and why one can't be read. It does NOT know who writes them.

use crate::checkpoint::CheckpointError;
use crate::entry::{Entry, EntryError};
use crate::merkle::Hash;
use crate::proof::ProofError;
use crate::store::{LogStore, StoreError};
use crate::tile::{Resource, Tile, TileError, decode_entries, decode_hashes};

/// Why a log can't be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The store refused. Nothing was promised; try again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The prefix is no path of an object store.
    #[error("the log's prefix is no path")]
    Prefix(#[from] object_store::path::Error),
    /// The checkpoint is not one of this key.
    #[error("the log's checkpoint can't be used")]
    Checkpoint(#[from] CheckpointError),
    /// Tiles without a checkpoint: it was lost. A new one would contradict the old: put it back from a copy.
    #[error("the log has tiles and no checkpoint; put the checkpoint back from a copy")]
    CheckpointMissing,
    /// The stored checkpoint is none of ours: another process writes this log.
    #[error("another process writes this log: its checkpoint has size {found}, ours {ours}")]
    AnotherWriter {
        /// The size that we left it with.
        ours: u64,
        /// The size that it names, if it names one.
        found: String,
    },
    /// A file that the checkpoint promises is gone.
    #[error("log file {path} is missing")]
    Missing {
        /// The file.
        path: String,
    },
    /// A file isn't what was written. `repair` mends tiles, and entries that somebody still knows.
    #[error("log file {path} is damaged: {source}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: TileError,
    },
    /// The files are whole and don't have the root that was signed.
    #[error("the log's {what} do not have the root of its checkpoint")]
    WrongRoot {
        /// Which files.
        what: &'static str,
    },
    /// There is no such proof.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A stored entry is none.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// No log of ours grows that far.
    #[error("the log is full")]
    Full,
}

/// A tile's hashes.
pub(crate) async fn load_hashes(files: &LogStore, tile: Tile) -> Result<Vec<Hash>, LogError> {
    let path = Resource::Hashes(tile);
    let bytes = files.get(&path).await?.ok_or_else(|| LogError::Missing { path: path.to_string() })?;
    decode_hashes(&bytes, tile.width).map_err(|source| LogError::Damaged { path: path.to_string(), source })
}

/// A bundle's entries.
pub(crate) async fn load_entries(files: &LogStore, tile: Tile) -> Result<Vec<Entry>, LogError> {
    let path = Resource::Entries(tile);
    let bytes = files.get(&path).await?.ok_or_else(|| LogError::Missing { path: path.to_string() })?;
    let entries =
        decode_entries(&bytes, tile.width).map_err(|source| LogError::Damaged { path: path.to_string(), source })?;
    Ok(entries.into_iter().map(Entry::from_bytes).collect::<Result<_, _>>()?)
}
