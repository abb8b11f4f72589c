//! The committed null in figures: the largest values that independent students of a family reached.
//!
//! A test recomputes what the fingerprints in `copies/calibration` reach, which are of one width a family; other widths, students
//! trained to the recipe's end, and what was said of fresh items are in docs/COPIES.md. It does NOT know how a
//! threshold follows from a null.

/// The largest s_w and rc, ppm, among independent pairs of one family.
struct Null {
    family: &'static str,
    weight_match_max_ppm: i32,
    residual_correlation_max_ppm: i32,
}

/// From this rc on a round's fresh items on, two models are one function: halfway between the largest of honest pairs,
/// .934, and 1.
pub const FRESH_FUNCTION_PPM: i32 = 970_000;
/// On fewer fresh items than this two honest models may err alike by chance.
pub const FRESH_ITEMS_MIN: u32 = 100;
/// A third of what the teacher leaves unexplained of the honest student that it explains best, .221 (a ResNet of 88 thousand
/// parameters, trained to the recipe's end).
pub(crate) const ENTRY_UNEXPLAINED_PPM: i32 = 73_000;
/// The same on fresh items, .082.
pub(crate) const ENTRY_FRESH_UNEXPLAINED_PPM: i32 = 27_000;

const NULLS: [Null; 4] = [
    Null { family: "mlp", weight_match_max_ppm: 770_000, residual_correlation_max_ppm: 799_230 },
    Null { family: "resnet", weight_match_max_ppm: 398_000, residual_correlation_max_ppm: 847_000 },
    Null { family: "depthwise_cnn", weight_match_max_ppm: 646_000, residual_correlation_max_ppm: 769_000 },
    Null { family: "mobilenet_v2", weight_match_max_ppm: 515_000, residual_correlation_max_ppm: 764_000 },
];

/// Students of different families, or of one without a null of its own: the largest rc of all.
fn residual_correlation_max_ppm() -> i32 {
    NULLS.iter().map(|null| null.residual_correlation_max_ppm).max().unwrap_or(0)
}

/// The largest s_w, where the families have one, and the largest rc of independent students of these two, ppm.
pub(crate) fn null_of(family: &str, other: &str) -> (Option<i32>, i32) {
    match NULLS.iter().find(|null| null.family == family && family == other) {
        Some(null) => (Some(null.weight_match_max_ppm), null.residual_correlation_max_ppm),
        None => (None, residual_correlation_max_ppm()),
    }
}
