//! What passes between whoever wants a package measured and whoever measures it: an order out, an answer back.
//!
//! An order holds no truth. Labels and the teacher's answers stay where the order came from, and there an evaluation is made of
//! the answer (the crate `task`). The validator links no ML crate and the engine knows no competition, so the words that both
//! use live here.

use crate::Digest;
use crate::attempt::SEED_MAX;
use crate::backend::{Backend, OnBackend};
use crate::competition::{InputSpec, ObjectRef, OfficialEngine};
use crate::outcomes::Outcomes;
use crate::package::{Claims, Expected, package_sha256};
use crate::pixels::Pixels;
use crate::report::{About, Cost, Host, Latency, Phases, Report};
use crate::submission::Rejection;
use serde::{Deserialize, Serialize};
use std::io;
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

/// What a model is asked.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// How pixels become inputs.
    pub spec: InputSpec,
    /// `[items, channels, height, width]`, wherever they lie.
    pub pixels: Pixels,
}

impl Inputs {
    /// How many items there are; 0 where the pixels are no whole number of them.
    pub fn count(&self) -> usize {
        self.count_of(self.pixels.bytes())
    }

    fn count_of(&self, pixels: u64) -> usize {
        let bytes = self.spec.shape().values();
        let count = if bytes > 0 && pixels.is_multiple_of(bytes) { pixels / bytes } else { 0 };
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// The pixels of the first few items.
    #[must_use]
    pub fn pixels_of_first(&self, count: usize) -> Pixels {
        self.pixels.part(0..self.spec.shape().values().saturating_mul(count as u64))
    }
}

/// What answers are held against.
#[derive(Clone, Debug)]
pub struct Truth {
    /// The right class of each item.
    pub labels: Arc<[u16]>,
    /// How many of the first items are public.
    pub public: u32,
    /// The teacher's logits `[items, classes]`; `None` when the candidate is the teacher.
    pub teacher_logits: Option<Arc<[f32]>>,
}

/// Evaluation items, public ones first, as whoever gives orders holds them.
#[derive(Clone, Debug)]
pub struct Items {
    /// What a model is asked.
    pub inputs: Inputs,
    /// What its answers are held against.
    pub truth: Truth,
}

/// One measurement to do: all that whoever does it gets to know.
#[derive(Clone, Debug)]
pub struct Order {
    /// The package to measure.
    pub candidate: PackageBytes,
    /// The reference student, which latency is compared with.
    pub reference: PackageBytes,
    /// What to measure it on.
    pub inputs: Inputs,
    /// Inputs beside the items, pixels as theirs: only the outputs are wanted, to recognise copies by. May be empty.
    pub probes: Arc<[u8]>,
    /// What the package says that it answers: held against the engine before anything is measured, and nothing is where they
    /// differ.
    pub expected: Option<Claims>,
    /// What runs both.
    pub engine: OfficialEngine,
    /// What may answer the items and probes in its place, if a sample of it agrees; nothing where a bit may matter.
    pub backends: Vec<Backend>,
    /// How much is measured.
    pub scope: Scope,
    /// Decides the order of items and pairs; see [`Order::exact_seed`].
    pub seed: u64,
    /// Wall-clock seconds until the workers are killed.
    pub wall_seconds_max: u64,
    /// Resident bytes at which a worker is killed.
    pub memory_bytes_max: u64,
}

impl Order {
    /// The digest that names the candidate.
    pub fn package_sha256(&self) -> Digest {
        package_sha256(&self.candidate.config_json, &self.candidate.weights)
    }

    /// The seed that is used and told: answers are canonical JSON, whose integers are exact up to 2^53, so higher bits don't count.
    pub fn exact_seed(&self) -> u64 {
        self.seed & SEED_MAX
    }

    /// How many probes there are; 0 where their pixels are no whole number of them.
    pub fn probe_count(&self) -> usize {
        self.inputs.count_of(self.probes.len() as u64)
    }

