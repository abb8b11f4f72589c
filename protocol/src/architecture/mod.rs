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
pub use plan::{
    ATTENTION_PROJECTIONS, Activation, Conv2d, Margins, NORM_EPSILON_PPB, Op, Plan, Role, Shape, TensorSpec, epsilon,
    layer_norm_epsilon,
};
pub use resnet::Resnet;
pub use vit::{Pooling, Vit};

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// The largest channel count, width or hidden size that a description may name. Far above any student that fits a
/// competition's byte limit, and small enough that products of four of them stay inside `u64`.
pub const DIMENSION_MAX: u32 = 8_192;

/// There may be this many classes: a label is a `u16`.
pub const CLASSES_MAX: usize = 65_535;

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
        within("labels", u64::from(classes), CLASSES_MAX as u64)?;
        let ops = match self {
            Self::Mlp(mlp) => mlp.ops(input, classes),
            Self::Resnet(resnet) => resnet.ops(input, classes),
            Self::DepthwiseCnn(cnn) => cnn.ops(input, classes),
            Self::MobilenetV2(mobilenet) => mobilenet.ops(input, classes),
            Self::Vit(vit) => vit.ops(input, classes),
        }?;
        let style = self.style();
        style.check()?;
        let mut ops = style.applied(ops);
        match style.padding {
            Some(Padding::Same) => pad(&mut ops, Shape::Image(input), same)?,
            Some(Padding::Keras) => pad(&mut ops, Shape::Image(input), keras)?,
            Some(Padding::Symmetric) | None => {}
        }
        Plan::new(input, classes, ops)
    }

    /// The same description of a network that was saved in its other form: convolutions with their batch normalisations
    /// fused into them, or layers without biases. Which of the two a file holds, the names of its tensors tell.
    pub(crate) fn other_form(&self) -> Option<Self> {
        let mut other = self.clone();
        let (form, epsilon) = match &mut other {
            Self::Mlp(mlp) => (&mut mlp.bias, None),
            Self::Resnet(resnet) => (&mut resnet.batch_norm_fused, Some(&mut resnet.norm_epsilon_ppb)),
            Self::DepthwiseCnn(cnn) => (&mut cnn.batch_norm_fused, Some(&mut cnn.norm_epsilon_ppb)),
            Self::MobilenetV2(mobilenet) => (&mut mobilenet.batch_norm_fused, Some(&mut mobilenet.norm_epsilon_ppb)),
            Self::Vit(_) => return None,
        };
        *form = !*form;
        // What was fused has it in its values already.
        epsilon.map(Option::take);
        Some(other)
    }

    /// What shapes don't show and the description doesn't say either, as field and value: what is assumed of the model.
    pub fn assumed(&self) -> Vec<(&'static str, String)> {
        let style = self.style();
        let activation = match self {
            Self::Mlp(_) | Self::Resnet(_) | Self::DepthwiseCnn(_) => "relu",
            Self::MobilenetV2(_) => "relu6",
            Self::Vit(_) => "gelu",
        };
        let mut assumed = Vec::new();
        if style.activation.is_none() {
            assumed.push(("activation", activation.to_owned()));
        }
        match self {
            Self::Mlp(_) => {}
            Self::Vit(vit) => {
                if style.norm_epsilon_ppb.is_none() {
                    assumed.push(("norm_epsilon_ppb", format!("left out ({:e})", layer_norm_epsilon(None))));
                }
                if vit.pooling == Pooling::default() {
                    assumed.push(("pooling", "class_token".to_owned()));
                }
            }
            Self::Resnet(_) | Self::DepthwiseCnn(_) | Self::MobilenetV2(_) => {
                if style.norm_epsilon_ppb.is_none() && !style.is_fused {
                    assumed.push(("norm_epsilon_ppb", NORM_EPSILON_PPB.to_string()));
                }
                if style.padding.is_none() {
                    assumed.push(("padding", "symmetric".to_owned()));
                }
            }
        }
        assumed
    }

    /// What layer normalisations add to a variance, where the family has any.
    pub(crate) fn layer_norm_epsilon(&self) -> Option<f64> {
        let Self::Vit(vit) = self else { return None };
        Some(layer_norm_epsilon(vit.norm_epsilon_ppb))
    }

    /// What a description says of what shapes don't show.
    fn style(&self) -> Style {
        match self {
            Self::Mlp(mlp) => Style { activation: mlp.activation, ..Style::default() },
            Self::Resnet(Resnet { activation, norm_epsilon_ppb, batch_norm_fused, padding, .. })
            | Self::DepthwiseCnn(DepthwiseCnn { activation, norm_epsilon_ppb, batch_norm_fused, padding, .. })
            | Self::MobilenetV2(MobilenetV2 { activation, norm_epsilon_ppb, batch_norm_fused, padding, .. }) => Style {
                activation: *activation,
                norm_epsilon_ppb: *norm_epsilon_ppb,
                is_fused: *batch_norm_fused,
                padding: *padding,
            },
            Self::Vit(Vit { activation, norm_epsilon_ppb, .. }) => {
                Style { activation: *activation, norm_epsilon_ppb: *norm_epsilon_ppb, ..Style::default() }
            }
        }
    }
}

/// Where the zeros around a convolution's image lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Half a kernel on each side, as in PyTorch.
    Symmetric,
    /// TensorFlow's `SAME`: as many as the last step needs, and of an odd number the larger half below and to the right.
    Same,
    /// As in Keras's MobileNets: `ZeroPadding2D(((0, 1), (0, 1)))` before each convolution that halves, below and to the right
    /// whatever the size; half a kernel on each side of the others.
    Keras,
}

