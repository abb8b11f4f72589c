//! What every device owes: the answers of flex, the same answers again, and answers that don't depend on the batch.
//!
//! A new device passes [`conformance`] or isn't one. Build with `--features wgpu` or `--features tch` to hold those to
//! it. It does NOT know PyTorch; `pytorch` ties flex to that.

use crate::fixture::{Fixture, classes, distance};
use datasets::FashionMnist;
use models::DeviceKind;

/// Test images that devices are compared on.
const IMAGES: usize = 2_000;
/// Images for the checks that run one by one.
const FEW_IMAGES: usize = 64;
const IMAGE_BYTES: usize = 28 * 28;
const BATCH: usize = 100;

/// How far a device's logits may be from those of flex.
const DEVICE_TOLERANCE: f32 = 1e-3;
/// How far logits may move with the batch size on flex.
const BATCH_TOLERANCE: f32 = 1e-4;
/// Of a thousand images, this many must get the class that flex gives them.
const AGREEMENT_PERMILLE_MIN: usize = 999;

#[test]
fn every_available_device_conforms() {
    for kind in DeviceKind::available() {
        conformance(kind);
    }
}

/// Holds `kind` to its contract on the fixture of every family.
fn conformance(kind: DeviceKind) {
    let test = FashionMnist::load_test().unwrap();
    let pixels = &test.pixels[..IMAGES * IMAGE_BYTES];
    let check = if kind == DeviceKind::Flex { itself } else { like_flex };
    let failures: Vec<String> = Fixture::all().iter().flat_map(|fixture| check(kind, fixture, pixels)).collect();
    assert!(failures.is_empty(), "{kind} does not conform:\n{}", failures.join("\n"));
}

/// Flex against itself: the reference must be steady.
fn itself(kind: DeviceKind, fixture: &Fixture, pixels: &[u8]) -> Vec<String> {
    let few = &pixels[..FEW_IMAGES * IMAGE_BYTES];
    let once = logits(kind, fixture, few, FEW_IMAGES);
    let mut failures = Vec::new();
    if bits(&once) != bits(&logits(kind, fixture, few, FEW_IMAGES)) {
        failures.push(format!("{}: a second run gives other bits", fixture.name));
    }
    for batch in [1, 7, 32] {
        let apart = distance(&once, &logits(kind, fixture, few, batch));
        println!("{kind} {}: batch {batch} moves logits by {apart:e}", fixture.name);
        if apart > BATCH_TOLERANCE {
            failures.push(format!("{}: batch {batch} moves logits by {apart:e}", fixture.name));
        }
    }
    failures
}

/// Another device against flex.
fn like_flex(kind: DeviceKind, fixture: &Fixture, pixels: &[u8]) -> Vec<String> {
    let reference = logits(DeviceKind::Flex, fixture, pixels, BATCH);
    let found = logits(kind, fixture, pixels, BATCH);
    let apart = distance(&reference, &found);
    let agreeing = classes(&reference).iter().zip(classes(&found)).filter(|(a, b)| **a == *b).count();
    println!("{kind} {}: {apart:e} from flex, {agreeing} of {IMAGES} classes agree", fixture.name);
    let mut failures = Vec::new();
    if apart > DEVICE_TOLERANCE {
        failures.push(format!("{}: logits {apart:e} from flex", fixture.name));
    }
    if agreeing * 1_000 < IMAGES * AGREEMENT_PERMILLE_MIN {
        failures.push(format!("{}: only {agreeing} of {IMAGES} classes agree with flex", fixture.name));
    }
    failures
}

fn logits(kind: DeviceKind, fixture: &Fixture, pixels: &[u8], batch: usize) -> Vec<f32> {
    let device = kind.open().unwrap();
    fixture.infer(&fixture.network(&device), pixels, batch, &device)
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|value| value.to_bits()).collect()
}
