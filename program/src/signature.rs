//! What goes into a model and comes out of it: named tensors, whose sizes are numbers or follow a length class.

use crate::refusal::{Code, Result};
use crate::tensor::{Dtype, TensorType};

/// A size of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Always this.
    Fixed(u32),
    /// One of a closed list of lengths: in class `i` the `i`-th.
    Classes(Vec<u32>),
}

/// A named tensor, batch first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The name that engines are given, whatever the file calls it.
    pub name: String,
    /// The element type.
    pub dtype: Dtype,
    /// The sizes.
    pub dims: Vec<Dim>,
}

impl Port {
    /// A port of sizes that never change.
    pub fn fixed(name: &str, dtype: Dtype, dims: &[u32]) -> Self {
        Self { name: name.to_owned(), dtype, dims: dims.iter().copied().map(Dim::Fixed).collect() }
    }

    /// Its type in a class.
    pub(crate) fn at(&self, class: usize) -> Result<TensorType> {
        let size = |dim: &Dim| match dim {
            Dim::Fixed(size) => Ok(u64::from(*size)),
            Dim::Classes(sizes) => match sizes.get(class) {
                Some(size) => Ok(u64::from(*size)),
                None => Code::DynamicShape.err(format!("`{}` has no length class {class}", self.name)),
            },
        };
        TensorType::new(self.dtype, self.dims.iter().map(size).collect::<Result<_>>()?)
    }
}

/// The ports of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What goes in.
    pub inputs: Vec<Port>,
    /// What comes out.
    pub outputs: Vec<Port>,
}

impl Signature {
    /// How many length classes there are; one where all sizes are fixed.
    pub fn classes(&self) -> usize {
        let dims = self.inputs.iter().chain(&self.outputs).flat_map(|port| &port.dims);
        dims.map(|dim| if let Dim::Classes(sizes) = dim { sizes.len() } else { 1 }).max().unwrap_or(1)
    }
}
