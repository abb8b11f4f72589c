//! The verdict on measurements of honest models that were recorded, and on cheats made out of them.
//!
//! `golden/latencies.json` was recorded by `retort bench latency --checks --json`: untrained and trained models of every
//! family beside busy processes. No test here reads a clock.

use protocol::latency::{Breach, FollowUp, LatencyVerdict, REPEATED_ITEM_PPM_MAX, follow_up, judge, repeated_gain_ppm};
use protocol::report::{Estimate, Latency, LatencyCheck};
use protocol::score::PPM;
use serde::Deserialize;

/// A measurement of an honest model.
#[derive(Deserialize)]
struct Recorded {
    model: String,
    /// How much one repeated item sped the model up, and its random twin.
    cache_gain_ppm: [i64; 2],
    latency: Latency,
}

fn recorded() -> Vec<Recorded> {
    serde_json::from_str(include_str!("golden/latencies.json")).unwrap()
}

/// Those that a rank may rest on.
fn sound() -> Vec<Recorded> {
    recorded().into_iter().filter(|honest| judge(&honest.latency).is_sound()).collect()
}

/// So many millionths of a check's ratio.
fn scale(check: &mut LatencyCheck, share_ppm: i64) {
    let scaled = |ppm: i64| ppm * share_ppm / PPM;
    let Estimate { value_ppm, low_ppm, high_ppm } = check.ratio;
    check.ratio = Estimate { value_ppm: scaled(value_ppm), low_ppm: scaled(low_ppm), high_ppm: scaled(high_ppm) };
}

#[test]
fn no_recorded_honest_model_is_a_cheat() {
    for honest in recorded() {
        let verdict = judge(&honest.latency);
        assert!(!matches!(verdict, LatencyVerdict::Breach(_)), "{}: {verdict}", honest.model);
    }
    assert!(sound().len() >= 10, "too few to say anything");
}

#[test]
fn what_the_processors_caches_give_is_the_twins_as_well() {
    // Held against itself on distinct items alone, each of these was suspect: the limit was what the twin is allowed now.
    let both_sped_up = |honest: &&Recorded| honest.cache_gain_ppm.into_iter().min() > Some(PPM + REPEATED_ITEM_PPM_MAX);
    let all = recorded();
    let gaining: Vec<&Recorded> = all.iter().filter(both_sped_up).collect();
    assert!(gaining.len() >= 3, "too few to say anything");
    for honest in gaining {
        let gain = repeated_gain_ppm(&honest.latency.checks);
        assert!((gain - PPM).abs() < REPEATED_ITEM_PPM_MAX, "{}: {gain}", honest.model);
    }
}

/// What a cheat does to a measurement, and the check that is to find it.
type Cheat = (&'static str, fn(&mut Latency), Breach);

const CHEATS: [Cheat; 5] = [
    ("gives its last answer again", |l| scale(&mut l.checks.repeated_item, 300_000), Breach::RepeatedItem),
    (
        "saves a third of the work on an item that it knows",
        |l| scale(&mut l.checks.repeated_item, 667_000),
        Breach::RepeatedItem,
    ),
    ("is slower on items that it wasn't tuned to", |l| scale(&mut l.checks.other_items, 1_200_000), Breach::OtherItems),
    (
        "remembers every answer, or leaves out what its weights make needless",
        |l| {
            scale(&mut l.checks.random_twin, 500_000);
            scale(&mut l.checks.repeated_item, 500_000);
        },
        Breach::RandomTwin,
    ),
    ("computes less while it is timed", |l| l.checks.output_delta_micro_max = 1_000, Breach::Outputs),
];

#[test]
fn every_cheat_is_found_in_every_recorded_measurement() {
    for (what, change, breach) in CHEATS {
        for mut cheat in sound() {
            change(&mut cheat.latency);
            let found = judge(&cheat.latency);
            assert_eq!(found, LatencyVerdict::Breach(breach), "{} that {what}", cheat.model);
            let first = follow_up(&[], found, 3);
            let expected = if breach == Breach::Outputs { FollowUp::Reject(breach) } else { FollowUp::Repeat };
            assert_eq!((first, follow_up(&[found], found, 3)), (expected, FollowUp::Reject(breach)), "{what}");
        }
    }
}
