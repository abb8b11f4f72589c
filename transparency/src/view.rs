//! A log at one checkpoint, for readers: its files, its entries and its proofs.
//!
//! A view doesn't move while the log grows, so that what is served together belongs together. Files are held against the
//! checkpoint's root before they are given away; proofs are not: whoever gets one verifies it.

use crate::checkpoint::SignedCheckpoint;
use crate::entry::Entry;
use crate::files::{LogError, load_entries, load_hashes};
use crate::merkle::{Hash, Subtree, TILE_HEIGHT, TILE_WIDTH, leaf_hash, root_of, subtrees};
use crate::note::LogKey;
use crate::proof::{ConsistencyProof, InclusionProof, ProofError, consistency_ranges, inclusion_ranges, roots};
use crate::store::LogStore;
use crate::tile::{Resource, Tile, decode_entries, decode_hashes, encode_entries, encode_hashes};
use object_store::ObjectStore;
use std::collections::{HashMap, hash_map};
use std::ops::Range;
use std::slice;
use std::sync::Arc;

/// A log at one checkpoint.
#[derive(Clone, Debug)]
pub struct LogView {
    files: LogStore,
    checkpoint: SignedCheckpoint,
}

impl LogView {
    pub(crate) fn new(files: LogStore, checkpoint: SignedCheckpoint) -> Self {
        Self { files, checkpoint }
    }

