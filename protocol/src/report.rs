//! What the evaluation engine measured: raw, immutable, content-addressed. It holds no judgement and no float:
//! counts, nanoseconds, parts per million.

use crate::Digest;
use crate::backend::OnBackend;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The format of reports that this version writes.
pub const REPORT_FORMAT: &str = "retort-report/2";

/// A value in parts per million with the ends of its 95 % interval (99 % for latency, see [`Latency`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Estimate {
    /// The estimate.
    pub value_ppm: i64,
    /// The lower end.
    pub low_ppm: i64,
    /// The upper end.
    pub high_ppm: i64,
}

/// One evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// [`REPORT_FORMAT`].
    pub format: String,
    /// The digest of the package actually loaded (see [`crate::package::package_digest`]).
    pub package_sha256: Digest,
    /// Version and build of the engine.
    pub engine: String,
    /// Where it ran.
    pub host: Host,
    /// The device: `flex`, `wgpu` or `tch`.
    pub device: String,
    /// Where the answers came from another backend than the official engine, or were to: its sample. No report of a round has that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub on_backend: Option<OnBackend>,
    /// What it was measured on.
    pub data: DataSeen,
    /// SHA-256 of all logits, f32 little-endian, in item order.
    pub outputs_sha256: Digest,
    /// Right and wrong.
    pub quality: Quality,
    /// Closeness to the teacher.
    pub fidelity: Fidelity,
    /// How far probabilities can be trusted.
    pub calibration: Calibration,
    /// How fast.
    pub latency: Latency,
    /// Bytes, counts, memory.
    pub cost: Cost,
    /// Where the evaluation's own time went.
    pub phases_ms: Phases,
}

/// What a measurement is about: which package, asked what, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The digest of the package actually loaded (see [`crate::package::package_digest`]).
    pub package_sha256: Digest,
    /// SHA-256 over the input images in evaluation order.
    pub images_sha256: Digest,
    /// How many those are.
    pub items: u32,
    /// Seed of the order of latency pairs and items.
    pub seed: u64,
}

impl Report {
    /// What it is about.
    pub fn about(&self) -> About {
        let DataSeen { images_sha256, seed, items, public_items: _ } = self.data;
        About { package_sha256: self.package_sha256, images_sha256, items, seed }
    }
}

/// The machine of an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Host {
    /// As in `/proc/cpuinfo`.
    pub cpu_model: String,
    /// The instruction sets that matter to speed, sorted: `avx2`, `avx512f`, `fma`.
    pub cpu_flags: Vec<String>,
    /// Cores that were usable.
    pub cores: u32,
    /// Operating system and kernel release.
    pub kernel: String,
    /// Whether the worker flushed denormals to zero.
    pub flush_to_zero: bool,
    /// What confined the worker: `process` for nothing but a process of its own; else the profile (`strict`, `device`), the
    /// namespaces and the control group.
    pub sandbox: String,
    /// The core that timed workers were kept to; `None` where the system placed them.
    #[serde(default)]
    pub pinned_core: Option<u32>,
    /// Whether timed workers ran before ordinary processes.
    #[serde(default)]
    #[schema(required)]
    pub priority_raised: bool,
}

/// The items of an evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DataSeen {
    /// SHA-256 over the input images in evaluation order.
    pub images_sha256: Digest,
    /// Seed of the order of latency pairs and items.
    pub seed: u64,
    /// Items evaluated.
    pub items: u32,
    /// How many of them, counted from the first, are public.
    pub public_items: u32,
}

/// A report counts which class is taken for which up to this many classes: a report of more would be megabytes of zeros.
pub const CONFUSION_CLASSES_MAX: usize = 256;

/// Right and wrong answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quality {
    /// Right answers.
    pub correct: u32,
    /// Right answers on the public part.
    pub public_correct: u32,
    /// `confusion[truth][answer]` counts; the diagonal is right. Empty above [`CONFUSION_CLASSES_MAX`] classes.
    pub confusion: Vec<Vec<u32>>,
    /// Teacher right, student wrong.
    pub negative_flips: u32,
    /// Teacher wrong, student right.
    pub positive_flips: u32,
}

/// Closeness to the teacher's outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fidelity {
    /// Items with the teacher's arg max.
    pub agreement: u32,
    /// Mean KL(teacher || student), millionths of a nat.
    pub kl_micronats: u64,
    /// Mean Jensen-Shannon divergence, millionths of a nat (at most ln 2).
    pub js_micronats: u64,
    /// Standard error of that mean.
    pub js_micronats_se: u64,
}

