//! Tensors against the plan: exactly the implied set, and every value finite and bounded.

use super::foreign;
use super::front::{Header, TensorEntry, read_header};
use super::names;
use crate::architecture::{Plan, TensorSpec};
use crate::submission::{Code, Rejection};
use half::{bf16, f16};

/// No useful weight is larger; larger ones overflow f32 two layers on.
const MAGNITUDE_MAX: f32 = 1e6;

/// What weights may be written in.
const WEIGHT_TYPES: [&str; 3] = ["F32", "F16", "BF16"];

/// Checks a whole safetensors file against `plan`.
pub(super) fn check(file: &[u8], plan: &Plan) -> Result<Header, Rejection> {
    let header = names::resolve(read_header(file)?, plan, fits)?;
    for (name, entry) in &header.tensors {
        check_values(name, entry, header.data_of(file, entry))?;
    }
    if foreign::hides_zip(&[file]) {
        return Err(Code::NotSafetensors.because("the weights are a zip archive as well".to_owned()));
    }
    Ok(header)
}

fn fits(TensorSpec { name, shape, .. }: &TensorSpec, entry: &TensorEntry) -> Result<(), Rejection> {
    if !WEIGHT_TYPES.contains(&entry.dtype.as_str()) {
        let instead = match entry.dtype.as_str() {
            dtype if dtype.starts_with(['I', 'U']) => {
                "quantised weights aren't read; save each as F16, scale times (value - zero point): two bytes count for every \
                 value whatever its type"
            }
            _ => "use F32, F16 or BF16",
        };
        return Err(Code::TensorDtype.because(format!("`{name}` is {}; {instead}", entry.dtype)));
    }
    match entry.shape == *shape {
        true => Ok(()),
        false => {
            let advice = advice(name, shape, &entry.shape);
            Err(Code::TensorShape.because(format!("`{name}` is {:?}, must be {shape:?}{advice}", entry.shape)))
        }
    }
}

/// What torchvision's residual networks have that the catalogue's don't, where a kernel of them is found.
fn advice(name: &str, wanted: &[u64], found: &[u64]) -> &'static str {
    let ([.., 3, 3], [.., rows, columns]) = (wanted, found) else { return "" };
    match (rows, columns) {
        (7, 7) if name == "conv1.weight" => {
            "; the catalogue's residual networks begin with 3 x 3 and don't pool: give it such a `conv1` and \
             `maxpool = nn.Identity()`, and train it so"
        }
        (1, 1) if name.ends_with(".conv1.weight") => {
            "; bottlenecks aren't in the catalogue: its residual networks have blocks of two 3 x 3 convolutions"
        }
        _ => "",
    }
}

fn check_values(name: &str, entry: &TensorEntry, bytes: &[u8]) -> Result<(), Rejection> {
    let pairs = || bytes.as_chunks::<2>().0.iter().copied();
    let bad = match entry.dtype.as_str() {
        "F32" => first_bad(bytes.as_chunks::<4>().0.iter().copied().map(f32::from_le_bytes)),
        "F16" => first_bad(pairs().map(|b| f16::from_le_bytes(b).to_f32())),
        "BF16" => first_bad(pairs().map(|b| bf16::from_le_bytes(b).to_f32())),
        _ => None,
    };
    match bad {
        Some((index, value)) if value.is_finite() => {
            Err(Code::TensorOutOfRange.because(format!("`{name}`[{index}] is {value}, limit ±{MAGNITUDE_MAX}")))
        }
        Some((index, value)) => Err(Code::TensorNotFinite.because(format!("`{name}`[{index}] is {value}"))),
        None if name.ends_with("running_var") => non_negative(name, entry, bytes),
        None => Ok(()),
    }
}

fn first_bad(values: impl Iterator<Item = f32>) -> Option<(usize, f32)> {
    // NaN fails the comparison as well.
    values
        .enumerate()
        .find(|(_, value)| !matches!(value.abs().partial_cmp(&MAGNITUDE_MAX), Some(order) if order.is_le()))
}

/// A variance below zero has no root: such a model can only give NaN.
fn non_negative(name: &str, entry: &TensorEntry, bytes: &[u8]) -> Result<(), Rejection> {
    let width = entry.element_bytes().unwrap_or(4) as usize;
    // In all three formats the sign is the top bit of the last byte, and -0.0 is harmless.
    let negative = bytes.chunks_exact(width).position(|value| {
        let (top, rest) = value.split_last().map_or((0, &[][..]), |(top, rest)| (*top, rest));
        top & 0x80 != 0 && (top & 0x7f != 0 || rest.iter().any(|byte| *byte != 0))
    });
    match negative {
        Some(index) => Err(Code::TensorOutOfRange.because(format!("`{name}`[{index}] is a variance below zero"))),
        None => Ok(()),
    }
}
