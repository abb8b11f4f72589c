//! Originals found among many by their sketches. It does NOT judge what is found.

use crate::models::{MATCHED, Model, VIT};
use copies::disguise::{self, Encoding};
use copies::{CANDIDATES_MAX, Fingerprint, Known, ProbeLogits, Sketch, candidates};
use protocol::Hotkey;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

const KEY: [u8; 32] = [7; 32];
const CLASSES: usize = 4;
const PROBES: usize = 256;

/// What a teacher says of probes, and students that err from it.
struct Class {
    teacher: Vec<f32>,
    /// What all honest students have in common.
    common: Vec<f32>,
}

impl Class {
    fn new() -> Self {
        let mut words = StdRng::seed_from_u64(1);
        let mut values = || (0..PROBES * CLASSES).map(|_| normal(&mut words)).collect();
        Self { teacher: values(), common: values() }
    }

    /// Errors of which `shared` of the variance is that of `like`.
    fn errors(&self, like: &[f32], shared: f32, seed: u64) -> Vec<f32> {
        let mut words = StdRng::seed_from_u64(seed);
        let (shared, own) = (shared.sqrt(), (1.0 - shared).sqrt());
        like.iter().map(|value| shared * value + own * normal(&mut words)).collect()
    }

    fn print(&self, model: &Model, safetensors: &[u8], errors: &[f32]) -> Fingerprint {
        let student: Vec<f32> = self.teacher.iter().zip(errors).map(|(said, error)| said + 0.3 * error).collect();
        let probes = ProbeLogits { student: &student, teacher: &self.teacher };
        Fingerprint::new(&model.config_json, safetensors, Some(probes)).unwrap()
    }
}

fn normal(words: &mut impl Rng) -> f32 {
    (0..12).map(|_| words.random::<f32>()).sum::<f32>() - 6.0
}

fn owner(number: u64) -> Hotkey {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_le_bytes());
    Hotkey::from_bytes(key)
}

fn known(sketch: Sketch, owned_by: u64, arrival: u64) -> Known {
    Known { sketch: Some(sketch), owner: owner(owned_by), arrival }
}

/// Strangers as near the original as honest ones ever were to each other (rc .85), by as many owners; half of them have
/// units that are nearer than any training left them.
fn strangers(class: &Class, architecture: &str, model: &Model, count: u64) -> Vec<Known> {
    let stranger = |number: u64| {
        let weights = match number % 2 {
            0 => Model::random(architecture, 1_000 + number).safetensors(),
            _ => disguise::noisy(&model.plan, &model.weights, 0.6, 1_000 + number).to_safetensors().unwrap(),
        };
        let print = class.print(model, &weights, &class.errors(&class.common, 0.85, 10_000 + number));
        known(print.sketch(&KEY), number, number)
    };
    (0..count).map(stranger).collect()
}

/// In how many of the disguises the original is among the candidates, and how many there are.
fn found(architecture: &str, count: u64) -> Vec<(String, bool)> {
    let class = Class::new();
    let model = Model::random(architecture, 1);
    let mut others = strangers(&class, architecture, &model, count);
    let errors = class.errors(&class.common, 0.85, 5);
    let original = class.print(&model, &model.safetensors(), &errors);
    let place = others.len();
    others.push(known(original.sketch(&KEY), count, count));
    let shuffled = disguise::permuted(&model.plan, &model.weights, 7);
    let both = disguise::rescaled(&model.plan, &shuffled, 8);
    let (same, near) = (class.errors(&errors, 1.0, 6), class.errors(&errors, 0.97 * 0.97, 7));
    let other = class.errors(&class.common, 0.3, 8);
    let bytes = |weights: &weights::Weights| weights.to_safetensors().unwrap();
    // Errors that are the original's, or nearly; and units that are, of a model that says something else on the probes.
    let disguises = [
        ("the same bytes", model.safetensors(), &same),
        ("units in another order and size, through bf16", disguise::encoded(&both, Encoding::Bf16).unwrap(), &same),
        ("other units, rc 0.97", bytes(&Model::random(architecture, 77).weights), &near),
        ("its units, other errors", bytes(&both), &other),
        ("its units with noise of a tenth, other errors", bytes(&disguise::noisy(&model.plan, &both, 0.1, 9)), &other),
        ("its units, a third pruned, other errors", bytes(&disguise::pruned(&model.plan, &both, 0.3)), &other),
        ("its units through int8, other errors", bytes(&disguise::through_int8(&model.plan, &both)), &other),
    ];
    let is_found = |(name, bytes, errors): (&str, Vec<u8>, &Vec<f32>)| {
        let found = candidates(&class.print(&model, &bytes, errors).sketch(&KEY), &others);
        assert!(found.len() <= CANDIDATES_MAX, "{}", found.len());
        (name.to_owned(), found.contains(&place))
    };
    disguises.into_iter().map(is_found).collect()
}

#[test]
fn an_original_is_found_among_strangers_that_are_as_near_as_honest_ones_are() {
    for architecture in MATCHED.into_iter().chain([VIT]) {
        for (disguise, is_found) in found(architecture, 300) {
            // The units of a vit are compared in their places.
            assert!(is_found || architecture == VIT && disguise.contains("units"), "{architecture}: {disguise}");
        }
    }
}

#[test]
fn nobody_hides_an_original_behind_decoys_of_his_own_or_behind_copies_of_it() {
    let class = Class::new();
    let model = Model::random(MATCHED[1], 1);
    let original = class.print(&model, &model.safetensors(), &class.common).sketch(&KEY);
    let mut others = vec![known(original.clone(), 0, 0)];
    // Nearer to the copy than the original is, by one owner.
    let noisy = disguise::noisy(&model.plan, &model.weights, 0.05, 2).to_safetensors().unwrap();
    let copy = class.print(&model, &noisy, &class.errors(&class.common, 0.97, 3));
    others.extend((1..200).map(|arrival| known(copy.sketch(&KEY), 1, arrival)));
    // The same numbers, by as many owners as there are.
    others.extend((200..400).map(|number| known(original.clone(), number, number)));
    let found = candidates(&copy.sketch(&KEY), &others);
    assert!(found.contains(&0) && found.len() <= CANDIDATES_MAX, "{found:?}");
}

#[test]
fn a_model_that_was_kept_without_a_sketch_is_compared_always_and_few_ones_are_all() {
    let class = Class::new();
    let model = Model::random(MATCHED[0], 1);
    let sketch = class.print(&model, &model.safetensors(), &class.common).sketch(&KEY);
    let mut others = strangers(&class, MATCHED[0], &model, 100);
    others[50].sketch = None;
    assert!(candidates(&sketch, &others).contains(&50));
    assert_eq!(candidates(&sketch, &others[..CANDIDATES_MAX]), Vec::from_iter(0..CANDIDATES_MAX));
}

/// What is said of it in docs/COPIES.md: `cargo test --release -p copies --test all sketches -- --ignored --nocapture`.
#[test]
#[ignore = "a minute in a release build"]
fn recall_among_twenty_thousand() {
    let (mut disguises, mut missed) = (0, Vec::new());
    for architecture in MATCHED {
        for (disguise, is_found) in found(architecture, 20_000) {
            disguises += 1;
            if !is_found {
                missed.push(format!("{architecture}: {disguise}"));
            }
        }
    }
    println!("{} of {disguises} originals are among the candidates; missed: {missed:#?}", disguises - missed.len());
}
