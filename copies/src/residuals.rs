//! What a model says of items, and what the teacher does not explain of it.
//!
//! On each item logits are standardised, z' = (z - mean) / deviation over the classes, so that neither a temperature
//! nor one loud item decides. Then r = z'_student - a z'_teacher with a by least squares over all items, centred for
//! each class. Independent students err from their teacher in different ways, a copy as its original does.
//! The teacher itself has no r: against it z' is compared directly, by the share of its variance that isn't explained.
//! Items are a competition's secret probes, or the fresh ones of a round: this module does NOT know which, nor how a
//! model runs.

use crate::FingerprintError;
use protocol::Digest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// On fewer fresh items than this two honest models may err alike by chance.
pub const FRESH_ITEMS_MIN: u32 = 100;

/// The largest residual as stored.
const LARGEST: f64 = 32_767.0;

/// Logits `[items * classes]` of a student and of its teacher on the same items.
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

/// What two models' outputs on the same items have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputEvidence {
    /// rc: correlation of what the teacher doesn't explain of either, ppm; nothing where it explains all of one.
    pub residual_correlation_ppm: Option<i32>,
    /// Share of one's standardised outputs that the other's don't explain, ppm: 1 - r^2; nothing where one says nothing.
    pub unexplained_ppm: Option<i32>,
}

/// Compares what two models say of the same items, beside their teacher: for items that no fingerprint holds, such as
/// the fresh ones of a round. Logits are `[items * classes]`; the second model may be the teacher itself.
///
/// # Errors
/// When they are not of the same length, or not finite.
pub fn compare_outputs(
    first: &[f32],
    second: &[f32],
    teacher: &[f32],
    classes: u32,
) -> Result<OutputEvidence, FingerprintError> {
    let [first, second] = [first, second].map(|student| answers(&ProbeLogits { student, teacher }, classes));
    let (first, second) = (first?, second?);
    Ok(OutputEvidence {
        residual_correlation_ppm: correlation_ppm(&first.residuals, &second.residuals),
        unexplained_ppm: unexplained_ppm(&first.outputs, &second.outputs),
    })
}

/// Which pairs of models say the same of a round's fresh items, with their rc there, ppm: it reaches `threshold_ppm`.
/// Everybody is compared on the items that all were asked, a prefix of the draw: logits are `[items * classes]`, and
/// those of the shortest decide. Whose logits aren't finite is compared with nobody.
///
/// # Errors
/// When the teacher's logits are not finite, or fewer than a student's.
pub fn same_on_items(
    students: &[&[f32]],
    teacher: &[f32],
    classes: u32,
    threshold_ppm: i32,
) -> Result<Vec<(usize, usize, i32)>, FingerprintError> {
    let Some(common) = students.iter().map(|student| student.len()).min() else { return Ok(Vec::new()) };
    let wrong = |problem: &str| FingerprintError::Probes(problem.to_owned());
    let teacher = teacher.get(..common).ok_or_else(|| wrong("the teacher's are fewer than a student's"))?;
    if teacher.iter().any(|value| !value.is_finite()) {
        return Err(wrong("the teacher's are not finite"));
    }
    let all: Vec<Option<Answers>> = students
        .iter()
        .map(|student| answers(&ProbeLogits { student: &student[..common], teacher }, classes).ok())
        .collect();
    let mut same = Vec::new();
    for (b, second) in all.iter().enumerate() {
        for (a, first) in all.iter().enumerate().take(b) {
            let (Some(first), Some(second)) = (first, second) else { continue };
            let found = correlation_ppm(&first.residuals, &second.residuals);
            same.extend(found.filter(|ppm| *ppm >= threshold_ppm).map(|ppm| (a, b, ppm)));
        }
    }
    Ok(same)
}

/// What is kept of a model's logits on probes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// r, scaled so that the largest is 32,767.
    pub(crate) residuals: Vec<i16>,
    /// z', of which 32,767 is the square root of the number of classes: more it can't be.
    pub(crate) outputs: Vec<i16>,
}

/// Standardised outputs and residuals of a student.
pub(crate) fn answers(logits: &ProbeLogits<'_>, classes: u32) -> Result<Answers, FingerprintError> {
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
    let unit = LARGEST / (classes as f64).sqrt();
    Ok(Answers {
        residuals: residuals.iter().map(|value| (value * scale).round() as i16).collect(),
        outputs: student.iter().map(|value| (value * unit).round() as i16).collect(),
    })
}

/// The correlation of two models' residuals, ppm; nothing where one has none.
pub(crate) fn correlation_ppm(a: &[i16], b: &[i16]) -> Option<i32> {
    Some((correlation(a, b)? * 1e6).round() as i32)
}

/// The share of one's outputs that the other's don't explain, ppm. Who says the opposite explains nothing.
pub(crate) fn unexplained_ppm(a: &[i16], b: &[i16]) -> Option<i32> {
    let correlation = correlation(a, b)?.max(0.0);
    Some(((1.0 - correlation * correlation) * 1e6).round() as i32)
}

fn correlation(a: &[i16], b: &[i16]) -> Option<f64> {
    if a.len() != b.len() {
        return None;
    }
    let dot = |a: &[i16], b: &[i16]| -> i64 { a.iter().zip(b).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum() };
    let (both, first, second) = (dot(a, b), dot(a, a), dot(b, b));
    // Square root, product and quotient are exact to the last bit on every machine (IEEE 754).
    (first > 0 && second > 0).then(|| both as f64 / ((first as f64).sqrt() * (second as f64).sqrt()))
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
