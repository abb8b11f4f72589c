//! From the images of a pool to the items of a round, in whole numbers only.
//!
//! It does not know how changes are drawn, nor what a teacher is: `relabel` takes its logits as they are.
//!
//! # What each change does, so that any auditor can write it again
//!
//! In this order, each on the result of the one before; all divisions round down, `>>` too.
//!
//! 1. Mixture: `(main share + other (1000000 - share) + 500000) / 1000000`, pixel by pixel.
//! 2. Shift, rotation and scale in one, bilinear; outside an image is 0. With `cos` and `sin` the nearest integers to
//!    65536 times those of the angle (no angle lies near a tie; a test looks at all), `a = cos 1000000 / scale`,
//!    `b = sin 1000000 / scale`, and for output column `x` and row `y`: `u = 2 x - (width - 1) - 2 dx`,
//!    `v = 2 y - (height - 1) - 2 dy`; the point taken is `X = ((a u + b v) >> 1) + (width - 1) 32768` across and
//!    `Y = ((a v - b u) >> 1) + (height - 1) 32768` down, in 1/65536 pixel. Its pixel is `X >> 16`, its fraction
//!    `f = (X >> 8) & 255`; the four neighbours have weights `(256 - f)` or `f` across times the same down, and the value
//!    is `(sum + 32768) >> 16`.
//! 3. Brightness: `(value brightness + 500000) / 1000000`, at most 255.
//! 4. Noise, if there is any: `value + ((bytes - 510) levels + 74) / 148`, clamped to 0 and 255, where `bytes` is the sum
//!    of the four bytes of the next word of ChaCha20 with the key `noise seed as u64, little endian || 24 zeros`: four
//!    uniform bytes are bell-shaped about 510 with a standard deviation of 147.8. A word for each value, in file order.
//! 5. Cutout: columns from `left = width x / 1000000 - side / 2` to `left + side - 1`, and rows likewise, become 0.

use super::draw::{Change, Draw, DrawnItem, Transform};
use super::spec::WHOLE_PPM;
use crate::{FormatError, Images, Labelled, arg_max};
use protocol::architecture::{CLASSES_MAX, ImageShape};
use protocol::pixels::{Pixels, ReadPixels};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::io;
use std::ops::Range;

/// One in the fixed point of coordinates.
const ONE_Q16: f64 = 65_536.0;
/// The mean of the sum of four uniform bytes.
const FOUR_BYTES_MEAN: i64 = 510;
/// Its standard deviation, sqrt(4 (256^2 - 1) / 12) = 147.8, rounded.
const FOUR_BYTES_DEVIATION: i64 = 148;

/// Why items can't be made or labelled.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RenderError {
    /// The pool is malformed.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The draw is of another pool.
    #[error("the draw takes image {index} of a pool of {count}")]
    Source {
        /// The position.
        index: u32,
        /// Images of the pool.
        count: u32,
    },
    /// The draw is empty.
    #[error("the draw has no items")]
    Empty,
    /// Images and draw have different lengths.
    #[error("{images} images don't belong to a draw of {items} items")]
    Items {
        /// Number of images.
        images: usize,
        /// Number of items.
        items: usize,
    },
    /// The images have no labels to be replaced.
    #[error("the images have no labels")]
    Unlabelled,
    /// Not one row of logits an item, or more classes than a label can name.
    #[error("{found} logits are not {items} rows of {classes} classes")]
    Logits {
        /// How many there are.
        found: usize,
        /// Rows that are needed.
        items: usize,
        /// Length of a row.
        classes: u32,
    },
}

/// Makes the items of a round. A mixture has its main image's label until [`relabel`] gives it the teacher's.
pub fn render(pool: &Images, draw: &Draw) -> Result<Images, RenderError> {
    pool.validate()?;
    let count = count(draw, pool.count)?;
    let shape = ImageShape { channels: pool.channels, height: pool.height, width: pool.width };
    let mut pixels = Vec::with_capacity(draw.items.len() * pool.image_bytes());
    for item in &draw.items {
        let other = item.partner().map(|with| pool.image(with as usize));
        item.make(pool.image(item.source as usize), other, shape, &mut pixels);
    }
    let label = |item: &DrawnItem| pool.labels[item.source as usize];
    let labels = if pool.has_labels() { draw.items.iter().map(label).collect() } else { vec![] };
    Ok(Images { count, pixels, labels, ..*pool })
}

