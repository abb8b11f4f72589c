//! Label-preserving changes to training images, and batches made of them.

use burn::tensor::{Device, Tensor, TensorData};
use datasets::Images;
use rand::{Rng, RngExt};

/// One change to an image: a shift with zeros moving in, a mirroring, a blanked square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Augmentation {
    /// Columns to the right.
    pub dx: i8,
    /// Rows down.
    pub dy: i8,
    /// Left becomes right.
    pub flip: bool,
    /// Centre (column, row) and side of a blanked square.
    pub erase: Option<(u8, u8, u8)>,
}

impl Augmentation {
    /// Draws a change within the given bounds.
    pub fn random(shift: u8, flip: bool, erase: u8, image: (u32, u32), rng: &mut impl Rng) -> Self {
        let shift = i8::try_from(shift).unwrap_or(i8::MAX);
        let mut side = |length: u32| rng.random_range(0..length.clamp(1, 255)) as u8;
        let square = (side(image.1), side(image.0), erase);
        Self {
            dx: rng.random_range(-shift..=shift),
            dy: rng.random_range(-shift..=shift),
            flip: flip && rng.random(),
            erase: (erase > 0).then_some(square),
        }
    }

    /// The `index`-th of the fixed views for which a teacher's outputs are cached: even ones as they are, odd ones
    /// mirrored, the first two in place, the others shifted by one pixel.
    pub fn view(index: usize, shift: u8, flip: bool) -> Self {
        const SHIFTS: [(i8, i8); 5] = [(0, 0), (-1, -1), (1, 1), (1, -1), (-1, 1)];
        let shift = i8::try_from(shift).unwrap_or(i8::MAX);
        let (dx, dy) = SHIFTS[(if flip { index / 2 } else { index }) % SHIFTS.len()];
        Self { dx: dx * shift, dy: dy * shift, flip: flip && index % 2 == 1, erase: None }
    }

    /// Writes the changed `image` (rows of `width` pixels) into `out`, scaled to zero mean and unit deviation.
    fn apply(&self, image: &[u8], (height, width): (usize, usize), scale: &[f32; 256], out: &mut Vec<f32>) {
        for y in 0..height {
            let row = y.checked_add_signed(-isize::from(self.dy)).filter(|row| *row < height);
            for x in 0..width {
                let column = if self.flip { width - 1 - x } else { x };
                let column = column.checked_add_signed(-isize::from(self.dx)).filter(|column| *column < width);
                let pixel = match (row, column) {
                    (Some(row), Some(column)) if !self.erases(x, y) => image[row * width + column],
                    _ => 0,
                };
                out.push(scale[usize::from(pixel)]);
            }
        }
    }

    fn erases(&self, x: usize, y: usize) -> bool {
        self.erase.is_some_and(|(column, row, side)| {
            let half = usize::from(side) / 2;
            x.abs_diff(usize::from(column)) <= half && y.abs_diff(usize::from(row)) <= half
        })
    }
}

/// A batch `[items, channels, height, width]` of augmented images. `scale` has a table for each plane.
pub fn batch(images: &Images, items: &[(u32, Augmentation)], scale: &[[f32; 256]], device: &Device) -> Tensor<4> {
    let (channels, height, width) = (images.channels as usize, images.height as usize, images.width as usize);
    let mut values = Vec::with_capacity(items.len() * channels * height * width);
    for (item, augmentation) in items {
        for (plane, scale) in images.image(*item as usize).chunks_exact(height * width).zip(scale) {
            augmentation.apply(plane, (height, width), scale, &mut values);
        }
    }
    Tensor::from_data(TensorData::new(values, [items.len(), channels, height, width]), device)
}
