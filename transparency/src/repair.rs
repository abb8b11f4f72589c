//! Mending a log's tiles from its entries, which hold all that tiles do.
//!
//! It does NOT mend entries or the checkpoint: what those said is nowhere else. They come back from a copy.

use crate::checkpoint::SignedCheckpoint;
use crate::frontier::Frontier;
use crate::log::{LogError, load_entries};
use crate::merkle::{Hash, TILE_WIDTH, leaf_hash};
use crate::note::LogKey;
use crate::store::{LogStore, StoreError};
use crate::tile::{Resource, Tile, encode_hashes};

/// Computes all tiles that the checkpoint promises and writes those that are missing or different; returns their paths.
/// Nothing is written unless the entries have the signed root. Only while no [`Log`](crate::Log) is open.
///
/// # Errors
/// When an entry is missing or wrong, or the store refuses.
pub async fn repair(files: &LogStore, key: &LogKey) -> Result<Vec<String>, LogError> {
    let note = files.get(&Resource::Checkpoint).await?.ok_or(LogError::CheckpointMissing)?;
    let checkpoint = SignedCheckpoint::open(&note, key)?;
    let mut full: Vec<(Tile, Vec<Hash>)> = Vec::new();
    let frontier = walk(files, checkpoint.size(), |tile, hashes| full.push((tile, hashes.to_vec()))).await?;
    if frontier.root() != *checkpoint.root() {
        return Err(LogError::WrongRoot { what: "entries" });
    }
    let edge = Tile::edge(checkpoint.size());
    full.extend(edge.filter_map(|tile| Some((tile, frontier.rows().get(tile.level as usize)?.clone()))));
    let mut mended = Vec::new();
    for (tile, hashes) in full {
        let (path, bytes) = (Resource::Hashes(tile), encode_hashes(&hashes));
        let stored = match files.get(&path).await {
            Err(StoreError::TooLarge { .. }) => None,
            stored => stored?,
        };
        if stored.as_ref() != Some(&bytes) {
            files.put(&path, bytes).await?;
            mended.push(path.to_string());
        }
    }
    Ok(mended)
}

/// Reads all entries of a log of `size`.
async fn walk(files: &LogStore, size: u64, mut full: impl FnMut(Tile, &[Hash])) -> Result<Frontier, LogError> {
    let mut frontier = Frontier::default();
    for index in 0..size.div_ceil(TILE_WIDTH as u64) {
        let width = (size - index * TILE_WIDTH as u64).min(TILE_WIDTH as u64) as usize;
        for entry in load_entries(files, Tile { level: 0, index, width }).await? {
            frontier.push(leaf_hash(entry.as_bytes()), &mut full);
        }
    }
    Ok(frontier)
}
