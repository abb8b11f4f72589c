//! The keyed permutation: golden values from an independent Python implementation (README), and its properties.

use datasets::Split;
use datasets::split::{PUBLIC_COUNT_DEFAULT, SplitError, permutation};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// The key 00 01 02 .. 1f.
const KEY: [u8; 32] = {
    let mut key = [0; 32];
    let mut at = 0;
    while at < 32 {
        key[at] = at as u8;
        at += 1;
    }
    key
};

#[test]
fn permutation_of_a_fixed_key_never_changes() {
    assert_eq!(permutation(&KEY, 20), [6, 16, 9, 19, 14, 8, 15, 5, 12, 1, 17, 3, 2, 4, 0, 10, 18, 11, 7, 13]);
    let bytes: Vec<u8> = permutation(&KEY, 10_000).into_iter().flat_map(u32::to_le_bytes).collect();
    let expected = "cb6f8d70024ba1b4796873ca26c978e29a44ef2623901da0d7ac64fb58449756";
    assert_eq!(hex::encode(Sha256::digest(bytes)), expected);
}

#[test]
fn default_split_halves_the_test_images() {
    let split = Split::new(&KEY, 10_000, PUBLIC_COUNT_DEFAULT).unwrap();
    assert_eq!((split.public.len(), split.hidden.len()), (5_000, 5_000));
    assert_eq!(split.public[..4], [6451, 1803, 7803, 2489]);
    assert_eq!(split.hidden[4_996..], [1939, 3263, 1970, 4873]);
}

#[test]
fn public_part_larger_than_everything_is_refused() {
    assert_eq!(Split::new(&KEY, 5, 6), Err(SplitError::PublicTooLarge { public_count: 6, count: 5 }));
}

#[test]
fn smallest_sets_have_a_permutation() {
    assert_eq!(permutation(&KEY, 0), Vec::<u32>::new());
    assert_eq!(permutation(&KEY, 1), [0]);
}

#[test]
fn every_position_is_about_equally_likely() {
    // 6,000 keys, 6 items: 1,000 expected for each place of item 0, standard deviation 29.
    let mut places = [0i32; 6];
    for seed in 0..6_000u16 {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&seed.to_le_bytes());
        places[permutation(&key, 6).iter().position(|&item| item == 0).unwrap()] += 1;
    }
    assert!(places.iter().all(|place| (place - 1_000).abs() < 145), "{places:?}");
}

proptest! {
    #[test]
    fn split_is_disjoint_and_covers_everything(key: [u8; 32], n in 0u32..3_000, share in 0u32..=100) {
        let public_count = n * share / 100;
        let split = Split::new(&key, n, public_count).unwrap();
        prop_assert_eq!(split.public.len(), public_count as usize);
        let mut all = [split.public, split.hidden].concat();
        all.sort_unstable();
        prop_assert_eq!(all, (0..n).collect::<Vec<_>>());
    }

    #[test]
    fn other_keys_give_other_permutations(key: [u8; 32], bit in 0usize..256) {
        let mut other = key;
        other[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(permutation(&key, 1_000), permutation(&other, 1_000));
    }
}
