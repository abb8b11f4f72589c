//! The exact mid-p McNemar test: did the challenger answer more of the disputed items right than a fair coin would?
//!
//! Sources: McNemar 1947; mid-p: Lancaster 1961, recommended by Fagerland, Lydersen & Laake 2013. The binomial mass is
//! Loader's (2000, "Fast and accurate computation of binomial probabilities"): differences of log-gammas lose nine
//! digits at a million items, deviances lose none. All logarithms are `libm`'s, so the bits are the same everywhere.
//! It does NOT know what the items are or what level is asked.

use std::f64::consts::PI;

/// The most disputed items that are summed exactly (a few thousand terms); above, nobody evaluates.
pub const DISPUTED_MAX: u64 = 1 << 20;

/// The one-sided exact mid-p value
///
/// p = sum_{j = b+1..m} C(m, j) 2^-m + 1/2 C(m, b) 2^-m, m = b + c,
///
/// with `b` items that only the challenger has right and `c` that only the champion has. Small speaks for the
/// challenger; 1/2 where nothing is disputed; p(b, c) + p(c, b) = 1. Relative error below 1e-12; no unit.
/// Counts above [`DISPUTED_MAX`] together give 1: they can't be judged, so they speak for nobody's challenger.
pub fn mid_p(b: u64, c: u64) -> f64 {
    let m = b.saturating_add(c);
    if m > DISPUTED_MAX {
        return 1.0;
    }
    match b.cmp(&c) {
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 1.0 - upper_tail(c, m),
        std::cmp::Ordering::Greater => upper_tail(b, m),
    }
}

/// P(X > b) + P(X = b) / 2 for X ~ Binomial(m, 1/2) and b > m / 2, where each term is smaller than the one before.
fn upper_tail(b: u64, m: u64) -> f64 {
    let mut term = 1.0;
    let mut sum = 0.5;
    for j in b..m {
        term *= (m - j) as f64 / (j + 1) as f64;
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
    }
    sum * libm::exp(ln_mass(b, m))
}

/// ln of C(m, b) 2^-m.
fn ln_mass(b: u64, m: u64) -> f64 {
    let (size, up, down) = (m as f64, b as f64, (m - b) as f64);
    if b == m || b == 0 {
        return -size * std::f64::consts::LN_2;
    }
    stirling_error(m)
        - stirling_error(b)
        - stirling_error(m - b)
        - deviance(up, size / 2.0)
        - deviance(down, size / 2.0)
        + 0.5 * libm::log(size / (2.0 * PI * up * down))
}

/// ln n! - ln(sqrt(2 pi n) (n / e)^n) for n of at least 1.
fn stirling_error(n: u64) -> f64 {
    let x = n as f64;
    if n < 16 {
        let factorial: u64 = (2..=n).product();
        return libm::log(factorial as f64) - (x + 0.5) * libm::log(x) + x - 0.5 * libm::log(2.0 * PI);
    }
    let square = x * x;
    let series = [1.0 / 1188.0, 1.0 / 1680.0, 1.0 / 1260.0, 1.0 / 360.0, 1.0 / 12.0];
    series.iter().fold(0.0, |sum, coefficient| coefficient - sum / square) / x
}

/// x ln(x / mean) + mean - x, without cancellation where x is near the mean.
fn deviance(x: f64, mean: f64) -> f64 {
    let v = (x - mean) / (x + mean);
    if libm::fabs(v) >= 0.1 {
        return x * libm::log(x / mean) + mean - x;
    }
    let mut sum = (x - mean) * v;
    let mut power = 2.0 * x * v;
    for odd in 1..1000 {
        power *= v * v;
        let next = sum + power / f64::from(2 * odd + 1);
        if next.to_bits() == sum.to_bits() {
            break;
        }
        sum = next;
    }
    sum
}
