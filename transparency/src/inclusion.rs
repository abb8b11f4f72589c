//! A reader's proof that one entry is in a log, out of the log's static files: a checkpoint and a few tiles.
//!
//! It does NOT trust the files: tiles that don't lead from the entry to the signed root prove nothing. It says nothing of
//! the other entries; [`crate::verify_log`] does.

use crate::checkpoint::SignedCheckpoint;
use crate::finding::VerifyError;
use crate::merkle::{Hash, root_of, subtrees};
use crate::note::LogKey;
use crate::proof::{InclusionProof, ProofError, inclusion_ranges, roots};
use crate::tile::{Resource, Tile};
use crate::verify::{Counted, Reader};
use crate::view::place_of;
use std::collections::{HashMap, hash_map};
use std::ops::Range;

/// Shows that `entry` has the place `index` in the log of `key`; returns the checkpoint that covers it.
///
/// # Errors
/// When it hasn't, or a file can't be read.
pub async fn verify_inclusion<R: Reader>(
    reader: &R,
    key: &LogKey,
    index: u64,
    entry: &[u8],
) -> Result<SignedCheckpoint, VerifyError> {
    let mut files = Counted::new(reader);
    let note = files.read(Resource::Checkpoint).await?;
    let checkpoint = SignedCheckpoint::open(&note, key).map_err(VerifyError::BadCheckpoint)?;
    let size = checkpoint.size();
    let failed = |source: ProofError| VerifyError::NotIncluded { index, source };
    let ranges = inclusion_ranges(index, size).map_err(failed)?;
    let hashes = read_roots(&mut files, &ranges, size, failed).await?;
    InclusionProof { index, size, hashes }.verify(entry, checkpoint.root()).map_err(failed)?;
    Ok(checkpoint)
}

/// The root of each range of leaves, out of the tiles of a log of `size`.
pub(crate) async fn read_roots<R: Reader>(
    files: &mut Counted<'_, R>,
    ranges: &[Range<u64>],
    size: u64,
    failed: impl Fn(ProofError) -> VerifyError,
) -> Result<Vec<Hash>, VerifyError> {
    let mut tiles: HashMap<Tile, Vec<Hash>> = HashMap::new();
    for part in ranges.iter().flat_map(|range| subtrees(range.clone())) {
        let (tile, _) = place_of(part, size).map_err(&failed)?;
        if let hash_map::Entry::Vacant(vacant) = tiles.entry(tile) {
            vacant.insert(files.hashes(tile).await?);
        }
    }
    roots(ranges, |part| {
        let (tile, within) = place_of(part, size).map_err(&failed)?;
        let nodes = tiles.get(&tile).and_then(|hashes| hashes.get(within)).and_then(root_of);
        nodes.ok_or_else(|| VerifyError::Missing { path: Resource::Hashes(tile).to_string() })
    })
}
