//! Weights by PyTorch name and layout, and their passage from and to safetensors.
//!
//! Bytes from strangers pass `protocol`'s front check first; what is left to refuse here is a tensor set that isn't
//! the plan's.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use half::{bf16, f16};
use protocol::architecture::{Op, Plan, Role, TensorSpec};
use protocol::package::{for_library, tensor_names};
use rand::{Rng, RngExt};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::{BTreeMap, HashMap};

/// A dense array of f32 in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sizes, outermost axis first.
    pub shape: Vec<usize>,
    /// `shape`'s product of values.
    pub values: Vec<f32>,
}

/// The arrays of one model under their `state_dict` names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights(BTreeMap<String, Array>);

/// Weights that don't fit.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The bytes are no safetensors file, or can't be written as one.
    #[error("read safetensors: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
    /// A tensor of the plan isn't there.
    #[error("tensor `{0}` is missing")]
    Missing(String),
    /// A tensor has another shape than the plan's.
    #[error("tensor `{name}` has shape {found:?}, not {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape that the architecture implies.
        expected: Vec<u64>,
    },
    /// A tensor has a type that is not a float of 16 or 32 bits.
    #[error("tensor `{name}` has type {dtype:?}; use F32, F16 or BF16")]
    Dtype {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: Dtype,
    },
}

impl Weights {
    /// Reads exactly the tensors of `plan` from a safetensors file, under whatever names admission knows them by, widening f16
    /// and bf16 to f32.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape or type. Extra tensors are the front check's business.
    pub fn from_safetensors(bytes: &[u8], plan: &Plan) -> Result<Self, WeightsError> {
        let readable = for_library(bytes);
        let file = SafeTensors::deserialize(&readable)?;
        let names = tensor_names(bytes, plan).unwrap_or_default();
        let mut arrays = BTreeMap::new();
        for TensorSpec { name, shape, .. } in plan.tensors() {
            let view =
                file.tensor(names.get(&name).unwrap_or(&name)).map_err(|_| WeightsError::Missing(name.clone()))?;
            if !view.shape().iter().map(|d| *d as u64).eq(shape.iter().copied()) {
                return Err(WeightsError::Shape { name, found: view.shape().to_vec(), expected: shape });
            }
            let values = decode(&name, &view)?;
            arrays.insert(name, Array { shape: view.shape().to_vec(), values });
        }
        Ok(Self(arrays))
    }

    /// Writes a safetensors file in f32, tensors in name order, so that equal weights give equal bytes.
    ///
    /// # Errors
    /// When the crate refuses, which for finite sizes it does not.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, WeightsError> {
        let bytes: Vec<(&String, &Array, Vec<u8>)> = self
            .0
            .iter()
            .map(|(name, array)| (name, array, array.values.iter().flat_map(|v| v.to_le_bytes()).collect()))
            .collect();
        let views = bytes
            .iter()
            .map(|(name, array, data)| Ok((*name, TensorView::new(Dtype::F32, array.shape.clone(), data)?)))
            .collect::<Result<Vec<_>, WeightsError>>()?;
        Ok(safetensors::serialize(views, None::<HashMap<String, String>>)?)
    }

    /// Fresh weights for training: Kaiming-normal convolutions (fan out, He et al. 2015), PyTorch's uniform linear
    /// layers, normalisations that change nothing.
    pub fn random(plan: &Plan, rng: &mut impl Rng) -> Self {
        let mut arrays = BTreeMap::new();
        for_each_op(plan.ops(), &mut |op| {
            for tensor in op.tensors() {
                let shape: Vec<usize> = tensor.shape.iter().map(|d| *d as usize).collect();
                let count = shape.iter().product();
                let values = initial_values(op, &tensor, count, rng);
                arrays.insert(tensor.name, Array { shape, values });
            }
        });
        Self(arrays)
    }

    /// The array called `name`.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.0.get(name)
    }

    /// Takes the array called `name` out.
    pub fn take(&mut self, name: &str) -> Option<Array> {
        self.0.remove(name)
    }

    /// Adds or replaces an array.
    pub fn insert(&mut self, name: String, array: Array) {
        self.0.insert(name, array);
    }

    /// All arrays in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.0.iter().map(|(name, array)| (name.as_str(), array))
    }
}

/// Visits the operations in order, those inside residuals too.
fn for_each_op<'a>(ops: &'a [Op], visit: &mut impl FnMut(&'a Op)) {
    for op in ops {
        if let Op::Residual { body, shortcut } = op {
            for_each_op(body, visit);
            for_each_op(shortcut, visit);
        } else {
            visit(op);
        }
    }
}

fn initial_values(op: &Op, tensor: &TensorSpec, count: usize, rng: &mut impl Rng) -> Vec<f32> {
    let is_weight = tensor.name.ends_with("weight");
    let mut normal = |deviation: f32| (0..count).map(|_| deviation * standard_normal(rng)).collect();
    match op {
        Op::Conv2d(conv) if is_weight => {
            let fan_out = conv.outputs.checked_div(conv.groups).unwrap_or(1);
            let fan_out = fan_out.saturating_mul(conv.kernel).saturating_mul(conv.kernel);
            normal((2.0 / fan_out as f32).sqrt())
        }
        Op::ClassToken { .. } | Op::PositionEmbedding { .. } => normal(0.02),
        Op::Linear { inputs, .. } | Op::SelfAttention { width: inputs, .. } => {
            let bound = 1.0 / (*inputs as f32).sqrt();
            (0..count).map(|_| rng.random_range(-bound..bound)).collect()
        }
        Op::BatchNorm { .. } | Op::LayerNorm { .. } => {
            let one = is_weight || (tensor.role == Role::Buffer && tensor.name.ends_with("var"));
            vec![f32::from(u8::from(one)); count]
        }
        _ => vec![0.0; count],
    }
}

/// A standard normal number by the Box-Muller transform.
pub fn standard_normal(rng: &mut impl Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    radius * (std::f32::consts::TAU * rng.random::<f32>()).cos()
}

fn decode(name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, WeightsError> {
    let pairs = || view.data().as_chunks::<2>().0.iter().copied();
    match view.dtype() {
        Dtype::F32 => Ok(view.data().as_chunks::<4>().0.iter().copied().map(f32::from_le_bytes).collect()),
        Dtype::F16 => Ok(pairs().map(|b| f16::from_le_bytes(b).to_f32()).collect()),
        Dtype::BF16 => Ok(pairs().map(|b| bf16::from_le_bytes(b).to_f32()).collect()),
        dtype => Err(WeightsError::Dtype { name: name.into(), dtype }),
    }
}
