//! The intermediate form between a description and a model: operations in order, with names and shapes.
//!
//! Names follow PyTorch's `state_dict`. A plan that exists is consistent: shapes were propagated through every
//! operation when it was made.

use super::{ArchitectureError, ImageShape, costs};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The shape of one item between two operations (the batch axis is left out).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Channels first.
    Image(ImageShape),
    /// A sequence of `count` vectors of `width` values.
    Tokens {
        /// Length of the sequence.
        count: u32,
        /// Values per token.
        width: u32,
    },
    /// One vector.
    Vector(u32),
}

impl Shape {
    /// The number of values in one item.
    pub fn values(&self) -> u64 {
        match self {
            Self::Image(image) => image.values(),
            Self::Tokens { count, width } => u64::from(*count).saturating_mul(u64::from(*width)),
            Self::Vector(width) => u64::from(*width),
        }
    }
}

/// Element-wise non-linearities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// min(max(x, 0), 6).
    Relu6,
    /// x Φ(x), with the exact error function.
    Gelu,
    /// x σ(x), also called swish.
    Silu,
}

/// What a batch normalisation adds to a variance unless its description says otherwise, parts per billion: PyTorch's 1e-5.
pub const NORM_EPSILON_PPB: u32 = 10_000;

/// What a layer normalisation adds to a variance unless its description says otherwise: that of Hugging Face's ViT. It is
/// below one part per billion.
const LAYER_NORM_EPSILON: f64 = 1e-12;

/// What is added to a variance, from parts per billion; 1e-5 to the last bit where it is that.
pub fn epsilon(ppb: u32) -> f64 {
    f64::from(ppb) / 1e9
}

/// What a layer normalisation adds to a variance, from parts per billion; 1e-12 where none are said.
pub fn layer_norm_epsilon(ppb: Option<u32>) -> f64 {
    ppb.map_or(LAYER_NORM_EPSILON, epsilon)
}

/// Rows and columns of zeros around an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Margins {
    /// Rows above.
    pub top: u32,
    /// Columns to the left.
    pub left: u32,
    /// Rows below.
    pub bottom: u32,
    /// Columns to the right.
    pub right: u32,
}

impl Margins {
    /// As many on each side.
    pub fn all(zeros: u32) -> Self {
        Self { top: zeros, left: zeros, bottom: zeros, right: zeros }
    }
}

/// A square convolution. Weight `[outputs, inputs / groups, kernel, kernel]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Prefix of its tensors.
    pub name: String,
    /// Channels in.
    pub inputs: u32,
    /// Channels out.
    pub outputs: u32,
    /// Rows and columns of the kernel.
    pub kernel: u32,
    /// Step in both directions.
    pub stride: u32,
    /// Zeros around the image.
    pub padding: Margins,
    /// Groups; equal to `inputs` for a depthwise convolution.
    pub groups: u32,
    /// Whether it has a bias of `[outputs]`.
    pub bias: bool,
}

/// One operation of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// y = x Wᵀ + b, weight `[outputs, inputs]`.
    Linear {
        /// Prefix of its tensors.
        name: String,
        /// Values in.
        inputs: u32,
        /// Values out.
        outputs: u32,
        /// Whether it has a bias of `[outputs]`.
        bias: bool,
    },
    /// A convolution.
    Conv2d(Conv2d),
    /// Batch normalisation.
    BatchNorm {
        /// Prefix of its tensors.
        name: String,
        /// Channels.
        channels: u32,
        /// What is added to a variance, parts per billion.
        epsilon_ppb: u32,
    },
    /// Layer normalisation over the last axis.
    LayerNorm {
        /// Prefix of its tensors.
        name: String,
        /// Values per token.
        width: u32,
        /// What is added to a variance, parts per billion, for [`layer_norm_epsilon`].
        epsilon_ppb: Option<u32>,
    },
    /// An element-wise non-linearity.
    Activation(Activation),
    /// Image to vector.
    Flatten,
    /// Mean over rows and columns.
    GlobalAveragePool,
    /// body(x) + shortcut(x); an empty shortcut is the identity.
    Residual {
        /// The main path.
        body: Vec<Op>,
        /// The side path.
        shortcut: Vec<Op>,
    },
    /// `[width, rows, columns]` to `[rows * columns, width]`.
    ImageToTokens,
    /// Prepends a learned token, tensor `[1, 1, width]`.
    ClassToken {
        /// Name of the tensor.
        name: String,
        /// Values per token.
        width: u32,
    },
    /// Adds a learned position to each token, tensor `[1, tokens, width]`.
    PositionEmbedding {
        /// Name of the tensor.
        name: String,
        /// Length of the sequence.
        tokens: u32,
        /// Values per token.
        width: u32,
    },
    /// Multi-head softmax attention with separate query, key, value and output projections.
    SelfAttention {
        /// Prefix of its tensors.
        name: String,
        /// Values per token.
        width: u32,
        /// Heads; divides `width`.
        heads: u32,
    },
    /// Keeps the first token only.
    FirstToken,
    /// Mean over all tokens but the first.
    MeanOfPatches,
}

