//! Scores, intervals and ranks against figures computed by hand.

use protocol::Digest;
use protocol::report::{
    Calibration, Cost, DataSeen, Estimate, Fidelity, Host, Latency, Phases, Quality, REPORT_FORMAT, Report,
};
use protocol::score::{Ceiling, Contender, PPM, ScoreRules, difference, half_widths, rank, score, wilson};

fn report(correct: u32, ratio_ppm: i64, size_bytes: u64, js_micronats: u64) -> Report {
    Report {
        format: REPORT_FORMAT.into(),
        package_sha256: Digest::of(b""),
        engine: "test".into(),
        host: Host::default(),
        device: "flex".into(),
        on_backend: None,
        data: DataSeen { images_sha256: Digest::of(b""), seed: 0, items: 10_000, public_items: 5_000 },
        outputs_sha256: Digest::of(b""),
        quality: Quality { correct, public_correct: 0, confusion: vec![], negative_flips: 0, positive_flips: 0 },
        fidelity: Fidelity { agreement: correct, js_micronats, ..Fidelity::default() },
        calibration: Calibration::default(),
        latency: Latency {
            ratio: Estimate { value_ppm: ratio_ppm, low_ppm: ratio_ppm * 99 / 100, high_ppm: ratio_ppm * 101 / 100 },
            ..Latency::default()
        },
        cost: Cost { size_bytes, ..Cost::default() },
        phases_ms: Phases::default(),
    }
}

const TEACHER: Ceiling = Ceiling { correct: 9_500, items: 10_000 };

#[test]
fn a_difference_of_shares_has_the_papers_interval() {
    // Newcombe (1998), table II, (a): 56 of 70 and 48 of 80.
    let found = difference(wilson(56, 70), wilson(48, 80));
    assert_eq!(found.value_ppm, 200_000);
    assert!((found.low_ppm - 52_400).abs() < 100 && (found.high_ppm - 333_900).abs() < 100, "{found:?}");
}

#[test]
fn wilsons_interval_is_the_formulas() {
    // The formula in Python floats: 0.924832325522095, 0.934837435879123.
    let estimate = wilson(9_300, 10_000);
    assert_eq!((estimate.value_ppm, estimate.low_ppm, estimate.high_ppm), (930_000, 924_832, 934_837));
    assert_eq!(wilson(0, 0), Estimate { value_ppm: 0, low_ppm: 0, high_ppm: PPM });
    assert_eq!(wilson(10, 10).high_ppm, PPM);
}

#[test]
fn a_perfect_copy_of_the_teacher_at_the_best_corner_scores_one() {
    let rules = ScoreRules::default();
    let best = score(&report(9_500, 10_000, 10_000, 0), TEACHER, &rules);
    assert_eq!(best.composite.value_ppm, PPM);
    assert!(best.gate);
}

#[test]
fn the_composite_is_the_weighted_sum_of_its_utilities() {
    // u_acc = (.93 - .8)/(.95 - .8), u_fid = 1 - .05/ln 2, u_lat = ln(20/2)/ln(20/1), u_size = ln 10/ln(2000/22).
    let made = score(&report(9_300, 2_000_000, 200_000, 50_000), TEACHER, &ScoreRules::default());
    let utilities = made.utilities_ppm;
    let found = [utilities.accuracy, utilities.fidelity, utilities.latency, utilities.size];
    assert_eq!(found, [866_667, 927_865, 768_622, 510_567]);
    assert_eq!(made.composite.value_ppm, 823_687);
}

#[test]
fn cost_earns_nothing_beyond_saturation_and_weighs_less_than_a_third() {
    let rules = ScoreRules::default();
    let at = |ratio_ppm, size_bytes| score(&report(9_300, ratio_ppm, size_bytes, 50_000), TEACHER, &rules).composite;
    let (reference, mlp) = (at(1_000_000, 22_000), at(40_000, 5_000));
    assert_eq!(reference.value_ppm, mlp.value_ppm, "an MLP's speed and size are worth no more than the reference's");
    assert!(reference.value_ppm > at(2_000_000, 22_000).value_ppm);
    assert!(rules.weights.latency_ppm + rules.weights.size_ppm <= 300_000);
}

#[test]
fn below_the_gate_nothing_counts() {
    let made = score(&report(8_549, 10_000, 10_000, 0), TEACHER, &ScoreRules::default());
    assert!(!made.gate, "85.49 % is below 90 % of 95 %");
    assert_eq!(made.composite, Estimate::default());
    assert!(score(&report(8_550, 10_000, 10_000, 0), TEACHER, &ScoreRules::default()).gate);
}

#[test]
fn ties_go_to_the_earlier_and_order_of_input_does_not_matter() {
    let contender = |key: &'static str, score_ppm, arrival| Contender { key, score_ppm, arrival };
    let a = rank(vec![contender("late", 5, 9), contender("best", 7, 8), contender("early", 5, 1)]);
    let b = rank(vec![contender("early", 5, 1), contender("late", 5, 9), contender("best", 7, 8)]);
    assert_eq!(a, b);
    assert_eq!(a.iter().map(|c| c.key).collect::<Vec<_>>(), ["best", "early", "late"]);
}

#[test]
fn half_widths_are_the_wider_sides_of_the_intervals() {
    // Accuracy .93 is .924832 to .934837 by Wilson, over .15; latency: ln(1 / .99) / ln(20 / 1) and no divergence known.
    let found = half_widths(&report(9_300, 2_000_000, 100_000, 50_000), TEACHER, &ScoreRules::default());
    assert_eq!([found.accuracy, found.fidelity, found.latency, found.size], [34_453, 0, 3_355, 0]);
}

proptest::proptest! {
    #[test]
    fn better_on_any_axis_never_scores_less(correct in 8_600u32..9_500, ratio in 20_000i64..5_000_000, size in 20_000u64..3_000_000, js in 0u64..600_000) {
        let rules = ScoreRules::default();
        let base = score(&report(correct, ratio, size, js), TEACHER, &rules).composite;
        let better = [
            report(correct + 1, ratio, size, js),
            report(correct, ratio - 1_000, size, js),
            report(correct, ratio, size - 1_000, js),
            report(correct, ratio, size, js / 2),
        ];
        for report in better {
            proptest::prop_assert!(score(&report, TEACHER, &rules).composite.value_ppm >= base.value_ppm);
        }
        proptest::prop_assert!(base.low_ppm <= base.value_ppm && base.value_ppm <= base.high_ppm);
    }
}

#[test]
fn below_the_gate_beyond_doubt_is_what_no_chance_explains() {
    use protocol::score::Scale;
    let rules = ScoreRules { gate_ppm: 900_000, ..ScoreRules::default() };
    let scale = Scale::new(&rules, Ceiling { correct: 9_500, items: 10_000 });
    // The gate is at 85.5 %; four standard errors of 10,000 items are 1.3 points.
    let least = scale.hopeless_below(10_000);
    assert!((8_400..8_450).contains(&least), "{least}");
    assert!(!scale.gate(i64::from(least - 1) * 100) && scale.gate(855_000));
    // Few items leave room for chance, and none at all for everything.
    assert!((55..75).contains(&scale.hopeless_below(100)), "{}", scale.hopeless_below(100));
    assert_eq!(scale.hopeless_below(0), 0);
    let open = ScoreRules { gate_ppm: 0, ..ScoreRules::default() };
    assert_eq!(Scale::new(&open, Ceiling { correct: 9_500, items: 10_000 }).hopeless_below(10_000), 0, "no gate");
}
