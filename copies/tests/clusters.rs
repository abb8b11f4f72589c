//! Clusters: who counts as whom. It does NOT know why two models are copies.

use copies::clusters;
use std::collections::{BTreeMap, BTreeSet};

fn heads(members: &[i64], copies: &[(i64, i64)]) -> BTreeMap<i64, i64> {
    clusters(&members.iter().copied().collect::<BTreeSet<_>>(), copies)
}

#[test]
fn a_copy_of_a_copy_counts_as_the_original() {
    let found = heads(&[1, 2, 3, 4], &[(3, 2), (1, 2)]);
    assert_eq!(found, BTreeMap::from([(1, 1), (2, 1), (3, 1), (4, 4)]));
}

#[test]
fn a_latecomer_that_copies_two_strangers_does_not_link_them() {
    let found = heads(&[1, 2, 9], &[(9, 1), (9, 2)]);
    assert_eq!(found, BTreeMap::from([(1, 1), (2, 2), (9, 1)]));
}

#[test]
fn the_order_of_pairs_does_not_matter_and_strangers_are_ignored() {
    let pairs = [(2, 1), (5, 3), (5, 2), (7, 5), (70, 1), (4, 4)];
    let mut backwards = pairs.map(|(a, b)| (b, a));
    backwards.reverse();
    assert_eq!(heads(&[1, 2, 3, 4, 5, 7], &pairs), heads(&[1, 2, 3, 4, 5, 7], &backwards));
    assert_eq!(heads(&[1, 2, 3, 4, 5, 7], &pairs)[&7], 1);
}
