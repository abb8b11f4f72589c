//! The fuzz targets without coverage: their seeds, and what a few changes make of these. What a fuzzer
//! finds becomes a case of the corpus or a test of the crate that had to be mended.

use hostile::mutate::spoil;
use hostile::targets::{TARGETS, find};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const RUNS: u64 = 400;

#[test]
fn every_target_takes_its_seeds_and_mutations_of_them() {
    for target in &TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        seeds.iter().for_each(|seed| (target.run)(seed));
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for run in 0..RUNS {
            let mut input = seeds[rng.random_range(0..seeds.len())].clone();
            match target.mutate.filter(|_| run % 2 == 0).and_then(|mutate| mutate(&input, run)) {
                Some(changed) => input = changed,
                None => spoil(&mut input, &mut rng),
            }
            (target.run)(&input);
        }
    }
}

#[test]
fn targets_are_found_by_name() {
    assert!(TARGETS.iter().all(|target| find(target.name).is_some_and(|found| found.about == target.about)));
    assert!(find("other").is_none());
}
