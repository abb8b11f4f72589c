//! Tango's score interval of the difference of two paired shares.
//!
//! Source: Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the
//! paired-sample design", Statistics in Medicine 17. It keeps its coverage where the shares are near 1 and few items
//! are disputed, where Wald's fails. It does NOT know any rule: it is shown, it does not decide.

use super::Disputed;
use crate::report::Estimate;
use crate::score::Z_95;

/// Halvings of an interval of length 1: more than a double has bits.
const HALVINGS: u32 = 64;

/// The ends, as shares in [-1, 1], of the set of differences d = P(challenger right) - P(champion right) whose score
/// statistic is within ±`z`:
///
/// z(d) = (b - c - n d) / sqrt(n (2 q + d (1 - d))), q = (sqrt(B^2 - 4 A C) - B) / (2 A) the share of champion-only
/// items that is likeliest under d, A = 2 n, B = -b - c + (2 n - b + c) d, C = -c d (1 - d).
///
/// Found by bisection: z(d) falls as d grows. `(-1, 1)` of no items.
pub fn tango(disputed: &Disputed, z: f64) -> (f64, f64) {
    if disputed.items == 0 {
        return (-1.0, 1.0);
    }
    let estimate = (disputed.challenger_only as f64 - disputed.champion_only as f64) / disputed.items as f64;
    let low = boundary(-1.0, estimate, |d| statistic(disputed, d) > z);
    let high = boundary(estimate, 1.0, |d| statistic(disputed, d) >= -z);
    (low.clamp(-1.0, estimate), high.clamp(estimate, 1.0))
}

/// [`tango`] at 95 % in parts per million.
pub fn tango_95(disputed: &Disputed) -> Estimate {
    let ppm = |share: f64| libm::round(share * 1e6) as i64;
    let (low, high) = tango(disputed, Z_95);
    Estimate { value_ppm: disputed.difference_ppm(), low_ppm: ppm(low), high_ppm: ppm(high) }
}

/// Where `before` turns from true to false.
fn boundary(mut low: f64, mut high: f64, before: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if before(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

fn statistic(disputed: &Disputed, d: f64) -> f64 {
    let [n, b, c] = [disputed.items, disputed.challenger_only, disputed.champion_only].map(|count| count as f64);
    let (qa, qb, qc) = (2.0 * n, -b - c + (2.0 * n - b + c) * d, -c * d * (1.0 - d));
    let root = libm::sqrt((qb * qb - 4.0 * qa * qc).max(0.0));
    // The same root in the form that doesn't cancel.
    let q = if qb > 0.0 { -2.0 * qc / (root + qb) } else { (root - qb) / (2.0 * qa) };
    let variance = n * (2.0 * q + d * (1.0 - d));
    let excess = b - c - n * d;
    if variance > 0.0 { excess / libm::sqrt(variance) } else { excess * f64::INFINITY }
}
