//! The log's one writer: appends batches of entries so that they survive a kill at any point.
//!
//! Order is all that makes it safe. Entries and tiles are written first; the signed checkpoint last. Until it is there,
//! what was written is nothing that anyone was promised, and a later try overwrites it. A signed checkpoint that could
//! not be stored is stored by the next try before anything else is signed, so that no two contradict each other.
//!
//! There must be one writer. Where the store compares versions it notices a second one; on a file system the caller
//! holds a lock. It does NOT know what entries mean, and reads no clock.

use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::entry::Entry;
use crate::files::{LogError, load_entries, load_hashes};
use crate::frontier::Frontier;
use crate::merkle::{EMPTY_ROOT, Hash, TILE_WIDTH, TREE_SIZE_MAX, leaf_hash};
use crate::note::LogSigner;
use crate::store::LogStore;
use crate::tile::{Resource, Tile, edge_widths, encode_entries, encode_hashes};
use crate::view::LogView;
use object_store::ObjectStore;
use std::collections::HashMap;
use std::sync::Arc;

/// Entries that are recognised when they are appended again. A caller that lost an answer asks again at once, so it is
/// among the last.
const RECENT_MAX: u64 = 16 * TILE_WIDTH as u64;

/// The writer of a log.
#[derive(Debug)]
pub struct Log {
    files: LogStore,
    signer: LogSigner,
    state: State,
    /// What is signed, and perhaps stored.
    in_doubt: Option<State>,
    /// Where the latest entries are, by leaf hash; at most twice [`RECENT_MAX`].
    recent: HashMap<Hash, u64>,
}

/// A log at one size.
#[derive(Clone, Debug)]
struct State {
    frontier: Frontier,
    /// The entries of the partial bundle.
    tail: Vec<Entry>,
    checkpoint: SignedCheckpoint,
    /// The leaves that were appended to come here.
    appended: Vec<Hash>,
    /// Tiles that became full on the way here.
    filled: Vec<Tile>,
}

impl Log {
    /// Opens the log under `prefix`, or begins one where nothing is.
    ///
    /// # Errors
    /// When what is there is not a log of this key, or not whole.
    pub async fn open(store: Arc<dyn ObjectStore>, prefix: &str, signer: LogSigner) -> Result<Self, LogError> {
        let files = LogStore::new(store, prefix)?;
        let state = match files.get(&Resource::Checkpoint).await? {
            Some(note) => State::load(&files, SignedCheckpoint::open(&note, &signer.key())?).await?,
            None if files.has_tiles().await? => return Err(LogError::CheckpointMissing),
            None => State::begin(&files, &signer).await?,
        };
        let recent = recent_leaves(&files, &state.frontier).await?;
        Ok(Self { files, signer, state, in_doubt: None, recent })
    }

    /// The latest checkpoint.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.state.checkpoint
    }

    /// The log as it is now, for readers: cheap to clone, and unmoved by later entries.
    pub fn view(&self) -> LogView {
        LogView::new(self.files.clone(), self.state.checkpoint.clone())
    }

    /// Appends entries and returns their places. When it returns, they are durable and covered by a signed checkpoint.
    ///
    /// Idempotent: after an error, a kill or a lost answer call it again with the same entries; those that are already
    /// there keep their places. (The latest 4,096 are recognised.) Safe to cancel at any point.
    ///
    /// # Errors
    /// When the store refuses, or another process writes this log.
    pub async fn append(&mut self, entries: &[Entry]) -> Result<Vec<u64>, LogError> {
        self.settle().await?;
        let mut batch = Batch::after(&self.state);
        let places: Vec<u64> = entries.iter().map(|entry| batch.place(entry, &self.recent)).collect();
        if batch.appended.is_empty() {
            return Ok(places);
        }
        if batch.frontier.size() > TREE_SIZE_MAX {
            return Err(LogError::Full);
        }
        for (resource, bytes) in batch.files(self.state.frontier.size()) {
            self.files.put(&resource, bytes).await?;
        }
        self.in_doubt = Some(batch.sign(&self.signer));
        self.settle().await?;
        Ok(places)
    }

    /// Sees whether the log could be appended to: its checkpoint is the one that we left, and its store takes a file.
    ///
    /// # Errors
    /// When it couldn't.
    pub async fn probe(&mut self) -> Result<(), LogError> {
        self.settle().await?;
        Ok(self.files.probe().await?)
    }

    /// Brings the stored checkpoint and ours together: stores what is signed, and refuses what somebody else stored.
    async fn settle(&mut self) -> Result<(), LogError> {
        let stored = self.files.get_versioned(&Resource::Checkpoint).await?;
        let (note, version) = stored.ok_or(LogError::CheckpointMissing)?;
        let is_stored = |state: &State| state.checkpoint.note().as_bytes() == note;
        match &self.in_doubt {
            None if is_stored(&self.state) => return Ok(()),
            Some(next) if is_stored(next) => {}
            Some(next) if is_stored(&self.state) => {
                let bytes = next.checkpoint.note().as_bytes().to_vec();
                self.files.replace(&Resource::Checkpoint, bytes, version).await?;
            }
            _ => {
                let found = SignedCheckpoint::open(&note, &self.signer.key());
                let found = found.map_or_else(|error| error.to_string(), |found| found.size().to_string());
                return Err(LogError::AnotherWriter { ours: self.state.frontier.size(), found });
            }
        }
        self.adopt().await;
        Ok(())
    }

    /// What was in doubt is stored.
    async fn adopt(&mut self) {
        let Some(next) = self.in_doubt.take() else { return };
        let size = next.frontier.size();
        self.recent.extend(next.appended.iter().copied().zip(self.state.frontier.size()..));
        if self.recent.len() as u64 > 2 * RECENT_MAX {
            self.recent.retain(|_, index| *index + RECENT_MAX >= size);
        }
        self.state = next;
        for tile in &self.state.filled {
            self.files.prune(*tile).await;
        }
    }
}

