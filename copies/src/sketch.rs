//! A few bytes by which the likely originals of a model are found among thousands, whose fingerprints are then compared.
//!
//! A fingerprint is as large as its model, so that comparing with all that came before costs more with each. Two sketches
//! of 1,024 bits stand in for it: one of the errors on the probes, one of the units of the first layer. Each bit is the
//! sign of a random projection, so that the share of bits in which two differ is the angle between what they sketch, over
//! pi (Charikar 2002). The first layer is the only one whose inputs no copier can put in another order. Its units are a
//! set: f(w) = sum over units of H5(w . unit), H5 being the fifth Hermite polynomial, is the same in any order, and for
//! normal w the correlation of two such f is the sum over all pairs of units of their cosines' fifth power (Mehler 1866).
//!
//! Projections follow from a key that the validator keeps: who knew them could make decoys for one model's sketch. A
//! sketch decides nothing and is never evidence; it does NOT know what a copy is.

use crate::Fingerprint;
use crate::rows::Rows;
use protocol::{Digest, Hotkey};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::HashMap;

/// Models that one is compared with at most, whatever the number of those that came before.
pub const CANDIDATES_MAX: usize = 64;
/// Of these, those with the same numbers: the earliest ones. The original is among them, whoever floods the rest.
const EQUAL_MAX: usize = 8;
/// Those that are nearest by either sketch.
const NEAREST_MAX: usize = (CANDIDATES_MAX - EQUAL_MAX) / 2;
/// Of these, those of one owner: nobody hides an original behind decoys of his own.
const NEAREST_OF_OWNER_MAX: usize = 3;

const BITS: usize = 1024;
/// The most inputs of a unit that are projected as they are; more are first summed, with random signs, into so many.
const INPUTS_MAX: usize = 256;

/// The signs of so many projections.
pub type Bits = [u8; BITS / 8];

/// What of a model is compared with thousands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch {
    /// The digest of the decoded numbers.
    pub canonical: Digest,
    /// Of a graph, the digest of its numbers alone, in order of size.
    pub numbers: Option<Digest>,
    /// The probes of [`Sketch::errors`]: errors on other ones are errors of another kind.
    pub probes: Option<Digest>,
    /// Of the errors on the probes; nothing where the teacher explains all that is said of them.
    pub errors: Option<Bits>,
    /// Of the first layer's units; a graph's aren't known.
    pub units: Option<Bits>,
}

/// A model that came before, or was measured before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What is compared; nothing for one that was kept before there were sketches, which is compared always.
    pub sketch: Option<Sketch>,
    /// Whose it is.
    pub owner: Hotkey,
    /// Its place in the order of arrival.
    pub arrival: u64,
}

impl Fingerprint {
    /// The sketch, by the validator's key.
    pub fn sketch(&self, key: &[u8; 32]) -> Sketch {
        Sketch {
            canonical: self.head.canonical,
            numbers: self.head.numbers,
            probes: self.head.probes,
            errors: self.head.probes.and_then(|_| of_errors(&self.answers.residuals, key)),
            units: self.layers.first().and_then(|layer| of_units(layer, key)),
        }
    }
}

