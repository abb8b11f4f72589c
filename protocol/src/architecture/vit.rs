//! `vit`: a small vision transformer (Dosovitskiy et al. 2020) with the names of Hugging Face's
//! `ViTForImageClassification`: `vit.embeddings.cls_token`, `vit.encoder.layer.0.attention.attention.query`, ..

use super::{Activation, ArchitectureError, Conv2d, ImageShape, Margins, Op, block_count, dimension};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A vision transformer with a class token and learned positions, normalised before each block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Vit {
    /// Side of a square patch in pixels; divides the image.
    pub patch: u32,
    /// Values per token.
    pub width: u32,
    /// Encoder layers.
    pub depth: u32,
    /// Attention heads; divides `width`.
    pub heads: u32,
    /// Hidden width of the feed-forward part.
    pub mlp_width: u32,
    /// The non-linearity, where it isn't GELU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub activation: Option<Activation>,
    /// What layer normalisations add to a variance, where it isn't the 1e-12 of Hugging Face's: parts per billion, 1,000 for
    /// timm's and torchvision's 1e-6, 10,000 for PyTorch's 1e-5. The default is below one part, so only its absence says it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "super::parts_per_billion")]
    #[schema(nullable = false)]
    pub norm_epsilon_ppb: Option<u32>,
    /// What the classifier reads.
    #[serde(default, skip_serializing_if = "Pooling::is_default")]
    pub pooling: Pooling,
}

/// What a transformer's classifier reads of the normalised tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The class token, as in Hugging Face's.
    #[default]
    ClassToken,
    /// The mean of all others, as in timm's `global_pool="avg"` with `fc_norm=False`.
    MeanOfPatches,
}

impl Pooling {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Vit {
    pub(super) fn ops(&self, input: ImageShape, classes: u32) -> Result<Vec<Op>, ArchitectureError> {
        let width = self.width;
        for (field, value) in
            [("patch", self.patch), ("width", width), ("heads", self.heads), ("mlp_width", self.mlp_width)]
        {
            dimension(field, value)?;
        }
        block_count("depth", self.depth as usize)?;
        self.check_divisions(input)?;

        let patches = (input.height / self.patch).checked_mul(input.width / self.patch);
        let tokens = patches.and_then(|n| n.checked_add(1)).ok_or(ArchitectureError::Overflow)?;
        dimension("patch", tokens)?;
        let mut ops = vec![
            Op::Conv2d(Conv2d {
                name: "vit.embeddings.patch_embeddings.projection".into(),
                inputs: input.channels,
                outputs: width,
                kernel: self.patch,
                stride: self.patch,
                padding: Margins::default(),
                groups: 1,
                bias: true,
            }),
            Op::ImageToTokens,
            Op::ClassToken { name: "vit.embeddings.cls_token".into(), width },
            Op::PositionEmbedding { name: "vit.embeddings.position_embeddings".into(), tokens, width },
        ];
        for layer in 0..self.depth {
            ops.extend(self.encoder_layer(&format!("vit.encoder.layer.{layer}")));
        }
        ops.push(layer_norm("vit.layernorm".into(), width));
        ops.push(match self.pooling {
            Pooling::ClassToken => Op::FirstToken,
            Pooling::MeanOfPatches => Op::MeanOfPatches,
        });
        ops.push(Op::Linear { name: "classifier".into(), inputs: width, outputs: classes, bias: true });
        Ok(ops)
    }

    fn check_divisions(&self, input: ImageShape) -> Result<(), ArchitectureError> {
        if !input.height.is_multiple_of(self.patch) || !input.width.is_multiple_of(self.patch) {
            let message = format!("patch {} doesn't divide the {}x{} image", self.patch, input.height, input.width);
            return Err(ArchitectureError::Inconsistent(message));
        }
        if !self.width.is_multiple_of(self.heads) {
            let message = format!("{} heads don't divide width {}", self.heads, self.width);
            return Err(ArchitectureError::Inconsistent(message));
        }
        Ok(())
    }

    fn encoder_layer(&self, name: &str) -> [Op; 2] {
        let width = self.width;
        let attention = vec![
            layer_norm(format!("{name}.layernorm_before"), width),
            Op::SelfAttention { name: format!("{name}.attention"), width, heads: self.heads },
        ];
        let feed_forward = vec![
            layer_norm(format!("{name}.layernorm_after"), width),
            Op::Linear {
                name: format!("{name}.intermediate.dense"),
                inputs: width,
                outputs: self.mlp_width,
                bias: true,
            },
            Op::Activation(Activation::Gelu),
            Op::Linear { name: format!("{name}.output.dense"), inputs: self.mlp_width, outputs: width, bias: true },
        ];
        [attention, feed_forward].map(|body| Op::Residual { body, shortcut: Vec::new() })
    }
}

/// A layer normalisation as Hugging Face has it.
fn layer_norm(name: String, width: u32) -> Op {
    Op::LayerNorm { name, width, epsilon_ppb: None }
}
