//! `mobilenet_v2`: inverted residuals with linear bottlenecks (Sandler et al. 2018), with torchvision's names:
//! `features.0.0`, `features.i.conv.0.0`, .., `features.n.0`, `classifier.1`.

use super::{
    Activation, ArchitectureError, Conv2d, ImageShape, Margins, NORM_EPSILON_PPB, Op, Padding, block_count, dimension,
    is_no, stride,
};
use crate::strict::objects;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A row of the paper's table 2: `repeats` blocks, the first with `stride`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvertedResidual {
    /// Factor by which the block widens its input (t); 1 leaves the expansion out.
    pub expansion: u32,
    /// Channels out (c).
    pub channels: u32,
    /// How many blocks (n).
    pub repeats: u32,
    /// Stride of the first block (s): 1 or 2.
    pub stride: u32,
}

/// A network of inverted residuals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MobilenetV2 {
    /// Channels of the 3x3 stem.
    pub stem: u32,
    /// Stride of the stem: 1 or 2 (torchvision's is 2).
    pub stem_stride: u32,
    /// The rows of inverted residuals.
    #[serde(deserialize_with = "objects")]
    pub blocks: Vec<InvertedResidual>,
    /// Channels of the last 1x1 convolution.
    pub head: u32,
    /// The non-linearity, where it isn't ReLU6.
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

impl MobilenetV2 {
    pub(super) fn ops(&self, input: ImageShape, classes: u32) -> Result<Vec<Op>, ArchitectureError> {
        dimension("stem", self.stem)?;
        dimension("head", self.head)?;
        stride("stem_stride", self.stem_stride)?;
        block_count("blocks", self.blocks.iter().map(|row| row.repeats as usize).sum())?;

        let mut ops = conv_bn_relu6("features.0", (input.channels, self.stem), 3, self.stem_stride, 1).to_vec();
        let mut channels = self.stem;
        let mut index = 1;
        for row in &self.blocks {
            block_count("blocks.repeats", row.repeats as usize)?;
            dimension("blocks.channels", row.channels)?;
            stride("blocks.stride", row.stride)?;
            for repeat in 0..row.repeats {
                let stride = if repeat == 0 { row.stride } else { 1 };
                ops.extend(inverted_residual(&format!("features.{index}.conv"), channels, row, stride)?);
                channels = row.channels;
                index += 1;
            }
        }
        ops.extend(conv_bn_relu6(&format!("features.{index}"), (channels, self.head), 1, 1, 1));
        ops.push(Op::GlobalAveragePool);
        ops.push(Op::Linear { name: "classifier.1".into(), inputs: self.head, outputs: classes, bias: true });
        Ok(ops)
    }
}

/// Expand, filter depthwise, project; added to the input where the shapes are the same.
fn inverted_residual(
    name: &str,
    inputs: u32,
    row: &InvertedResidual,
    stride: u32,
) -> Result<Vec<Op>, ArchitectureError> {
    dimension("blocks.expansion", row.expansion)?;
    let hidden = inputs.saturating_mul(row.expansion);
    dimension("blocks.expansion", hidden)?;

    let mut body = Vec::new();
    let mut index = 0;
    if row.expansion != 1 {
        body.extend(conv_bn_relu6(&format!("{name}.0"), (inputs, hidden), 1, 1, 1));
        index = 1;
    }
    body.extend(conv_bn_relu6(&format!("{name}.{index}"), (hidden, hidden), 3, stride, hidden));
    body.push(conv(format!("{name}.{}", index + 1), (hidden, row.channels), 1, 1, 1));
    body.push(Op::BatchNorm {
        name: format!("{name}.{}", index + 2),
        channels: row.channels,
        epsilon_ppb: NORM_EPSILON_PPB,
    });

    let keeps_shape = stride == 1 && inputs == row.channels;
    Ok(if keeps_shape { vec![Op::Residual { body, shortcut: Vec::new() }] } else { body })
}

/// torchvision's `Conv2dNormActivation`: `name.0` is the convolution, `name.1` its normalisation.
fn conv_bn_relu6(name: &str, channels: (u32, u32), kernel: u32, stride: u32, groups: u32) -> [Op; 3] {
    [
        conv(format!("{name}.0"), channels, kernel, stride, groups),
        Op::BatchNorm { name: format!("{name}.1"), channels: channels.1, epsilon_ppb: NORM_EPSILON_PPB },
        Op::Activation(Activation::Relu6),
    ]
}

fn conv(name: String, (inputs, outputs): (u32, u32), kernel: u32, stride: u32, groups: u32) -> Op {
    Op::Conv2d(Conv2d { name, inputs, outputs, kernel, stride, padding: Margins::all(kernel / 2), groups, bias: false })
}
