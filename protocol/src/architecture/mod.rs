//! Architectures as data: a miner's `config.json` names one of a closed catalogue, and this module turns that
//! description into a [`Plan`], a list of operations with every tensor name, shape and cost worked out.
//!
//! The plan is the single source of truth: admission takes the exact tensor set from it, `models` interprets it as a
//! burn module, folding rewrites it. It does not know burn, files or competitions.

#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

mod costs;
mod depthwise_cnn;
mod mlp;
mod mobilenet_v2;
mod plan;
mod resnet;
mod vit;

pub use costs::Costs;
pub use depthwise_cnn::{DepthwiseBlock, DepthwiseCnn};
pub use mlp::Mlp;
pub use mobilenet_v2::{InvertedResidual, MobilenetV2};
pub use plan::{ATTENTION_PROJECTIONS, Activation, Conv2d, NORM_EPSILON_PPB, Op, Plan, Role, Shape, TensorSpec};
pub use resnet::Resnet;
pub use vit::{Pooling, Vit};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The largest channel count, width or hidden size that a description may name. Far above any student that fits a
/// competition's byte limit, and small enough that products of four of them stay inside `u64`.
pub const DIMENSION_MAX: u32 = 8_192;

/// The largest number of blocks or layers that a description may name, so that a small config can't expand into a
/// plan of millions of operations.
pub const BLOCKS_MAX: u32 = 256;

/// What a model takes: one image, channels first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageShape {
    /// Colour planes: 1 for grey, 3 for RGB.
    pub channels: u32,
    /// Rows of pixels.
    pub height: u32,
    /// Columns of pixels.
    pub width: u32,
}

impl ImageShape {
    /// The number of values in one image; `u64::MAX` where it is more than that.
    pub fn values(&self) -> u64 {
        u64::from(self.channels).saturating_mul(u64::from(self.height)).saturating_mul(u64::from(self.width))
    }
}

/// A model's architecture: a value that our own code interprets, never code of the miner's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Architecture {
    /// Fully connected layers with ReLU.
    Mlp(Mlp),
    /// A CIFAR-style residual network of basic blocks.
    Resnet(Resnet),
    /// Depthwise-separable convolutions, like MobileNetV1.
    DepthwiseCnn(DepthwiseCnn),
    /// Inverted residuals with linear bottlenecks, as in torchvision's MobileNetV2.
    MobilenetV2(MobilenetV2),
    /// A vision transformer, as in Hugging Face's `ViTForImageClassification`.
    Vit(Vit),
}

impl Architecture {
    /// The name of the family, as `config.json` spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Mlp(_) => "mlp",
            Self::Resnet(_) => "resnet",
            Self::DepthwiseCnn(_) => "depthwise_cnn",
            Self::MobilenetV2(_) => "mobilenet_v2",
            Self::Vit(_) => "vit",
        }
    }

    /// Expands the description into operations for images of shape `input` and `classes` outputs.
    ///
    /// # Errors
    /// When a dimension is zero or over its limit, or the parts don't fit each other. Nothing large is allocated.
    pub fn plan(&self, input: ImageShape, classes: u32) -> Result<Plan, ArchitectureError> {
        for (field, value) in
            [("input.channels", input.channels), ("input.height", input.height), ("input.width", input.width)]
        {
            dimension(field, value)?;
        }
        dimension("labels", classes)?;
        let ops = match self {
            Self::Mlp(mlp) => mlp.ops(input, classes),
            Self::Resnet(resnet) => resnet.ops(input, classes),
            Self::DepthwiseCnn(cnn) => cnn.ops(input, classes),
            Self::MobilenetV2(mobilenet) => mobilenet.ops(input, classes),
            Self::Vit(vit) => vit.ops(input, classes),
        }?;
        let (activation, epsilon_ppb) = self.style();
        if let Some(ppb) = epsilon_ppb {
            within("norm_epsilon_ppb", ppb.into(), 1_000_000_000)?;
        }
        Plan::new(input, classes, styled(ops, activation, epsilon_ppb))
    }

    /// What a description says of what shapes don't show: its activation, and what its batch normalisations add.
    fn style(&self) -> (Option<Activation>, Option<u32>) {
        match self {
            Self::Mlp(mlp) => (mlp.activation, None),
            Self::Resnet(resnet) => (resnet.activation, resnet.norm_epsilon_ppb),
            Self::DepthwiseCnn(cnn) => (cnn.activation, cnn.norm_epsilon_ppb),
            Self::MobilenetV2(mobilenet) => (mobilenet.activation, mobilenet.norm_epsilon_ppb),
            Self::Vit(vit) => (vit.activation, None),
        }
    }
}

/// The family's operations with what a description says otherwise.
fn styled(ops: Vec<Op>, activation: Option<Activation>, norm_epsilon_ppb: Option<u32>) -> Vec<Op> {
    let restyle = |op| match op {
        Op::Activation(own) => Op::Activation(activation.unwrap_or(own)),
        Op::BatchNorm { name, channels, epsilon_ppb } => {
            Op::BatchNorm { name, channels, epsilon_ppb: norm_epsilon_ppb.unwrap_or(epsilon_ppb) }
        }
        Op::Residual { body, shortcut } => Op::Residual {
            body: styled(body, activation, norm_epsilon_ppb),
            shortcut: styled(shortcut, activation, norm_epsilon_ppb),
        },
        other => other,
    };
    ops.into_iter().map(restyle).collect()
}

/// A description that can't be built, with the offending value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchitectureError {
    /// A dimension is zero or too large.
    #[error("{field} is {value}; it must be between 1 and {max}")]
    OutOfRange {
        /// The field of the description.
        field: &'static str,
        /// What it held.
        value: u64,
        /// The largest value allowed.
        max: u64,
    },
    /// Two parts of the description contradict each other.
    #[error("{0}")]
    Inconsistent(String),
    /// A count doesn't fit 64 bits.
    #[error("the cost of the architecture overflows 64 bits")]
    Overflow,
}

/// Checks that `value` is a usable dimension.
fn dimension(field: &'static str, value: u32) -> Result<(), ArchitectureError> {
    within(field, u64::from(value), u64::from(DIMENSION_MAX))
}

/// Checks that `value` is a usable number of blocks.
fn block_count(field: &'static str, value: usize) -> Result<(), ArchitectureError> {
    within(field, value as u64, u64::from(BLOCKS_MAX))
}

fn within(field: &'static str, value: u64, max: u64) -> Result<(), ArchitectureError> {
    if (1..=max).contains(&value) { Ok(()) } else { Err(ArchitectureError::OutOfRange { field, value, max }) }
}

/// Checks a stride: 1, or 2 to halve the resolution.
fn stride(field: &'static str, value: u32) -> Result<(), ArchitectureError> {
    within(field, u64::from(value), 2)
}

fn one() -> u32 {
    1
}

#[cfg(test)]
mod tests;
