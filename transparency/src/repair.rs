//! Mending a log's files: tiles from the entries, which hold all that tiles do, and entries from whoever still knows them.
//!
//! Nothing is written unless all of it has the root that was signed. It does NOT mend the checkpoint: what that said is
//! nowhere else, and comes back from a copy.

use crate::checkpoint::SignedCheckpoint;
use crate::entry::Entry;
use crate::files::{LogError, load_entries};
use crate::frontier::Frontier;
use crate::merkle::{Hash, TILE_WIDTH, leaf_hash};
use crate::note::LogKey;
use crate::store::{LogStore, StoreError};
use crate::tile::{Resource, Tile, encode_entries, encode_hashes};
use std::ops::Range;

/// Entries that somebody else than the log's files knows, such as the database that they came from.
pub trait KnownEntries {
    /// Why they can't be told.
    type Error: From<LogError>;

    /// The entries of these places, if all of them are known.
    fn entries(&self, places: Range<u64>) -> impl Future<Output = Result<Option<Vec<Entry>>, Self::Error>> + Send;
}

/// Nobody knows them.
struct Nobody;

impl KnownEntries for Nobody {
    type Error = LogError;

    async fn entries(&self, _: Range<u64>) -> Result<Option<Vec<Entry>>, LogError> {
        Ok(None)
    }
}

/// Mends what can be mended from the files alone, see [`restore`].
///
/// # Errors
/// When an entry is missing or wrong, or the store refuses.
pub async fn repair(files: &LogStore, key: &LogKey) -> Result<Vec<String>, LogError> {
    restore(files, key, &Nobody).await
}

/// Computes all files that the checkpoint promises and writes those that are missing or different; returns their paths.
/// Nothing is written unless the entries have the signed root. Only while no [`Log`](crate::Log) is open.
///
/// # Errors
/// When an entry is missing or wrong and not known elsewhere, or the store refuses.
pub async fn restore<K: KnownEntries + Sync>(
    files: &LogStore,
    key: &LogKey,
    known: &K,
) -> Result<Vec<String>, K::Error> {
    let note = files.get(&Resource::Checkpoint).await.map_err(LogError::from)?.ok_or(LogError::CheckpointMissing)?;
    let checkpoint = SignedCheckpoint::open(&note, key).map_err(LogError::from)?;
    let mut full: Vec<(Tile, Vec<Hash>)> = Vec::new();
    let (frontier, lost) =
        walk(files, known, checkpoint.size(), |tile, hashes| full.push((tile, hashes.to_vec()))).await?;
    if frontier.root() != *checkpoint.root() {
        return Err(LogError::WrongRoot { what: "entries" }.into());
    }
    let mut mended = Vec::new();
    for bundle in lost {
        let entries = known.entries(places(bundle)).await?;
        let entries = entries.ok_or_else(|| LogError::Missing { path: Resource::Entries(bundle).to_string() })?;
        let bytes = encode_entries(entries.iter().map(Entry::as_bytes));
        put_if_other(files, Resource::Entries(bundle), bytes, &mut mended).await?;
    }
    let edge = Tile::edge(checkpoint.size());
    full.extend(edge.filter_map(|tile| Some((tile, frontier.rows().get(tile.level as usize)?.clone()))));
    for (tile, hashes) in full {
        put_if_other(files, Resource::Hashes(tile), encode_hashes(&hashes), &mut mended).await?;
    }
    Ok(mended)
}

/// Writes a file where something else lies, or nothing.
async fn put_if_other(
    files: &LogStore,
    path: Resource,
    bytes: Vec<u8>,
    mended: &mut Vec<String>,
) -> Result<(), LogError> {
    let stored = match files.get(&path).await {
        Err(StoreError::TooLarge { .. }) => None,
        stored => stored?,
    };
    if stored.as_ref() != Some(&bytes) {
        files.put(&path, bytes).await?;
        mended.push(path.to_string());
    }
    Ok(())
}

/// Goes through all entries of a log of `size`: as they are known, or else as the files have them. Returns the tree's edge,
/// and the bundles whose files are missing or say something else than is known.
async fn walk<K: KnownEntries + Sync>(
    files: &LogStore,
    known: &K,
    size: u64,
    mut full: impl FnMut(Tile, &[Hash]) + Send,
) -> Result<(Frontier, Vec<Tile>), K::Error> {
    let (mut frontier, mut lost) = (Frontier::default(), Vec::new());
    for index in 0..size.div_ceil(TILE_WIDTH as u64) {
        let width = (size - index * TILE_WIDTH as u64).min(TILE_WIDTH as u64) as usize;
        let bundle = Tile { level: 0, index, width };
        let stored = load_entries(files, bundle).await;
        let entries = match known.entries(places(bundle)).await? {
            Some(entries) => {
                if !stored.is_ok_and(|stored| stored == entries) {
                    lost.push(bundle);
                }
                entries
            }
            None => stored?,
        };
        for entry in entries {
            frontier.push(leaf_hash(entry.as_bytes()), &mut full);
        }
    }
    Ok((frontier, lost))
}

/// The places of a bundle's entries.
fn places(bundle: Tile) -> Range<u64> {
    let first = bundle.index * TILE_WIDTH as u64;
    first..first + bundle.width as u64
}