impl State {
    /// Signs the empty log. A log that began another way would have no first checkpoint to be held to.
    async fn begin(files: &LogStore, signer: &LogSigner) -> Result<Self, LogError> {
        let checkpoint = Checkpoint { origin: signer.key().name().to_owned(), size: 0, root: EMPTY_ROOT }.sign(signer);
        files.create(&Resource::Checkpoint, checkpoint.note().as_bytes().to_vec()).await?;
        let frontier = Frontier::default();
        Ok(Self { frontier, tail: Vec::new(), checkpoint, appended: Vec::new(), filled: Vec::new() })
    }

    /// Reads the right edge of the tree, and holds it against the signed root.
    async fn load(files: &LogStore, checkpoint: SignedCheckpoint) -> Result<Self, LogError> {
        let size = checkpoint.size();
        let mut rows = vec![Vec::new(); edge_widths(size).count()];
        for tile in Tile::edge(size) {
            let hashes = load_hashes(files, tile).await?;
            if let Some(row) = rows.get_mut(tile.level as usize) {
                *row = hashes;
            }
        }
        let frontier = Frontier::new(size, rows).filter(|frontier| frontier.root() == *checkpoint.root());
        let frontier = frontier.ok_or(LogError::WrongRoot { what: "tiles" })?;
        let tail = match Tile::edge(size).find(|tile| tile.level == 0) {
            Some(tile) => load_entries(files, tile).await?,
            None => Vec::new(),
        };
        let leaves = tail.iter().map(|entry| leaf_hash(entry.as_bytes()));
        if !leaves.eq(frontier.rows().first().into_iter().flatten().copied()) {
            return Err(LogError::WrongRoot { what: "entries" });
        }
        Ok(Self { frontier, tail, checkpoint, appended: Vec::new(), filled: Vec::new() })
    }
}

/// Entries on their way into the log.
struct Batch {
    frontier: Frontier,
    tail: Vec<Entry>,
    appended: Vec<Hash>,
    places: HashMap<Hash, u64>,
    full: Vec<(Resource, Vec<u8>)>,
    filled: Vec<Tile>,
}

impl Batch {
    fn after(state: &State) -> Self {
        Self {
            frontier: state.frontier.clone(),
            tail: state.tail.clone(),
            appended: Vec::new(),
            places: HashMap::new(),
            full: Vec::new(),
            filled: Vec::new(),
        }
    }

    /// The place of an entry: the one it has, or the next.
    fn place(&mut self, entry: &Entry, recent: &HashMap<Hash, u64>) -> u64 {
        let leaf = leaf_hash(entry.as_bytes());
        if let Some(place) = recent.get(&leaf).or_else(|| self.places.get(&leaf)) {
            return *place;
        }
        let place = self.frontier.size();
        self.places.insert(leaf, place);
        self.appended.push(leaf);
        self.tail.push(entry.clone());
        if self.tail.len() == TILE_WIDTH {
            let tile = Tile { level: 0, index: place / TILE_WIDTH as u64, width: TILE_WIDTH };
            self.full.push((Resource::Entries(tile), encode_entries(self.tail.iter().map(Entry::as_bytes))));
            self.tail.clear();
        }
        self.frontier.push(leaf, |tile, hashes| {
            self.full.push((Resource::Hashes(tile), encode_hashes(hashes)));
            self.filled.push(tile);
        });
        place
    }

    /// All files that a log of the new size has and one of `old_size` hasn't.
    fn files(&mut self, old_size: u64) -> Vec<(Resource, Vec<u8>)> {
        let mut files = std::mem::take(&mut self.full);
        let edge = Tile::edge(self.frontier.size()).filter(|tile| !Tile::edge(old_size).any(|old| old == *tile));
        for tile in edge {
            if tile.level == 0 {
                files.push((Resource::Entries(tile), encode_entries(self.tail.iter().map(Entry::as_bytes))));
            }
            let row = self.frontier.rows().get(tile.level as usize);
            files.extend(row.map(|row| (Resource::Hashes(tile), encode_hashes(row))));
        }
        files
    }

    fn sign(self, signer: &LogSigner) -> State {
        let Self { frontier, tail, appended, filled, .. } = self;
        let (origin, size, root) = (signer.key().name().to_owned(), frontier.size(), frontier.root());
        State { frontier, tail, checkpoint: Checkpoint { origin, size, root }.sign(signer), appended, filled }
    }
}

/// The hashes of the last full tiles and the partial one.
async fn recent_leaves(files: &LogStore, frontier: &Frontier) -> Result<HashMap<Hash, u64>, LogError> {
    let size = frontier.size();
    let edge = size - size % TILE_WIDTH as u64;
    let tail = frontier.rows().first().into_iter().flatten().copied();
    let mut recent: HashMap<Hash, u64> = tail.zip(edge..).collect();
    let full = edge / TILE_WIDTH as u64;
    for index in full.saturating_sub(RECENT_MAX / TILE_WIDTH as u64)..full {
        let hashes = load_hashes(files, Tile { level: 0, index, width: TILE_WIDTH }).await?;
        recent.extend(hashes.into_iter().zip(index * TILE_WIDTH as u64..));
    }
    Ok(recent)
}
