//! The file that a competition's hidden pool is kept in: what rounds draw from, and nobody but its validator has.
//!
//! Without answers it is the images' own format. Where the teacher is known by its answers only, they are kept with their
//! images, so that neither can be had without the other: `RTPOOL1`, then the length of the images (u64, little endian), the
//! images (`RTIMG1`) and the answers (`RTLOG1`). It does NOT know what is drawn from it.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::commitment::{Commitment, CommitmentError};
use crate::format::{expect_length, label_bytes, put_labels};
use crate::images::HEAD_BYTES;
use crate::labelled::Placed;
use crate::published::TableError;
use crate::{Images, Labelled, Logits};
use protocol::architecture::ImageShape;
use std::fs::File;
use std::io::{self, Write};

const MAGIC: [u8; 8] = *b"RTPOOL1\0";
/// Bytes before the images, where there are answers.
const ANSWERED_HEAD_BYTES: u64 = 16;

impl Labelled {
    /// The commitment to all of it.
    ///
    /// # Errors
    /// When items contradict themselves, or can't be read.
    pub fn commitment(&self, salt: &[u8; 32]) -> Result<Commitment, CommitmentError> {
        Commitment::to(self.clone(), salt)
    }

    /// Writes a pool's file.
    ///
    /// # Errors
    /// When items contradict themselves, can't be read, or the file can't be written.
    pub fn write_pool(&self, to: &mut dyn Write) -> io::Result<()> {
        let tail = self.pool_tail()?;
        to.write_all(&self.pool_head())?;
        self.pixels.blocks(self.shape.values()).try_for_each(|block| to.write_all(&block?))?;
        to.write_all(&tail)
    }

    /// What that file has before its pixels.
    pub(crate) fn pool_head(&self) -> Vec<u8> {
        head(self.count(), self.shape, label_bytes(&self.labels), self.answers.is_some())
    }

    /// And behind them.
    pub(crate) fn pool_tail(&self) -> io::Result<Vec<u8>> {
        self.validate().map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        put_labels(&mut bytes, &self.labels, label_bytes(&self.labels));
        if let Some(answers) = &self.answers {
            bytes.extend(answers.to_bytes().map_err(io::Error::other)?);
        }
        Ok(bytes)
    }

    /// Opens a pool's file, whose pixels are read where they lie.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn open_pool(file: File) -> Result<Self, TableError> {
        let file = Placed::new(file)?;
        let head = file.read(0..file.bytes.min(ANSWERED_HEAD_BYTES))?;
        let Some(length) = head.strip_prefix(&MAGIC).and_then(|length| length.try_into().ok()) else {
            return Self::images_of(&file, 0..file.bytes);
        };
        let end = ANSWERED_HEAD_BYTES.saturating_add(u64::from_le_bytes(length));
        let items = Self::images_of(&file, ANSWERED_HEAD_BYTES..end)?;
        let answers = Logits::from_bytes(&file.read(end..file.bytes.max(end))?)?;
        expect_length("answers", items.labels.len(), answers.len())?;
        Ok(Self { answers: Some(answers), ..items })
    }
}

/// What a pool's file begins with, of so many items of this shape, whose labels have so many bytes.
pub(crate) fn head(count: u32, shape: ImageShape, label_bytes: usize, is_answered: bool) -> Vec<u8> {
    let images = Images::head_of(count, shape, label_bytes);
    if !is_answered {
        return images;
    }
    let each = shape.values().saturating_add(label_bytes as u64);
    let length = (HEAD_BYTES as u64).saturating_add(each.saturating_mul(count.into()));
    [&MAGIC, &length.to_le_bytes()[..], &images].concat()
}
