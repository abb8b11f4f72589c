//! By when an entry was in a log, on the word of witnesses that the reader trusts. Pure but for [`verify_beginning`], which
//! reads a few tiles.
//!
//! A validator's own times are worth what the validator is. A cosigned checkpoint says that a witness had seen the log's
//! first entries by a time, so everything in them is at least as old. It does NOT know what entries mean, or which witnesses
//! deserve trust.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::cosignature::WitnessKey;
use crate::finding::VerifyError;
use crate::inclusion::read_roots;
use crate::note::{LogKey, Note};
use crate::proof::{ConsistencyProof, ProofError, consistency_ranges};
use crate::verify::{Counted, Reader, check_order, notes};

/// A checkpoint, and when which of the trusted witnesses cosigned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CosignedCheckpoint {
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
    /// For each trusted witness, by its place among them, the time of its cosignature in Unix seconds.
    pub times: Vec<Option<u64>>,
}

/// By when an entry was witnessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// The time by which enough of the witnesses had seen the entry, in Unix seconds.
    pub by: u64,
    /// How many had seen it by then.
    pub witnesses: usize,
}

impl CosignedCheckpoint {
    /// Reads a note that `log` signed and any of `witnesses` may have cosigned.
    ///
    /// # Errors
    /// When it is none of this log, or a line that claims to be of one of these witnesses isn't.
    pub fn open(note: &[u8], log: &LogKey, witnesses: &[WitnessKey]) -> Result<Self, CheckpointError> {
        let checkpoint = SignedCheckpoint::open(note, log)?;
        let parsed = Note::parse(note)?;
        let times = witnesses.iter().map(|witness| witness.cosigned(&parsed)).collect::<Result<_, _>>()?;
        Ok(Self { checkpoint, times })
    }
}

/// How many of `witnesses` have to vouch: more than half, so that one that is gone hides nothing and one that lies
/// proves nothing.
pub fn quorum(witnesses: usize) -> usize {
    (witnesses / 2).saturating_add(1)
}

/// By when more than half of the trusted witnesses had seen entry `index`; `None` if they hadn't. All of `notes` were opened
/// with the same witnesses, and each was shown to be of this log's history ([`verify_beginning`]): a witness of another
/// history vouches for nothing here. Times after `now` are a broken clock's, and count for nothing.
pub fn witnessed(index: u64, notes: &[CosignedCheckpoint], now: u64) -> Option<Witnessed> {
    let trusted = notes.iter().map(|note| note.times.len()).max()?;
    let holding = || notes.iter().filter(|note| note.checkpoint.size() > index);
    let first = |witness: usize| {
        let times = holding().filter_map(|note| note.times.get(witness).copied().flatten());
        times.filter(|time| *time <= now).min()
    };
    let mut times: Vec<u64> = (0..trusted).filter_map(first).collect();
    times.sort_unstable();
    let needed = quorum(trusted);
    let by = *times.get(needed.checked_sub(1)?)?;
    Some(Witnessed { by, witnesses: times.iter().filter(|time| **time <= by).count() })
}

/// Shows that of two checkpoints of a log the larger begins with all of the smaller, out of the log's tiles. The larger one's
/// tiles must be there to read.
///
/// # Errors
/// When they contradict each other, the proof doesn't hold, or a file can't be read.
pub async fn verify_beginning<R: Reader>(
    reader: &R,
    one: &SignedCheckpoint,
    other: &SignedCheckpoint,
) -> Result<(), VerifyError> {
    let (older, newer) = if one.size() <= other.size() { (one, other) } else { (other, one) };
    check_order(older, newer)?;
    let (old_size, size) = (older.size(), newer.size());
    if old_size == size {
        return Ok(());
    }
    let failed = |source: ProofError| VerifyError::NoProof { source };
    let mut ranges = consistency_ranges(old_size, size).map_err(failed)?;
    let beginning = ranges.len();
    ranges.push(0..old_size);
    let mut hashes = read_roots(&mut Counted::new(reader), &ranges, size, failed).await?;
    let found = hashes.split_off(beginning).first().copied().unwrap_or_default();
    // First whether the tiles are the newer checkpoint's: only then does another root of the older one prove anything.
    ConsistencyProof { old_size, size, hashes }.verify(&found, newer.root()).map_err(failed)?;
    if found == *older.root() {
        return Ok(());
    }
    Err(VerifyError::Rewritten { size: old_size, notes: notes(older, newer) })
}
