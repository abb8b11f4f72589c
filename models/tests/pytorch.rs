//! What PyTorch saved loads unchanged and computes what PyTorch computes. It knows the CPU device only; other devices
//! answer to `conformance`.

use crate::fixture::{Fixture, classes, distance};
use datasets::FashionMnist;
use models::{DeviceKind, Network, Weights, fold_batch_norm};
use protocol::architecture::Architecture;
use protocol::competition::Manifest;
use protocol::package::{Admission, admit};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::HashMap;

/// How far logits may be from PyTorch's: sums of f32 in another order, no more.
const TOLERANCE: f32 = 1e-4;

/// Runs `measure` on every fixture and reports all that are too far away, not just the first.
fn every_fixture_within(tolerance: f32, measure: impl Fn(&Fixture) -> f32) {
    let distances: Vec<_> = Fixture::all().iter().map(|fixture| (fixture.name, measure(fixture))).collect();
    println!("largest differences: {distances:?}");
    let far: Vec<_> = distances.iter().filter(|(_, distance)| *distance > tolerance).collect();
    assert!(far.is_empty(), "further than {tolerance} from PyTorch: {far:?}");
}

#[test]
fn every_family_computes_the_logits_of_pytorch() {
    let device = DeviceKind::Flex.open().unwrap();
    every_fixture_within(TOLERANCE, |fixture| {
        let network = fixture.network(&device);
        distance(&fixture.infer(&network, &fixture.pixels, 16, &device), &fixture.logits)
    });
}

#[test]
fn folding_batch_norm_keeps_the_logits_of_pytorch() {
    let device = DeviceKind::Flex.open().unwrap();
    every_fixture_within(TOLERANCE, |fixture| {
        let (plan, weights) = fold_batch_norm(&fixture.plan, fixture.weights()).unwrap();
        let norms = plan.tensors().into_iter().filter(|tensor| tensor.name.ends_with("running_var")).count();
        assert_eq!(norms, 0, "{}: a normalisation is left", fixture.name);
        let network = Network::new(&plan, &weights, &device).unwrap();
        distance(&fixture.infer(&network, &fixture.pixels, 16, &device), &fixture.logits)
    });
}

/// Their tokens are so faint that another epsilon is another function, which no shape shows.
#[test]
fn a_transformer_is_measured_with_its_own_epsilon() {
    let device = DeviceKind::Flex.open().unwrap();
    for name in ["vit_timm", "vit_torch"] {
        let mut fixture = Fixture::load(name);
        let Architecture::Vit(vit) = &mut fixture.config.architecture else { panic!("{name} is a vit") };
        vit.norm_epsilon_ppb = None;
        let network = Network::new(&fixture.config.plan().unwrap(), &fixture.weights(), &device).unwrap();
        let far = distance(&fixture.infer(&network, &fixture.pixels, 16, &device), &fixture.logits);
        assert!(far > 1.0, "{name}: {far} with 1e-12");
    }
}

#[test]
fn weights_survive_the_round_trip_through_bytes_and_through_a_network() {
    let device = DeviceKind::Flex.open().unwrap();
    for fixture in Fixture::all() {
        let weights = fixture.weights();
        let bytes = weights.to_safetensors().unwrap();
        assert_eq!(Weights::from_safetensors(&bytes, &fixture.plan).unwrap(), weights, "{}", fixture.name);
        assert_eq!(fixture.network(&device).weights(&fixture.plan), weights, "{}: through a network", fixture.name);
        let again = Weights::from_safetensors(&bytes, &fixture.plan).unwrap().to_safetensors().unwrap();
        assert_eq!(again, bytes, "{}: equal weights, other bytes", fixture.name);
    }
}

#[test]
fn every_family_is_admitted_as_pytorch_saved_it() {
    let manifest = Manifest::from_toml(include_str!("../../competitions/fashion-mnist/competition.toml")).unwrap();
    let rules = Admission { input: &manifest.input, labels: &manifest.labels, limits: &manifest.limits };
    let refused: Vec<_> = Fixture::all()
        .iter()
        .filter_map(|fixture| Some((fixture.name, admit(&fixture.config_json, &fixture.bytes, &rules).err()?)))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn the_student_is_as_accurate_as_its_readme_says() {
    const IMAGES: usize = 2_000;
    let device = DeviceKind::Flex.open().unwrap();
    let fixture = Fixture::load("pytorch_student");
    let test = FashionMnist::load_test().unwrap();
    let pixels = &test.pixels[..IMAGES * test.image_bytes()];
    let found = classes(&fixture.infer(&fixture.network(&device), pixels, 100, &device));
    let right = found.iter().zip(&test.labels).filter(|(class, label)| **class == usize::from(**label)).count();
    // 90.98 % of all 10,000; three standard errors of 2,000 are 1.9 points.
    println!("pytorch_student: {right} of {IMAGES} right");
    assert!(right * 100 >= IMAGES * 89, "{right} of {IMAGES} right");
}

#[test]
fn counters_of_batches_are_there_and_ignored() {
    let fixture = Fixture::load("resnet");
    let file = SafeTensors::deserialize(&fixture.bytes).unwrap();
    assert_eq!(file.tensor("bn1.num_batches_tracked").unwrap().dtype(), Dtype::I64);
    assert!(fixture.weights().get("bn1.num_batches_tracked").is_none());
}

#[test]
fn the_pytorch_names_are_exactly_those_of_the_plan() {
    for fixture in Fixture::all() {
        let file = SafeTensors::deserialize(&fixture.bytes).unwrap();
        let mut saved: Vec<String> =
            file.names().into_iter().filter(|name| !name.ends_with("num_batches_tracked")).map(Into::into).collect();
        let mut planned: Vec<String> = fixture.plan.tensors().into_iter().map(|tensor| tensor.name).collect();
        saved.sort();
        planned.sort();
        assert_eq!(saved, planned, "{}", fixture.name);
    }
}

#[test]
fn tensors_that_do_not_fit_are_refused_by_name() {
    let cases = [
        (edited(|_| None), "tensor `fc.bias` is missing"),
        (edited(|bytes| Some((Dtype::F32, vec![2, 5], bytes))), "tensor `fc.bias` has shape [2, 5], not [10]"),
        (edited(|bytes| Some((Dtype::I32, vec![10], bytes))), "tensor `fc.bias` has type I32; use F32, F16 or BF16"),
    ];
    let plan = Fixture::load("resnet").plan;
    for (bytes, expected) in cases {
        assert_eq!(Weights::from_safetensors(&bytes, &plan).unwrap_err().to_string(), expected);
    }
    let error = Weights::from_safetensors(b"no safetensors", &plan).unwrap_err().to_string();
    assert!(error.starts_with("read safetensors: "), "{error}");
}

/// The resnet fixture with `fc.bias` replaced by what `edit` makes of its bytes, or left out.
fn edited(edit: impl Fn(Vec<u8>) -> Option<(Dtype, Vec<usize>, Vec<u8>)>) -> Vec<u8> {
    let fixture = Fixture::load("resnet");
    let file = SafeTensors::deserialize(&fixture.bytes).unwrap();
    let mut tensors: HashMap<String, (Dtype, Vec<usize>, Vec<u8>)> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect();
    let (_, _, bias) = tensors.remove("fc.bias").unwrap();
    tensors.extend(edit(bias).map(|replacement| ("fc.bias".to_owned(), replacement)));
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}
