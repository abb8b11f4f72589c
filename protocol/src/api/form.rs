//! The forms of a champion beside its package.

use crate::competition::ObjectRef;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// A form that champions are published in beside their package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelForm {
    /// Canonical ONNX in float32.
    Onnx,
    /// The same with what was learned in float16, to be computed in float32.
    OnnxF16,
    /// The same in whole numbers of 8 bits, by static quantisation (QDQ) that was calibrated on the public items.
    OnnxInt8,
}

impl ModelForm {
    /// Every form, smallest change first.
    pub const ALL: [Self; 3] = [Self::Onnx, Self::OnnxF16, Self::OnnxInt8];

    /// Where a repository on the Hub has it, and tools look for it: Optimum's and transformers.js's names.
    pub fn path(self) -> &'static str {
        match self {
            Self::Onnx => "onnx/model.onnx",
            Self::OnnxF16 => "onnx/model_fp16.onnx",
            Self::OnnxInt8 => "onnx/model_quantized.onnx",
        }
    }
}

impl fmt::Display for ModelForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Onnx => "ONNX, float32",
            Self::OnnxF16 => "ONNX, float16",
            Self::OnnxInt8 => "ONNX, int8",
        })
    }
}

/// A model in another form, and what it answered to the public items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FormView {
    /// Which.
    pub form: ModelForm,
    /// The file, under `/api/v1/objects/sha256/{digest}`.
    pub object: ObjectRef,
    /// How many public items it answered.
    pub items: u32,
    /// How many of them right.
    pub correct: u32,
    /// How many with the original's class.
    pub agreed: u32,
    /// Version and build of the engine that it answered on.
    pub engine: String,
}
