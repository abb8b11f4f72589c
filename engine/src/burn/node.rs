//! A node where it stands: what of it is known before anything is computed.

use super::{Kernel, floats, integers, is_computed_with};
use crate::failure::Refused;
use burn::tensor::Device;
use burn_backend::Shape;
use burn_backend::ops::FloatTensorOps;
use burn_dispatch::{Dispatch, DispatchTensor};
use program::op::Attribute;
use program::{Constant, Dtype, Graph, Node, TensorType, ValueId};

/// A node, its graph, and where its constants go.
pub(super) struct Site<'a> {
    pub(super) graph: &'a Graph<'a>,
    pub(super) node: &'a Node,
    pub(super) device: &'a Device,
}

/// Which inputs a kernel takes, and the kernel; `None` where a file of operators doesn't know this one.
pub(super) type Found = Result<Option<(Vec<usize>, Kernel)>, Refused>;

/// What takes one input.
pub(super) fn unary(kernel: impl Fn(DispatchTensor) -> DispatchTensor + 'static) -> Found {
    Ok(Some((vec![0], Kernel::One(Box::new(kernel)))))
}

/// What takes two.
pub(super) fn binary(kernel: impl Fn(DispatchTensor, DispatchTensor) -> DispatchTensor + 'static) -> Found {
    Ok(Some((vec![0, 1], Kernel::Two(Box::new(kernel)))))
}

/// What takes the inputs of these numbers.
pub(super) fn taking(inputs: Vec<usize>, kernel: impl Fn(Vec<DispatchTensor>) -> DispatchTensor + 'static) -> Found {
    Ok(Some((inputs, Kernel::Many(Box::new(kernel)))))
}

/// What gives `x` other sizes, where they are others.
pub(super) fn reshaping(from: &[usize], to: &[usize]) -> impl Fn(DispatchTensor) -> DispatchTensor + use<> {
    let other = (from != to).then(|| Shape::from(to.to_vec()));
    move |x| match &other {
        Some(shape) => Dispatch::float_reshape(x, shape.clone()),
        None => x,
    }
}

impl<'a> Site<'a> {
    /// That this engine lacks a form of the operator.
    pub(super) fn refuse(&self, what: &str) -> Refused {
        Refused::Unsupported { op: self.node.op, what: what.to_owned() }
    }

    /// The value at an input.
    pub(super) fn value(&self, at: usize) -> Result<ValueId, Refused> {
        self.node.inputs.get(at).copied().flatten().ok_or_else(|| self.refuse("without that input"))
    }

    pub(super) fn has(&self, at: usize) -> bool {
        self.node.inputs.get(at).is_some_and(Option::is_some)
    }

    /// The type at an input.
    pub(super) fn ty(&self, at: usize) -> Result<&'a TensorType, Refused> {
        self.graph.ty(self.value(at)?).ok_or_else(|| self.refuse("of an unknown type"))
    }

    /// The sizes at an input.
    pub(super) fn dims(&self, at: usize) -> Result<Vec<usize>, Refused> {
        Ok(sizes(self.ty(at)?))
    }

    /// The type of an output.
    pub(super) fn made(&self, output: usize) -> Result<&'a TensorType, Refused> {
        let value = self.node.outputs.get(output).copied().flatten();
        value.and_then(|value| self.graph.ty(value)).ok_or_else(|| self.refuse("without that output"))
    }

    /// The sizes of an output.
    pub(super) fn made_dims(&self, output: usize) -> Result<Vec<usize>, Refused> {
        Ok(sizes(self.made(output)?))
    }

    /// That what goes in and what comes out is what burn computes with.
    pub(super) fn of_floats(&self) -> Result<(), Refused> {
        let given = (0..self.node.inputs.len()).filter(|at| self.has(*at)).map(|at| self.ty(at));
        let made = (0..self.node.outputs.len()).filter(|at| self.node.outputs.get(*at).is_some_and(Option::is_some));
        for ty in given.chain(made.map(|at| self.made(at))) {
            let ty = ty?;
            if !is_computed_with(ty.dtype) {
                return Err(self.refuse(&format!("of {}", ty.dtype)));
            }
        }
        Ok(())
    }

    /// The constant at an input, if it is one.
    pub(super) fn constant(&self, at: usize) -> Option<&'a Constant<'a>> {
        self.graph.constant(self.value(at).ok()?)
    }

    /// Whole numbers that say how the node is built.
    pub(super) fn ints(&self, at: usize) -> Result<Vec<i64>, Refused> {
        let constant = self.constant(at).ok_or_else(|| self.refuse("with sizes that are computed"))?;
        whole(constant).ok_or_else(|| self.refuse("with sizes of another type"))
    }

    /// The one float at an input.
    pub(super) fn float_at(&self, at: usize) -> Result<f32, Refused> {
        let constant = self.constant(at).filter(|constant| constant.ty().dtype == Dtype::F32);
        let bytes = constant.and_then(|constant| constant.data().first_chunk::<4>());
        bytes.map(|bytes| f32::from_le_bytes(*bytes)).ok_or_else(|| self.refuse("with bounds that are computed"))
    }

    /// An attribute that is a number.
    pub(super) fn int(&self, name: &str) -> Result<i64, Refused> {
        match self.node.attributes.get(name) {
            Some(Attribute::Int(int)) => Ok(*int),
            _ => Err(self.refuse(&format!("without `{name}`"))),
        }
    }

    /// An axis of so many, which may be counted from the end.
    pub(super) fn axis(&self, name: &str, rank: usize) -> Result<usize, Refused> {
        let axis = self.int(name)?;
        let axis = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
        usize::try_from(axis).map_err(|_| self.refuse("along an axis that isn't there"))
    }

    /// An attribute that is a float.
    pub(super) fn float(&self, name: &str) -> Result<f32, Refused> {
        match self.node.attributes.get(name) {
            Some(Attribute::Float(bits)) => Ok(f32::from_bits(*bits)),
            _ => Err(self.refuse(&format!("without `{name}`"))),
        }
    }

    /// An attribute that is a list of sizes.
    pub(super) fn sizes(&self, name: &str) -> Result<Vec<usize>, Refused> {
        match self.node.attributes.get(name) {
            Some(Attribute::Ints(ints)) => Ok(ints.iter().map(|int| usize::try_from(*int).unwrap_or(0)).collect()),
            _ => Err(self.refuse(&format!("without `{name}`"))),
        }
    }

    /// An attribute that is a word.
    pub(super) fn text(&self, name: &str) -> &'static str {
        match self.node.attributes.get(name) {
            Some(Attribute::Text(text)) => text,
            _ => "",
        }
    }
}

/// Sizes as burn counts them.
fn sizes(ty: &TensorType) -> Vec<usize> {
    ty.shape.dims().iter().map(|dim| *dim as usize).collect()
}

fn whole(constant: &Constant<'_>) -> Option<Vec<i64>> {
    match constant.ty().dtype {
        Dtype::I64 => Some(constant.data().as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()),
        Dtype::I32 => {
            Some(constant.data().as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes).into()).collect())
        }
        _ => None,
    }
}

/// A weight on the device; `None` for what burn doesn't compute with, which some node then refuses.
pub(super) fn tensor(constant: &Constant<'_>, device: &Device) -> Option<DispatchTensor> {
    if constant.ty().dtype == Dtype::F32 {
        let values = constant.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        return Some(floats(values, sizes(constant.ty()), device));
    }
    whole(constant).map(|values| integers(values, device))
}
