//! Order statistics and nothing else: medians, exact intervals, MLPerf's early stopping. Pure; knows no clock.

/// The most launches for which [`order_interval`] counts exactly in 128 bits.
pub const LAUNCHES_MAX: u32 = 121;

/// The coverage that an interval must have.
pub const COVERAGE_MIN: f64 = 0.98;

/// The median; of an even number, the mean of the two in the middle. `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[sorted.len() / 2 - 1], upper) })
}

/// Ranks (from 1) of the narrowest symmetric pair of order statistics of `n` values that covers the median with at
/// least [`COVERAGE_MIN`]: `(3, 13)` of 15. With fewer than 7 values, and above [`LAUNCHES_MAX`], the extremes.
pub fn order_interval(n: u32) -> (u32, u32) {
    let wide_enough = |low: &u32| order_coverage(n, *low).is_some_and(|coverage| coverage >= COVERAGE_MIN);
    let low = (1..=n.div_ceil(2)).take_while(wide_enough).last().unwrap_or(1);
    (low, n + 1 - low)
}

/// The exact probability that the median lies between the `low`-th smallest and the `low`-th largest of `n` values:
/// 1 - 2 P(Binomial(n, 1/2) < low). `None` above [`LAUNCHES_MAX`].
pub fn order_coverage(n: u32, low: u32) -> Option<f64> {
    if n > LAUNCHES_MAX {
        return None;
    }
    // Pascal's rule along one row stays whole: C(n, i + 1) = C(n, i) (n - i) / (i + 1).
    let row = (0..n).scan(1u128, |choose, i| {
        let current = *choose;
        *choose = current * u128::from(n - i) / u128::from(i + 1);
        Some(current)
    });
    let tail: u128 = row.take(low as usize).sum();
    Some(1.0 - 2.0 * tail as f64 / 2f64.powi(n as i32))
}

/// MLPerf's confidence.
const EARLY_STOPPING_ALPHA: f64 = 0.01;

/// How many of the largest of `n` samples lie beyond the estimate of the `percentile` at confidence 0.99 (MLPerf
/// LoadGen's early stopping with tolerance 0): the largest t with P(Binomial(n, 1 - percentile) <= t) <= 0.01. The
/// estimate is the t-th largest sample. `None` with too few samples for t = 1.
pub fn early_stopping_rank(n: u64, percentile: f64) -> Option<u64> {
    let (count, over) = (n as f64, 1.0 - percentile);
    let ln_mass = |t: f64| {
        libm::lgamma(count + 1.0) - libm::lgamma(t + 1.0) - libm::lgamma(count - t + 1.0)
            + t * libm::log(over)
            + (count - t) * libm::log(percentile)
    };
    let mut cumulated = 0.0;
    let mut rank = None;
    for t in 0..n {
        cumulated += libm::exp(ln_mass(t as f64));
        if cumulated > EARLY_STOPPING_ALPHA {
            break;
        }
        rank = (t > 0).then_some(t);
    }
    rank
}

/// The `percentile` of `samples` by [`early_stopping_rank`].
pub fn early_stopping_percentile(samples: &[u64], percentile: f64) -> Option<u64> {
    let rank = early_stopping_rank(samples.len() as u64, percentile)?;
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    Some(sorted[sorted.len() - rank as usize])
}
