//! Classification: which class of several an item is, beside labels and a teacher. Pure functions, one file a kind of figure.
//!
//! Inside they are f64, with logarithms from `libm` so that every machine gets the same bits; what goes into a report
//! is an integer. They don't know where logits come from.

mod accuracy;
mod calibration;
mod fidelity;
mod flips;

pub use accuracy::{Accuracy, accuracy};
pub use calibration::calibration;
pub use fidelity::{divergences, fidelity, perfect_fidelity};
pub use flips::{Flips, flips};
pub use protocol::evaluation::arg_max;

use protocol::evaluation::Truth;
use protocol::report::{Calibration, Fidelity, Quality};

/// What logits come to beside the truth.
pub(crate) struct Marks {
    pub(crate) quality: Quality,
    pub(crate) fidelity: Fidelity,
    pub(crate) calibration: Calibration,
    /// Whether each answer is right.
    pub(crate) right: Vec<bool>,
    /// How far each is from the teacher's.
    pub(crate) js_micronats: Vec<u32>,
}

/// Whether this can be the truth of so many items.
///
/// # Errors
/// What doesn't fit.
pub(crate) fn check(truth: &Truth, items: usize) -> Result<(), String> {
    let (labels, public) = (truth.labels.len(), truth.public as usize);
    let teacher = truth.teacher_logits.as_ref().map_or(items, |logits| logits.len());
    let checks = [
        (items > 0 && labels == items, format!("{labels} labels of {items} items")),
        (public <= items, format!("{public} public items of {items}")),
        (
            teacher > 0 && items > 0 && teacher.is_multiple_of(items),
            format!("{teacher} teacher logits of {items} items"),
        ),
    ];
    checks.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, what)| Err(what))
}

/// Right answers among logits `[items, classes]`; none where those are no whole rows.
pub(crate) fn correct(truth: &Truth, logits: &[f32]) -> u32 {
    let classes = logits.len().checked_div(truth.labels.len()).unwrap_or(0);
    if classes == 0 { 0 } else { accuracy(logits, &truth.labels, classes, 0).correct }
}

/// Holds finite logits `[items, classes]` against a truth that was [checked](check).
///
/// # Errors
/// Labels or a teacher of other classes.
pub(crate) fn marks(truth: &Truth, logits: &[f32], classes: usize) -> Result<Marks, String> {
    let Truth { labels, public, teacher_logits: teacher } = truth;
    if labels.iter().any(|label| usize::from(*label) >= classes) {
        return Err(format!("a label over {classes} classes"));
    }
    if let Some(teacher) = teacher.as_ref().filter(|teacher| teacher.len() != logits.len()) {
        return Err(format!("{} teacher logits beside {}", teacher.len(), logits.len()));
    }
    let Accuracy { correct, public_correct, confusion } = accuracy(logits, labels, classes, *public);
    let flips = teacher.as_ref().map(|teacher| flips(logits, teacher, labels, classes)).unwrap_or_default();
    let (fidelity, js_micronats) = match teacher {
        Some(teacher) => (fidelity(logits, teacher, classes), divergences(logits, teacher, classes)),
        None => (perfect_fidelity(labels.len() as u32), vec![0; labels.len()]),
    };
    let is_right = |(answer, label): (usize, &u16)| answer == usize::from(*label);
    Ok(Marks {
        quality: Quality {
            correct,
            public_correct,
            confusion,
            negative_flips: flips.negative,
            positive_flips: flips.positive,
        },
        fidelity,
        calibration: calibration(logits, labels, classes),
        right: answers(logits, classes).into_iter().zip(labels.iter()).map(is_right).collect(),
        js_micronats,
    })
}

/// The answer to every item.
pub fn answers(logits: &[f32], classes: usize) -> Vec<usize> {
    logits.chunks_exact(classes).map(arg_max).collect()
}

/// ln softmax, computed around the largest logit so that nothing overflows.
pub fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = f64::from(logits[arg_max(logits)]);
    let shifted: Vec<f64> = logits.iter().map(|logit| f64::from(*logit) - largest).collect();
    let ln_sum = libm::log(shifted.iter().map(|x| libm::exp(*x)).sum());
    shifted.into_iter().map(|x| x - ln_sum).collect()
}

/// The largest integer that every JSON reader keeps exactly.
const JSON_INTEGER_MAX: f64 = ((1u64 << 53) - 1) as f64;

/// Parts per million or micro-units, rounded to nearest. Never below 0, which only rounding errors are, and never
/// beyond what JSON holds, where only absurd logits lead.
fn micro(value: f64) -> u64 {
    libm::round(value * 1e6).clamp(0.0, JSON_INTEGER_MAX) as u64
}
