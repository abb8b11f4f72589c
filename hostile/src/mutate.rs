//! A structure-aware mutator: it takes good packages apart, changes a few things as somebody would who knows the format,
//! and puts them together again, so that most results get far into the checks before something is wrong.

mod file;
mod json;
mod values;

use crate::package::Package;
use crate::rules::{FAMILIES, config};
use file::File;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Makes mutated packages. The same number gives the same package.
pub struct Mutator {
    seeds: Vec<Seed>,
}

#[derive(Clone)]
struct Seed {
    config: serde_json::Value,
    file: File,
}

impl Default for Mutator {
    fn default() -> Self {
        let dtypes = ["F32", "F16", "BF16"];
        let seeds = FAMILIES.iter().flat_map(|(_, architecture)| {
            dtypes.map(|dtype| Seed {
                config: serde_json::from_str(&config(architecture)).expect("JSON, because `config` wrote it"),
                file: File::of(crate::package::tensors(architecture, dtype)),
            })
        });
        Self { seeds: seeds.collect() }
    }
}

impl Mutator {
    /// The package with this number.
    pub fn package(&self, number: u64) -> Package {
        let mut rng = ChaCha8Rng::seed_from_u64(number);
        self.mutate(&mut rng)
    }

    /// A package by chance.
    pub fn mutate(&self, rng: &mut impl Rng) -> Package {
        let mut seed = self.seeds[rng.random_range(0..self.seeds.len())].clone();
        let mut spoil_config = false;
        for _ in 0..rng.random_range(0..4) {
            match rng.random_range(0..10) {
                0..2 => json::edit(&mut seed.config, rng),
                2 => {
                    // Another seed's weights: a lie.
                    seed.file = self.seeds[rng.random_range(0..self.seeds.len())].file.clone();
                }
                3 => spoil_config = true,
                _ => seed.file.edit(rng),
            }
        }
        let mut config = seed.config.to_string().into_bytes();
        if spoil_config {
            spoil(&mut config, rng);
        }
        let mut weights = seed.file.to_bytes(rng);
        if rng.random_bool(0.2) {
            spoil(&mut weights, rng);
        }
        Package { config, weights }
    }
}

/// Changes a package that somebody else made, where it can be taken apart.
pub fn edit_package(package: &Package, seed: u64) -> Option<Package> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut changed = package.clone();
    if rng.random_bool(0.3) {
        changed.config = edit_json(&package.config, seed)?;
    } else {
        changed.weights = edit_weights(&package.weights, seed)?;
    }
    Some(changed)
}

/// Changes a safetensors file that somebody else made, where it can be taken apart.
pub fn edit_weights(weights: &[u8], seed: u64) -> Option<Vec<u8>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut file = File::parse(weights)?;
    file.edit(&mut rng);
    Some(file.to_bytes(&mut rng))
}

/// Changes one place of a JSON text; members come out sorted, without white space.
pub fn edit_json(text: &[u8], seed: u64) -> Option<Vec<u8>> {
    let mut value = serde_json::from_slice(text).ok()?;
    json::edit(&mut value, &mut ChaCha8Rng::seed_from_u64(seed));
    Some(value.to_string().into_bytes())
}

/// Changes bytes without knowing what they are.
pub fn spoil(bytes: &mut Vec<u8>, rng: &mut impl Rng) {
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.random()),
            2 => {
                let until = rng.random_range(at..=bytes.len());
                bytes.drain(at..until);
            }
            3 => {
                let until = rng.random_range(at..=bytes.len()).min(at + 64);
                let copy = bytes[at..until].to_vec();
                let to = rng.random_range(0..=bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
        }
    }
}
