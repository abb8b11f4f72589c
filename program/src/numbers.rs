//! The numbers of a graph without the graph: two files with the same ones were made of one training, whatever exporter wrote
//! them, in whatever order, layout or type.

use crate::costs;
use crate::graph::Graph;
use crate::tensor::{Constant, Dtype};
use half::{bf16, f16};
use protocol::Digest;
use protocol::digest::Hasher;

/// Fewer numbers than these may be the same by chance or by design.
const NUMBERS_MIN: usize = 256;
/// Numbers that are made bytes at once to be hashed.
const HASHED: usize = 16 * 1024;

/// The digest of all that nodes compute with, sorted; single values, which exporters write for themselves, left out.
pub(crate) fn digest(graph: &Graph<'_>) -> Option<Digest> {
    let constants = costs::numbers(graph).into_iter().filter_map(|value| graph.constant(value));
    let mut numbers: Vec<u32> =
        constants.filter(|constant| constant.ty().shape.elements() > 1).flat_map(keys).collect();
    if numbers.len() < NUMBERS_MIN {
        return None;
    }
    numbers.sort_unstable();
    let mut hasher = Hasher::default();
    for chunk in numbers.chunks(HASHED) {
        hasher.update(&chunk.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>());
    }
    Some(hasher.finish())
}

/// Its values as the bits of float32; of whole numbers, which are stored as they are, the bytes that make one.
fn keys(constant: &Constant<'_>) -> Vec<u32> {
    let data = constant.data();
    // -0 and 0 are one number.
    let key = |value: f32| (value + 0.0).to_bits();
    match constant.ty().dtype {
        Dtype::F32 => data.as_chunks::<4>().0.iter().map(|bytes| key(f32::from_le_bytes(*bytes))).collect(),
        Dtype::F16 => data.as_chunks::<2>().0.iter().map(|bytes| key(f16::from_le_bytes(*bytes).to_f32())).collect(),
        Dtype::Bf16 => data.as_chunks::<2>().0.iter().map(|bytes| key(bf16::from_le_bytes(*bytes).to_f32())).collect(),
        Dtype::I64 | Dtype::I32 | Dtype::I8 | Dtype::U8 | Dtype::Bool => {
            data.iter().map(|byte| u32::from(*byte)).collect()
        }
    }
}
