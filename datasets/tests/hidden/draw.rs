//! What is drawn: reproducible, different for everything that must make a difference, within its ranges.

use datasets::hidden::{
    Draw, DrawError, DrawSpec, Family, Secret, SpecError, Spent, draw, draw_unspent, fixed_seed, seed,
};
use proptest::prelude::*;
use protocol::competition::HiddenPool;
use protocol::round::RoundRules;
use std::collections::BTreeSet;

const FIXED: [u8; 32] = [3; 32];

fn spec(items: u32) -> DrawSpec {
    DrawSpec::of_items(items)
}

fn sources(draw: &Draw) -> Vec<u32> {
    draw.items.iter().map(|item| item.source).collect()
}

#[test]
fn seed_depends_on_beacon_secret_competition_and_round() {
    let (beacon, secret) = ([1; 32], Secret::new([2; 32]));
    let seeds = [
        seed(&beacon, &secret, "a", 1),
        seed(&[0; 32], &secret, "a", 1),
        seed(&beacon, &Secret::new([0; 32]), "a", 1),
        seed(&beacon, &secret, "b", 1),
        seed(&beacon, &secret, "a", 2),
        fixed_seed(&beacon, &secret, "a", 1),
    ];
    assert_eq!(seeds.iter().collect::<BTreeSet<_>>().len(), seeds.len());
    assert_eq!(seed(&beacon, &secret, "a", 1), seeds[0]);
}

#[test]
fn printing_a_secret_shows_none_of_it() {
    assert_eq!(format!("{:?}", Secret::new([0xab; 32])), "Secret(..)");
}

#[test]
fn default_family_is_valid_and_moves_every_item() {
    let drawn = draw(&[1; 32], &FIXED, 5_000, &spec(5_000)).unwrap();
    assert!(drawn.items.iter().all(|item| (item.transform().dx, item.transform().dy) != (0, 0)));
    let mixtures = drawn.items.iter().filter(|item| item.partner().is_some()).count();
    // 750 expected, standard deviation 25.
    assert!((625..875).contains(&mixtures), "{mixtures} mixtures");
}

#[test]
fn every_shift_but_none_comes_about_equally_often() {
    let family = Family { shift_px_max: 1, ..Family::identity() };
    let drawn = draw(&[1; 32], &FIXED, 8_000, &DrawSpec { fixed_ppm: 0, family, ..spec(8_000) }).unwrap();
    let mut places = [[0i32; 3]; 3];
    for item in &drawn.items {
        places[(item.transform().dy + 1) as usize][(item.transform().dx + 1) as usize] += 1;
    }
    // 1,000 expected for each of the eight, standard deviation 30.
    let flat = places.as_flattened();
    assert_eq!(flat[4], 0);
    assert!(flat.iter().enumerate().all(|(at, count)| at == 4 || (count - 1_000).abs() < 150), "{places:?}");
}

#[test]
fn switching_off_one_change_leaves_the_others_as_they_are() {
    let (all, calm) = (spec(50), Family { rotation_millidegrees_max: 0, ..Family::default() });
    let calm = DrawSpec { family: calm, ..all.clone() };
    let (all, calm) = (draw(&[1; 32], &FIXED, 100, &all).unwrap(), draw(&[1; 32], &FIXED, 100, &calm).unwrap());
    for (all, calm) in all.items.iter().zip(&calm.items) {
        let expected = datasets::hidden::Transform { rotation_millidegrees: 0, ..*all.transform() };
        assert_eq!((calm.source, *calm.transform()), (all.source, expected));
    }
}

#[test]
fn pool_of_one_image_has_no_mixtures() {
    let family = Family { mixture_ppm: 1_000_000, ..Family::default() };
    let drawn = draw(&[1; 32], &FIXED, 1, &DrawSpec { family, ..spec(1) }).unwrap();
    assert_eq!(drawn.items[0].partner(), None);
}

#[test]
fn impossible_draws_are_refused_with_the_offending_number() {
    let of = |family| draw(&[1; 32], &FIXED, 100, &DrawSpec { family, ..spec(10) }).unwrap_err();
    let range = |what, found, min, max| DrawError::Spec(SpecError::Range { what, found, min, max });
    assert_eq!(draw(&[1; 32], &FIXED, 9, &spec(10)), Err(DrawError::PoolTooSmall { items: 10, pool_count: 9 }));
    assert_eq!(draw(&[1; 32], &FIXED, u32::MAX, &spec(10)), Err(DrawError::PoolTooLarge { pool_count: u32::MAX }));
    assert_eq!(draw(&[1; 32], &FIXED, 9, &spec(0)), Err(range("items", 0, 1, 1_000_000)));
    assert_eq!(of(Family { scale_ppm_min: 0, ..Family::default() }), range("scale_ppm_min", 0, 500_000, 1_000_000));
    assert_eq!(of(Family { cutout_px_max: 65, ..Family::default() }), range("cutout_px_max", 65, 0, 64));
    let shares = Family { mixture_share_ppm_max: 599_999, ..Family::default() };
    assert_eq!(of(shares), range("mixture_share_ppm_max", 599_999, 600_000, 1_000_000));
    assert_eq!(of(Family::identity()), DrawError::Spec(SpecError::Unchanged));
    let unmixed = Family { mixture_ppm: 1_000_000, ..Family::identity() };
    assert_eq!(of(unmixed), DrawError::Spec(SpecError::Unchanged));
}