    /// What an answer has to be about. It hashes the package and all pixels.
    ///
    /// # Errors
    /// [`EvaluationFailure::Infrastructure`] when the pixels can't be read.
    pub fn about(&self) -> Result<About, EvaluationFailure> {
        Ok(About {
            package_sha256: self.package_sha256(),
            images_sha256: self.inputs.pixels.sha256().map_err(EvaluationFailure::unread)?,
            items: u32::try_from(self.inputs.count()).unwrap_or(u32::MAX),
            seed: self.exact_seed(),
        })
    }
}

/// How much of a measurement is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Outputs and latency.
    #[default]
    Full,
    /// Outputs; and latency, if whoever gave the order says of these outputs that it is worth it.
    FullIfWorthIt,
    /// Outputs alone: the latency stays empty, and nothing ranks by it.
    OutputsOnly,
}

/// An order, and what only whoever gives it knows.
#[derive(Clone, Debug)]
pub struct EvaluationRequest {
    /// What is to be measured.
    pub order: Order,
    /// What the answer is held against.
    pub truth: Truth,
    /// Right answers below which no latency could help: an order of [`Scope::FullIfWorthIt`] isn't timed then.
    pub timed_from: u32,
}

impl EvaluationRequest {
    /// To measure and to hold against the truth; whatever the answers, it is worth timing.
    pub fn new(order: Order, truth: Truth) -> Self {
        Self { order, truth, timed_from: 0 }
    }

    /// The same, where the package says what it answers: its answers to public items are compared first.
    ///
    /// # Errors
    /// [`EvaluationFailure::Infrastructure`] when the pixels can't be read.
    pub fn claiming(mut self, answers: Option<Arc<Expected>>) -> Result<Self, EvaluationFailure> {
        let public = self.order.inputs.pixels_of_first(self.truth.public as usize);
        let claims = answers.map(|answers| Claims::to(answers, &public)).transpose();
        self.order.expected = claims.map_err(EvaluationFailure::unread)?;
        Ok(self)
    }
}

/// What an order yields: all that can be said without the truth.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The measurements.
    pub measured: Measured,
    /// Logits `[items, classes]` in the order of the order's items.
    pub outputs: Vec<f32>,
    /// Logits `[probes, classes]` in the order of the order's probes.
    pub probe_outputs: Vec<f32>,
    /// The raw latency samples as JSON; `measured.latency.samples_sha256` is their digest.
    pub latency_samples: Vec<u8>,
    /// ln(candidate / reference) of each latency launch, billionths; empty where nothing was timed.
    pub log_ratio_nanos: Vec<i64>,
}

/// The part of a report that whoever measures writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// What was measured on what.
    pub about: About,
    /// Version and build of the engine.
    pub engine: String,
    /// Where it ran.
    pub host: Host,
    /// The device: `flex`, `wgpu` or `tch`.
    pub device: String,
    /// Whether the answers came from elsewhere than the official engine.
    pub on_backend: Option<OnBackend>,
    /// How fast.
    pub latency: Latency,
    /// Bytes, counts, memory.
    pub cost: Cost,
    /// Where the time went.
    pub phases_ms: Phases,
}

/// What an evaluation yields: an answer beside the truth.
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

impl EvaluationFailure {
    /// Items that can't be read, which is never the fault of whoever is measured by them.
    #[expect(clippy::needless_pass_by_value, reason = "it stands where errors are turned into others")]
    pub fn unread(error: io::Error) -> Self {
        Self::Infrastructure(format!("the items can't be read: {error}"))
    }
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

/// The f32 values that bytes are, as [`little_endian`] writes them; what is left of a value at the end is none.
pub fn from_little_endian(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().copied().map(f32::from_le_bytes).collect()
}

/// The position of the largest logit, which is the answer; the first of equals, as in NumPy and PyTorch.
pub fn arg_max(logits: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (index, logit) in logits.iter().enumerate() {
        if index == 0 || *logit > best.1 {
            best = (index, *logit);
        }
    }
    best.0
}
