//! The checker for anyone: reads all of a log and finds what doesn't fit, where, and through whose fault.
//!
//! It needs the log's key and, to notice rewritten history, a checkpoint that the reader remembered. One pass from the
//! first entry to the last rebuilds every tile, so that memory doesn't grow with the log. It does NOT know what entries
//! mean: whoever wants to check them gets each through [`verify_entries`].

use crate::checkpoint::SignedCheckpoint;
use crate::finding::VerifyError;
use crate::frontier::Frontier;
use crate::merkle::{Hash, TILE_WIDTH, leaf_hash};
use crate::note::LogKey;
use crate::proof::{ConsistencyProof, ProofError};
use crate::tile::{Resource, Tile, TileError, decode_entries, decode_hashes, encode_entries};
use std::future::Future;

/// Where a log's files come from: a store, a web server, a folder.
pub trait Reader {
    /// Why a file can't be read, other than that there is none.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The bytes of a file, of which no more than [`Resource::bytes_max`] need to be read; `None` if there is none.
    fn read(&self, resource: &Resource) -> impl Future<Output = Result<Option<Vec<u8>>, Self::Error>> + Send;
}

/// A log that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What to remember for the next time.
    pub checkpoint: SignedCheckpoint,
    /// Files that were read.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
}

/// Reads all of the log of `key` and checks it, against a remembered checkpoint where there is one.
///
/// # Errors
/// The first thing that doesn't fit.
pub async fn verify_log<R: Reader>(
    reader: &R,
    key: &LogKey,
    remembered: Option<&SignedCheckpoint>,
) -> Result<Verified, VerifyError> {
    verify_entries(reader, key, remembered, |_, _| ()).await
}

/// As [`verify_log`], and gives each entry to `visit`, in order. Only once it returns `Ok` is any of them known to be in
/// the log.
///
/// # Errors
/// The first thing that doesn't fit.
pub async fn verify_entries<R: Reader>(
    reader: &R,
    key: &LogKey,
    remembered: Option<&SignedCheckpoint>,
    mut visit: impl FnMut(u64, &[u8]),
) -> Result<Verified, VerifyError> {
    let mut files = Counted::new(reader);
    let note = files.read(Resource::Checkpoint).await?;
    let checkpoint = SignedCheckpoint::open(&note, key).map_err(VerifyError::BadCheckpoint)?;
    if let Some(older) = remembered {
        check_order(older, &checkpoint)?;
    }
    let mut walk = Walk { frontier: Frontier::default(), suspect: None, other_bundle: None, rewritten: false };
    for index in 0..checkpoint.size().div_ceil(TILE_WIDTH as u64) {
        walk.bundle(&mut files, index, &checkpoint, remembered, &mut visit).await?;
    }
    walk.edge(&mut files, checkpoint.size()).await?;
    walk.conclude(&checkpoint, remembered)?;
    Ok(Verified { checkpoint, files: files.files, bytes: files.bytes })
}

impl SignedCheckpoint {
    /// Whether this checkpoint may follow `older`: what two people who compare notes need, without the log's files.
    ///
    /// # Errors
    /// When they are of different logs, contradict each other, or the proof doesn't hold.
    pub fn follows(&self, older: &Self, proof: &ConsistencyProof) -> Result<(), VerifyError> {
        check_order(older, self)?;
        if (proof.old_size, proof.size) != (older.size(), self.size()) {
            let (hashes, size) = (proof.hashes.len(), self.size());
            return Err(VerifyError::NoProof { source: ProofError::Wrong { hashes, size } });
        }
        proof.verify(older.root(), self.root()).map_err(|source| VerifyError::NoProof { source })
    }
}

/// What two checkpoints say without anything between them.
pub(crate) fn check_order(older: &SignedCheckpoint, newer: &SignedCheckpoint) -> Result<(), VerifyError> {
    if older.origin() != newer.origin() {
        let (remembered, log) = (older.origin().to_owned(), newer.origin().to_owned());
        return Err(VerifyError::OtherLog { remembered, log });
    }
    if older.size() == newer.size() && older.root() != newer.root() {
        return Err(VerifyError::SplitView { size: newer.size(), notes: notes(older, newer) });
    }
    if older.size() > newer.size() {
        return Err(VerifyError::Shrunk { remembered: older.size(), found: newer.size() });
    }
    Ok(())
}

