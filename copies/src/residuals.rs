//! What the teacher does not explain of a student's outputs.
//!
//! On each probe logits are standardised, z' = (z - mean) / deviation over the classes, so that neither a temperature
//! nor one loud probe decides. Then r = z'_student - a z'_teacher with a by least squares over all probes, centred for
//! each class. Independent students err from their teacher in different ways, a copy as its original does.
//! This module does NOT know which probes they were, nor how a model runs.

use crate::FingerprintError;
use protocol::Digest;

/// The largest residual as stored.
const LARGEST: f64 = 32_767.0;

/// Logits `[probes * classes]` of a student and of its teacher on the same probes.
#[derive(Clone, Copy, Debug)]
pub struct ProbeLogits<'a> {
    /// The student's.
    pub student: &'a [f32],
    /// The teacher's.
    pub teacher: &'a [f32],
}

impl ProbeLogits<'_> {
    /// Names the probes by what the teacher says of them.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.teacher.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
    }
}

/// The residuals, scaled so that the largest is 32,767.
pub(crate) fn of(logits: &ProbeLogits<'_>, classes: u32) -> Result<Vec<i16>, FingerprintError> {
    let classes = classes as usize;
    let (student, teacher) = (logits.student, logits.teacher);
    let wrong = |what: String| Err(FingerprintError::Probes(what));
    if student.len() != teacher.len() || student.is_empty() || !student.len().is_multiple_of(classes.max(1)) {
        return wrong(format!("{} of the student, {} of the teacher, {classes} classes", student.len(), teacher.len()));
    }
    if let Some(index) = student.iter().chain(teacher).position(|value| !value.is_finite()) {
        return wrong(format!("value {index} is not finite"));
    }
    let (student, teacher) = (standardised(student, classes), standardised(teacher, classes));
    let explained = product(&student, &teacher) / product(&teacher, &teacher).max(f64::MIN_POSITIVE);
    let mut residuals: Vec<f64> = student.iter().zip(&teacher).map(|(s, t)| s - explained * t).collect();
    centre(&mut residuals, classes);
    let largest = residuals.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    // What the teacher explains to rounding leaves nothing to correlate.
    let scale = if largest > 1e-6 { LARGEST / largest } else { 0.0 };
    Ok(residuals.iter().map(|value| (value * scale).round() as i16).collect())
}

/// The correlation of two models' residuals, ppm; nothing where one has none.
pub(crate) fn correlation_ppm(a: &[i16], b: &[i16]) -> Option<i32> {
    if a.len() != b.len() {
        return None;
    }
    let dot = |a: &[i16], b: &[i16]| -> i64 { a.iter().zip(b).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum() };
    let (both, first, second) = (dot(a, b), dot(a, a), dot(b, b));
    if first == 0 || second == 0 {
        return None;
    }
    // Square root, product and quotient are exact to the last bit on every machine (IEEE 754).
    let correlation = both as f64 / ((first as f64).sqrt() * (second as f64).sqrt());
    Some((correlation * 1e6).round() as i32)
}

/// (z - mean) / deviation of each probe; zeros where all classes are equal.
fn standardised(logits: &[f32], classes: usize) -> Vec<f64> {
    let mut values: Vec<f64> = logits.iter().map(|value| f64::from(*value)).collect();
    for probe in values.chunks_mut(classes) {
        let mean = probe.iter().sum::<f64>() / classes as f64;
        probe.iter_mut().for_each(|value| *value -= mean);
        let deviation = (probe.iter().map(|value| value * value).sum::<f64>() / classes as f64).sqrt();
        let factor = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
        probe.iter_mut().for_each(|value| *value *= factor);
    }
    values
}

/// Takes each class's mean over the probes away.
fn centre(values: &mut [f64], classes: usize) {
    let probes = (values.len() / classes) as f64;
    let mut means = vec![0.0; classes];
    values.chunks(classes).for_each(|probe| means.iter_mut().zip(probe).for_each(|(mean, value)| *mean += value));
    values
        .chunks_mut(classes)
        .for_each(|probe| probe.iter_mut().zip(&means).for_each(|(value, mean)| *value -= mean / probes));
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
