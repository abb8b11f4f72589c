//! `resnet`: the residual network of He et al. (2015, section 4.2) for small images, with torchvision's names
//! (`conv1`, `bn1`, `layer1.0.conv1`, `layer2.0.downsample.0`, `fc`) and a 3x3 stem without pooling.

use super::{
    Activation, ArchitectureError, Conv2d, ImageShape, Margins, NORM_EPSILON_PPB, Op, Padding, block_count, dimension,
    is_no, one, stride,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A CIFAR-style residual network. Stage `i` has `width * 2^i` channels; every stage after the first halves the
/// resolution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resnet {
    /// Channels of the stem and the first stage.
    pub width: u32,
    /// Basic blocks per stage; `[1, 1, 1]` is ResNet-8.
    pub blocks: Vec<u32>,
    /// Stride of the stem: 1 (default), or 2 to work at half the resolution throughout.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub stem_stride: u32,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_one(value: &u32) -> bool {
    *value == 1
}

impl Resnet {
    pub(super) fn ops(&self, input: ImageShape, classes: u32) -> Result<Vec<Op>, ArchitectureError> {
        dimension("width", self.width)?;
        stride("stem_stride", self.stem_stride)?;
        block_count("blocks", self.blocks.len())?;
        block_count("blocks", self.blocks.iter().map(|n| *n as usize).sum())?;

        let mut ops = conv_bn("conv1", "bn1", (input.channels, self.width), 3, self.stem_stride);
        ops.push(Op::Activation(Activation::Relu));
        let mut channels = self.width;
        for (stage, &count) in self.blocks.iter().enumerate() {
            block_count("blocks", count as usize)?;
            let outputs = if stage == 0 { channels } else { channels.saturating_mul(2) };
            dimension("width", outputs)?;
            for block in 0..count {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                ops.extend(basic_block(&format!("layer{}.{block}", stage + 1), channels, outputs, stride));
                channels = outputs;
            }
        }
        ops.push(Op::GlobalAveragePool);
        ops.push(Op::Linear { name: "fc".into(), inputs: channels, outputs: classes, bias: true });
        Ok(ops)
    }
}

/// Two 3x3 convolutions around an identity, or around a 1x1 projection where the shape changes.
fn basic_block(name: &str, inputs: u32, outputs: u32, stride: u32) -> [Op; 2] {
    let mut body = conv_bn(&format!("{name}.conv1"), &format!("{name}.bn1"), (inputs, outputs), 3, stride);
    body.push(Op::Activation(Activation::Relu));
    body.extend(conv_bn(&format!("{name}.conv2"), &format!("{name}.bn2"), (outputs, outputs), 3, 1));
    let shortcut = if stride != 1 || inputs != outputs {
        conv_bn(&format!("{name}.downsample.0"), &format!("{name}.downsample.1"), (inputs, outputs), 1, stride)
    } else {
        Vec::new()
    };
    [Op::Residual { body, shortcut }, Op::Activation(Activation::Relu)]
}

/// A bias-free convolution that keeps the size at stride 1, and its batch normalisation.
fn conv_bn(conv: &str, bn: &str, (inputs, outputs): (u32, u32), kernel: u32, stride: u32) -> Vec<Op> {
    let conv = Conv2d {
        name: conv.into(),
        inputs,
        outputs,
        kernel,
        stride,
        padding: Margins::all(kernel / 2),
        groups: 1,
        bias: false,
    };
    vec![Op::Conv2d(conv), Op::BatchNorm { name: bn.into(), channels: outputs, epsilon_ppb: NORM_EPSILON_PPB }]
}
