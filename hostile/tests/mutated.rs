//! Mutated packages in the short form; `hostile mutate` is the long one.

use hostile::{Mutator, Rules, oracle};
use std::collections::BTreeMap;

const COUNT: u64 = 20_000;

#[test]
fn every_mutated_package_has_a_typed_end_and_what_is_accepted_reads_the_same_elsewhere() {
    let (mutator, rules) = (Mutator::default(), Rules::default());
    let mut ends: BTreeMap<Option<&str>, u64> = BTreeMap::new();
    for number in 0..COUNT {
        match oracle::examine(&mutator.package(number), &rules) {
            Ok(code) => *ends.entry(code.map(|code| code.as_str())).or_default() += 1,
            Err(violation) => panic!("package {number}: {violation}"),
        }
    }
    println!("{ends:?}");
    // A mutator that only makes rubbish, or only good packages, would prove little.
    let admitted = ends.get(&None).copied().unwrap_or_default();
    assert!((COUNT / 20..COUNT * 9 / 10).contains(&admitted), "{admitted} of {COUNT} admitted");
    assert!(ends.len() >= 14, "only {} ends", ends.len());
}

#[test]
fn a_number_names_a_package() {
    let (mutator, again) = (Mutator::default(), Mutator::default());
    assert!((0..100).all(|number| mutator.package(number) == again.package(number)));
}
