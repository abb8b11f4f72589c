//! `expected.safetensors`: what the framework that a model was trained in answers to a few public items, so that nothing that
//! shapes don't show (an activation, a padding, a pooling) is misread in silence.
//!
//! It is of no model: it counts for no size, nobody publishes it, and a package without one is as good. It does NOT run
//! anything.

use super::front::{Header, TensorEntry, read_header};
use crate::architecture::ImageShape;
use crate::pixels::Pixels;
use crate::submission::{Code, Rejection};
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;

/// The optional answers.
pub const EXPECTED_FILE: &str = "expected.safetensors";
/// They may have this many bytes: images and answers of sixteen items of any competition, and a header.
pub const EXPECTED_BYTES_MAX: u64 = 8 << 20;
/// More items tell no more.
pub const EXPECTED_ITEMS_MAX: usize = 16;

/// How far answers may be from what is expected, as a share of the range of all of them.
const TOLERANCE: f32 = 1e-3;
/// The same for models in 16 bits.
const TOLERANCE_HALF_PRECISION: f32 = 1e-2;

/// Answers that a package brings: `logits`, F32 `[items, classes]`, to `images`, U8 `[items, channels, height, width]`, or to the
/// first public items where it brings none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    items: usize,
    classes: usize,
    /// Whoever compares needs them no more.
    #[serde(skip)]
    images: Option<Vec<u8>>,
    logits: Vec<f32>,
    image_bytes: usize,
}

/// A public item that a package brings an answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Which of the package's answers is for it.
    row: usize,
    /// Which public item it is, from 0.
    pub place: usize,
}

impl Expected {
    /// Reads the file for a competition's input and number of classes.
    ///
    /// # Errors
    /// A [`Rejection`] where it is no such file. Tensors of other names mean nothing.
    pub fn read(file: &[u8], input: ImageShape, classes: usize) -> Result<Self, Rejection> {
        let header = read_header(file)?;
        let logits = header.tensors.get("logits").ok_or_else(|| invalid("it has no tensor `logits`".into()))?;
        let items = match logits.shape.as_slice() {
            [items, width] if logits.dtype == "F32" && *width == classes as u64 => usize::try_from(*items).ok(),
            _ => None,
        };
        let items = items.filter(|items| (1..=EXPECTED_ITEMS_MAX).contains(items)).ok_or_else(|| {
            let found = format!("{} {:?}", logits.dtype.chars().take(16).collect::<String>(), logits.shape);
            invalid(format!("`logits` is {found}, must be F32 [1 to {EXPECTED_ITEMS_MAX}, {classes}]"))
        })?;
        let values = header.data_of(file, logits).as_chunks::<4>().0.iter().copied().map(f32::from_le_bytes);
        let values: Vec<f32> = values.collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(invalid("`logits` has values that aren't finite".into()));
        }
        let image_bytes = usize::try_from(input.values()).unwrap_or(usize::MAX);
        let images = header.tensors.get("images").map(|images| images_of(&header, file, images, (items, input)));
        Ok(Self { items, classes, images: images.transpose()?, logits: values, image_bytes })
    }

    /// Which of the public items, whose `pixels` these are, it speaks of: what the engine is asked before anything is measured.
    /// Items that aren't public are left out.
    ///
    /// # Errors
    /// When the pixels can't be read.
    pub fn asks(&self, pixels: &Pixels) -> io::Result<Vec<Asked>> {
        let public = pixels.bytes().checked_div(self.image_bytes as u64).unwrap_or(0);
        let places = match &self.images {
            None => (0..self.items).map(|row| ((row as u64) < public).then_some(row)).collect(),
            Some(images) => self.found(images, pixels)?,
        };
        Ok(places.into_iter().enumerate().filter_map(|(row, place)| Some(Asked { row, place: place? })).collect())
    }

    /// Where each of the images lies among the `pixels` of public items, the first time.
    fn found(&self, images: &[u8], pixels: &Pixels) -> io::Result<Vec<Option<usize>>> {
        let each = self.image_bytes.max(1);
        let (mut places, mut before) = (vec![None; self.items], 0usize);
        for block in pixels.blocks(each as u64) {
            let block = block?;
            for (place, image) in places.iter_mut().zip(images.chunks_exact(each)).filter(|(place, _)| place.is_none())
            {
                *place = block
                    .chunks_exact(each)
                    .position(|public| public == image)
                    .map(|place| before.saturating_add(place));
            }
            if places.iter().all(Option::is_some) {
                break;
            }
            before = before.saturating_add(block.chunks_exact(each).len());
        }
        Ok(places)
    }

    /// Compares with what the engine answers: `logits` `[asked, classes]`, in the order of what was `asked`.
    ///
    /// # Errors
    /// A [`Rejection`] with the first difference.
    pub fn compare(&self, asked: &[Asked], logits: &[f32], is_half_precision: bool) -> Result<(), Rejection> {
        let widened = |[low, high]: [f32; 2], value: &f32| [low.min(*value), high.max(*value)];
        let [low, high] = self.logits.iter().fold([f32::MAX, f32::MIN], widened);
        let most = (high - low) * if is_half_precision { TOLERANCE_HALF_PRECISION } else { TOLERANCE };
        // NaN is nobody's answer.
        let differs = |(ours, theirs): &(&f32, &f32)| !matches!((*ours - *theirs).abs().partial_cmp(&most), Some(order) if order.is_le());
        for (index, Asked { row, place }) in asked.iter().enumerate() {
            let expected = row_of(&self.logits, *row, self.classes).unwrap_or_default();
            let found = row_of(logits, index, self.classes).unwrap_or_default();
            if let Some((class, (ours, theirs))) =
                found.iter().zip(expected).enumerate().find(|(_, pair)| differs(pair))
            {
                return Err(Code::ExpectedDiffers.because(format!(
                    "public item {place}, class {class}: the engine answers {ours}, the package expects {theirs}; at most \
                     {most} apart"
                )));
            }
        }
        Ok(())
    }
}

