//! What it would take to dethrone, against figures computed by hand.

use protocol::dethrone::{DethroneRules, EpsilonDecay};
use protocol::needs::Needs;
use protocol::report::Estimate;
use protocol::significance::Difference;

fn difference(value_ppm: i64, standard_error_ppm: i64) -> Difference {
    Difference { estimate: Estimate { value_ppm, low_ppm: value_ppm, high_ppm: value_ppm }, standard_error_ppm }
}

/// Levels of the tests' own, whatever the defaults are.
fn rules() -> DethroneRules {
    DethroneRules { alpha_public_ppm: 10_000, epsilon_ppm: 2_000, ..DethroneRules::default() }
}

#[test]
fn the_lead_needed_is_epsilon_and_a_quantile_of_the_paired_error() {
    // z(0.01) = 2.326348, so 2,000 + 2.326348 * 1,600 = 5,722.2, rounded up; 300 behind makes 6,023 missing.
    let needs = Needs::of(&difference(-300, 1_600), 5_000, &rules());
    assert_eq!((needs.lead_ppm, needs.missing_ppm), (5_723, 6_023));
    let sentence = "To challenge for the seat: +0.61 points of score on 5,000 public items at alpha 0.01 and epsilon \
                    0.002, the paired standard error being 0.16.";
    assert_eq!(needs.to_string(), sentence);
}

#[test]
fn other_levels_and_margins_ask_for_other_leads() {
    let decay = EpsilonDecay { from_ppm: 5_000, to_ppm: 500, days: 7 };
    let decaying = DethroneRules { alpha_public_ppm: 50_000, epsilon_decay: Some(decay), ..rules() };
    // z(0.05) = 1.644854, so 5,000 + 1,644.9, rounded up.
    assert_eq!(Needs::of(&difference(0, 1_000), 100, &decaying).lead_ppm, 6_645);
    let coin = DethroneRules { alpha_public_ppm: 500_000, ..rules() };
    assert_eq!(Needs::of(&difference(0, 1_000_000), 100, &coin).lead_ppm, 2_000);
}

#[test]
fn who_is_far_enough_ahead_lacks_nothing_and_an_exact_copy_lacks_the_margin() {
    let needs = |value, error| Needs::of(&difference(value, error), 1_234_567, &rules());
    assert_eq!(needs(5_723, 1_600).missing_ppm, 0);
    assert!(needs(9_000, 1_600).to_string().starts_with("Far enough ahead to challenge on 1,234,567 public items"));
    assert_eq!((needs(5_722, 1_600).missing_ppm, needs(0, 0).missing_ppm), (1, 2_000));
}