/// The same of a pool that is read where it lies: each item is made when it is asked for.
pub fn rendered(pool: &Labelled, draw: &Draw) -> Result<Labelled, RenderError> {
    pool.validate()?;
    count(draw, pool.count())?;
    let items = RenderedPixels { pool: pool.pixels.clone(), shape: pool.shape, items: draw.items.clone() };
    Ok(Labelled {
        shape: pool.shape,
        pixels: Pixels::of(items),
        labels: draw.items.iter().map(|item| pool.labels[item.source as usize]).collect(),
        answers: pool.answers.as_ref().map(|answers| draw.answers(answers)),
    })
}

/// How many items a draw of a pool of so many has.
fn count(draw: &Draw, pool: u32) -> Result<u32, RenderError> {
    let sources = draw.items.iter().flat_map(|item| std::iter::once(item.source).chain(item.partner()));
    if let Some(index) = sources.into_iter().find(|source| *source >= pool) {
        return Err(RenderError::Source { index, count: pool });
    }
    u32::try_from(draw.items.len()).ok().filter(|count| *count > 0).ok_or(RenderError::Empty)
}

/// Items of a round, made of a pool's.
#[derive(Debug)]
struct RenderedPixels {
    pool: Pixels,
    shape: ImageShape,
    items: Vec<DrawnItem>,
}

impl ReadPixels for RenderedPixels {
    fn bytes(&self) -> u64 {
        self.shape.values().saturating_mul(self.items.len() as u64)
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let each = self.shape.values().max(1);
        let in_pool = |source: u32| self.pool.read(u64::from(source) * each..(u64::from(source) + 1) * each);
        let (first, end) = (range.start / each, range.end.div_ceil(each));
        let mut made = Vec::new();
        for item in self.items.get(first as usize..end as usize).ok_or(io::ErrorKind::UnexpectedEof)? {
            let other = item.partner().map(in_pool).transpose()?;
            item.make(&in_pool(item.source)?, other.as_deref(), self.shape, &mut made);
        }
        made.drain(..(range.start - first * each) as usize);
        made.truncate((range.end - range.start) as usize);
        Ok(made)
    }
}

impl DrawnItem {
    /// Makes it of its image, and of the one that is mixed in.
    fn make(&self, main: &[u8], other: Option<&[u8]>, shape: ImageShape, pixels: &mut Vec<u8>) {
        let (height, width) = (shape.height as usize, shape.width as usize);
        let mixed = match (&self.change, other) {
            (Change::Mixture { share_ppm, .. }, Some(other)) => Some(mix(main, other, *share_ppm)),
            _ => None,
        };
        let (transform, start) = (self.transform(), pixels.len());
        for plane in mixed.as_deref().unwrap_or(main).chunks_exact(height * width) {
            transform.resample(plane, (height, width), pixels);
        }
        let image = &mut pixels[start..];
        transform.brighten(image);
        transform.add_noise(image);
        image.chunks_exact_mut(height * width).for_each(|plane| transform.cut_out(plane, (height, width)));
    }
}

/// Gives each mixture the class that the teacher's logits (`items * classes`, item-major) say, the first one of equals.
pub fn relabel(labels: &mut [u16], draw: &Draw, teacher_logits: &[f32], classes: u32) -> Result<(), RenderError> {
    let items = draw.items.len();
    match labels.len() {
        0 => return Err(RenderError::Unlabelled),
        images if images != items => return Err(RenderError::Items { images, items }),
        _ => {}
    }
    let found = teacher_logits.len();
    if !(1..=CLASSES_MAX).contains(&(classes as usize)) || Some(found) != items.checked_mul(classes as usize) {
        return Err(RenderError::Logits { found, items, classes });
    }
    if let Some(index) = teacher_logits.iter().position(|value| !value.is_finite()) {
        return Err(FormatError::NotFinite { index, found: teacher_logits[index] }.into());
    }
    let rows = draw.items.iter().zip(teacher_logits.chunks_exact(classes as usize));
    for (label, (item, logits)) in labels.iter_mut().zip(rows) {
        if item.partner().is_some() {
            // There are at most so many classes as labels can name.
            *label = arg_max(logits) as u16;
        }
    }
    Ok(())
}

fn mix(main: &[u8], other: &[u8], share_ppm: u32) -> Vec<u8> {
    let (share, rest) = (u64::from(share_ppm), u64::from(WHOLE_PPM.saturating_sub(share_ppm)));
    let blend = |(&a, &b): (&u8, &u8)| scaled(u64::from(a) * share + u64::from(b) * rest);
    main.iter().zip(other).map(blend).collect()
}

/// A value in millionths as a pixel.
fn scaled(millionths: u64) -> u8 {
    let half = u64::from(WHOLE_PPM / 2);
    u8::try_from((millionths + half) / u64::from(WHOLE_PPM)).unwrap_or(u8::MAX)
}