/// Answers that a package brings, and which items of an order they are to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "ClaimsSheet", into = "ClaimsSheet")]
pub struct Claims {
    answers: Arc<Expected>,
    asked: Vec<Asked>,
}

/// The same as it is written.
#[derive(Clone, Serialize, Deserialize)]
struct ClaimsSheet {
    answers: Expected,
    asked: Vec<Asked>,
}

impl From<ClaimsSheet> for Claims {
    fn from(ClaimsSheet { answers, asked }: ClaimsSheet) -> Self {
        Self { answers: Arc::new(answers), asked }
    }
}

impl From<Claims> for ClaimsSheet {
    fn from(Claims { answers, asked }: Claims) -> Self {
        Self { answers: Arc::unwrap_or_clone(answers), asked }
    }
}

impl Claims {
    /// The answers to an order's first items, whose `pixels` these are: the public ones.
    ///
    /// # Errors
    /// When the pixels can't be read.
    pub fn to(answers: Arc<Expected>, pixels: &Pixels) -> io::Result<Self> {
        Ok(Self { asked: answers.asks(pixels)?, answers })
    }

    /// The items that it has answers to, counted from 0.
    pub fn places(&self) -> impl ExactSizeIterator<Item = usize> {
        self.asked.iter().map(|asked| asked.place)
    }

    /// Compares with what the engine answers: `logits` `[places, classes]`, in the order of the places.
    ///
    /// # Errors
    /// A [`Rejection`] with the first difference.
    pub fn compare(&self, logits: &[f32], is_half_precision: bool) -> Result<(), Rejection> {
        self.answers.compare(&self.asked, logits, is_half_precision)
    }
}

fn images_of(
    header: &Header,
    file: &[u8],
    images: &TensorEntry,
    (items, input): (usize, ImageShape),
) -> Result<Vec<u8>, Rejection> {
    let shape = [items as u64, input.channels.into(), input.height.into(), input.width.into()];
    match images.dtype == "U8" && images.shape == shape {
        true => Ok(header.data_of(file, images).to_vec()),
        false => Err(invalid(format!("`images` must be U8 {shape:?}: pixels as they are, from 0 to 255"))),
    }
}

fn row_of<T>(values: &[T], index: usize, width: usize) -> Option<&[T]> {
    let start = index.checked_mul(width)?;
    values.get(start..start.checked_add(width)?)
}

fn invalid(detail: String) -> Rejection {
    Code::ExpectedInvalid.because(detail)
}

/// Whether weights have values of 16 bits, whose answers are as rough.
///
/// # Errors
/// A [`Rejection`] where they are no safetensors file.
pub fn is_half_precision(weights: &[u8]) -> Result<bool, Rejection> {
    let header = read_header(weights)?;
    Ok(header.tensors.values().any(|tensor| matches!(tensor.dtype.as_str(), "F16" | "BF16")))
}