pub(crate) fn notes(older: &SignedCheckpoint, newer: &SignedCheckpoint) -> Box<[String; 2]> {
    Box::new([older.note().to_owned(), newer.note().to_owned()])
}

/// A reader that insists on what it asks for.
pub(crate) struct Counted<'a, R> {
    reader: &'a R,
    files: u64,
    bytes: u64,
}

impl<'a, R: Reader> Counted<'a, R> {
    pub(crate) fn new(reader: &'a R) -> Self {
        Self { reader, files: 0, bytes: 0 }
    }

    pub(crate) async fn read(&mut self, resource: Resource) -> Result<Vec<u8>, VerifyError> {
        let path = || resource.to_string();
        self.find(resource).await?.ok_or_else(|| VerifyError::Missing { path: path() })
    }

    async fn find(&mut self, resource: Resource) -> Result<Option<Vec<u8>>, VerifyError> {
        let found = self.reader.read(&resource).await;
        let found =
            found.map_err(|error| VerifyError::Unreadable { path: resource.to_string(), source: Box::new(error) })?;
        if let Some(bytes) = &found {
            self.files += 1;
            self.bytes += bytes.len() as u64;
        }
        Ok(found)
    }

    /// A tile's hashes. A partial tile may have given way to the full one while we read: its beginning will do.
    pub(crate) async fn hashes(&mut self, tile: Tile) -> Result<Vec<Hash>, VerifyError> {
        let (path, wide, bytes) = match self.find(Resource::Hashes(tile)).await? {
            Some(bytes) => (Resource::Hashes(tile), tile, bytes),
            None => {
                let full = self.find(Resource::Hashes(tile.full())).await?;
                let missing = || VerifyError::Missing { path: Resource::Hashes(tile).to_string() };
                (Resource::Hashes(tile.full()), tile.full(), full.ok_or_else(missing)?)
            }
        };
        let mut hashes = decode_hashes(&bytes, wide.width).map_err(|source| malformed(path, source))?;
        hashes.truncate(tile.width);
        Ok(hashes)
    }

    /// The bytes of a bundle and how many entries they hold, which may be more than asked for, likewise.
    async fn bundle(&mut self, tile: Tile) -> Result<(Resource, usize, Vec<u8>), VerifyError> {
        if let Some(bytes) = self.find(Resource::Entries(tile)).await? {
            return Ok((Resource::Entries(tile), tile.width, bytes));
        }
        let full = self.find(Resource::Entries(tile.full())).await?;
        let missing = || VerifyError::Missing { path: Resource::Entries(tile).to_string() };
        Ok((Resource::Entries(tile.full()), TILE_WIDTH, full.ok_or_else(missing)?))
    }
}

fn malformed(resource: Resource, source: TileError) -> VerifyError {
    VerifyError::Malformed { path: resource.to_string(), source }
}

/// The log as far as it was read.
struct Walk {
    frontier: Frontier,
    /// The first file that differs from what the entries say. Whether the entry or the hash is wrong shows at the end.
    suspect: Option<Suspect>,
    /// The bundle of the remembered size, if it holds other entries than the bundle read.
    other_bundle: Option<Resource>,
    /// Whether the root at the remembered size was another.
    rewritten: bool,
}

struct Suspect {
    /// The entry that has another hash than the tile says, where it is a tile of level 0.
    entry: Option<(u64, Resource)>,
    tile: Tile,
    number: usize,
}

