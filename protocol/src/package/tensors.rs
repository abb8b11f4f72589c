//! Tensors against the plan: exactly the implied set, and every value finite and bounded.

use super::foreign;
use super::front::{Header, TensorEntry, read_header};
use crate::architecture::Plan;
use crate::submission::{Code, Rejection};
use half::{bf16, f16};
use std::collections::BTreeMap;

/// No useful weight is larger; larger ones overflow f32 two layers on.
const MAGNITUDE_MAX: f32 = 1e6;

/// PyTorch's counter of batches, saved with every batch normalisation: tolerated and ignored.
const IGNORED_SUFFIX: &str = ".num_batches_tracked";

/// Checks a whole safetensors file against `plan`.
pub(super) fn check(file: &[u8], plan: &Plan) -> Result<Header, Rejection> {
    let header = read_header(file)?;
    check_set(&header, plan)?;
    for (name, entry) in &header.tensors {
        check_values(name, entry, header.data_of(file, entry))?;
    }
    if foreign::hides_zip(&[file]) {
        return Err(Code::NotSafetensors.because("the weights are a zip archive as well".to_owned()));
    }
    Ok(header)
}

fn check_set(header: &Header, plan: &Plan) -> Result<(), Rejection> {
    let implied: BTreeMap<String, Vec<u64>> = plan.tensors().into_iter().map(|t| (t.name, t.shape)).collect();
    for (name, shape) in &implied {
        let Some(entry) = header.tensors.get(name) else {
            return Err(Code::TensorMissing.because(format!("`{name}` of shape {shape:?}")));
        };
        if entry.shape != *shape {
            return Err(Code::TensorShape.because(format!("`{name}` is {:?}, must be {shape:?}", entry.shape)));
        }
        if entry.dtype == "I64" {
            return Err(Code::TensorDtype.because(format!("`{name}` is I64; use F32, F16 or BF16")));
        }
    }
    for (name, entry) in &header.tensors {
        let counter = name.strip_suffix(IGNORED_SUFFIX).is_some_and(|norm| {
            entry.dtype == "I64" && entry.shape.is_empty() && implied.contains_key(&format!("{norm}.running_mean"))
        });
        if !implied.contains_key(name) && !counter {
            return Err(Code::TensorUnexpected.because(format!("`{name}` of shape {:?}", entry.shape)));
        }
    }
    Ok(())
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
