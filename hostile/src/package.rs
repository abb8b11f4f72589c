//! Packages written by hand: no library stands between a case and its bytes.

use crate::rules::{config, plan};
use half::{bf16, f16};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The two files of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// `config.json`.
    pub config: Vec<u8>,
    /// `model.safetensors`.
    pub weights: Vec<u8>,
}

/// A tensor to be written, consistent or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its element type as it will be spelt.
    pub dtype: String,
    /// Its shape as it will be claimed.
    pub shape: Vec<u64>,
    /// Its bytes.
    pub data: Vec<u8>,
}

impl Package {
    /// The two files.
    pub fn new(config: impl Into<Vec<u8>>, weights: impl Into<Vec<u8>>) -> Self {
        Self { config: config.into(), weights: weights.into() }
    }

    /// A good package of this architecture.
    pub fn good(architecture: &str) -> Self {
        Self::new(config(architecture), save(&tensors(architecture, "F32")))
    }
}

impl Tensor {
    /// A tensor of zeros.
    pub fn zeros(name: &str, dtype: &str, shape: &[u64]) -> Self {
        let bytes = shape.iter().product::<u64>() as usize * element_bytes(dtype);
        Self { name: name.into(), dtype: dtype.into(), shape: shape.to_vec(), data: vec![0; bytes] }
    }

    /// Writes `value` at element `index`.
    pub fn set(&mut self, index: usize, value: f32) {
        let bytes = encode(&self.dtype, value);
        let start = index * bytes.len();
        self.data[start..start + bytes.len()].copy_from_slice(&bytes);
    }

    /// How many elements its bytes hold.
    pub fn elements(&self) -> usize {
        self.data.len() / element_bytes(&self.dtype)
    }
}

/// Bytes of one element of a type of the safetensors format; 4 of one that is none.
pub fn element_bytes(dtype: &str) -> usize {
    match dtype {
        "BOOL" | "I8" | "U8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" => 1,
        "I16" | "U16" | "F16" | "BF16" => 2,
        "I64" | "U64" | "F64" | "C64" => 8,
        _ => 4,
    }
}

/// One value in the bytes of its type.
pub fn encode(dtype: &str, value: f32) -> Vec<u8> {
    match dtype {
        "F16" => f16::from_f32(value).to_le_bytes().to_vec(),
        "BF16" => bf16::from_f32(value).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    }
}

/// The tensors that an architecture implies, with small values that are always the same.
pub fn tensors(architecture: &str, dtype: &str) -> Vec<Tensor> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let fill = |spec: protocol::architecture::TensorSpec| {
        let count = spec.shape.iter().product::<u64>() as usize;
        let data = (0..count).flat_map(|_| encode(dtype, small_value(&mut rng))).collect();
        Tensor { name: spec.name, dtype: dtype.into(), shape: spec.shape, data }
    };
    plan(architecture).tensors().into_iter().map(fill).collect()
}

/// Above zero, so that it is a variance too.
fn small_value(rng: &mut impl Rng) -> f32 {
    rng.random_range(0.01..1.0)
}

/// A file of tensors in their order, without padding.
pub fn save(tensors: &[Tensor]) -> Vec<u8> {
    let mut end = 0;
    let entries: Vec<String> = tensors
        .iter()
        .map(|tensor| {
            let start = end;
            end += tensor.data.len() as u64;
            named(&tensor.name, &entry(&tensor.dtype, &tensor.shape, start, end))
        })
        .collect();
    let data: Vec<u8> = tensors.iter().flat_map(|tensor| tensor.data.iter().copied()).collect();
    framed(format!("{{{}}}", entries.join(",")), &data)
}

/// A file of a header and what follows it.
pub fn framed(header: impl AsRef<[u8]>, data: &[u8]) -> Vec<u8> {
    let header = header.as_ref();
    [&(header.len() as u64).to_le_bytes()[..], header, data].concat()
}

/// The entry of a tensor.
pub fn entry(dtype: &str, shape: &[u64], start: u64, end: u64) -> String {
    let dtype = serde_json::Value::from(dtype);
    format!(r#"{{"dtype":{dtype},"shape":{shape:?},"data_offsets":[{start},{end}]}}"#)
}

/// A name and an entry, as members of a header.
pub fn named(name: &str, entry: &str) -> String {
    format!("{}:{entry}", serde_json::Value::from(name))
}
