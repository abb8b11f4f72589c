//! Inputs that no training set holds: what independent students say of them differs, what copies say does not.
//!
//! They are secret until the round is over, and follow from a 32-byte seed by integers alone.
//!
//! # The pixels, so that any auditor can write them again
//!
//! 1. Words: the keystream of ChaCha20 (20 rounds) with the seed as key, nonce 0 and a block counter from 0, cut into
//!    little-endian 32-bit words. `below(n)` takes the next word w and gives floor(w n / 2^32): the bias of at most
//!    n / 2^32 does no harm here. All words are drawn in the order of this text.
//! 2. Probe i (from 0) has the pattern i mod 4; its planes are drawn one after the other, each a picture of its own.
//! 3. A picture of h rows and w columns, pixel (y, x), by pattern:
//!    - 0, noise: side = 1 + below(7); a grid of ceil(h / side) by ceil(w / side) values below(256), row-major; the
//!      pixel is the value of the cell that it lies in.
//!    - 1, grating: dx = below(65), dy = below(65), phase = below(128), a = below(256), b = below(256); with
//!      t = (x dx + y dy + phase) mod 128 and s = t below 64, else 128 - t, the pixel is (a (64 - s) + b s) / 64.
//!    - 2, blobs: background below(128); n = 2 + below(7); n times cy = below(h), cx = below(w),
//!      r = 1 + below(max(1, min(h, w) / 3)), value = below(256): pixels with (y - cy)^2 + (x - cx)^2 <= r^2 take the
//!      value, later blobs over earlier ones.
//!    - 3, mixture: a picture of the pattern below(3), then another; u = below(257); pixel (p u + q (256 - u)) / 256.

use protocol::Digest;
use protocol::architecture::ImageShape;
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// How many probes an evaluation runs unless told otherwise: a second of a small student's time.
pub const PROBES_DEFAULT: u32 = 256;

/// A competition's own seed of probes, which follows from a secret of the validator's and doesn't give it away.
pub fn own_probe_seed(split_key: &[u8; 32]) -> Digest {
    Digest::of(&[b"retort-copies/1 probes".as_slice(), split_key].concat())
}

/// Pixels `[count, channels, height, width]`. A shape that overflows memory's size gives nothing.
pub fn probes(seed: &[u8; 32], input: ImageShape, count: u32) -> Vec<u8> {
    let mut words = Words(ChaCha20Rng::from_seed(*seed));
    let mut pixels = Vec::new();
    for probe in 0..count {
        for _ in 0..input.channels {
            pixels.extend(picture(probe % 4, input.height, input.width, &mut words));
        }
    }
    pixels
}

struct Words(ChaCha20Rng);

impl Words {
    fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(bound)) >> 32) as u32
    }

    fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }
}

fn picture(pattern: u32, height: u32, width: u32, words: &mut Words) -> Vec<u8> {
    match pattern {
        0 => noise(height, width, words),
        1 => grating(height, width, words),
        2 => blobs(height, width, words),
        _ => mixture(height, width, words),
    }
}

/// Row-major pixels.
fn draw(height: u32, width: u32, pixel: impl Fn(u32, u32) -> u8) -> Vec<u8> {
    (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).map(|(y, x)| pixel(y, x)).collect()
}

fn noise(height: u32, width: u32, words: &mut Words) -> Vec<u8> {
    let side = 1 + words.below(7);
    let (rows, columns) = (height.div_ceil(side), width.div_ceil(side));
    let grid: Vec<u8> = (0..rows as usize * columns as usize).map(|_| words.byte()).collect();
    draw(height, width, |y, x| grid[(y / side) as usize * columns as usize + (x / side) as usize])
}

fn grating(height: u32, width: u32, words: &mut Words) -> Vec<u8> {
    let [dx, dy, phase] = [65, 65, 128].map(|bound| u64::from(words.below(bound)));
    let [a, b] = [256, 256].map(|bound| words.below(bound));
    draw(height, width, |y, x| {
        let t = ((u64::from(x) * dx + u64::from(y) * dy + phase) % 128) as u32;
        let s = if t < 64 { t } else { 128 - t };
        ((a * (64 - s) + b * s) / 64) as u8
    })
}

fn blobs(height: u32, width: u32, words: &mut Words) -> Vec<u8> {
    let mut pixels = vec![words.below(128) as u8; height as usize * width as usize];
    for _ in 0..2 + words.below(7) {
        let [cy, cx] = [height, width].map(|bound| i64::from(words.below(bound)));
        let radius = 1 + i64::from(words.below((height.min(width) / 3).max(1)));
        let value = words.byte();
        for (index, pixel) in pixels.iter_mut().enumerate() {
            let (y, x) = (index as i64 / i64::from(width), index as i64 % i64::from(width));
            if (y - cy).pow(2) + (x - cx).pow(2) <= radius.pow(2) {
                *pixel = value;
            }
        }
    }
    pixels
}

fn mixture(height: u32, width: u32, words: &mut Words) -> Vec<u8> {
    let [first, second] = [(); 2].map(|()| {
        let pattern = words.below(3);
        picture(pattern, height, width, words)
    });
    let share = words.below(257);
    let mixed = first.iter().zip(&second);
    mixed.map(|(p, q)| ((u32::from(*p) * share + u32::from(*q) * (256 - share)) / 256) as u8).collect()
}
