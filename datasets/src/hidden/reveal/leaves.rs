//! The pool's leaves that a reveal opens, in memory or where its file has them: read one at a time, and the images in them a range at
//! a time.
//!
//! It does not know whether they lie under a root.

use super::RevealError;
use crate::commitment::{self, PIXELS_AT};
use crate::{Labelled, Logits};
use protocol::architecture::ImageShape;
use protocol::pixels::{Pixels, ReadPixels};
use std::io;
use std::ops::Range;

/// Leaves of one length, ascending.
#[derive(Debug, Clone)]
pub struct Leaves {
    bytes: Pixels,
    each: usize,
}

impl Leaves {
    pub(super) fn new(bytes: Pixels, each: usize) -> Self {
        Self { bytes, each }
    }

    /// These, in memory.
    ///
    /// # Errors
    /// When they have different lengths.
    pub fn of(leaves: &[Vec<u8>]) -> Result<Self, RevealError> {
        let each = leaves.first().map_or(0, Vec::len);
        match leaves.iter().all(|leaf| leaf.len() == each) {
            true => Ok(Self::new(leaves.concat().into(), each)),
            false => Err(RevealError::Shape),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        let count = self.bytes.bytes().checked_div(self.each as u64).unwrap_or(0);
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// The bytes of each.
    pub(super) fn each(&self) -> usize {
        self.each
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Result<Vec<u8>, RevealError>> {
        let each = self.each as u64;
        (0..self.count() as u64).map(move |place| {
            let start = place.saturating_mul(each);
            let leaf = self.bytes.read(start..start.saturating_add(each));
            leaf.map_err(|error| RevealError::Io(error.to_string()))
        })
    }

    /// The labelled images in them, leaves of a pool of `count` items, with the teacher's answers of so many classes, if any.
    pub(super) fn images(&self, count: u32, classes: u32) -> Result<Labelled, RevealError> {
        let (mut shape, mut labels, mut values) = (None, Vec::new(), Vec::new());
        for leaf in self.iter() {
            let item = commitment::read_leaf(&leaf?, count, classes)?;
            let images = item.images;
            let found = ImageShape { channels: images.channels, height: images.height, width: images.width };
            if *shape.get_or_insert(found) != found {
                return Err(RevealError::Shape);
            }
            labels.extend(images.labels);
            values.extend(item.answers.into_iter().flat_map(|answers| answers.values));
        }
        let shape = shape.ok_or(RevealError::Opened { expected: 1, found: 0 })?;
        let answers = (classes > 0).then_some(Logits { count: labels.len() as u32, classes, values });
        let pixels = Pixels::of(LeafPixels { leaves: self.clone(), item_bytes: shape.values().max(1) });
        Ok(Labelled { shape, pixels, labels, answers })
    }
}

/// The same bytes, wherever they lie; what can't be read is no one's equal.
impl PartialEq for Leaves {
    fn eq(&self, other: &Self) -> bool {
        let sha256 = |leaves: &Self| leaves.bytes.sha256().ok();
        self.each == other.each && sha256(self).is_some_and(|own| Some(own) == sha256(other))
    }
}

/// The pixels of leaves, each between what stands before and behind them.
#[derive(Debug)]
struct LeafPixels {
    leaves: Leaves,
    item_bytes: u64,
}

impl ReadPixels for LeafPixels {
    fn bytes(&self) -> u64 {
        self.item_bytes.saturating_mul(self.leaves.count() as u64)
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let (each, mut read, mut at) = (self.item_bytes, Vec::new(), range.start);
        while at < range.end {
            let (place, within) = (at.checked_div(each).unwrap_or(0), at.checked_rem(each).unwrap_or(0));
            // As much of the item as is asked for.
            let length = each.saturating_sub(within).min(range.end.saturating_sub(at));
            let leaf = place.saturating_mul(self.leaves.each as u64);
            let start = leaf.saturating_add(PIXELS_AT as u64).saturating_add(within);
            read.extend(self.leaves.bytes.read(start..start.saturating_add(length))?);
            at = at.saturating_add(length);
        }
        Ok(read)
    }
}
