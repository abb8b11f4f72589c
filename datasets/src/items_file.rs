//! Labelled items that stay in their file: labels and the teacher's answers are in memory, pixels are read where they lie, however
//! many there are.
//!
//! It knows both files that items are kept in, a published part and `RTIMG1`, and not what they are for.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::published::{self, TableError};
use crate::{Images, Logits};
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use protocol::architecture::ImageShape;
use protocol::competition::InputSpec;
use protocol::evaluation::{Inputs, Items, Truth};
use protocol::pixels::{Pixels, ReadPixels};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// What a file of Parquet begins with.
const PARQUET: &[u8] = b"PAR1";

/// Items of a file that is open.
#[derive(Clone, Debug)]
pub struct ItemsFile {
    /// What each item is.
    pub shape: ImageShape,
    /// Item-major, then channel, row, column.
    pub pixels: Pixels,
    /// One for each item.
    pub labels: Vec<u16>,
    /// The teacher's answers, where the file has them.
    pub answers: Option<Logits>,
}

impl ItemsFile {
    /// Opens a published part or a file of images, of a competition with such inputs and so many classes.
    ///
    /// # Errors
    /// When it is neither, or of other inputs.
    pub fn open(file: File, input: ImageShape, classes: usize) -> Result<Self, TableError> {
        let file = Placed::new(file)?;
        if file.read(0..file.bytes.min(PARQUET.len() as u64))? == PARQUET {
            return published::open(file, input, classes);
        }
        let (pixels, labels) = Images::opened(&file, input)?;
        Ok(Self { shape: input, pixels: Pixels::of(Stretch { file, range: pixels }), labels, answers: None })
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

    /// The items with the answers, which a public part has.
    ///
    /// # Errors
    /// When there are none.
    pub fn answered(mut self) -> Result<(Self, Logits), TableError> {
        self.answers.take().map(|answers| (self, answers)).ok_or(TableError::NoAnswers)
    }
}

/// A file that several read at once, each at places of its own.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    file: Arc<File>,
    pub(crate) bytes: u64,
}

impl Placed {
    fn new(file: File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), bytes })
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
    type T = BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::new(From { file: Arc::clone(&self.file), place: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        Ok(self.read(start..start.saturating_add(length as u64))?.into())
    }
}

/// A file from a place on.
pub(crate) struct From {
    file: Arc<File>,
    place: u64,
}

impl Read for From {
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
