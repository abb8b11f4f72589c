//! Items that nobody holds: they are read block by block, and what can't be read is never the package's fault.

use crate::support::{engine, order, package};
use models::Weights;
use protocol::Digest;
use protocol::competition::InputSpec;
use protocol::evaluation::{EvaluationFailure, Inputs, Order, PackageBytes, Scope};
use protocol::package::PackageConfig;
use protocol::pixels::{Pixels, ReadPixels};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Colour pictures as large as those of ImageNet.
const ITEM_BYTES: u64 = 3 * 224 * 224;
const ITEMS: u64 = 600;

/// Items that are made when somebody asks, up to the first that can't be read.
#[derive(Debug)]
struct Made {
    readable: u64,
    /// The most bytes that were asked for at once.
    largest: Arc<AtomicU64>,
}

impl ReadPixels for Made {
    fn bytes(&self) -> u64 {
        ITEMS * ITEM_BYTES
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.largest.fetch_max(range.end - range.start, Ordering::Relaxed);
        match range.end <= self.readable * ITEM_BYTES {
            true => Ok(made(range)),
            false => Err(io::Error::other("row 450 is damaged")),
        }
    }
}

/// Each item is of one level.
fn made(mut range: Range<u64>) -> Vec<u8> {
    let mut pixels = Vec::new();
    while !range.is_empty() {
        let item = range.start / ITEM_BYTES;
        let end = range.end.min((item + 1) * ITEM_BYTES);
        pixels.resize(pixels.len() + (end - range.start) as usize, item as u8);
        range.start = end;
    }
    pixels
}

fn large(seed: u64) -> PackageBytes {
    let input =
        InputSpec { channels: 3, height: 224, width: 224, mean_ppm: vec![500_000; 3], deviation_ppm: vec![250_000; 3] };
    let config = PackageConfig {
        format: "retort/1".into(),
        architecture: serde_json::from_str(r#"{"kind":"mlp","hidden":[2]}"#).unwrap(),
        input,
        labels: ["cat", "dog"].map(String::from).to_vec(),
    };
    let weights = Weights::random(&config.plan().unwrap(), &mut ChaCha20Rng::seed_from_u64(seed));
    PackageBytes {
        config_json: serde_json::to_vec(&config).unwrap().into(),
        weights: weights.to_safetensors().unwrap().into(),
    }
}

fn asked(readable: u64, scope: Scope) -> (Order, Arc<AtomicU64>) {
    let largest = Arc::new(AtomicU64::new(0));
    let pixels = Pixels::of(Made { readable, largest: Arc::clone(&largest) });
    let candidate = large(1);
    let spec = PackageConfig::from_json(&candidate.config_json).unwrap().input;
    let inputs = Inputs { spec, pixels };
    (Order { candidate, reference: large(2), inputs, scope, ..order(package(crate::support::MLP, 2)) }, largest)
}

#[test]
fn of_many_large_items_a_block_is_held_at_a_time() {
    let (order, largest) = asked(ITEMS, Scope::Full);
    let answer = engine().evaluate(&order, &|_| {}).unwrap();
    let block = largest.load(Ordering::Relaxed);
    assert!(block <= 16 << 20, "{block} bytes of {} at once", ITEMS * ITEM_BYTES);
    assert_eq!(answer.outputs.len() as u64, 2 * ITEMS);
    let all = made(0..ITEMS * ITEM_BYTES);
    assert_eq!(answer.measured.about.images_sha256, Digest::of(&all));

    // The same items in memory give the same bits.
    let held =
        Order { inputs: Inputs { pixels: all.into(), ..order.inputs.clone() }, scope: Scope::OutputsOnly, ..order };
    assert_eq!(engine().evaluate(&held, &|_| {}).unwrap().outputs, answer.outputs);
}

#[test]
fn items_that_cannot_be_read_are_never_the_packages_fault() {
    let (order, _) = asked(450, Scope::OutputsOnly);
    let failure = engine().evaluate(&order, &|_| {}).unwrap_err();
    let ours = matches!(&failure, EvaluationFailure::Infrastructure(why) if why.contains("row 450 is damaged"));
    assert!(ours, "{failure}");
}