/// What a tensor of a `state_dict` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Learned; counts as a parameter.
    Parameter,
    /// Running statistics; not a parameter.
    Buffer,
}

/// A tensor that a package must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name in the `state_dict`.
    pub name: String,
    /// Its shape, outermost axis first.
    pub shape: Vec<u64>,
    /// Whether it is learned.
    pub role: Role,
}

/// The query, key, value and output projections of attention, in the order of [`Op::tensors`].
pub const ATTENTION_PROJECTIONS: [&str; 4] = ["attention.query", "attention.key", "attention.value", "output.dense"];

impl Op {
    /// The tensors that the operation holds, in `state_dict` order. A residual lists its body, then its shortcut.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let parameter = |name: String, shape: &[u32]| TensorSpec {
            name,
            shape: shape.iter().map(|d| u64::from(*d)).collect(),
            role: Role::Parameter,
        };
        match self {
            Self::Linear { name, inputs, outputs, bias } => {
                let parts = if *bias { 2 } else { 1 };
                linear_tensors(name, *inputs, *outputs).into_iter().take(parts).collect()
            }
            Self::Conv2d(conv) => {
                let inputs = conv.inputs.checked_div(conv.groups).unwrap_or_default();
                let shape = [conv.outputs, inputs, conv.kernel, conv.kernel];
                let mut tensors = vec![parameter(format!("{}.weight", conv.name), &shape)];
                if conv.bias {
                    tensors.push(parameter(format!("{}.bias", conv.name), &[conv.outputs]));
                }
                tensors
            }
            Self::BatchNorm { name, channels, .. } => ["weight", "bias", "running_mean", "running_var"]
                .into_iter()
                .map(|part| TensorSpec {
                    name: format!("{name}.{part}"),
                    shape: vec![u64::from(*channels)],
                    role: if part.starts_with("running") { Role::Buffer } else { Role::Parameter },
                })
                .collect(),
            Self::LayerNorm { name, width, .. } => {
                ["weight", "bias"].map(|part| parameter(format!("{name}.{part}"), &[*width])).to_vec()
            }
            Self::ClassToken { name, width } => vec![parameter(name.clone(), &[1, 1, *width])],
            Self::PositionEmbedding { name, tokens, width } => vec![parameter(name.clone(), &[1, *tokens, *width])],
            Self::SelfAttention { name, width, .. } => ATTENTION_PROJECTIONS
                .iter()
                .flat_map(|projection| linear_tensors(&format!("{name}.{projection}"), *width, *width))
                .collect(),
            Self::Residual { body, shortcut } => body.iter().chain(shortcut).flat_map(Op::tensors).collect(),
            Self::Activation(_)
            | Self::Flatten
            | Self::GlobalAveragePool
            | Self::ImageToTokens
            | Self::FirstToken
            | Self::MeanOfPatches => Vec::new(),
        }
    }
}

fn linear_tensors(name: &str, inputs: u32, outputs: u32) -> Vec<TensorSpec> {
    let spec =
        |part: &str, shape: Vec<u64>| TensorSpec { name: format!("{name}.{part}"), shape, role: Role::Parameter };
    vec![spec("weight", vec![outputs.into(), inputs.into()]), spec("bias", vec![outputs.into()])]
}

/// A consistent list of operations from an image to `classes` logits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    input: ImageShape,
    classes: u32,
    ops: Vec<Op>,
}

impl Plan {
    /// Propagates shapes through `ops` and accepts them when they end in `classes` values.
    ///
    /// # Errors
    /// When an operation doesn't fit what reaches it, or a count overflows.
    pub fn new(input: ImageShape, classes: u32, ops: Vec<Op>) -> Result<Self, ArchitectureError> {
        let plan = Self { input, classes, ops };
        let (end, _) = costs::walk(&plan.ops, Shape::Image(input))?;
        if end != Shape::Vector(classes) {
            return Err(ArchitectureError::Inconsistent(format!("the network ends in {end:?}, not {classes} logits")));
        }
        Ok(plan)
    }

    /// The shape of one input.
    pub fn input(&self) -> ImageShape {
        self.input
    }

    /// The number of outputs.
    pub fn classes(&self) -> u32 {
        self.classes
    }

    /// The operations, in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Exactly the tensors that a package of this architecture holds.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        self.ops.iter().flat_map(Op::tensors).collect()
    }

    /// Exact costs of one inference.
    ///
    /// # Errors
    /// When a count overflows 64 bits.
    pub fn costs(&self) -> Result<super::Costs, ArchitectureError> {
        costs::of(self)
    }
}
