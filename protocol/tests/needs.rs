//! What it would have taken to dethrone, against figures computed by hand.

use protocol::dethrone::{Comparison, Rule, Verdict};
use protocol::needs::Needs;
use protocol::report::Estimate;
use protocol::significance::{Disputed, SequentialP};

/// A bout with this difference and paired standard error, at a level of .01 and a margin of .002.
fn verdict(value_ppm: i64, standard_error_ppm: f64, items: u64) -> Verdict {
    let half = (1.959_964 * standard_error_ppm).round() as i64;
    let comparison = Comparison {
        accuracy: Disputed { items, challenger_only: 0, champion_only: 0 }.test(),
        composite: Estimate { value_ppm, low_ppm: value_ppm - half, high_ppm: value_ppm + half },
        p: SequentialP { hits: 32, draws: 64 },
    };
    Verdict {
        rule: Rule::HiddenNotBetter,
        epsilon_ppm: 2_000,
        alpha_hidden_ppm: 10_000,
        shared_by: 1,
        rounds: 1,
        hidden: Some(comparison),
    }
}

fn needs(value_ppm: i64, standard_error_ppm: f64) -> Needs {
    Needs::of(&verdict(value_ppm, standard_error_ppm, 1_234_567)).unwrap()
}

#[test]
fn the_lead_needed_is_epsilon_and_a_quantile_of_the_paired_error() {
    // z(0.01) = 2.326348, so 2,000 + 2.326348 * 1,600 = 5,722.2, rounded up; 300 behind makes 6,023 missing.
    let needs = Needs::of(&verdict(-300, 1_600.0, 5_000)).unwrap();
    assert_eq!((needs.lead_ppm, needs.missing_ppm, needs.standard_error_ppm), (5_723, 6_023, 1_600));
    let sentence = "To take the seat: +0.61 points of score on 5,000 fresh items at alpha 0.01 and epsilon 0.002, the \
                    paired standard error being 0.16.";
    assert_eq!(needs.to_string(), sentence);
}

#[test]
fn a_level_that_is_shared_asks_for_more() {
    // z(0.01 / 10) = 3.090232, so 2,000 + 3.090232 * 1,600 = 6,944.4.
    let shared = Needs::of(&Verdict { shared_by: 10, ..verdict(0, 1_600.0, 5_000) }).unwrap();
    assert!((6_944..=6_946).contains(&shared.lead_ppm), "{shared:?}");
    assert!(shared.to_string().contains("at alpha 0.01, shared by 10, and epsilon"), "{shared}");
    assert_eq!(Needs::of(&Verdict { hidden: None, ..verdict(0, 1.0, 1) }), None, "no bout, no forecast");
}

#[test]
fn who_is_far_enough_ahead_lacks_nothing_and_an_exact_copy_lacks_the_margin() {
    assert_eq!(needs(5_723, 1_600.0).missing_ppm, 0);
    assert!(needs(9_000, 1_600.0).to_string().starts_with("Far enough ahead on 1,234,567 fresh items"));
    assert_eq!((needs(5_722, 1_600.0).missing_ppm, needs(0, 0.0).missing_ppm), (1, 2_000));
}
