//! The file that a competition's hidden pool is kept in: what rounds draw from, and nobody but its validator has.
//!
//! Without answers it is the images' own format. Where the teacher is known by its answers only, they are kept with their
//! images, so that neither can be had without the other: `RTPOOL1`, then the length of the images (u64, little endian), the
//! images (`RTIMG1`) and the answers (`RTLOG1`). It does NOT know what is drawn from it.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::format::{FormatError, Reader, expect_length};
use crate::published::Part;
use crate::round::{Commitment, RoundError};
use crate::{Images, Labelled, Logits};
use std::io::{self, Write};

const MAGIC: [u8; 8] = *b"RTPOOL1\0";

impl Labelled {
    /// The commitment to all of it.
    ///
    /// # Errors
    /// When items contradict themselves, or can't be read.
    pub fn commitment(&self, salt: &[u8; 32]) -> Result<Commitment, RoundError> {
        Commitment::to(self.clone(), salt)
    }

    /// Writes a pool's file.
    ///
    /// # Errors
    /// When items contradict themselves, can't be read, or the file can't be written.
    pub fn write_pool(&self, to: &mut dyn Write) -> io::Result<()> {
        let Some(answers) = &self.answers else { return self.write_images(to) };
        to.write_all(&MAGIC)?;
        to.write_all(&self.images_bytes().to_le_bytes())?;
        self.write_images(to)?;
        to.write_all(&answers.to_bytes().map_err(io::Error::other)?)
    }
}

impl Part {
    /// The items at `indices`, in that order, with their answers.
    ///
    /// # Panics
    /// When an index is out of range, which is a bug in the caller.
    pub fn select(&self, indices: &[u32]) -> Part {
        Part {
            images: self.images.select(indices),
            answers: self.answers.as_ref().map(|answers| answers.select(indices)),
        }
    }

    /// Reads a pool's file.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn from_pool(bytes: &[u8]) -> Result<Part, FormatError> {
        if !bytes.starts_with(&MAGIC) {
            return Ok(Part { images: Images::from_bytes(bytes)?, answers: None });
        }
        let mut reader = Reader::after_magic(bytes, MAGIC)?;
        let length = u64::from_le_bytes(reader.array("length of images")?);
        let images = Images::from_bytes(reader.take("images", usize::try_from(length).unwrap_or(usize::MAX))?)?;
        let answers = Logits::from_bytes(reader.take("answers", reader.left())?)?;
        expect_length("answers", images.len(), answers.len())?;
        Ok(Part { images, answers: Some(answers) })
    }
}