    /// The log of `key` under `prefix` as its stored checkpoint says, whether or not anybody writes it.
    ///
    /// # Errors
    /// When there is no checkpoint of this key, or the store refuses.
    pub async fn open(store: Arc<dyn ObjectStore>, prefix: &str, key: &LogKey) -> Result<Self, LogError> {
        let files = LogStore::new(store, prefix)?;
        let note = files.get(&Resource::Checkpoint).await?.ok_or(LogError::CheckpointMissing)?;
        let checkpoint = SignedCheckpoint::open(&note, key)?;
        Ok(Self { files, checkpoint })
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// The bytes of a file; `None` for one that the checkpoint doesn't promise, even where something lies in the store:
    /// that may still change, and what was served once is cached for ever.
    ///
    /// # Errors
    /// When the store refuses, or what lies there isn't what the checkpoint's root was signed over.
    pub async fn read(&self, resource: &Resource) -> Result<Option<Vec<u8>>, LogError> {
        let tile = match resource {
            Resource::Checkpoint => return Ok(Some(self.checkpoint.note().as_bytes().to_vec())),
            resource if !resource.lies_in(self.checkpoint.size()) => return Ok(None),
            Resource::Hashes(tile) | Resource::Entries(tile) => *tile,
        };
        // What lies there of a past size is nothing that anybody looks after; the wider one is.
        let bytes = match self.beginning(resource).await {
            Ok(Some(bytes)) => bytes,
            _ => match self.files.get(resource).await? {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
        };
        let damaged = |source| LogError::Damaged { path: resource.to_string(), source };
        let hashes = match resource {
            Resource::Entries(_) => {
                decode_entries(&bytes, tile.width).map_err(damaged)?.iter().map(|entry| leaf_hash(entry)).collect()
            }
            _ => decode_hashes(&bytes, tile.width).map_err(damaged)?,
        };
        self.hold(tile, &hashes).await?;
        Ok(Some(bytes))
    }

    /// Holds the first hashes of a tile against the root that was signed: with the tile as it is now, that with the one above
    /// it, and what has none above it with the root.
    async fn hold(&self, tile: Tile, hashes: &[Hash]) -> Result<(), LogError> {
        let size = self.checkpoint.size();
        let wrong = || LogError::WrongRoot { what: "files" };
        let now = |tile: Tile| {
            let first = tile.index.checked_mul(TILE_WIDTH as u64)?;
            Tile::holding(tile.level, first, size)
        };
        let mut tile = now(tile).ok_or_else(wrong)?;
        let mut whole = load_hashes(&self.files, tile).await?;
        if whole.get(..hashes.len()) != Some(hashes) {
            return Err(wrong());
        }
        while tile.is_full() {
            let Some(above) = Tile::holding(tile.level.saturating_add(1), tile.index, size) else {
                return Err(wrong());
            };
            let place = (tile.index % TILE_WIDTH as u64) as usize;
            let hashes = load_hashes(&self.files, above).await?;
            if root_of(&whole).as_ref() != hashes.get(place) {
                return Err(wrong());
            }
            (tile, whole) = (above, hashes);
        }
        if self.root_at(size).await? == *self.checkpoint.root() { Ok(()) } else { Err(wrong()) }
    }

    /// A partial tile of a past size out of the wider one that took its place: after a backup was put back nobody kept it,
    /// and C2SP promises it until the full one is there.
    async fn beginning(&self, resource: &Resource) -> Result<Option<Vec<u8>>, LogError> {
        let wider = |tile: &Tile| {
            let first = tile.index.checked_mul(TILE_WIDTH as u64)?;
            Tile::holding(tile.level, first, self.checkpoint.size()).filter(|wider| wider.width > tile.width)
        };
        match resource {
            Resource::Hashes(tile) => {
                let Some(wider) = wider(tile) else { return Ok(None) };
                let hashes = load_hashes(&self.files, wider).await?;
                Ok(hashes.get(..tile.width).map(encode_hashes))
            }
            Resource::Entries(tile) => {
                let Some(wider) = wider(tile) else { return Ok(None) };
                let entries = load_entries(&self.files, wider).await?;
                Ok(entries.get(..tile.width).map(|held| encode_entries(held.iter().map(Entry::as_bytes))))
            }
            Resource::Checkpoint => Ok(None),
        }
    }

    /// The entry at `index`.
    ///
    /// # Errors
    /// When there is none, or its bundle can't be read.
    pub async fn entry(&self, index: u64) -> Result<Entry, LogError> {
        let size = self.checkpoint.size();
        let outside = ProofError::Index { index, size };
        let tile = Tile::holding(0, index, size).ok_or(outside)?;
        let mut entries = load_entries(&self.files, tile).await?;
        let number = (index % TILE_WIDTH as u64) as usize;
        if number < entries.len() { Ok(entries.swap_remove(number)) } else { Err(outside.into()) }
    }

    /// Proves that entry `index` is in the log.
    ///
    /// # Errors
    /// When it isn't, or a tile can't be read.
    pub async fn prove_inclusion(&self, index: u64) -> Result<InclusionProof, LogError> {
        let size = self.checkpoint.size();
        let hashes = self.roots(&inclusion_ranges(index, size)?).await?;
        Ok(InclusionProof { index, size, hashes })
    }

    /// Proves that the log begins with all that it had at `old_size`.
    ///
    /// # Errors
    /// When it never had that size, or a tile can't be read.
    pub async fn prove_consistency(&self, old_size: u64) -> Result<ConsistencyProof, LogError> {
        let size = self.checkpoint.size();
        let hashes = self.roots(&consistency_ranges(old_size, size)?).await?;
        Ok(ConsistencyProof { old_size, size, hashes })
    }

    /// The root that the log had at `old_size`.
    ///
    /// # Errors
    /// When it never had that size, or a tile can't be read.
    pub async fn root_at(&self, old_size: u64) -> Result<Hash, LogError> {
        let size = self.checkpoint.size();
        if old_size > size {
            return Err(ProofError::Shrunk { old_size, size }.into());
        }
        let whole = 0..old_size;
        Ok(self.roots(slice::from_ref(&whole)).await?.first().copied().unwrap_or_default())
    }

    /// The roots of ranges of leaves: first all tiles are read, then all is computed.
    async fn roots(&self, ranges: &[Range<u64>]) -> Result<Vec<Hash>, LogError> {
        let size = self.checkpoint.size();
        let mut tiles: HashMap<Tile, Vec<Hash>> = HashMap::new();
        for part in ranges.iter().flat_map(|range| subtrees(range.clone())) {
            let (tile, _) = place_of(part, size)?;
            if let hash_map::Entry::Vacant(vacant) = tiles.entry(tile) {
                vacant.insert(load_hashes(&self.files, tile).await?);
            }
        }
        roots(ranges, |part| {
            let (tile, within) = place_of(part, size)?;
            let nodes = tiles.get(&tile).and_then(|hashes| hashes.get(within)).and_then(root_of);
            nodes.ok_or_else(|| LogError::Missing { path: Resource::Hashes(tile).to_string() })
        })
    }
}

/// The tile that holds a subtree, and which of its hashes the subtree is made of.
pub(crate) fn place_of(part: Subtree, size: u64) -> Result<(Tile, Range<usize>), ProofError> {
    let (level, height) = (part.level / TILE_HEIGHT, part.level % TILE_HEIGHT);
    let first = part.index << height;
    let tile = Tile::holding(level, first, size).ok_or(ProofError::Index { index: first, size })?;
    let start = (first % TILE_WIDTH as u64) as usize;
    Ok((tile, start..start + (1 << height)))
}
