//! Ten thousand mutated exports: each is refused with a type or admitted as a graph that survives being written; none
//! panics. A million by command: `RETORT_MUTANTS=1000000 cargo test --release -p program -- mutated`.

use crate::tree::Tree;
use crate::{FIXTURES, LIMITS, fixture, folder, signature};
use program::onnx;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::panic::catch_unwind;

/// One change. Most touch a byte or two, so that much of the file is still read.
fn change(file: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut impl Rng) {
    // Names, nodes and attributes lie before the weights: there changes mean most.
    let most = if rng.random_bool(0.7) { file.len().min(8_000) } else { file.len() };
    let at = rng.random_range(0..most.max(1)).min(file.len().saturating_sub(1));
    let length = rng.random_range(1..40).min(file.len() - at);
    match rng.random_range(0..9) {
        0 => file[at] ^= 1 << rng.random_range(0..8),
        1 => file[at] = rng.random(),
        2 => file[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
        3 => drop(file.drain(at..at + length)),
        4 => {
            let part = file[at..at + length].to_vec();
            file.splice(at..at, part);
        }
        5 => file.truncate(at),
        6 => {
            let other = &others[rng.random_range(0..others.len())];
            let from = rng.random_range(0..other.len());
            let part = other[from..(from + length).min(other.len())].to_vec();
            file.splice(at..at, part);
        }
        // Two digits of names or numbers, swapped: other values are read, or defined twice.
        7 => {
            let digits: Vec<usize> = (0..file.len().min(8_000)).filter(|at| file[*at].is_ascii_digit()).collect();
            if digits.len() > 1 {
                let [a, b] = [0, 0].map(|_| digits[rng.random_range(0..digits.len())]);
                file.swap(a, b);
            }
        }
        // A number in a varint of its own: sizes, axes, lengths.
        _ => file[at] = file[at].wrapping_add(rng.random_range(0..3)).wrapping_sub(1),
    }
    if file.is_empty() {
        file.push(0);
    }
}

fn mutant(files: &[(&str, Vec<u8>)], others: &[Vec<u8>], seed: u64) -> (usize, Vec<u8>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let of = rng.random_range(0..files.len());
    let mut file = files[of].1.clone();
    if rng.random_bool(0.25) {
        for _ in 0..rng.random_range(1..4) {
            change(&mut file, others, &mut rng);
        }
        return (of, file);
    }
    let mut tree = Tree::of(&file, "model");
    for _ in 0..rng.random_range(1..4) {
        tree.change(&mut rng);
    }
    (of, tree.bytes())
}

#[test]
fn no_mutant_breaks_the_reader() {
    let count: u64 = std::env::var("RETORT_MUTANTS").map_or(10_000, |count| count.parse().unwrap());
    let files: Vec<_> = FIXTURES.iter().map(|name| (*name, fixture(name))).collect();
    let hostile = std::fs::read_dir(folder("hostile")).unwrap();
    let others: Vec<_> = hostile.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    let mut found: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..count {
        let (of, file) = mutant(&files, &others, seed);
        let signature = signature(files[of].0);
        let outcome = catch_unwind(|| match onnx::read(&file, &signature, &LIMITS) {
            Err(refusal) => refusal.code.as_str(),
            Ok(read) => {
                let written = onnx::write(&read[0].graph);
                let again = onnx::read(&written, &signature, &LIMITS).expect("what we wrote");
                assert_eq!(again, read);
                "admitted"
            }
        });
        let code = outcome.unwrap_or_else(|_| panic!("seed {seed} of {}", files[of].0));
        *found.entry(code).or_default() += 1;
    }
    println!("{found:?}");
    // Mutants that are all refused for one reason would test nothing.
    assert!(found.len() > 12 && found["admitted"] > count / 20, "{found:?}");
}