/// What a description says otherwise than its family does.
#[derive(Clone, Copy, Default)]
struct Style {
    activation: Option<Activation>,
    norm_epsilon_ppb: Option<u32>,
    is_fused: bool,
    padding: Option<Padding>,
}

impl Style {
    fn check(&self) -> Result<(), ArchitectureError> {
        match self.norm_epsilon_ppb {
            Some(_) if self.is_fused => Err(ArchitectureError::Inconsistent(
                "`norm_epsilon_ppb` is of batch normalisations, and `batch_norm_fused` says that none are left".into(),
            )),
            Some(ppb) => within("norm_epsilon_ppb", ppb.into(), 1_000_000_000),
            None => Ok(()),
        }
    }

    fn applied(&self, ops: Vec<Op>) -> Vec<Op> {
        let is_left = |op: &Op| !(self.is_fused && matches!(op, Op::BatchNorm { .. }));
        let restyle = |op| match op {
            Op::Activation(own) => Op::Activation(self.activation.unwrap_or(own)),
            Op::BatchNorm { name, channels, epsilon_ppb } => {
                Op::BatchNorm { name, channels, epsilon_ppb: self.norm_epsilon_ppb.unwrap_or(epsilon_ppb) }
            }
            Op::LayerNorm { name, width, epsilon_ppb } => {
                Op::LayerNorm { name, width, epsilon_ppb: self.norm_epsilon_ppb.or(epsilon_ppb) }
            }
            Op::Conv2d(conv) => Op::Conv2d(Conv2d { bias: conv.bias || self.is_fused, ..conv }),
            Op::Residual { body, shortcut } => {
                Op::Residual { body: self.applied(body), shortcut: self.applied(shortcut) }
            }
            other => other,
        };
        ops.into_iter().filter(is_left).map(restyle).collect()
    }
}

/// Puts the zeros of every convolution where `margins` has them; `shape` is what the first operation is given.
fn pad(ops: &mut [Op], mut shape: Shape, margins: fn(&Conv2d, ImageShape) -> Margins) -> Result<(), ArchitectureError> {
    for op in ops {
        match (&mut *op, shape) {
            (Op::Conv2d(conv), Shape::Image(image)) => conv.padding = margins(conv, image),
            (Op::Residual { body, shortcut }, _) => {
                pad(body, shape, margins)?;
                pad(shortcut, shape, margins)?;
            }
            _ => {}
        }
        (shape, _) = costs::walk(std::slice::from_ref(op), shape)?;
    }
    Ok(())
}

/// See the notes on padding of `tf.nn`: ceil(size / stride) outputs, the odd zero behind.
fn same(conv: &Conv2d, image: ImageShape) -> Margins {
    let zeros = |size: u32| {
        let steps = size.div_ceil(conv.stride).saturating_sub(1);
        steps.saturating_mul(conv.stride).saturating_add(conv.kernel).saturating_sub(size)
    };
    let (rows, columns) = (zeros(image.height), zeros(image.width));
    let (top, left) = (rows / 2, columns / 2);
    Margins { top, left, bottom: rows.saturating_sub(top), right: columns.saturating_sub(left) }
}

fn keras(conv: &Conv2d, _: ImageShape) -> Margins {
    match conv.stride {
        1 => conv.padding,
        stride => {
            let behind = conv.kernel.saturating_sub(stride);
            Margins { bottom: behind, right: behind, ..Margins::default() }
        }
    }
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

/// An epsilon in parts per billion. Whoever writes `1e-5` is told what that is.
fn parts_per_billion<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    struct PartsVisitor;
    impl<'de> Visitor<'de> for PartsVisitor {
        type Value = Option<u32>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`norm_epsilon_ppb` in parts per billion, a whole number: 10000 for 1e-5")
        }

        fn visit_u64<E: de::Error>(self, parts: u64) -> Result<Self::Value, E> {
            let told =
                |_| E::custom(format!("`norm_epsilon_ppb` is {parts}; it is in parts per billion, 10000 for 1e-5"));
            u32::try_from(parts).map(Some).map_err(told)
        }

        fn visit_i64<E: de::Error>(self, parts: i64) -> Result<Self::Value, E> {
            match u64::try_from(parts) {
                Ok(parts) => self.visit_u64(parts),
                Err(_) => self.visit_f64(parts as f64),
            }
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
            let parts = (value * 1e9).round();
            let instead = match value {
                // As a whole number, though written with a point.
                _ if value >= 1.0 && value.fract() == 0.0 => format!("write {value}"),
                _ if (1.0..=1e9).contains(&parts) => format!("write {parts} for {value:e}"),
                _ if value > 0.0 && value < 1e-9 => "leave it out for the transformers' 1e-12".to_owned(),
                _ => "10000 for 1e-5".to_owned(),
            };
            Err(E::custom(format!(
                "`norm_epsilon_ppb` is {value:e}; it is in parts per billion, a whole number: {instead}"
            )))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            match text.parse::<f64>() {
                Ok(value) => self.visit_f64(value),
                Err(_) => Err(E::invalid_type(de::Unexpected::Str(text), &self)),
            }
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_any(self)
        }
    }
    deserializer.deserialize_any(PartsVisitor)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_no(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests;
