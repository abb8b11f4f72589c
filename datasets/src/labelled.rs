//! Labelled items, however many: labels and the teacher's answers are in memory, pixels are read where they lie.
//!
//! It doesn't know what files they are in (`opened` does), nor what they are for.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::format::{FormatError, expect_length, label_bytes, put_labels};
use crate::{Images, Logits};
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use protocol::architecture::ImageShape;
use protocol::competition::InputSpec;
use protocol::evaluation::{Inputs, Items, Truth};
use protocol::pixels::{Pixels, ReadPixels};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Items of a file that is open, or in memory. A copy shares their pixels.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// What each item is.
    pub shape: ImageShape,
    /// Item-major, then channel, row, column.
    pub pixels: Pixels,
    /// One for each item.
    pub labels: Vec<u16>,
    /// The teacher's answers, where the file has them.
    pub answers: Option<Logits>,
}

impl Labelled {
    /// Items whose pixels lie in a stretch of a file as they are, one after the other.
    pub(crate) fn raw(
        (file, range): (Placed, Range<u64>),
        shape: ImageShape,
        labels: Vec<u16>,
        answers: Option<Logits>,
    ) -> Self {
        Self { shape, pixels: Pixels::of(Stretch { file, range }), labels, answers }
    }

    /// How many items there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.labels.len()).unwrap_or(u32::MAX)
    }

    /// Those in `range` alone, as far as there are any.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        let range = range.start.min(self.labels.len())..range.end.min(self.labels.len());
        let place = |item: usize| self.shape.values().saturating_mul(item as u64);
        let indices: Vec<u32> = range.clone().filter_map(|item| u32::try_from(item).ok()).collect();
        Self {
            shape: self.shape,
            pixels: self.pixels.part(place(range.start)..place(range.end)),
            labels: self.labels.get(range).unwrap_or_default().to_vec(),
            answers: self.answers.as_ref().map(|answers| answers.select(&indices)),
        }
    }

    /// The items at `indices`, in that order, as far as there are such.
    #[must_use]
    pub fn select(&self, indices: &[u32]) -> Self {
        Self {
            shape: self.shape,
            pixels: self.pixels.select(indices.to_vec(), self.shape.values()),
            labels: indices.iter().filter_map(|index| self.labels.get(*index as usize)).copied().collect(),
            answers: self.answers.as_ref().map(|answers| answers.select(indices)),
        }
    }

    /// Whether pixels, labels and answers are of as many items.
    ///
    /// # Errors
    /// When they aren't.
    pub fn validate(&self) -> Result<(), FormatError> {
        let count = self.labels.len();
        let expected = usize::try_from(self.shape.values()).ok().and_then(|each| each.checked_mul(count));
        let found = usize::try_from(self.pixels.bytes()).unwrap_or(usize::MAX);
        expect_length("pixels", expected.unwrap_or(0), found)?;
        match &self.answers {
            Some(answers) => expect_length("answers", count, answers.len()).and_then(|()| answers.validate()),
            None => Ok(()),
        }
    }

    /// Writes the file of images, `RTIMG1`.
    ///
    /// # Errors
    /// When the items contradict themselves, can't be read, or the file can't be written.
    pub fn write_images(&self, to: &mut dyn Write) -> io::Result<()> {
        self.validate().map_err(io::Error::other)?;
        let each = label_bytes(&self.labels);
        to.write_all(&Images::head_of(self.count(), self.shape, each))?;
        self.pixels.blocks(self.shape.values()).try_for_each(|block| to.write_all(&block?))?;
        let mut labels = Vec::new();
        put_labels(&mut labels, &self.labels, each);
        to.write_all(&labels)
    }

    /// All of them in memory.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn held(self) -> io::Result<Images> {
        let (count, pixels) = (self.count(), self.pixels.read(0..self.pixels.bytes())?);
        let ImageShape { channels, height, width } = self.shape;
        Ok(Images { count, channels, height, width, pixels, labels: self.labels })
    }

    /// What an evaluation asks: these items, of which the first `public` are public, beside the teacher's logits on them.
    pub fn asked(self, input: &InputSpec, public: u32, teacher_logits: Option<Vec<f32>>) -> Items {
        Items {
            inputs: Inputs { spec: input.clone(), pixels: self.pixels },
            truth: Truth { labels: self.labels.into(), public, teacher_logits: teacher_logits.map(Into::into) },
        }
    }
}

/// A file that several read at once, each at places of its own.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    file: Arc<File>,
    pub(crate) bytes: u64,
}

impl Placed {
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), bytes })
    }

    /// All of it, to be read as it is.
    pub(crate) fn whole(self) -> Pixels {
        let range = 0..self.bytes;
        Pixels::of(Stretch { file: self, range })
    }

    /// The bytes in `range`. Nothing is allocated for what isn't there.
    pub(crate) fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let length = range.end.checked_sub(range.start).filter(|_| range.end <= self.bytes);
        let length = length.and_then(|length| usize::try_from(length).ok()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes)
    }
}

impl Length for Placed {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Placed {
    type T = BufReader<FromPlace>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::new(FromPlace { file: Arc::clone(&self.file), place: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        Ok(self.read(start..start.saturating_add(length as u64))?.into())
    }
}

/// A file from a place on.
pub(crate) struct FromPlace {
    file: Arc<File>,
    place: u64,
}

impl Read for FromPlace {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.place)?;
        self.place = self.place.saturating_add(read as u64);
        Ok(read)
    }
}

/// Pixels as they are, one after the other.
#[derive(Debug)]
struct Stretch {
    file: Placed,
    range: Range<u64>,
}

impl ReadPixels for Stretch {
    fn bytes(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let place = |place: u64| self.range.start.saturating_add(place);
        self.file.read(place(range.start)..place(range.end))
    }
}