/// How far probabilities can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Calibration {
    /// Expected calibration error, 15 bins of equal width (Guo et al. 2017).
    pub ece_ppm: u32,
    /// Brier score: mean squared distance to the one-hot label, 0 to 2.
    pub brier_ppm: u32,
    /// Mean negative log-likelihood, millionths of a nat.
    pub nll_micronats: u64,
}

/// Single-threaded latency at batch 1, as a ratio to the reference student in randomly ordered pairs of blocks, by the
/// protocol LAT-1. What it is good for is [`crate::latency::judge`]'s business.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// Candidate over reference. The interval is exact order statistics over launches (LAT-1, step 5).
    pub ratio: Estimate,
    /// Pairs of fresh processes.
    pub launches: u32,
    /// Pairs of blocks in all those launches.
    pub pairs: u32,
    /// Median time of an inference in nanoseconds.
    pub p50_ns: u64,
    /// 90th percentile by MLPerf's early-stopping estimate; `None` with too few samples.
    pub p90_ns: Option<u64>,
    /// 99th percentile by the same. Not for ranking: it measures the machine.
    pub p99_ns: Option<u64>,
    /// Inferences in a block, of which the percentiles are means: 1 where an inference takes a millisecond or more.
    pub inferences_per_block: u32,
    /// Median of the reference on the same occasion.
    pub reference_p50_ns: u64,
    /// Process start to first output.
    pub cold_load_ns: u64,
    /// Whose stamps the numbers come from.
    pub clock: Clock,
    /// By how much the parent's clock exceeded the reference worker's, in the median: how crowded the machine was.
    pub overhead_ppm: u64,
    /// Measurements beside the main one that show whether it can be believed.
    pub checks: LatencyChecks,
    /// SHA-256 of the raw samples, kept as an object.
    pub samples_sha256: Option<Digest>,
}

impl Latency {
    /// Whether anybody took its time: whose answers are below the gate beyond doubt has none.
    pub fn is_timed(&self) -> bool {
        self.launches > 0
    }
}

/// Whose stamps count.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Clock {
    /// Around request and answer, in the process that owns the measurement.
    #[default]
    Parent,
    /// Around the inferences, in the process that does them.
    Worker,
}

impl Clock {
    /// The name, as in JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The control and the compliance checks of a latency measurement (LAT-1, steps 7 and 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LatencyChecks {
    /// The reference over itself: 1 on a sound machine.
    pub control: LatencyCheck,
    /// Candidate over reference on other items: as the main ratio.
    pub other_items: LatencyCheck,
    /// The candidate over its random twin, both on one item repeated: as `random_twin` without a cache of answers,
    /// whatever the item's repetition does to the processor's caches.
    pub repeated_item: LatencyCheck,
    /// The candidate over its random twin, its architecture with random weights, on distinct items: 1 if time doesn't
    /// depend on weights.
    pub random_twin: LatencyCheck,
    /// The largest difference between a logit in a timed inference and the same in the accuracy pass, relative where
    /// that is above 1, in millionths.
    pub output_delta_micro_max: u64,
}

/// A ratio from a few launches: their median with its exact interval as in [`Latency::ratio`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LatencyCheck {
    /// Pairs of fresh processes; 0 where the check was not made.
    pub launches: u32,
    /// The median with its interval; of fewer than seven launches, between the smallest and the largest.
    pub ratio: Estimate,
}

/// What a model costs to keep and run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// The size that is scored ([`crate::architecture::Costs::size_bytes`]): two bytes a value, after folding.
    pub size_bytes: u64,
    /// Bytes of `model.safetensors`, which no score depends on.
    pub file_bytes: u64,
    /// Learned values.
    pub parameters: u64,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// Peak bytes of activations of one item.
    pub activation_bytes: u64,
    /// Peak resident memory of the worker during the accuracy pass.
    pub peak_rss_bytes: u64,
    /// Items per second at the accuracy pass's batch size, in thousandths.
    pub throughput_milli: u64,
}

/// Milliseconds of each phase of an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Phases {
    /// Starting the worker and loading the model.
    pub load: u64,
    /// The accuracy pass.
    pub accuracy: u64,
    /// Latency launches.
    pub latency: u64,
    /// Metrics in the parent.
    pub metrics: u64,
}
