//! A batch of labelled 8-bit images, and the file that the items of a hidden round are.
//!
//! It does not know what the classes mean, nor how a model wants its input scaled.
//!
//! File format `RTIMG1`, little endian, nothing before, between or after:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | `RTIMG1\0\0` |
//! | 4 x 4 | count, channels, height, width: u32, each at least 1 |
//! | 1 | bytes of a label: 0 without labels, 1 where none is above 255, otherwise 2 |
//! | count x channels x height x width | pixels: u8, item-major, then channel, row, column |
//! | count x bytes of a label | labels |

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::FormatError;
use crate::format::{Reader, expect_length, label_bytes, product, put_labels};
use protocol::architecture::ImageShape;
use protocol::competition::InputSpec;
use protocol::evaluation::{Inputs, Items, Truth};

const MAGIC: [u8; 8] = *b"RTIMG1\0\0";
/// Bytes before the pixels.
pub(crate) const HEAD_BYTES: usize = 25;

/// Images of one shape. [`Images::validate`] says whether the fields agree; everything this crate returns is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Number of images, at least 1.
    pub count: u32,
    /// 1 for grey, 3 for colour.
    pub channels: u32,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// `count * channels * height * width` bytes: item-major, then channel, row, column.
    pub pixels: Vec<u8>,
    /// One label per image, or none at all.
    pub labels: Vec<u16>,
}

impl Images {
    /// What an evaluation asks: these images, of which the first `public` are public, beside the teacher's logits on them.
    pub fn asked(self, input: &InputSpec, public: u32, teacher_logits: Option<Vec<f32>>) -> Items {
        Items {
            inputs: Inputs { spec: input.clone(), pixels: self.pixels.into() },
            truth: Truth { labels: self.labels.into(), public, teacher_logits: teacher_logits.map(Into::into) },
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// True for the selection of nothing, which is not valid to publish.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether every image carries a label.
    pub fn has_labels(&self) -> bool {
        !self.labels.is_empty()
    }

    /// Bytes per image. A shape that overflows gives `usize::MAX`, which no buffer matches.
    pub fn image_bytes(&self) -> usize {
        [self.channels, self.height, self.width].iter().fold(1, |bytes: usize, &dim| bytes.saturating_mul(dim as usize))
    }

    /// The pixels of image `index`.
    ///
    /// # Panics
    /// When there is no such image, which is a bug in the caller.
    #[expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "an index is the caller's; it says so"
    )]
    pub fn image(&self, index: usize) -> &[u8] {
        &self.pixels[index * self.image_bytes()..][..self.image_bytes()]
    }

    /// The images at `indices`, in that order, with their labels.
    ///
    /// # Panics
    /// When an index is out of range, which is a bug in the caller.
    #[expect(clippy::indexing_slicing, reason = "an index is the caller's; it says so")]
    pub fn select(&self, indices: &[u32]) -> Images {
        let mut pixels = Vec::with_capacity(indices.len().saturating_mul(self.image_bytes()));
        for &index in indices {
            pixels.extend_from_slice(self.image(index as usize));
        }
        let labels =
            if self.has_labels() { indices.iter().map(|&index| self.labels[index as usize]).collect() } else { vec![] };
        let count = u32::try_from(indices.len()).expect("a selection has at most u32::MAX images; this is a bug");
        Images { count, pixels, labels, ..*self }
    }

    /// The same images without their labels: what a worker may see.
    pub fn without_labels(&self) -> Images {
        Images { pixels: self.pixels.clone(), labels: vec![], ..*self }
    }

    /// Checks that the lengths agree with the dimensions.
    pub fn validate(&self) -> Result<(), FormatError> {
        expect_length("pixels", self.pixel_bytes()?, self.pixels.len())?;
        if self.has_labels() { expect_length("labels", self.len(), self.labels.len()) } else { Ok(()) }
    }

    /// Writes the file format, or says why this value has none.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FormatError> {
        self.validate()?;
        let each = if self.has_labels() { label_bytes(&self.labels) } else { 0 };
        let shape = ImageShape { channels: self.channels, height: self.height, width: self.width };
        let mut bytes = Self::head_of(self.count, shape, each);
        bytes.extend_from_slice(&self.pixels);
        put_labels(&mut bytes, &self.labels, each);
        Ok(bytes)
    }

    /// Reads the file format from bytes that nobody vouches for. Nothing is allocated beyond the input's own length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Images, FormatError> {
        let (head, rest) = bytes.split_at(bytes.len().min(HEAD_BYTES));
        let (images, each) = Images::head(head)?;
        let mut reader = Reader::new(rest);
        let pixels = reader.take("pixels", images.pixel_bytes()?)?;
        let labels = images.labels_in(reader, each)?;
        Ok(Images { pixels: pixels.to_vec(), labels, ..images })
    }

    /// What a file of so many images begins with, whose labels have so many bytes.
    pub(crate) fn head_of(count: u32, shape: ImageShape, label_bytes: usize) -> Vec<u8> {
        let ImageShape { channels, height, width } = shape;
        let mut bytes = MAGIC.to_vec();
        bytes.extend([count, channels, height, width].iter().flat_map(|dim| dim.to_le_bytes()));
        bytes.push(label_bytes as u8);
        bytes
    }

    /// Images without pixels and labels, and how many bytes each of their labels has.
    pub(crate) fn head(bytes: &[u8]) -> Result<(Images, usize), FormatError> {
        let mut reader = Reader::after_magic(bytes, MAGIC)?;
        let images = Images {
            count: reader.u32("count")?,
            channels: reader.u32("channels")?,
            height: reader.u32("height")?,
            width: reader.u32("width")?,
            pixels: vec![],
            labels: vec![],
        };
        match reader.u8("bytes of a label")? {
            each @ 0..=2 => Ok((images, usize::from(each))),
            found => Err(FormatError::LabelBytes { found }),
        }
    }

    /// The labels, which are all that is left.
    pub(crate) fn labels_in(&self, mut reader: Reader<'_>, each: usize) -> Result<Vec<u16>, FormatError> {
        let labels = if each == 0 { vec![] } else { reader.labels("labels", self.len(), each)? };
        reader.finish()?;
        if each > label_bytes(&labels) { Err(FormatError::WideLabels) } else { Ok(labels) }
    }

    pub(crate) fn pixel_bytes(&self) -> Result<usize, FormatError> {
        product(&[("count", self.count), ("channels", self.channels), ("height", self.height), ("width", self.width)])
    }
}
