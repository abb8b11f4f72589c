//! What a classifier answered for a batch, and the file that answers to the items of a hidden round are.
//!
//! It does not know which teacher, which images, nor any temperature: raw outputs before softmax.
//!
//! File format `RTLOG1`, little endian, nothing before, between or after:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | `RTLOG1\0\0` |
//! | 2 x 4 | count, classes: u32, each at least 1 |
//! | 4 x count x classes | values: f32, item-major, all finite |

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::FormatError;
use crate::format::{Reader, expect_length, product};

const MAGIC: [u8; 8] = *b"RTLOG1\0\0";

/// Outputs of a classifier. [`Logits::validate`] says whether the fields agree; [`Logits::from_bytes`] gives valid ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    /// Number of items, at least 1.
    pub count: u32,
    /// Number of classes, at least 1.
    pub classes: u32,
    /// `count * classes` finite values, item-major.
    pub values: Vec<f32>,
}

impl Logits {
    /// The answers to `count` items, one after the other: as many classes as that makes.
    pub fn of_items(count: u32, values: Vec<f32>) -> Self {
        let classes = values.len().checked_div(count as usize).unwrap_or(0);
        Self { count, classes: u32::try_from(classes).unwrap_or(u32::MAX), values }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// True when there are no items, which is not valid to publish.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The outputs for item `index`.
    ///
    /// # Panics
    /// When there is no such item, which is a bug in the caller.
    #[expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "an index is the caller's; it says so"
    )]
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.classes as usize..][..self.classes as usize]
    }

    /// The answers to the items at `indices`, in that order.
    ///
    /// # Panics
    /// When an index is out of range, which is a bug in the caller.
    pub fn select(&self, indices: &[u32]) -> Logits {
        let values = indices.iter().flat_map(|index| self.row(*index as usize)).copied().collect();
        let count = u32::try_from(indices.len()).expect("a selection has at most u32::MAX items; this is a bug");
        Logits { count, classes: self.classes, values }
    }

    /// Checks that the length agrees with the dimensions and that every value is finite.
    pub fn validate(&self) -> Result<(), FormatError> {
        expect_length("values", self.value_count()?, self.values.len())?;
        match self.values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            Some((index, &found)) => Err(FormatError::NotFinite { index, found }),
            None => Ok(()),
        }
    }

    /// Writes the file format, or says why this value has none.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FormatError> {
        self.validate()?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend([self.count, self.classes].iter().flat_map(|dim| dim.to_le_bytes()));
        bytes.extend(self.values.iter().flat_map(|value| value.to_le_bytes()));
        Ok(bytes)
    }

    /// Reads the file format from bytes that nobody vouches for. Nothing is allocated beyond the input's own length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Logits, FormatError> {
        let mut reader = Reader::after_magic(bytes, MAGIC)?;
        let mut logits = Logits { count: reader.u32("count")?, classes: reader.u32("classes")?, values: vec![] };
        let value_bytes = logits
            .value_count()?
            .checked_mul(4)
            .ok_or_else(|| FormatError::Overflow { dims: vec![logits.count, logits.classes, 4] })?;
        let values = reader.take("values", value_bytes)?;
        reader.finish()?;
        logits.values = values.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
        logits.validate()?;
        Ok(logits)
    }

    fn value_count(&self) -> Result<usize, FormatError> {
        product(&[("count", self.count), ("classes", self.classes)])
    }
}
