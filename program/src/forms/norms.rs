//! Convolutions that have the batch normalisation behind them in their own numbers, as engines make them.

use crate::builder::rewritten;
use crate::graph::{Graph, Node};
use crate::norms::foldable;
use crate::op::Attribute;
use crate::refusal::Result;
use crate::tensor::{Constant, Dtype, TensorType};
use std::borrow::Cow;
use std::collections::BTreeMap;

impl Graph<'_> {
    /// The graph with each batch normalisation folded into the convolution before it, where that is possible: of
    /// y = (x - mean) / sqrt(variance + epsilon) * scale + bias (ONNX's `BatchNormalization`) the convolution's weights take the
    /// factor and its bias the rest.
    ///
    /// # Errors
    /// When what is written doesn't lower, which for a graph that did is a bug.
    pub fn with_norms_folded(&self) -> Result<Graph<'_>> {
        let pairs = foldable(self);
        let convolutions: BTreeMap<_, _> =
            pairs.iter().filter_map(|(norm, conv)| Some((norm.output()?, *conv))).collect();
        // What each convolution reads in the new graph, once it is reached there.
        let mut reads = BTreeMap::new();
        rewritten(self, |builder, site| {
            let Some(made) = site.node.output() else { return Ok(None) };
            reads.insert(made, site.inputs.first().copied().flatten());
            let Some(conv) = convolutions.get(&made) else { return Ok(None) };
            let Some([weights, bias]) = folded(self, conv, site.node)? else { return Ok(None) };
            let x = conv.output().and_then(|output| reads.get(&output).copied().flatten());
            let inputs = vec![x, Some(builder.constant(weights)), Some(builder.constant(bias))];
            Ok(Some(builder.again(conv, inputs)))
        })
    }
}

/// The weights and the bias of both in one; none where they aren't float32.
fn folded(graph: &Graph<'_>, conv: &Node, norm: &Node) -> Result<Option<[Constant<'static>; 2]>> {
    let floats = |node: &Node, index| floats(graph.constant(node.input(index)?)?);
    let epsilon = match norm.attributes.get("epsilon") {
        Some(Attribute::Float(bits)) => f32::from_bits(*bits),
        _ => 1e-5,
    };
    let (Some(weights), [Some(scale), Some(shift), Some(mean), Some(variance)]) =
        (floats(conv, 1), [1, 2, 3, 4].map(|index| floats(norm, index)))
    else {
        return Ok(None);
    };
    let own = if conv.input(2).is_some() { floats(conv, 2) } else { Some(vec![0.0; scale.len()]) };
    let Some((own, ty)) = own.zip(conv.input(1).and_then(|value| graph.ty(value))) else { return Ok(None) };
    let factors: Vec<f32> =
        scale.iter().zip(&variance).map(|(scale, variance)| scale / (variance + epsilon).sqrt()).collect();
    let each = weights.len().checked_div(factors.len()).unwrap_or(0).max(1);
    let weights =
        weights.chunks(each).zip(&factors).flat_map(|(row, factor)| row.iter().map(move |weight| weight * factor));
    let biases = own.iter().zip(&mean).zip(&shift).zip(&factors);
    let biases = biases.map(|(((own, mean), shift), factor)| (own - mean) * factor + shift);
    let bias = TensorType::new(Dtype::F32, vec![factors.len() as u64])?;
    Ok(Some([constant(ty.clone(), weights)?, constant(bias, biases)?]))
}

/// The values of a constant of float32.
pub(super) fn floats(constant: &Constant<'_>) -> Option<Vec<f32>> {
    let values = || constant.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    (constant.ty().dtype == Dtype::F32).then(values)
}

pub(super) fn constant(ty: TensorType, values: impl Iterator<Item = f32>) -> Result<Constant<'static>> {
    Constant::new(ty, Cow::Owned(values.flat_map(f32::to_le_bytes).collect()))
}
