//! Fingerprints as files, and residuals by hand. It does NOT compare models.

use crate::models::{MATCHED, MLP, Model, VIT};
use copies::{Fingerprint, FingerprintError, ProbeLogits, compare, compare_outputs};

const TEACHER: [f32; 12] = [3.0, 1.0, 0.0, -4.0, 0.5, 2.0, -1.0, 0.0, 1.0, -2.0, 4.0, 0.25];
const OTHER: [f32; 12] = [3.5, 0.5, -1.0, -2.0, 1.0, 3.0, -2.5, 0.5, 0.0, -2.0, 5.0, 1.5];
/// What TEACHER doesn't explain of STUDENT.
const UNEXPLAINED_PPM: i32 = 59_806;
const STUDENT: [f32; 12] = [2.0, 1.5, 0.0, -3.0, 1.5, 2.0, -1.5, 0.0, 1.0, -1.0, 3.0, 0.5];

fn with_logits(student: &[f32], teacher: &[f32]) -> Result<Fingerprint, FingerprintError> {
    let model = Model::random(MLP, 1);
    Fingerprint::new(&model.config_json, &model.safetensors(), Some(ProbeLogits { student, teacher }))
}

#[test]
fn a_fingerprint_survives_its_file_and_a_damaged_file_is_refused() {
    for architecture in MATCHED.into_iter().chain([VIT]) {
        let model = Model::random(architecture, 1);
        let print = Fingerprint::new(
            &model.config_json,
            &model.safetensors(),
            Some(ProbeLogits { student: &STUDENT, teacher: &TEACHER }),
        )
        .unwrap();
        let bytes = print.to_bytes().unwrap();
        assert_eq!(Fingerprint::from_bytes(&bytes).unwrap(), print);
        for end in [0, 7, 11, 40, bytes.len() - 1, bytes.len() - 2] {
            assert!(Fingerprint::from_bytes(&bytes[..end]).is_err(), "{architecture} cut at {end}");
        }
        assert!(Fingerprint::from_bytes(&[&bytes[..], &[0, 0]].concat()).is_err());
    }
}

#[test]
fn what_is_no_package_has_no_fingerprint() {
    let model = Model::random(MLP, 1);
    assert!(matches!(Fingerprint::new(b"{}", &model.safetensors(), None), Err(FingerprintError::Config(_))));
    let other = Model::random(VIT, 1);
    let mixed = Fingerprint::new(&model.config_json, &other.safetensors(), None);
    assert!(matches!(mixed, Err(FingerprintError::Weights(_))));
}

#[test]
fn logits_that_cannot_be_compared_are_refused() {
    assert!(with_logits(&STUDENT[..8], &TEACHER).is_err());
    assert!(with_logits(&STUDENT[..6], &TEACHER[..6]).is_err());
    assert!(with_logits(&[], &[]).is_err());
    let mut infinite = STUDENT;
    infinite[3] = f32::INFINITY;
    assert!(with_logits(&infinite, &TEACHER).is_err());
}

#[test]
fn a_temperature_and_a_shift_hide_nothing() {
    let plain = with_logits(&STUDENT, &TEACHER).unwrap();
    let hot: Vec<f32> = STUDENT.iter().map(|value| 0.1 * value + 5.0).collect();
    let hot = with_logits(&hot, &TEACHER).unwrap();
    assert!(compare(&plain, &hot).residual_correlation_ppm.unwrap() > 999_990);
}

#[test]
fn a_student_that_is_the_teacher_has_no_residual_and_other_probes_cannot_be_compared() {
    let plain = with_logits(&STUDENT, &TEACHER).unwrap();
    let teacher = with_logits(&TEACHER, &TEACHER).unwrap();
    assert_eq!(compare(&plain, &teacher).residual_correlation_ppm, None);
    let elsewhere = with_logits(&STUDENT, &STUDENT.map(|value| value * value)).unwrap();
    let evidence = compare(&plain, &elsewhere);
    assert_eq!((evidence.residual_correlation_ppm, evidence.unexplained_ppm), (None, None));
}

#[test]
fn the_teacher_explains_all_of_itself_and_of_a_student_what_it_shares() {
    let teacher = with_logits(&TEACHER, &TEACHER).unwrap();
    let hot: Vec<f32> = TEACHER.iter().map(|value| 0.1 * value + 5.0).collect();
    let hot = compare(&with_logits(&hot, &TEACHER).unwrap(), &teacher).unexplained_ppm.unwrap();
    assert!(hot <= 1, "{hot}");
    // By hand, in Python: 1 - (s . t)^2 / (s . s) (t . t) of the standardised rows.
    let student = compare(&with_logits(&STUDENT, &TEACHER).unwrap(), &teacher).unexplained_ppm.unwrap();
    assert!((student - UNEXPLAINED_PPM).abs() <= 2, "{student}");
    let opposite: Vec<f32> = TEACHER.iter().map(|value| -value).collect();
    let opposite = compare(&with_logits(&opposite, &TEACHER).unwrap(), &teacher).unexplained_ppm;
    assert_eq!(opposite, Some(1_000_000));
}

#[test]
fn outputs_on_items_without_a_fingerprint_say_the_same() {
    let of = compare_outputs(&STUDENT, &OTHER, &TEACHER, 4).unwrap();
    let [a, b] = [STUDENT, OTHER].map(|student| with_logits(&student, &TEACHER).unwrap());
    let evidence = compare(&a, &b);
    assert_eq!(of.residual_correlation_ppm, evidence.residual_correlation_ppm);
    assert_eq!(of.unexplained_ppm, evidence.unexplained_ppm);
    assert!(of.residual_correlation_ppm.unwrap() < 900_000);
    assert!(compare_outputs(&STUDENT, &OTHER[..8], &TEACHER, 4).is_err());
}
