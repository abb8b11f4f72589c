//! Backends: what may compute a model's answers to public items in place of the official engine, where a manifest allows it and a
//! validator has it. What a round decides is the official engine's alone.
//!
//! It knows no device and runs nothing.

use crate::official::EngineName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where answers may come from: burn on a device, or an engine of graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[derive(strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", parse_err_ty = String, parse_err_fn = no_backend)]
pub enum Backend {
    /// burn on the processor.
    Flex,
    /// burn on a GPU through WGSL.
    Wgpu,
    /// burn on LibTorch.
    Tch,
    /// rten.
    Rten,
    /// onnxruntime.
    Onnxruntime,
}

impl Backend {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Flex, Self::Wgpu, Self::Tch, Self::Rten, Self::Onnxruntime];

    /// The name in manifests, settings and reports.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

fn no_backend(name: &str) -> String {
    format!("there is no backend {name:?}: write flex, wgpu, tch, rten or onnxruntime")
}

/// Which backends a competition allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Backends {
    /// For the answers to public items. A validator that has none of them takes the official engine.
    #[serde(default)]
    pub accuracy: Vec<Backend>,
}

impl Backends {
    /// Whether it allows none, so that nothing is written.
    pub fn is_empty(&self) -> bool {
        self.accuracy.is_empty()
    }
}

impl From<EngineName> for Backend {
    /// The backend that is that engine itself.
    fn from(engine: EngineName) -> Self {
        match engine {
            EngineName::Burn => Self::Flex,
            EngineName::Rten => Self::Rten,
            EngineName::Onnxruntime => Self::Onnxruntime,
        }
    }
}

/// The share of items that the official engine answers, too, in parts of all.
pub const HELD_AGAINST_SHARE: usize = 20;

/// How far a logit may be off the official engine's, in millionths.
pub const DELTA_MICRO_MAX: u64 = 1_000;

/// That answers came from a backend, and how they stood beside the official engine's on a random sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OnBackend {
    /// Which.
    pub backend: Backend,
    /// Items that the official engine answered as well: a random twentieth.
    pub held_against: u32,
    /// The furthest that a logit was off on them, in millionths; 0 where there is an incident.
    pub delta_micro_max: u64,
    /// Why its answers don't count: then all are the official engine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub incident: Option<String>,
}

impl OnBackend {
    /// Whether its answers count.
    pub fn counts(&self) -> bool {
        self.incident.is_none()
    }
}
