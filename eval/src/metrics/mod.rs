//! What logits are worth beside labels and a teacher: pure functions, one file each, run in the parent only.
//!
//! Inside they are f64, with logarithms from `libm` so that every machine gets the same bits; what goes into a report
//! is an integer. They don't know where logits come from.

mod accuracy;
mod calibration;
mod fidelity;
mod flips;

pub use accuracy::{Accuracy, accuracy};
pub use calibration::calibration;
pub use datasets::arg_max;
pub use fidelity::{divergences, fidelity, perfect_fidelity};
pub use flips::{Flips, flips};

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
