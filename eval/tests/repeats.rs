//! The same evaluation again and again, each time in a new worker process, with one thread or two: one set of bits.
//!
//! It is what `retort verify` relies on. `cargo test --release -p eval repeats -- --ignored --nocapture` prints figures.

use crate::support::{engine, order};
use datasets::{FashionMnist, Images};
use eval::Engine;
use protocol::evaluation::{Inputs, Order, PackageBytes, Scope, outputs_digest};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Packages of every family that PyTorch or we trained, below `models/`.
const PACKAGES: [&str; 7] = [
    "reference",
    "fixtures/mlp",
    "fixtures/resnet",
    "fixtures/depthwise_cnn",
    "fixtures/mobilenet_v2",
    "fixtures/vit",
    "fixtures/pytorch_student",
];

/// How often each is evaluated, half of that with two threads.
const REPEATS: u32 = 100;
/// Test images of each evaluation: several batches, and a last one that isn't full.
const ITEMS: u32 = 1_000;

#[test]
fn two_evaluations_of_one_package_give_the_same_bits() {
    let images = images(150);
    for package in ["fixtures/resnet", "fixtures/mlp"] {
        assert_eq!(digests(package, &images, 2).len(), 1, "{package}");
    }
}

#[test]
#[ignore = "takes minutes: seven hundred evaluations"]
fn a_hundred_evaluations_of_each_package_give_the_same_bits() {
    let images = images(ITEMS);
    for package in PACKAGES {
        let began = Instant::now();
        let digests = digests(package, &images, REPEATS);
        println!(
            "{package}: {REPEATS} evaluations of {ITEMS} items, {} s, outputs {digests:?}",
            began.elapsed().as_secs()
        );
        assert_eq!(digests.len(), 1, "{package}");
    }
}

fn images(count: u32) -> Images {
    FashionMnist::load_test().unwrap().select(&(0..count).collect::<Vec<u32>>())
}

/// How often each outputs hash came out.
fn digests(package: &str, images: &Images, repeats: u32) -> BTreeMap<String, u32> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(package);
    let bytes = |file: &str| std::fs::read(folder.join(file)).unwrap().into();
    let candidate = PackageBytes { config_json: bytes("config.json"), weights: bytes("model.safetensors") };
    let usual = order(candidate);
    let inputs = Inputs { pixels: images.pixels.clone().into(), ..usual.inputs };
    let order = Order { inputs, scope: Scope::OutputsOnly, ..usual };
    let mut digests = BTreeMap::new();
    for repeat in 0..repeats {
        let engine = Engine { accuracy_threads: 1 + repeat % 2, ..engine() };
        let outputs = engine.evaluate(&order, &|_| {}).unwrap().outputs;
        *digests.entry(outputs_digest(&outputs).to_string()).or_default() += 1;
    }
    digests
}
