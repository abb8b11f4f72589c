//! The committed null in figures: the largest values that independent students of a family reached.
//!
//! A test recomputes each of them from the fingerprints in `copies/calibration`; docs/COPIES.md says how those were
//! made. It does NOT know how a threshold follows from a null.

use crate::Thresholds;

/// The largest s_w and rc, ppm, among independent pairs of one family.
struct Null {
    family: &'static str,
    weight_match_max_ppm: i32,
    residual_correlation_max_ppm: i32,
}

/// From this rc on a round's fresh items on, two models are one function.
pub const FRESH_FUNCTION_PPM: i32 = 970_000;
/// Less of a good student's outputs on the probes no teacher leaves unexplained.
pub(crate) const ENTRY_UNEXPLAINED_PPM: i32 = 50_000;
/// The same on fresh items.
pub(crate) const ENTRY_FRESH_UNEXPLAINED_PPM: i32 = 10_000;

const NULLS: [Null; 4] = [
    Null { family: "mlp", weight_match_max_ppm: 390_524, residual_correlation_max_ppm: 799_230 },
    Null { family: "resnet", weight_match_max_ppm: 132_125, residual_correlation_max_ppm: 670_665 },
    Null { family: "depthwise_cnn", weight_match_max_ppm: 292_741, residual_correlation_max_ppm: 604_370 },
    Null { family: "mobilenet_v2", weight_match_max_ppm: 247_039, residual_correlation_max_ppm: 679_012 },
];

/// Students of different families, or of one without a null of its own: the largest rc of all.
fn residual_correlation_max_ppm() -> i32 {
    NULLS.iter().map(|null| null.residual_correlation_max_ppm).max().unwrap_or(0)
}

pub(crate) fn thresholds(family: &str, other: &str) -> Thresholds {
    match NULLS.iter().find(|null| null.family == family && family == other) {
        Some(null) => Thresholds::from_null(Some(null.weight_match_max_ppm), null.residual_correlation_max_ppm),
        None => Thresholds::from_null(None, residual_correlation_max_ppm()),
    }
}