#[test]
fn family_with_an_unknown_field_is_not_read() {
    let mut json = serde_json::to_value(Family::default()).unwrap();
    assert_eq!(serde_json::from_value::<Family>(json.clone()).unwrap(), Family::default());
    json["flip"] = true.into();
    assert!(serde_json::from_value::<Family>(json).is_err());
}

proptest! {
    #[test]
    fn same_inputs_give_the_same_draw(seed: [u8; 32], fixed: [u8; 32], pool in 30u32..300) {
        prop_assert_eq!(draw(&seed, &fixed, pool, &spec(30)), draw(&seed, &fixed, pool, &spec(30)));
    }

    #[test]
    fn another_round_draws_others_but_all_fixed_items_recur(a: [u8; 32], b: [u8; 32], fixed: [u8; 32]) {
        prop_assume!(a != b);
        let (one, other) = (draw(&a, &fixed, 500, &spec(100)).unwrap(), draw(&b, &fixed, 500, &spec(100)).unwrap());
        prop_assert_eq!(one.fixed, 30);
        prop_assert_eq!(&one.items[..30], &other.items[..30]);
        prop_assert_ne!(&one.items[30..], &other.items[30..]);
    }

    #[test]
    fn more_items_do_not_change_the_fixed_ones(seed: [u8; 32], fixed: [u8; 32]) {
        let (few, many) = (draw(&seed, &fixed, 500, &spec(100)).unwrap(), draw(&seed, &fixed, 500, &spec(200)).unwrap());
        prop_assert_eq!(&few.items[..30], &many.items[..30]);
    }

    #[test]
    fn items_are_distinct_and_in_the_pool(seed: [u8; 32], fixed: [u8; 32], pool in 1u32..200, share in 0u32..=1_000_000) {
        let family = Family { mixture_ppm: 500_000, ..Family::default() };
        let spec = DrawSpec { fixed_ppm: share, family, ..spec(pool.div_ceil(2)) };
        let drawn = draw(&seed, &fixed, pool, &spec).unwrap();
        let distinct: BTreeSet<u32> = sources(&drawn).into_iter().collect();
        prop_assert_eq!((drawn.items.len(), distinct.len()), (spec.items as usize, spec.items as usize));
        prop_assert!(drawn.sources().iter().all(|source| *source < pool));
        prop_assert!(drawn.items.iter().all(|item| item.partner() != Some(item.source)));
    }
}

/// Of a private pool, with more mixtures than usual.
fn private(items: u32) -> DrawSpec {
    let family = Family { mixture_ppm: 500_000, ..Family::default() };
    DrawSpec { family, hidden_pool: HiddenPool::Private, ..spec(items) }
}

#[test]
fn a_private_pool_shows_an_image_fresh_once_lasts_as_long_as_was_said_and_no_longer() {
    for (pool, items, rounds) in [(100, 30, 4), (51, 30, 2), (72, 30, 3), (71, 30, 2)] {
        let rules = RoundRules { items, ..RoundRules::default() };
        assert_eq!(rules.rounds_of(pool), rounds);
        let (mut spent, mut shown) = (Spent::default(), BTreeSet::new());
        for round in 0..rounds {
            let drawn = draw_unspent(&[round as u8; 32], &FIXED, pool, &private(items), &spent).unwrap();
            let (fixed, fresh) = drawn.items.split_at(drawn.fixed as usize);
            let fixed = Draw { items: fixed.to_vec(), fixed: 0 }.sources();
            let fresh = Draw { items: fresh.to_vec(), fixed: 0 }.sources();
            assert_eq!((fixed.len(), fresh.len()), (9, 21), "partners are items of the same part");
            let mixtures = drawn.items.iter().filter(|item| item.partner().is_some_and(|with| with != item.source));
            assert!(mixtures.count() > 5);
            assert!(fresh.iter().chain(if round == 0 { &fixed[..] } else { &[] }).all(|source| shown.insert(*source)));
            spent.add(&drawn);
        }
        let over = draw_unspent(&[99; 32], &FIXED, pool, &private(items), &spent);
        assert!(matches!(over, Err(DrawError::PoolSpent { fresh: 21, left }) if left < 21), "{over:?}");
    }
}

#[test]
fn a_public_pool_is_never_spent() {
    let mut spent = Spent::default();
    spent.add(&draw(&[1; 32], &FIXED, 100, &spec(100)).unwrap());
    assert_eq!(draw_unspent(&[2; 32], &FIXED, 100, &spec(50), &spent), draw(&[2; 32], &FIXED, 100, &spec(50)));
}
