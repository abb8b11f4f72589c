//! What passes between the validator and the evaluation engine: a request in, a report out.
//!
//! The validator links no ML crate and the engine knows no competition, so the words that both use live here.

use crate::Digest;
use crate::competition::{InputSpec, ObjectRef, OfficialEngine};
use crate::outcomes::Outcomes;
use crate::package::Expected;
use crate::report::Report;
use crate::submission::Rejection;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// The two files of a package that an engine needs, as bytes: what is hashed is what is loaded.
#[derive(Clone, Debug)]
pub struct PackageBytes {
    /// `config.json`.
    pub config_json: Arc<[u8]>,
    /// `model.safetensors` or `model.onnx`, as the configuration says.
    pub weights: Arc<[u8]>,
}

/// Evaluation items. The labels stay in the parent process.
#[derive(Clone, Debug)]
pub struct Items {
    /// How pixels become inputs.
    pub input: InputSpec,
    /// `[items, channels, height, width]`, public items first.
    pub pixels: Arc<[u8]>,
    /// The right class of each item.
    pub labels: Arc<[u16]>,
    /// How many of the first items are public.
    pub public: u32,
    /// The teacher's logits `[items, classes]`; `None` when the candidate is the teacher.
    pub teacher_logits: Option<Arc<[f32]>>,
}

/// One evaluation to do.
#[derive(Clone, Debug)]
pub struct EvaluationRequest {
    /// The package to measure.
    pub candidate: PackageBytes,
    /// The reference student, which latency is compared with.
    pub reference: PackageBytes,
    /// What to measure it on.
    pub items: Items,
    /// Inputs beside the items, pixels as theirs: only the outputs are wanted, to recognise copies by. May be empty.
    pub probes: Arc<[u8]>,
    /// What the package says that it answers: held against the engine before anything is measured, and nothing is where they
    /// differ.
    pub expected: Option<Arc<Expected>>,
    /// What runs both.
    pub engine: OfficialEngine,
    /// How much is measured.
    pub scope: Scope,
    /// Decides the order of items and pairs.
    pub seed: u64,
    /// Wall-clock seconds until the workers are killed.
    pub wall_seconds_max: u64,
    /// Resident bytes at which a worker is killed.
    pub memory_bytes_max: u64,
}

/// How much of an evaluation is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Outputs and latency.
    #[default]
    Full,
    /// Outputs, and latency only if at least so many answers are right: with fewer no latency could help.
    FullFrom(u32),
    /// Outputs alone: the report's latency stays empty, and nothing ranks by it.
    OutputsOnly,
}

/// What an evaluation yields.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The measurements.
    pub report: Report,
    /// Logits `[items, classes]` in the order of the request's items.
    pub logits: Vec<f32>,
    /// Logits `[probes, classes]` in the order of the request's probes.
    pub probe_logits: Vec<f32>,
    /// What paired tests need of the measurements, item by item and launch by launch.
    pub outcomes: Outcomes,
    /// The raw latency samples as JSON; `report.latency.samples_sha256` is their digest.
    pub latency_samples: Vec<u8>,
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationFailure {
    /// The package's fault: final.
    #[error(transparent)]
    Package(#[from] Rejection),
    /// Ours: worth another try.
    #[error("the evaluation engine failed: {0}")]
    Infrastructure(String),
}

/// Answers to the first fresh items of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Screened {
    /// Item by item (`RTOUT1`, no item public and no latency), an object once the round is revealed.
    pub outcomes: ObjectRef,
    /// SHA-256 of all logits, f32 little-endian, in item order.
    pub outputs_sha256: Digest,
    /// The logits themselves (`RTLOG1`), an object once the round is revealed: copies are recognised by them.
    pub logits: ObjectRef,
    /// How many items.
    pub items: u32,
}

/// What a report calls its outputs by: all logits, f32 little-endian, in item order.
pub fn outputs_digest(logits: &[f32]) -> Digest {
    Digest::of(&little_endian(logits))
}

/// f32 values as bytes.
pub fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
