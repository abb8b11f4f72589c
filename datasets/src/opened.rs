//! Items of a file that is open: a published part or `RTIMG1`, whichever it is. Pixels stay where they are.
//!
//! It doesn't know what the items are for.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::format::{Reader, expect_length};
use crate::images::HEAD_BYTES;
use crate::labelled::Placed;
use crate::published::{self, TableError};
use crate::{Images, Labelled, Logits};
use protocol::architecture::ImageShape;
use std::fs::File;
use std::ops::Range;

/// What a file of Parquet begins with.
const PARQUET: &[u8] = b"PAR1";

impl Labelled {
    /// Opens a published part or a file of images, of a competition with such inputs and so many classes.
    ///
    /// # Errors
    /// When it is neither, or of other inputs.
    pub fn open(file: File, input: ImageShape, classes: usize) -> Result<Self, TableError> {
        let file = Placed::new(file)?;
        match file.read(0..file.bytes.min(PARQUET.len() as u64))? == PARQUET {
            true => published::open(file, input, classes),
            false => {
                let items = Self::images_of(&file, 0..file.bytes)?;
                let found = items.shape;
                if found == input { Ok(items) } else { Err(TableError::Shape { found, expected: input }) }
            }
        }
    }

    /// The labelled images that a stretch of a file is.
    pub(crate) fn images_of(file: &Placed, range: Range<u64>) -> Result<Self, TableError> {
        let begin = range.start.saturating_add(HEAD_BYTES as u64);
        let (images, each) = Images::head(&file.read(range.start..begin.min(range.end))?)?;
        let end = begin.saturating_add(images.pixel_bytes()? as u64);
        let labels = images.labels_in(Reader::new(&file.read(end..range.end.max(end))?), each)?;
        expect_length("labels", images.len(), labels.len())?;
        let shape = ImageShape { channels: images.channels, height: images.height, width: images.width };
        Ok(Self::raw((file.clone(), begin..end), shape, labels, None))
    }

    /// The items with the answers, which a public part has.
    ///
    /// # Errors
    /// When there are none.
    pub fn answered(mut self) -> Result<(Self, Logits), TableError> {
        self.answers.take().map(|answers| (self, answers)).ok_or(TableError::NoAnswers)
    }
}