/// The models that `of` is to be compared with, as places in `known`, at most [`CANDIDATES_MAX`] and those without a
/// sketch: all, where there are no more.
pub fn candidates(of: &Sketch, known: &[Known]) -> Vec<usize> {
    if known.len() <= CANDIDATES_MAX {
        return (0..known.len()).collect();
    }
    let sketched: Vec<(usize, &Known, &Sketch)> =
        known.iter().enumerate().filter_map(|(at, known)| Some((at, known, known.sketch.as_ref()?))).collect();
    let mut equal: Vec<&(usize, &Known, &Sketch)> = sketched.iter().filter(|(.., other)| is_equal(of, other)).collect();
    equal.sort_unstable_by_key(|(_, known, _)| known.arrival);
    let same_probes = |other: &Sketch| of.probes.is_some() && of.probes == other.probes;
    let by_errors = nearest(&sketched, |other| distance(&of.errors, &other.errors).filter(|_| same_probes(other)));
    let by_units = nearest(&sketched, |other| distance(&of.units, &other.units));
    let unsketched = known.iter().enumerate().filter(|(_, known)| known.sketch.is_none()).map(|(at, _)| at);
    let equal = equal.into_iter().take(EQUAL_MAX).map(|(at, ..)| *at);
    let mut found: Vec<usize> = equal.chain(by_errors).chain(by_units).chain(unsketched).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn is_equal(a: &Sketch, b: &Sketch) -> bool {
    a.canonical == b.canonical || (a.numbers.is_some() && a.numbers == b.numbers)
}

/// The nearest ones, of equals the earliest.
fn nearest(known: &[(usize, &Known, &Sketch)], distance: impl Fn(&Sketch) -> Option<u32>) -> Vec<usize> {
    let mut near: Vec<(u32, u64, usize, &Hotkey)> = known
        .iter()
        .filter_map(|(at, known, sketch)| Some((distance(sketch)?, known.arrival, *at, &known.owner)))
        .collect();
    near.sort_unstable_by_key(|(distance, arrival, ..)| (*distance, *arrival));
    let mut owned: HashMap<&Hotkey, usize> = HashMap::new();
    near.retain(|(.., owner)| {
        let of_owner = owned.entry(owner).or_default();
        *of_owner += 1;
        *of_owner <= NEAREST_OF_OWNER_MAX
    });
    near.into_iter().take(NEAREST_MAX).map(|(_, _, at, _)| at).collect()
}

/// In how many bits two differ.
fn distance(a: &Option<Bits>, b: &Option<Bits>) -> Option<u32> {
    let (a, b) = (a.as_ref()?, b.as_ref()?);
    Some(a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum())
}

fn of_errors(residuals: &[i16], key: &[u8; 32]) -> Option<Bits> {
    if residuals.iter().all(|value| *value == 0) {
        return None;
    }
    let mut words = words(key, b"errors");
    Some(bits(|| {
        let mut projected = 0i64;
        for chunk in residuals.chunks(64) {
            let signs = words.next_u64();
            for (place, value) in chunk.iter().enumerate() {
                let value = i64::from(*value);
                projected += if signs >> place & 1 == 1 { value } else { -value };
            }
        }
        projected > 0
    }))
}

fn of_units(layer: &Rows, key: &[u8; 32]) -> Option<Bits> {
    let mut words = words(key, b"units");
    let folded = Folded::of(layer, &mut words);
    if folded.units.is_empty() {
        return None;
    }
    Some(bits(|| {
        let direction: Vec<f64> = (0..folded.inputs).map(|_| normal(&mut words)).collect();
        let along = |unit: &[f64]| -> f64 { unit.iter().zip(&direction).map(|(a, b)| a * b).sum() };
        folded.units.iter().map(|unit| hermite(along(unit))).sum::<f64>() > 0.0
    }))
}

/// Units of length 1, with no more inputs than [`INPUTS_MAX`].
struct Folded {
    inputs: usize,
    units: Vec<Vec<f64>>,
}

impl Folded {
    fn of(layer: &Rows, words: &mut ChaCha8Rng) -> Self {
        let inputs = layer.width().min(INPUTS_MAX);
        let is_folded = layer.width() > INPUTS_MAX;
        let places: Vec<(usize, f64)> = (0..layer.width())
            .map(|place| match (is_folded, words.next_u32()) {
                (false, _) => (place, 1.0),
                (true, word) => ((word >> 1) as usize % inputs, if word & 1 == 1 { 1.0 } else { -1.0 }),
            })
            .collect();
        let fold = |unit: usize| {
            let mut folded = vec![0.0; inputs];
            for (value, (place, sign)) in layer.row(unit).iter().zip(&places) {
                folded[*place] += sign * f64::from(*value);
            }
            let length = folded.iter().map(|value| value * value).sum::<f64>().sqrt();
            (length > 0.0).then(|| folded.iter().map(|value| value / length).collect())
        };
        Self { inputs, units: (0..layer.count).filter_map(fold).collect() }
    }
}

/// The fifth Hermite polynomial: what is left of it where units are many and far apart are those that are near each other.
fn hermite(x: f64) -> f64 {
    let square = x * x;
    x * (square * (square - 10.0) + 15.0)
}

fn bits(mut projected: impl FnMut() -> bool) -> Bits {
    let mut bits = [0; BITS / 8];
    for bit in 0..BITS {
        bits[bit / 8] |= u8::from(projected()) << (bit % 8);
    }
    bits
}

/// The keystream of one kind of sketch.
fn words(key: &[u8; 32], of: &[u8]) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(*Digest::of_parts([b"retort-sketch/1 ".as_slice(), of, key]).as_bytes())
}

/// Nearly normal, of deviation 1: eight bytes' sum. Integers alone, so that each build draws the same.
fn normal(words: &mut ChaCha8Rng) -> f64 {
    let bytes = words.next_u64().to_le_bytes();
    let sum: i32 = bytes.iter().map(|byte| i32::from(*byte)).sum();
    // A byte has the variance (256^2 - 1) / 12.
    const DEVIATION: f64 = 209.021_53;
    f64::from(sum * 2 - 8 * 255) / (2.0 * DEVIATION)
}
