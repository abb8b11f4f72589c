//! Packages: what a miner uploads.
//!
//! A package is one input: the bytes of `config.json` as a length of two bytes, then that, then the weights.

use crate::mutate::{edit_package, edit_weights};
use crate::package::{Package, save, tensors};
use crate::rules::{FAMILIES, Rules, config as config_of};
use crate::{Mutator, cases, oracle};
use protocol::package::PackageConfig;

/// The seeds of `package` that come from the mutator.
const MUTATED_SEEDS: u64 = 200;
/// Cases of the corpus up to this size are seeds.
const SEED_BYTES_MAX: usize = 8 * 1024;

/// A package as one input.
fn join(package: &Package) -> Vec<u8> {
    let length = package.config.len().min(usize::from(u16::MAX));
    [&(length as u16).to_le_bytes(), &package.config[..length], &package.weights].concat()
}

/// An input as a package.
fn split(input: &[u8]) -> Package {
    let Some((length, rest)) = input.split_first_chunk() else { return Package::default() };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (config, weights) = rest.split_at(length);
    Package::new(config, weights)
}

pub(super) fn package(input: &[u8]) {
    if let Err(violation) = oracle::examine(&split(input), &Rules::default()) {
        panic!("{violation}");
    }
}

pub(super) fn package_mutate(input: &[u8], seed: u64) -> Option<Vec<u8>> {
    edit_package(&split(input), seed).map(|package| join(&package))
}

pub(super) fn header_mutate(input: &[u8], seed: u64) -> Option<Vec<u8>> {
    edit_weights(input, seed)
}

pub(super) fn package_seeds() -> Vec<Vec<u8>> {
    let mutator = Mutator::default();
    let good = FAMILIES.iter().map(|(_, architecture)| Package::good(architecture));
    let corpus = cases().into_iter().filter(|case| !case.is_large).map(|case| case.package());
    let packages = good.chain(corpus).chain((0..MUTATED_SEEDS).map(|number| mutator.package(number)));
    packages.map(|package| join(&package)).filter(|input| input.len() <= SEED_BYTES_MAX).collect()
}

/// The weights alone, with a good configuration.
pub(super) fn header(input: &[u8]) {
    let package = Package::new(config_of(FAMILIES[0].1), input);
    if let Err(violation) = oracle::examine(&package, &Rules::default()) {
        panic!("{violation}");
    }
}

pub(super) fn header_seeds() -> Vec<Vec<u8>> {
    let good = FAMILIES.iter().map(|(_, architecture)| save(&tensors(architecture, "F32")));
    let corpus = cases().into_iter().filter(|case| !case.is_large).map(|case| case.package().weights);
    good.chain(corpus).filter(|input| input.len() <= SEED_BYTES_MAX).collect()
}

/// From text to costs. What it costs to find out must be small, whatever the text says.
pub(super) fn config(input: &[u8]) {
    let Ok(config) = PackageConfig::from_json(input) else { return };
    let again = protocol::digest::canonical_json(&config).expect("JSON, because it was");
    if again.len() as u64 <= protocol::package::CONFIG_BYTES_MAX {
        assert_eq!(PackageConfig::from_json(&again).as_ref(), Ok(&config), "written and read again");
    }
    let Ok(plan) = config.plan() else { return };
    let tensors = plan.tensors();
    assert!(tensors.len() <= 5_000, "{} tensors", tensors.len());
    let named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    assert!(tensors.iter().all(|tensor| tensor.name.bytes().all(named)), "a name that no header may have");
    if let Ok(costs) = plan.costs() {
        let parameters = tensors.iter().filter(|tensor| tensor.role == protocol::architecture::Role::Parameter);
        let values: u128 =
            parameters.map(|tensor| tensor.shape.iter().map(|axis| u128::from(*axis)).product::<u128>()).sum();
        assert_eq!(u128::from(costs.parameters), values, "parameters");
        let logits = u64::from(plan.classes());
        assert!(costs.macs >= logits && costs.activation_bytes_peak >= 4 * logits, "{costs:?}");
    }
}

pub(super) fn config_seeds() -> Vec<Vec<u8>> {
    let good = FAMILIES.iter().map(|(_, architecture)| config_of(architecture).into_bytes());
    let corpus = cases().into_iter().filter(|case| !case.is_large).map(|case| case.package().config);
    let mut all: Vec<Vec<u8>> = good.chain(corpus).filter(|input| input.len() <= SEED_BYTES_MAX).collect();
    all.sort();
    all.dedup();
    all
}
