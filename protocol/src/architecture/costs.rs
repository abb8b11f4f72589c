//! What an architecture costs, computed from its description with checked arithmetic before anything is allocated.

use super::{ArchitectureError, ImageShape, Op, Plan, Role, Shape, TensorSpec};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Exact costs of one inference at batch 1, in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Costs {
    /// Learned values (running statistics don't count, as in PyTorch's `parameters()`).
    pub parameters: u64,
    /// The size that is scored: values that inference needs, batch normalisation folded into the convolution before it,
    /// at two bytes each whatever their type in the file. So nothing is gained by how numbers are written.
    pub size_bytes: u64,
    /// Multiply-accumulates of convolutions, linear layers and attention; normalisation and activations are not counted.
    pub macs: u64,
    /// The most bytes of activations alive at once: the input and output of an operation, what residuals hold, and
    /// within attention its projections and the scores of all heads.
    pub activation_bytes_peak: u64,
}

/// What a value counts in the scored size: floats are kept in f32, f16 or bf16, and half precision costs no accuracy.
const VALUE_BYTES: u64 = 2;

/// MACs and peak live values met on a walk.
#[derive(Clone, Copy, Default)]
pub(super) struct Work {
    macs: u64,
    live_values_peak: u64,
}

pub(super) fn of(plan: &Plan) -> Result<Costs, ArchitectureError> {
    let (_, work) = walk(plan.ops(), Shape::Image(plan.input()))?;
    let tensors = plan.tensors();
    let learned = tensors.iter().filter(|tensor| tensor.role == Role::Parameter);
    let parameters = values(learned).ok_or(ArchitectureError::Overflow)?;
    let folded = folded_values(plan.ops()).ok_or(ArchitectureError::Overflow)?;
    let size_bytes = folded.checked_mul(VALUE_BYTES).ok_or(ArchitectureError::Overflow)?;
    let activation_bytes_peak = work.live_values_peak.checked_mul(4).ok_or(ArchitectureError::Overflow)?;
    Ok(Costs { parameters, size_bytes, macs: work.macs, activation_bytes_peak })
}

/// Values of tensors; `None` on overflow.
fn values<'a>(mut tensors: impl Iterator<Item = &'a TensorSpec>) -> Option<u64> {
    tensors.try_fold(0u64, |sum, tensor| {
        sum.checked_add(tensor.shape.iter().try_fold(1u64, |product, side| product.checked_mul(*side))?)
    })
}

/// Values that are left when batch normalisation is folded, as `weights::fold_batch_norm` does it: of the four a channel
/// of one that follows a convolution a bias stays, which the convolution may have had. `None` on overflow.
fn folded_values(ops: &[Op]) -> Option<u64> {
    let mut sum = 0u64;
    let mut before: Option<&Op> = None;
    for op in ops {
        let kept = match (op, before) {
            (Op::BatchNorm { .. }, Some(Op::Conv2d(conv))) if conv.bias => 0,
            (Op::BatchNorm { channels, .. }, Some(Op::Conv2d(_))) => u64::from(*channels),
            (Op::Residual { body, shortcut }, _) => folded_values(body)?.checked_add(folded_values(shortcut)?)?,
            _ => values(op.tensors().iter())?,
        };
        sum = sum.checked_add(kept)?;
        before = Some(op);
    }
    Some(sum)
}

/// Propagates `shape` through `ops`; returns the shape at the end and the work on the way.
pub(super) fn walk(ops: &[Op], mut shape: Shape) -> Result<(Shape, Work), ArchitectureError> {
    let mut total = Work::default();
    for op in ops {
        let (next, work) = step(op, shape)?;
        total.macs = total.macs.checked_add(work.macs).ok_or(ArchitectureError::Overflow)?;
        total.live_values_peak = total.live_values_peak.max(work.live_values_peak);
        shape = next;
    }
    Ok((shape, total))
}

fn step(op: &Op, shape: Shape) -> Result<(Shape, Work), ArchitectureError> {
    if let Op::Residual { body, shortcut } = op {
        return residual(body, shortcut, shape);
    }
    let next = output_shape(op, shape)?;
    let around = shape.values().checked_add(next.values());
    let live_values_peak =
        around.zip(inside(op, shape)).and_then(|(a, b)| a.checked_add(b)).ok_or(ArchitectureError::Overflow)?;
    let macs = macs(op, shape, next).ok_or(ArchitectureError::Overflow)?;
    Ok((next, Work { macs, live_values_peak }))
}

