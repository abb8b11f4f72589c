//! `depthwise_cnn`: depthwise-separable convolutions after MobileNetV1 (Howard et al. 2017).
//!
//! Names are those of nested `nn.Sequential`s: `features.0.{0,1}` is the stem's convolution and normalisation,
//! `features.i.{0,1}` a block's depthwise and `features.i.{3,4}` its pointwise half, `classifier` the linear head.

use super::{
    Activation, ArchitectureError, Conv2d, ImageShape, Margins, NORM_EPSILON_PPB, Op, Padding, block_count, dimension,
    is_no, stride,
};
use crate::strict::objects;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One depthwise 3x3 and pointwise 1x1 pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DepthwiseBlock {
    /// Channels out.
    pub channels: u32,
    /// Stride of the depthwise half: 1 or 2.
    pub stride: u32,
}

/// A MobileNetV1-like network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DepthwiseCnn {
    /// Channels of the 3x3 stem.
    pub stem: u32,
    /// Stride of the stem: 1 or 2.
    pub stem_stride: u32,
    /// The separable blocks.
    #[serde(deserialize_with = "objects")]
    pub blocks: Vec<DepthwiseBlock>,
    /// The non-linearity, where it isn't ReLU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub activation: Option<Activation>,
    /// What batch normalisations add to a variance, where it isn't 1e-5: parts per billion, 1,000,000 for 1e-3.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "super::parts_per_billion")]
    #[schema(nullable = false)]
    pub norm_epsilon_ppb: Option<u32>,
    /// Whether batch normalisations were fused into the convolutions before them, which then have biases, as
    /// `torch.nn.utils.fusion.fuse_conv_bn_eval` leaves them.
    #[serde(default, skip_serializing_if = "is_no")]
    pub batch_norm_fused: bool,
    /// Where convolutions are padded, if not by as much on each side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub padding: Option<Padding>,
}

impl DepthwiseCnn {
    pub(super) fn ops(&self, input: ImageShape, classes: u32) -> Result<Vec<Op>, ArchitectureError> {
        dimension("stem", self.stem)?;
        stride("stem_stride", self.stem_stride)?;
        block_count("blocks", self.blocks.len())?;

        let mut ops = conv_bn_relu("features.0", 0, (input.channels, self.stem), 3, self.stem_stride, 1).to_vec();
        let mut channels = self.stem;
        for (index, block) in self.blocks.iter().enumerate() {
            dimension("blocks.channels", block.channels)?;
            stride("blocks.stride", block.stride)?;
            let name = format!("features.{}", index + 1);
            ops.extend(conv_bn_relu(&name, 0, (channels, channels), 3, block.stride, channels));
            ops.extend(conv_bn_relu(&name, 3, (channels, block.channels), 1, 1, 1));
            channels = block.channels;
        }
        ops.push(Op::GlobalAveragePool);
        ops.push(Op::Linear { name: "classifier".into(), inputs: channels, outputs: classes, bias: true });
        Ok(ops)
    }
}

/// Convolution, normalisation and ReLU at indices `first`, `first + 1`, `first + 2` of the `nn.Sequential` at `name`.
fn conv_bn_relu(
    name: &str,
    first: u32,
    (inputs, outputs): (u32, u32),
    kernel: u32,
    stride: u32,
    groups: u32,
) -> [Op; 3] {
    [
        Op::Conv2d(Conv2d {
            name: format!("{name}.{first}"),
            inputs,
            outputs,
            kernel,
            stride,
            padding: Margins::all(kernel / 2),
            groups,
            bias: false,
        }),
        Op::BatchNorm { name: format!("{name}.{}", first + 1), channels: outputs, epsilon_ppb: NORM_EPSILON_PPB },
        Op::Activation(Activation::Relu),
    ]
}
