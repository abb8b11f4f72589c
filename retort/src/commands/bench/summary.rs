//! What many measurements of one known ratio say about measuring: coverage, width, bias, power. Pure.

use super::latency::Measured;
use protocol::latency::LatencyVerdict;
use protocol::score::PPM;
use serde::Serialize;
use std::collections::BTreeMap;

/// Figures of many measurements.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Summary {
    what: String,
    model: String,
    true_ratio_ppm: i64,
    busy_processes: u32,
    measurements: usize,
    /// Intervals that contain the true ratio, of all.
    covering: usize,
    /// Measurements that are not unstable: the only ones that count in a competition.
    stable: usize,
    /// Of those, the ones whose interval contains the true ratio.
    covering_of_stable: usize,
    /// Of those, the ones whose interval lies wholly above 1.
    found_slower_of_stable: usize,
    half_width_ppm_median: i64,
    half_width_ppm_p90: i64,
    /// Median of the ratio minus the true one.
    bias_ppm: i64,
    /// The largest minus the smallest ratio.
    spread_ppm: i64,
    seconds_median: f64,
    seconds_max: f64,
    /// The smallest, the median and the largest load average.
    load: [f64; 3],
    verdicts: BTreeMap<String, usize>,
}

pub(super) fn of(what: &str, model: &str, slow_down_ppm: u32, busy: u32, measured: &[Measured]) -> Summary {
    let truth = PPM + i64::from(slow_down_ppm);
    let covers = |one: &&Measured| one.ratio.low_ppm <= truth && truth <= one.ratio.high_ppm;
    let stable: Vec<&Measured> =
        measured.iter().filter(|one| !matches!(one.verdict, LatencyVerdict::Unstable(_))).collect();
    let sorted = |value: fn(&Measured) -> i64| {
        let mut values: Vec<i64> = measured.iter().map(value).collect();
        values.sort_unstable();
        values
    };
    let (widths, ratios) = (sorted(|one| one.half_width_ppm), sorted(|one| one.ratio.value_ppm));
    let (times, loads) = (sorted(|one| one.elapsed_ms as i64), sorted(|one| one.load_milli as i64));
    let mut verdicts = BTreeMap::new();
    for one in measured {
        *verdicts.entry(one.verdict.to_string()).or_insert(0) += 1;
    }
    Summary {
        what: what.to_owned(),
        model: model.to_owned(),
        true_ratio_ppm: truth,
        busy_processes: busy,
        measurements: measured.len(),
        covering: measured.iter().filter(covers).count(),
        stable: stable.len(),
        covering_of_stable: stable.iter().copied().filter(covers).count(),
        found_slower_of_stable: stable.iter().filter(|one| one.ratio.low_ppm > PPM).count(),
        half_width_ppm_median: quantile(&widths, 50),
        half_width_ppm_p90: quantile(&widths, 90),
        bias_ppm: quantile(&ratios, 50) - truth,
        spread_ppm: quantile(&ratios, 100) - quantile(&ratios, 0),
        seconds_median: quantile(&times, 50) as f64 / 1e3,
        seconds_max: quantile(&times, 100) as f64 / 1e3,
        load: [0, 50, 100].map(|percent| quantile(&loads, percent) as f64 / 1e3),
        verdicts,
    }
}

/// The nearest rank; 0 of nothing.
pub(super) fn quantile(sorted: &[i64], percent: usize) -> i64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

pub(super) fn text(summary: &Summary) -> String {
    let Summary { measurements, stable, .. } = summary;
    let percent = |ppm: i64| ppm as f64 / 1e4;
    let mut lines = vec![
        format!(
            "{} of {}, true ratio {:.4}, {} busy processes of ours, load average {:.1} to {:.1} (median {:.1})",
            summary.what,
            summary.model,
            summary.true_ratio_ppm as f64 / 1e6,
            summary.busy_processes,
            summary.load[0],
            summary.load[2],
            summary.load[1]
        ),
        format!(
            "  interval contains the truth: {} of {measurements}; of the stable ones {} of {stable}",
            summary.covering, summary.covering_of_stable
        ),
        format!(
            "  half-width: median {:.2} %, 90th percentile {:.2} %",
            percent(summary.half_width_ppm_median),
            percent(summary.half_width_ppm_p90)
        ),
        format!(
            "  bias (median): {:+.3} %; spread (largest minus smallest): {:.2} %",
            percent(summary.bias_ppm),
            percent(summary.spread_ppm)
        ),
    ];
    if summary.true_ratio_ppm > PPM {
        lines.push(format!("  found slower: {} of {stable} stable ones", summary.found_slower_of_stable));
    }
    lines.push(format!("  seconds: median {:.1}, longest {:.1}", summary.seconds_median, summary.seconds_max));
    lines.extend(summary.verdicts.iter().map(|(verdict, count)| format!("  {count} x {verdict}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::latency::Unstable;
    use protocol::report::{Clock, Estimate};

    fn measured(low_ppm: i64, value_ppm: i64, high_ppm: i64, verdict: LatencyVerdict) -> Measured {
        Measured {
            ratio: Estimate { value_ppm, low_ppm, high_ppm },
            half_width_ppm: (high_ppm - low_ppm) / 2,
            launches: 15,
            clock: Clock::Parent,
            overhead_ppm: 0,
            control_ppm: PPM,
            p50_ns: 1,
            elapsed_ms: 1_000,
            load_milli: 0,
            verdict,
        }
    }

    #[test]
    fn coverage_power_and_bias_are_counted_over_what_counts() {
        let sound = LatencyVerdict::Sound;
        let restless = LatencyVerdict::Unstable(Unstable::Width);
        let summary = of(
            "A/B",
            "mlp",
            20_000,
            4,
            &[
                measured(1_015_000, 1_021_000, 1_026_000, sound),
                measured(999_000, 1_010_000, 1_021_000, sound),
                measured(1_001_000, 1_009_000, 1_019_000, sound),
                measured(900_000, 1_000_000, 1_100_000, restless),
            ],
        );
        assert_eq!((summary.covering, summary.stable, summary.covering_of_stable), (3, 3, 2));
        assert_eq!(summary.found_slower_of_stable, 2);
        assert_eq!((summary.bias_ppm, summary.spread_ppm), (-11_000, 21_000));
        assert_eq!((summary.half_width_ppm_median, summary.half_width_ppm_p90), (9_000, 100_000));
        assert_eq!(summary.verdicts.values().sum::<usize>(), 4);
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let ten: Vec<i64> = (1..=10).collect();
        assert_eq!([0, 1, 50, 90, 91, 100].map(|percent| quantile(&ten, percent)), [1, 1, 5, 9, 10, 10]);
        assert_eq!(quantile(&[], 50), 0);
    }
}
