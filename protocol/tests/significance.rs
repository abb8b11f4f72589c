//! Tests of significance against figures computed a second way (`scripts/golden_statistics.py`), and what must hold of
//! any of them.

use proptest::prelude::*;
use protocol::Digest;
use protocol::outcomes::{OutcomeValues, Outcomes};
use protocol::score::{Ceiling, ScoreRules, ScoreWeights};
use protocol::significance::mcnemar::mid_p;
use protocol::significance::sequential::{DRAWS_MAX, DRAWS_MIN, HITS, Level};
use protocol::significance::tango::{tango, tango_95};
use protocol::significance::{Basis, Disputed, Pair, Part, Replicates, SequentialP};
use serde_json::Value;
use std::num::NonZeroU32;

const Z_95: f64 = 1.959_963_984_540_054;

/// One that asks for no more draws than the least.
const LEVEL: Level = Level { ppm: 15_000, shared_by: NonZeroU32::MIN };

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/statistics.json")).unwrap()
}

fn count(case: &Value, name: &str) -> u64 {
    case[name].as_u64().unwrap()
}

fn off(found: f64, expected: f64) -> bool {
    (found - expected).abs() > 1e-12 * expected.abs()
}

#[test]
fn mid_p_is_the_exact_sum() {
    let golden = golden();
    let found = golden["mid_p"].as_array().unwrap().iter().filter_map(|case| {
        let (b, c, expected) = (count(case, "b"), count(case, "c"), case["p"].as_f64().unwrap());
        let found = mid_p(b, c);
        off(found, expected).then(|| format!("{b} {c}: {found:e}, not {expected:e}"))
    });
    assert_eq!(found.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn more_disputed_items_than_can_be_judged_speak_for_nobody() {
    assert_eq!(mid_p(u64::MAX, 1).to_bits(), 1f64.to_bits());
    assert!(mid_p(1 << 20, 0) >= 0.0);
}

#[test]
fn tangos_interval_is_where_the_score_statistic_is_z() {
    let golden = golden();
    let found = golden["tango"].as_array().unwrap().iter().filter_map(|case| {
        let disputed = Disputed {
            items: count(case, "items"),
            challenger_only: count(case, "b"),
            champion_only: count(case, "c"),
        };
        let (low, high) = tango(&disputed, Z_95);
        let (expected_low, expected_high) = (case["low"].as_f64().unwrap(), case["high"].as_f64().unwrap());
        (off(low, expected_low) || off(high, expected_high))
            .then(|| format!("{disputed:?}: {low:e} {high:e}, not {expected_low:e} {expected_high:e}"))
    });
    assert_eq!(found.collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(tango_95(&Disputed::default()).low_ppm, -1_000_000, "no items say nothing");
}

/// The models of `resampled` in the script.
fn model(shift: usize) -> Outcomes {
    let items = 0..130usize;
    Outcomes::new(OutcomeValues {
        images_sha256: Digest::of(b"made up"),
        size_bytes: 100_000,
        public_items: 0,
        right: items.clone().map(|i| !(i * 7 + shift).is_multiple_of(13)).collect(),
        js_micronats: items.map(|i| ((i * 7919 + 31 * shift) % 90_000) as u32).collect(),
        log_ratio_nanos: (0..15)
            .map(|i| 1_000_000 * ((i * 5 + shift as i64) % 11) - 700_000_000 - 3_000_000 * shift as i64)
            .collect(),
    })
    .unwrap()
}

/// The rules of the script, which are nobody's default.
fn rules() -> ScoreRules {
    ScoreRules {
        latency_ratio_min_ppm: 10_000,
        latency_ratio_max_ppm: 10_000_000,
        size_bytes_min: 10_000,
        size_bytes_max: 4_000_000,
        weights: ScoreWeights { accuracy_ppm: 400_000, fidelity_ppm: 200_000, latency_ppm: 250_000, size_ppm: 150_000 },
        ..ScoreRules::default()
    }
}

fn round(rules: &ScoreRules) -> Basis<'_> {
    let ceiling = Ceiling { correct: 95, items: 100 };
    Basis { part: Part::Hidden, seed: Digest::of(b"round 7"), ceiling, rules }
}

#[test]
fn an_auditor_with_the_written_definition_draws_the_same_replicates() {
    let (rules, golden) = (rules(), &golden()["resample"]);
    let pair = Pair::new(&model(3), &model(1), &round(&rules)).unwrap();
    let found = pair.difference().estimate;
    let ppm = |name: &str| (golden[name].as_i64().unwrap() + 500).div_euclid(1_000);
    assert_eq!(
        (found.value_ppm, found.low_ppm, found.high_ppm),
        (ppm("measured_ppb"), ppm("low_ppb"), ppm("high_ppb"))
    );
    let draws = count(golden, "p_draws_at_32_hits") as u32;
    assert_eq!(pair.p_value(2_000, LEVEL), SequentialP { hits: HITS, draws });
}

#[test]
fn replicates_of_two_models_are_paired_and_a_copy_differs_by_nothing() {
    let rules = rules();
    let [a, b] = [3, 1].map(|shift| Replicates::draw(&model(shift), &round(&rules)).unwrap());
    assert_eq!(a.minus(&b), Some(Pair::new(&model(3), &model(1), &round(&rules)).unwrap().difference()));
    let copy = a.minus(&a.clone()).unwrap();
    assert_eq!((copy.estimate, copy.standard_error_ppm), Default::default());
    let p = Pair::new(&model(3), &model(3), &round(&rules)).unwrap().p_value(0, LEVEL);
    assert_eq!(p, SequentialP { hits: HITS, draws: HITS }, "a tie is a hit");
    let elsewhere = Basis { seed: Digest::of(b"round 8"), ..round(&rules) };
    assert_eq!(a.minus(&Replicates::draw(&model(3), &elsewhere).unwrap()), None, "other rounds don't pair");
}

#[test]
fn what_was_not_measured_on_the_same_items_is_not_compared() {
    let rules = rules();
    let changed = |change: fn(&mut OutcomeValues)| {
        let mut values = model(3).values().clone();
        change(&mut values);
        Outcomes::new(values).unwrap()
    };
    let other_items = changed(|values| values.images_sha256 = Digest::of(b"others"));
    let untimed = changed(|values| values.log_ratio_nanos.clear());
    for other in [&other_items, &untimed] {
        assert!(Pair::new(&model(1), other, &round(&rules)).is_none());
    }
    assert_eq!(Disputed::count(&model(1), &other_items, Part::Hidden), None);
    let public = Basis { part: Part::Public, ..round(&rules) };
    assert!(Pair::new(&model(1), &model(3), &public).is_none(), "there are no public items");
}

#[test]
fn a_level_that_many_share_is_drawn_for_more_finely() {
    let level = |ppm, shared_by| Level { ppm, shared_by: NonZeroU32::new(shared_by).unwrap() }.draws_max();
    assert_eq!((level(15_000, 8), level(2_000, 8)), (DRAWS_MIN, 40_000));
    assert_eq!((level(2_000, 100), level(200, 1_000_000), level(0, 1)), (500_000, DRAWS_MAX, DRAWS_MAX));
}

#[test]
fn a_sequential_p_value_stops_at_its_hits_or_at_its_maximum() {
    assert_eq!(SequentialP::of(DRAWS_MIN, |draw| draw % 2 == 1), SequentialP { hits: HITS, draws: 2 * HITS });
    let never = SequentialP::of(DRAWS_MIN, |_| false);
    assert_eq!(never, SequentialP { hits: 1, draws: DRAWS_MIN + 1 });
    assert_eq!(never.ppb(), 50_000);
    assert!(never.at_most(50_000, 1_000) && !never.at_most(50_000, 1_001));
    let at = SequentialP { hits: 32, draws: 3_200 };
    assert!(at.at_most(10_000, 1) && at.at_most(30_000, 3) && !at.at_most(9_999, 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mid_p_is_a_probability_symmetric_and_falls_with_every_item_won(b in 0u64..3_000, c in 0u64..3_000) {
        let p = mid_p(b, c);
        prop_assert!((0.0..=1.0).contains(&p));
        prop_assert!((p + mid_p(c, b) - 1.0).abs() < 1e-12);
        prop_assert!(mid_p(b + 1, c) <= p && p <= mid_p(b, c + 1));
    }

    #[test]
    fn tangos_interval_holds_the_estimate_and_mirrors(b in 0u64..400, c in 0u64..400, rest in 0u64..3_000) {
        let disputed = Disputed { items: b + c + rest, challenger_only: b, champion_only: c };
        prop_assume!(disputed.items > 0);
        let (low, high) = tango(&disputed, Z_95);
        let estimate = (b as f64 - c as f64) / disputed.items as f64;
        prop_assert!(-1.0 <= low && low <= estimate && estimate <= high && high <= 1.0);
        let mirrored = tango(&Disputed { challenger_only: c, champion_only: b, ..disputed }, Z_95);
        prop_assert!((mirrored.0 + high).abs() < 1e-12 && (mirrored.1 + low).abs() < 1e-12);
        let narrower = tango(&disputed, 1.0);
        prop_assert!(low <= narrower.0 && narrower.1 <= high);
    }

}

proptest! {
    // Each case is thousands of resamples.
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_resampled_interval_holds_the_estimate_and_mirrors(a in 0usize..40, b in 0usize..40) {
        let rules = rules();
        let [a, b] = [a, b].map(|shift| Replicates::draw(&model(shift), &round(&rules)).unwrap());
        let (forth, back) = (a.minus(&b).unwrap(), b.minus(&a).unwrap());
        let estimate = forth.estimate;
        prop_assert!(estimate.low_ppm <= estimate.value_ppm && estimate.value_ppm <= estimate.high_ppm);
        // Rounding halves up leaves at most one millionth between a number and its mirror.
        prop_assert!((estimate.low_ppm + back.estimate.high_ppm).abs() <= 1);
        prop_assert_eq!(forth.standard_error_ppm, back.standard_error_ppm);
    }

    #[test]
    fn a_larger_margin_is_never_easier(shift in 0usize..40, small in 0u32..20_000, more in 0u32..20_000) {
        let rules = rules();
        let pair = Pair::new(&model(shift), &model(1), &round(&rules)).unwrap();
        let [easy, hard] = [small, small + more].map(|epsilon| pair.p_value(epsilon, LEVEL).ppb());
        // More draws are hits, so the stop comes no later; what differs is never in favour.
        prop_assert!(hard >= easy);
    }
}

#[test]
fn whether_a_p_value_meets_its_level_is_known_before_its_figure_is() {
    for (ppm, shared_by) in [(2_000, 1), (2_000, 8), (50_000, 1), (200_000, 3), (500_000, 1), (1_600, 1)] {
        let level = Level { ppm, shared_by: NonZeroU32::new(shared_by).unwrap() };
        let nominal = f64::from(ppm) / 1e6 / f64::from(shared_by);
        for (seed, share) in (0u64..).zip([0.0, 0.3, 0.8, 0.95, 1.0, 1.05, 1.3, 3.0, 100.0].repeat(3)) {
            let chance = (nominal * share * 2f64.powi(64)) as u64;
            let (mut asked, mut answered) = (0, 0);
            let hit = |draw: u32, asked: &mut u32| {
                *asked += 1;
                scrambled((seed << 32) + u64::from(draw)) < chance
            };
            let p = SequentialP::of(level.draws_max(), |draw| hit(draw, &mut asked));
            let meets = SequentialP::meets(level, |draw| hit(draw, &mut answered));
            assert_eq!(meets, p.at_most(ppm, shared_by), "{ppm} by {shared_by}, {share}: {p:?}");
            assert!(answered <= asked);
        }
    }
}

/// A number that looks random (Steele, Lea & Flood 2014: splitmix64).
fn scrambled(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Answers of two models on so many items, of which the first is right on `gain` items in a thousand more, and how far apart two
/// such models err.
fn drawn_pair(items: u64, gain: u64) -> [Outcomes; 2] {
    let one = |which: u64| {
        let share = |index: u64, salt: u64| scrambled(index * 64 + salt) >> 44;
        let right = |index: u64| match (share(index, 0) * 1_000) >> 20 {
            0..779 => true,
            979.. => false,
            _ => (share(index, 1 + which) * 1_000) >> 20 < 700 + if which == 0 { 5 * gain } else { 0 },
        };
        let js = |index: u64| ((share(index, 3 + which) * if right(index) { 60_000 } else { 500_000 }) >> 20) as u32;
        let mut values = model(1).values().clone();
        values.right = (0..items).map(right).collect();
        values.js_micronats = (0..items).map(js).collect();
        Outcomes::new(values).unwrap()
    };
    [one(0), one(1)]
}

#[test]
fn resampling_by_kinds_decides_as_resampling_items_does() {
    let rules = ScoreRules::default();
    for (items, gain, correct) in [(2_500, 18, 95), (2_500, 20, 93), (5_000, 15, 95), (800, 25, 95)] {
        let [challenger, champion] = drawn_pair(items, gain);
        let round = Basis { ceiling: Ceiling { correct, items: 100 }, ..round(&rules) };
        let pair = Pair::new(&challenger, &champion, &round).unwrap();
        let fine = Level { ppm: 1_000, shared_by: NonZeroU32::MIN };
        let p = pair.p_value(1_000, fine);
        // The error of each is a fifth at most, so half and twice the figure are decided.
        let ppm = (p.ppb() / 1_000) as u32;
        assert!((2_000..300_000).contains(&ppm), "{items} {gain}: {ppm}");
        let better = |ppm| pair.is_better(1_000, Level { ppm, shared_by: NonZeroU32::MIN });
        assert!(better(ppm * 2) && !better(ppm / 2), "{items} {gain}: {ppm}");
    }
}