impl Walk {
    /// Reads a bundle and all tiles that end with it.
    async fn bundle<R: Reader>(
        &mut self,
        files: &mut Counted<'_, R>,
        index: u64,
        checkpoint: &SignedCheckpoint,
        remembered: Option<&SignedCheckpoint>,
        visit: &mut impl FnMut(u64, &[u8]),
    ) -> Result<(), VerifyError> {
        let start = index * TILE_WIDTH as u64;
        let width = (checkpoint.size() - start).min(TILE_WIDTH as u64) as usize;
        let tile = Tile { level: 0, index, width };
        let (path, entries_held, bytes) = files.bundle(tile).await?;
        let mut entries = decode_entries(&bytes, entries_held).map_err(|source| malformed(path, source))?;
        entries.truncate(width);
        let stored = files.hashes(tile).await?;

        let mut full: Vec<(Tile, Vec<Hash>)> = Vec::new();
        for (number, (entry, stored)) in entries.iter().zip(&stored).enumerate() {
            let leaf = leaf_hash(entry);
            if leaf != *stored {
                let entry = Some((start + number as u64, path));
                self.suspect.get_or_insert(Suspect { entry, tile, number });
            }
            visit(self.frontier.size(), entry);
            self.frontier.push(leaf, |tile, hashes| full.push((tile, hashes.to_vec())));
            if let Some(older) = remembered.filter(|older| older.size() == self.frontier.size()) {
                self.rewritten = self.frontier.root() != *older.root();
                let held = entries.get(..=number).unwrap_or_default();
                self.older_edge(files, older.size(), checkpoint.size(), held).await?;
            }
        }
        for (tile, hashes) in full.into_iter().filter(|(tile, _)| tile.level > 0) {
            let stored = files.hashes(tile).await?;
            self.compare(tile, &hashes, &stored);
        }
        Ok(())
    }

    /// Reads the partial tiles above level 0 at the end of the log.
    async fn edge<R: Reader>(&mut self, files: &mut Counted<'_, R>, size: u64) -> Result<(), VerifyError> {
        for tile in Tile::edge(size).filter(|tile| tile.level > 0) {
            let stored = files.hashes(tile).await?;
            self.compare_row(tile, &stored);
        }
        Ok(())
    }

    /// The partial tiles that a checkpoint of the past promised. One that is gone, as after a backup was put back, gave way
    /// to the wider one at its place: that one is read anyway and begins with all that this one had. One that is there must
    /// fit.
    async fn older_edge<R: Reader>(
        &mut self,
        files: &mut Counted<'_, R>,
        old_size: u64,
        size: u64,
        held: &[&[u8]],
    ) -> Result<(), VerifyError> {
        for tile in Tile::edge(old_size).filter(|tile| !Tile::edge(size).any(|newer| newer == *tile)) {
            let path = Resource::Hashes(tile);
            if let Some(bytes) = files.find(path).await? {
                let stored = decode_hashes(&bytes, tile.width).map_err(|source| malformed(path, source))?;
                self.compare_row(tile, &stored);
            }
            let bundle = Resource::Entries(tile);
            if tile.level == 0
                && let Some(bytes) = files.find(bundle).await?
                && bytes != encode_entries(held.iter().copied())
            {
                self.other_bundle = Some(bundle);
            }
        }
        Ok(())
    }

    /// Compares a stored tile with the frontier's row.
    fn compare_row(&mut self, tile: Tile, stored: &[Hash]) {
        let row = self.frontier.rows().get(tile.level as usize).cloned().unwrap_or_default();
        self.compare(tile, &row, stored);
    }

    fn compare(&mut self, tile: Tile, computed: &[Hash], stored: &[Hash]) {
        let differing = computed.iter().zip(stored).position(|(computed, stored)| computed != stored);
        let number = differing.or((computed.len() != stored.len()).then(|| computed.len().min(stored.len())));
        if let Some(number) = number {
            self.suspect.get_or_insert(Suspect { entry: None, tile, number });
        }
    }

    /// All is read. If the entries have the signed root, they are right and a tile that says otherwise is wrong.
    fn conclude(self, checkpoint: &SignedCheckpoint, remembered: Option<&SignedCheckpoint>) -> Result<(), VerifyError> {
        let entries_are_right = self.frontier.root() == *checkpoint.root();
        match (self.suspect, remembered) {
            (Some(Suspect { entry: Some((index, path)), .. }), _) if !entries_are_right => {
                Err(VerifyError::EntryChanged { index, path: path.to_string() })
            }
            (Some(Suspect { tile, number, .. }), _) if entries_are_right => {
                Err(VerifyError::HashChanged { number, path: Resource::Hashes(tile).to_string() })
            }
            _ if !entries_are_right => {
                Err(VerifyError::WrongRoot { size: checkpoint.size(), note: checkpoint.note().to_owned() })
            }
            (_, Some(older)) if self.rewritten => {
                Err(VerifyError::Rewritten { size: older.size(), notes: notes(older, checkpoint) })
            }
            _ => self.other_bundle.map_or(Ok(()), |path| Err(VerifyError::BundleChanged { path: path.to_string() })),
        }
    }
}
