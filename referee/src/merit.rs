//! What a model is worth on fresh items: composite, utilities and their half-widths from pooled answers.
//!
//! The formulas are `protocol::score`'s; here they are applied to outcomes instead of a report. It does NOT compare models.

use crate::evidence::Pooled;
use protocol::outcomes::OutcomeValues;
use protocol::report::Estimate;
use protocol::score::{Scale, ScoreRules, Totals, Utilities, share_ppm, wilson};
use protocol::significance::Part;
use serde::{Deserialize, Serialize};

/// The two-sided 95 % quantile of the normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;
/// The one-sided quantile at one in a thousand: whoever is put out for good is below the gate beyond doubt, even after many
/// rounds of looking.
const Z_BEYOND_DOUBT: f64 = 3.090_232_306_167_813;

/// A model on the fresh items that it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merit {
    /// The composite; 0 below the gate.
    pub composite_ppm: i64,
    /// Right answers.
    pub correct: u32,
    /// Items.
    pub items: u32,
    /// Whether the gate holds for what was measured.
    pub above_gate: bool,
    /// Whether the gate is out of reach: the upper end of the accuracy's one-sided 99.9 % interval (Wilson) is below it.
    pub out_of_reach: bool,
    /// The utilities.
    pub utilities_ppm: Utilities,
    /// Half-widths of their 95 % intervals; 0 for the size, which is exact.
    pub half_widths_ppm: Utilities,
}

impl Merit {
    /// Of a model on what it answered; `None` without a launch.
    pub fn of(pooled: &Pooled<1>, rules: &ScoreRules) -> Option<Self> {
        let [model] = &pooled.models;
        let (values, scale) = (model.values(), Scale::new(rules, pooled.ceiling));
        let totals = totals(values)?;
        let accuracy = wilson(totals.correct, totals.items);
        let highest = wilson_high(totals.correct, totals.items, Z_BEYOND_DOUBT);
        let above_gate = scale.gate(accuracy.value_ppm);
        let (utilities_ppm, half_widths_ppm) = utilities(values, &totals, accuracy, &scale);
        Some(Self {
            composite_ppm: (scale.composite_ppb(&totals) + 500).div_euclid(1_000),
            correct: totals.correct as u32,
            items: totals.items as u32,
            above_gate,
            out_of_reach: !scale.gate(highest),
            utilities_ppm,
            half_widths_ppm,
        })
    }
}

fn totals(values: &OutcomeValues) -> Option<Totals> {
    let range = Part::Hidden.range(values);
    let right = values.right.get(range.clone())?;
    let js = values.js_micronats.get(range)?;
    Some(Totals {
        correct: right.iter().filter(|right| **right).count() as u64,
        items: right.len() as u64,
        js_micronats: js.iter().map(|js| u64::from(*js)).sum(),
        log_ratio_nanos: median(&values.log_ratio_nanos)?,
        size_bytes: values.size_bytes,
    })
}

/// Each utility with the wider side of its interval.
fn utilities(values: &OutcomeValues, totals: &Totals, accuracy: Estimate, scale: &Scale<'_>) -> (Utilities, Utilities) {
    let items = totals.items.max(1) as f64;
    let js = totals.js_micronats as f64 / items;
    let squares: f64 =
        values.js_micronats.iter().map(|value| (f64::from(*value) - js) * (f64::from(*value) - js)).sum();
    let js_half = Z_95 * libm::sqrt(squares / (items - 1.0).max(1.0) / items);
    let ratio = |nanos: i64| libm::exp(nanos as f64 / 1e9) * 1e6;
    let (fastest, slowest) = interval_of_the_median(&values.log_ratio_nanos);
    let triples = [
        [accuracy.value_ppm, accuracy.low_ppm, accuracy.high_ppm].map(|ppm| scale.accuracy(ppm)),
        [js, js + js_half, js - js_half].map(|js| scale.fidelity(js)),
        [totals.log_ratio_nanos, slowest, fastest].map(|nanos| scale.latency(ratio(nanos))),
        [scale.size(totals.size_bytes); 3],
    ];
    let ppm = |value: f64| libm::round(value * 1e6) as i64;
    let all = |of: fn([f64; 3]) -> f64| {
        let [accuracy, fidelity, latency, size] = triples.map(of).map(ppm);
        Utilities { accuracy, fidelity, latency, size }
    };
    (all(|[at, ..]| at), all(|[at, worse, better]| (at - worse).max(better - at)))
}

/// The ends of the median's interval of at least 95 %: order statistics n/2 ± sqrt(n), a little wider than the exact ones.
fn interval_of_the_median(log_ratio_nanos: &[i64]) -> (i64, i64) {
    let mut sorted = log_ratio_nanos.to_vec();
    sorted.sort_unstable();
    let reach = (sorted.len() as u64).isqrt() as usize + 1;
    let (low, high) =
        (sorted.len() / 2).checked_sub(reach).map_or((0, usize::MAX), |low| (low, sorted.len() / 2 + reach));
    let at = |index: usize| sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0);
    (at(low), at(high))
}

fn median(values: &[i64]) -> Option<i64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let upper = sorted.get(sorted.len() / 2).copied()?;
    let lower = sorted.get(sorted.len().div_ceil(2).saturating_sub(1)).copied()?;
    Some((lower + upper).div_euclid(2))
}

/// The upper end of Wilson's score interval at a quantile of one's own, parts per million.
fn wilson_high(count: u64, items: u64, z: f64) -> i64 {
    let (n, p) = (items.max(1) as f64, share_ppm(count, items) as f64 / 1e6);
    let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * libm::sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n));
    libm::round((centre + half).min(1.0) * 1e6) as i64
}
