//! How far probabilities can be trusted: expected calibration error (Guo et al. 2017, 15 bins of equal width), the
//! multi-class Brier score (Brier 1950, 0 to 2) and the negative log-likelihood.

use super::{arg_max, log_softmax, micro};
use protocol::report::Calibration;

/// Bins of the calibration error, as usual in the literature.
const BINS: usize = 15;

/// Items whose confidence falls into one bin.
#[derive(Clone, Copy, Default)]
struct Bin {
    confidence: f64,
    correct: f64,
}

/// Compares the probabilities of `logits` `[items, classes]` with `labels`.
pub fn calibration(logits: &[f32], labels: &[u16], classes: usize) -> Calibration {
    let items = (labels.len() as f64).max(1.0);
    let mut bins = [Bin::default(); BINS];
    let (mut brier, mut nll) = (0.0, 0.0);
    for (logits, label) in logits.chunks_exact(classes).zip(labels) {
        let (ln_p, truth, answer) = (log_softmax(logits), usize::from(*label), arg_max(logits));
        let probabilities: Vec<f64> = ln_p.iter().map(|x| libm::exp(*x)).collect();
        let bin = &mut bins[bin_of(probabilities[answer])];
        bin.confidence += probabilities[answer];
        bin.correct += f64::from(u8::from(answer == truth));
        brier += squared_distance(&probabilities, truth);
        nll -= ln_p[truth];
    }
    let gap: f64 = bins.iter().map(|bin| (bin.correct - bin.confidence).abs()).sum();
    Calibration {
        ece_ppm: micro(gap / items) as u32,
        brier_ppm: micro(brier / items) as u32,
        nll_micronats: micro(nll / items),
    }
}

/// Bins are half-open: confidence c is in bin b when b < 15 c <= b + 1.
fn bin_of(confidence: f64) -> usize {
    (libm::ceil(confidence * BINS as f64) as usize).clamp(1, BINS) - 1
}

fn squared_distance(probabilities: &[f64], truth: usize) -> f64 {
    let distance = |(class, p): (usize, &f64)| {
        let d = p - f64::from(u8::from(class == truth));
        d * d
    };
    probabilities.iter().enumerate().map(distance).sum()
}
