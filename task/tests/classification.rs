//! Metrics against numbers computed by an independent program in exact or 64-bit arithmetic (Python's `math`).

use protocol::report::{Calibration, Fidelity};
use task::classification as metrics;

const STUDENT: [f32; 18] =
    [2.0, 0.5, -1.0, 0.1, 0.2, 0.3, -1.0, 3.0, 0.0, 0.5, 0.5, -2.0, 4.0, -4.0, 1.0, 1.5, 1.0, 1.25];
const TEACHER: [f32; 18] =
    [1.5, 0.0, -0.5, 1.0, 0.2, -0.3, -2.0, 2.5, 0.5, 0.1, 0.9, -1.0, 3.0, -1.0, 2.0, -0.5, 1.0, 0.75];
const LABELS: [u16; 6] = [0, 2, 1, 1, 2, 1];

#[test]
fn answers_are_counted_by_truth_and_answer() {
    let accuracy = metrics::accuracy(&STUDENT, &LABELS, 3, 2);
    assert_eq!((accuracy.correct, accuracy.public_correct), (3, 2));
    assert_eq!(accuracy.confusion, [[1, 0, 0], [2, 1, 0], [1, 0, 1]]);
}

#[test]
fn answers_among_many_classes_are_counted_without_a_matrix() {
    let mut logits = vec![0.0; 3 * 300];
    for (item, answer) in [299, 7, 256].into_iter().enumerate() {
        logits[item * 300 + answer] = 1.0;
    }
    let accuracy = metrics::accuracy(&logits, &[299, 256, 256], 300, 2);
    assert_eq!((accuracy.correct, accuracy.public_correct), (2, 1));
    assert!(accuracy.confusion.is_empty(), "300 x 300 counts are no part of a report");
}

#[test]
fn a_tie_goes_to_the_first_class() {
    assert_eq!(metrics::arg_max(&[0.5, 0.5, -2.0]), 0);
    assert_eq!(metrics::arg_max(&[-1.0, -0.5, -0.5]), 1);
}

#[test]
fn fidelity_equals_the_golden_values() {
    let golden = Fidelity { agreement: 3, kl_micronats: 153_733, js_micronats: 34_869, js_micronats_se: 10_351 };
    assert_eq!(metrics::fidelity(&STUDENT, &TEACHER, 3), golden);
}

#[test]
fn a_model_is_perfectly_faithful_to_itself() {
    assert_eq!(metrics::fidelity(&STUDENT, &STUDENT, 3), metrics::perfect_fidelity(6));
}

#[test]
fn opposite_certainties_are_ln_2_apart_and_nothing_overflows() {
    let far = metrics::fidelity(&[3e38, -3e38, -3e38, 3e38], &[-3e38, 3e38, 3e38, -3e38], 2);
    assert_eq!((far.agreement, far.js_micronats, far.js_micronats_se), (0, 693_147, 0));
    assert_eq!(far.kl_micronats, (1 << 53) - 1, "6e38 nats are beyond JSON's integers and stay at their end");
}

#[test]
fn calibration_equals_the_golden_values() {
    let golden = Calibration { ece_ppm: 439_211, brier_ppm: 640_168, nll_micronats: 1_076_792 };
    assert_eq!(metrics::calibration(&STUDENT, &LABELS, 3), golden);
}

#[test]
fn certain_and_right_is_perfectly_calibrated_and_certain_and_wrong_is_worst() {
    let certain = [100.0, 0.0, 0.0, 100.0];
    assert_eq!(metrics::calibration(&certain, &[0, 1], 2), Calibration::default());
    let worst = Calibration { ece_ppm: 1_000_000, brier_ppm: 2_000_000, nll_micronats: 100_000_000 };
    assert_eq!(metrics::calibration(&certain, &[1, 0], 2), worst);
}

#[test]
fn flips_are_counted_in_both_directions() {
    assert_eq!(metrics::flips(&STUDENT, &TEACHER, &LABELS, 3), metrics::Flips { negative: 2, positive: 1 });
}