fn residual(body: &[Op], shortcut: &[Op], shape: Shape) -> Result<(Shape, Work), ArchitectureError> {
    let (body_end, body_work) = walk(body, shape)?;
    let (shortcut_end, shortcut_work) = walk(shortcut, shape)?;
    if body_end != shortcut_end {
        return Err(ArchitectureError::Inconsistent(format!(
            "a residual's two paths end in {body_end:?} and {shortcut_end:?}"
        )));
    }
    // While the body runs the block's input is held; while the shortcut runs, the body's output is.
    let during_body = body_work.live_values_peak.checked_add(shape.values());
    let during_shortcut = shortcut_work.live_values_peak.checked_add(body_end.values());
    let live_values_peak =
        during_body.zip(during_shortcut).map(|(a, b)| a.max(b)).ok_or(ArchitectureError::Overflow)?;
    let macs = body_work.macs.checked_add(shortcut_work.macs).ok_or(ArchitectureError::Overflow)?;
    Ok((body_end, Work { macs, live_values_peak }))
}

fn output_shape(op: &Op, shape: Shape) -> Result<Shape, ArchitectureError> {
    let mismatch = || Err(ArchitectureError::Inconsistent(format!("{op:?} can't take {shape:?}")));
    match (op, shape) {
        (Op::Linear { inputs, outputs, .. }, Shape::Vector(width)) if *inputs == width => Ok(Shape::Vector(*outputs)),
        (Op::Linear { inputs, outputs, .. }, Shape::Tokens { count, width }) if *inputs == width => {
            Ok(Shape::Tokens { count, width: *outputs })
        }
        (Op::Conv2d(conv), Shape::Image(image)) if conv.inputs == image.channels => {
            let side = |size: u32, before: u32, after: u32| {
                let padded = size.checked_add(before)?.checked_add(after)?;
                padded.checked_sub(conv.kernel)?.checked_div(conv.stride)?.checked_add(1)
            };
            let around = conv.padding;
            match (side(image.height, around.top, around.bottom), side(image.width, around.left, around.right)) {
                (Some(height), Some(width)) => Ok(Shape::Image(ImageShape { channels: conv.outputs, height, width })),
                _ => mismatch(),
            }
        }
        (Op::BatchNorm { channels, .. }, Shape::Image(image)) if *channels == image.channels => Ok(shape),
        (Op::LayerNorm { width: expected, .. }, Shape::Tokens { width, .. }) if *expected == width => Ok(shape),
        (Op::Activation(_), _) => Ok(shape),
        (Op::Flatten, Shape::Image(image)) => match u32::try_from(image.values()) {
            Ok(values) => Ok(Shape::Vector(values)),
            Err(_) => Err(ArchitectureError::Overflow),
        },
        (Op::GlobalAveragePool, Shape::Image(image)) => Ok(Shape::Vector(image.channels)),
        (Op::ImageToTokens, Shape::Image(image)) => match image.height.checked_mul(image.width) {
            Some(count) => Ok(Shape::Tokens { count, width: image.channels }),
            None => Err(ArchitectureError::Overflow),
        },
        (Op::ClassToken { width: expected, .. }, Shape::Tokens { count, width }) if *expected == width => {
            Ok(Shape::Tokens { count: count.checked_add(1).ok_or(ArchitectureError::Overflow)?, width })
        }
        (Op::PositionEmbedding { tokens, width: expected, .. }, Shape::Tokens { count, width })
            if *expected == width && *tokens == count =>
        {
            Ok(shape)
        }
        (Op::SelfAttention { width: expected, .. }, Shape::Tokens { width, .. }) if *expected == width => Ok(shape),
        (Op::FirstToken | Op::MeanOfPatches, Shape::Tokens { width, .. }) => Ok(Shape::Vector(width)),
        _ => mismatch(),
    }
}

/// Values that an operation holds beside its input and output; `None` on overflow. Attention has queries, keys and
/// values, and for each head a score of each token for each, before and after softmax: with many narrow heads these are
/// most of the memory, and neither parameters nor MACs show them.
fn inside(op: &Op, input: Shape) -> Option<u64> {
    match (op, input) {
        (Op::SelfAttention { heads, .. }, Shape::Tokens { count, .. }) => {
            let scores = u64::from(*heads).checked_mul(u64::from(count))?.checked_mul(u64::from(count))?;
            input.values().checked_mul(3)?.checked_add(scores.checked_mul(2)?)
        }
        _ => Some(0),
    }
}

/// Multiply-accumulates of one operation; `None` on overflow.
fn macs(op: &Op, input: Shape, output: Shape) -> Option<u64> {
    match op {
        Op::Linear { inputs, .. } => output.values().checked_mul(u64::from(*inputs)),
        Op::Conv2d(conv) => {
            let per_value = u64::from(conv.inputs.checked_div(conv.groups)?)
                .checked_mul(u64::from(conv.kernel))?
                .checked_mul(u64::from(conv.kernel))?;
            output.values().checked_mul(per_value)
        }
        Op::SelfAttention { width, .. } => {
            let Shape::Tokens { count, .. } = input else { return None };
            let projections = input.values().checked_mul(u64::from(*width))?.checked_mul(4)?;
            let mixing = input.values().checked_mul(u64::from(count))?.checked_mul(2)?;
            projections.checked_add(mixing)
        }
        _ => Some(0),
    }
}