/// The nearest integer to 65536 times the cosine and the sine.
pub(super) fn cos_sin_q16(millidegrees: i32) -> (i64, i64) {
    let angle = f64::from(millidegrees) * (std::f64::consts::PI / 180_000.0);
    let fixed = |value: f64| libm::round(value * ONE_Q16) as i64;
    (fixed(libm::cos(angle)), fixed(libm::sin(angle)))
}

impl Transform {
    /// Shift, rotation and scale of one plane. The parameters may be anything: numbers are wide enough for all of them.
    fn resample(&self, plane: &[u8], (height, width): (usize, usize), out: &mut Vec<u8>) {
        let (cos, sin) = cos_sin_q16(self.rotation_millidegrees);
        let scale = i64::from(self.scale_ppm.max(1));
        let inverse = |value: i64| i128::from((value * i64::from(WHOLE_PPM)).div_euclid(scale));
        let (a, b) = (inverse(cos), inverse(sin));
        let (last_column, last_row) = (width as i128 - 1, height as i128 - 1);
        for y in 0..height as i128 {
            let v = 2 * y - last_row - 2 * i128::from(self.dy);
            for x in 0..width as i128 {
                let u = 2 * x - last_column - 2 * i128::from(self.dx);
                let across = ((a * u + b * v) >> 1) + (last_column << 15);
                let down = ((a * v - b * u) >> 1) + (last_row << 15);
                out.push(bilinear(plane, (height, width), across, down));
            }
        }
    }

    fn brighten(&self, image: &mut [u8]) {
        if self.brightness_ppm == WHOLE_PPM {
            return;
        }
        image.iter_mut().for_each(|pixel| *pixel = scaled(u64::from(*pixel) * u64::from(self.brightness_ppm)));
    }

    fn add_noise(&self, image: &mut [u8]) {
        if self.noise_levels == 0 {
            return;
        }
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.noise_seed.to_le_bytes());
        let mut words = ChaCha20Rng::from_seed(key);
        for pixel in image {
            let bytes: i64 = words.next_u32().to_le_bytes().into_iter().map(i64::from).sum();
            let noise = ((bytes - FOUR_BYTES_MEAN) * i64::from(self.noise_levels) + FOUR_BYTES_DEVIATION / 2)
                .div_euclid(FOUR_BYTES_DEVIATION);
            *pixel = (i64::from(*pixel) + noise).clamp(0, 255) as u8;
        }
    }

    fn cut_out(&self, plane: &mut [u8], (height, width): (usize, usize)) {
        let columns = blanked(width, self.cutout_x_ppm, self.cutout_px);
        for row in blanked(height, self.cutout_y_ppm, self.cutout_px) {
            plane[row * width..][columns.clone()].fill(0);
        }
    }
}

/// The columns (or rows) of a blanked square that lie in an image of this length.
fn blanked(length: usize, centre_ppm: u32, side: u32) -> std::ops::Range<usize> {
    let centre = (length as u128 * u128::from(centre_ppm) / u128::from(WHOLE_PPM)) as i128;
    let start = centre - i128::from(side / 2);
    let inside = |place: i128| usize::try_from(place.max(0)).map_or(length, |place| place.min(length));
    inside(start)..inside(start + i128::from(side))
}

/// The value at a point in 1/65536 pixel.
fn bilinear(plane: &[u8], (height, width): (usize, usize), across: i128, down: i128) -> u8 {
    let (column, row) = (across >> 16, down >> 16);
    let (right, below) = (((across >> 8) & 255) as u32, ((down >> 8) & 255) as u32);
    let pixel = |row: i128, column: i128| {
        let row = usize::try_from(row).ok().filter(|row| *row < height);
        let column = usize::try_from(column).ok().filter(|column| *column < width);
        row.zip(column).map_or(0, |(row, column)| u32::from(plane[row * width + column]))
    };
    let upper = pixel(row, column) * (256 - right) + pixel(row, column + 1) * right;
    let lower = pixel(row + 1, column) * (256 - right) + pixel(row + 1, column + 1) * right;
    ((upper * (256 - below) + lower * below + 32_768) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_angle_of_any_family_lies_near_a_tie() {
        // So any sine that is right to 1e-13 gives the same integers.
        for millidegrees in -45_000..=45_000 {
            let angle = f64::from(millidegrees) * (std::f64::consts::PI / 180_000.0);
            for exact in [libm::cos(angle) * ONE_Q16, libm::sin(angle) * ONE_Q16] {
                let to_tie = (exact - libm::floor(exact) - 0.5).abs();
                assert!(to_tie > 1e-7, "{millidegrees}: {exact}");
            }
        }
    }
}
