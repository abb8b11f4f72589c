//! Numbers and words that break things.

use rand::{Rng, RngExt};
use serde_json::Value;

const NUMBERS: [u64; 22] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    127,
    128,
    255,
    256,
    257,
    8_192,
    8_193,
    65_535,
    1 << 31,
    (1 << 31) + 1,
    1 << 32,
    1 << 62,
    1 << 63,
    u64::MAX,
];

const WORDS: [&str; 24] = [
    "",
    "mlp",
    "resnet",
    "depthwise_cnn",
    "mobilenet_v2",
    "vit",
    "kind",
    "hidden",
    "blocks",
    "retort/1",
    "F32",
    "F16",
    "BF16",
    "I64",
    "F64",
    "BOOL",
    "__metadata__",
    "1.weight",
    "bn1.running_var",
    "bn1.num_batches_tracked",
    "../../etc/passwd\0",
    "\u{202e}a\u{1b}[2J\n",
    "é",
    "x",
];

/// A number at an edge, or near `near`.
pub(super) fn number(near: u64, rng: &mut impl Rng) -> u64 {
    match rng.random_range(0..4) {
        0 => near.wrapping_add(1),
        1 => near.wrapping_sub(1),
        2 => near.wrapping_mul(2),
        _ => NUMBERS[rng.random_range(0..NUMBERS.len())],
    }
}

/// A word that means something somewhere, or a long one.
pub(super) fn word(rng: &mut impl Rng) -> String {
    match rng.random_range(0..20) {
        0 => "a".repeat(rng.random_range(1..400)),
        _ => WORDS[rng.random_range(0..WORDS.len())].to_owned(),
    }
}

/// Any small JSON.
pub(super) fn json(rng: &mut impl Rng) -> Value {
    match rng.random_range(0..9) {
        0 => Value::Null,
        1 => rng.random_bool(0.5).into(),
        2 => (number(1, rng) as i64).wrapping_neg().into(),
        3 => (number(1, rng) as f64 / 2.0).into(),
        4 => word(rng).into(),
        5 => Value::Array(vec![number(1, rng).into(); rng.random_range(0..10)]),
        6 => Value::Array(vec![word(rng).into(); rng.random_range(0..3)]),
        7 => Value::Object([(word(rng), Value::from(number(1, rng)))].into_iter().collect()),
        _ => number(1, rng).into(),
    }
}

/// A float that is no weight, or just one.
pub(super) fn float(rng: &mut impl Rng) -> f32 {
    const FLOATS: [f32; 10] =
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e6, -1e6, 1_000_000.06, f32::MAX, -0.0, 1e-45, -1e-39];
    match rng.random_range(0..3) {
        0 => f32::from_bits(rng.random()),
        _ => FLOATS[rng.random_range(0..FLOATS.len())],
    }
}
