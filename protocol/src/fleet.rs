//! What passes between a validator and the workers that measure for it on other machines: who a worker is, an order with its files
//! named by digest, how far it is, and what came of it. Requests are signed by the worker's own key ([`crate::auth`]).
//!
//! A worker claims, says again and again that it is still at it, and reports; what it doesn't keep up is somebody else's. It is given
//! no truth (see [`crate::evaluation`]), no key and no address of a database. Nothing here knows HTTP or an engine.

use crate::backend::Backend;
use crate::competition::{InputSpec, ObjectRef, OfficialEngine};
use crate::evaluation::{EvaluationFailure, Inputs, Measured, Order, PackageBytes, Scope};
use crate::package::Claims;
use crate::pixels::Pixels;
use crate::submission::Rejection;
use crate::{Digest, Hotkey};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use utoipa::ToSchema;

/// The build of whoever speaks: both sides have to be of the same, since orders and answers have no other version.
pub const BUILD: &str = concat!("retort/", env!("CARGO_PKG_VERSION"), " fleet/1");

/// The longest name of a worker.
const NAME_CHARS_MAX: usize = 32;

/// What an operator calls a worker: small letters, digits, dots and dashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9.-]{0,31}$", example = "bench-1")]
pub struct WorkerName(String);

/// Text that is no name of a worker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a worker's name has 1 to {NAME_CHARS_MAX} small letters, digits, dots and dashes, such as bench-1")]
pub struct NoWorkerName;

impl FromStr for WorkerName {
    type Err = NoWorkerName;

    fn from_str(text: &str) -> Result<Self, NoWorkerName> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().next().is_some_and(plain);
        match fits && text.bytes().all(|byte| plain(byte) || b".-".contains(&byte)) {
            true => Ok(Self(text.to_owned())),
            false => Err(NoWorkerName),
        }
    }
}

impl TryFrom<String> for WorkerName {
    type Error = NoWorkerName;

    fn try_from(text: String) -> Result<Self, NoWorkerName> {
        text.parse()
    }
}

impl From<WorkerName> for String {
    fn from(WorkerName(name): WorkerName) -> Self {
        name
    }
}

impl fmt::Display for WorkerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a worker stands with its operator.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Standing {
    /// It is given work.
    Active,
    /// It ends what it has and is given no more.
    Draining,
    /// The same, because its measurements are in doubt.
    Quarantined,
    /// Its key opens nothing any more.
    Revoked,
}

/// Whose machine a worker is, and so how far its word goes: only a machine of the validator's own decides anything alone.
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
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Trust {
    /// The validator's: what it says counts.
    #[default]
    Own,
    /// Of somebody who has a name to lose. As of a rented one, but looked at less often.
    Partner,
    /// Anybody's, for money.
    Rented,
}

impl Trust {
    /// Whether what it says counts as it is.
    pub fn is_own(&self) -> bool {
        *self == Self::Own
    }

    /// How many of a thousand measurements, chosen by chance once they are reported, a machine of the validator's makes again
    /// before they count.
    pub fn again_per_mille(self) -> u32 {
        match self {
            Self::Own => 0,
            Self::Partner => 10,
            Self::Rented => 50,
        }
    }
}

/// What a worker says of itself with every claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerFacts {
    /// [`BUILD`].
    pub build: String,
    /// The hardware that latencies may be compared within, such as `x86_64-v3`.
    pub class: String,
    /// Of the machine since it was started: two workers of one would measure at once.
    pub machine: Digest,
    /// The engines that it has, with versions and digests.
    pub engines: Vec<OfficialEngine>,
}

/// `POST /api/v1/fleet/enrol`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// What `retort fleet enrol` printed: good once.
    pub token: String,
    /// Who it is.
    pub facts: WorkerFacts,
}

/// A worker that was enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Enrolled {
    /// What the operator calls it.
    pub name: WorkerName,
    /// For whom it works.
    pub validator: Hotkey,
}

/// `POST /api/v1/fleet/claims`, which waits for work; 204 where there is none for a while.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// Who asks.
    pub facts: WorkerFacts,
}

/// Something to measure, and for how long it is this worker's.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Claimed {
    /// The claim's name.
    pub claim: String,
    /// Where its files are fetched and brought, as `{files}/{sha256}`: good for this claim.
    pub files: String,
    /// Seconds until it is taken back unless it is renewed.
    pub lease_seconds: u64,
    /// Whether latency is measured by the short preset, which is for trying out.
    pub quick: bool,
    /// What to measure.
    #[schema(value_type = Object)]
    pub order: OrderSheet,
}

/// `POST /api/v1/fleet/claims/{claim}/renew`, which waits a while and is answered 409 at once when the claim is over:
/// whatever runs for it is to be ended then.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// What is being done, in a word or two.
    pub phase: String,
    /// Steps done.
    pub done: u64,
    /// Steps in all; 0 where nobody knows.
    pub total: u64,
}

/// A claim that is good for longer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Renewed {
    /// Seconds from now.
    pub lease_seconds: u64,
}

/// `POST /api/v1/fleet/claims/{claim}/worth`: whether a model with these outputs, which were brought before, is to be timed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorthRequest {
    /// Logits `[items, classes]`, f32 little-endian.
    pub outputs: Digest,
}

/// What is answered to that.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Worth {
    /// Whether it is.
    pub timed: bool,
}

/// `POST /api/v1/fleet/claims/{claim}/report`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "came", rename_all = "snake_case")]
pub enum WorkerReport {
    /// It was measured; the files were brought before.
    Answer(Box<AnswerSheet>),
    /// The package can't be measured.
    #[schema(value_type = Object)]
    Rejected(Rejection),
    /// The machine or the engine failed.
    Failed {
        /// Why.
        problem: String,
    },
    /// The worker ends before it is through: nobody failed.
    GivenBack,
}

impl From<EvaluationFailure> for WorkerReport {
    fn from(failure: EvaluationFailure) -> Self {
        match failure {
            EvaluationFailure::Package(rejection) => Self::Rejected(rejection),
            EvaluationFailure::Infrastructure(problem) => Self::Failed { problem },
        }
    }
}

/// An answer, with its large parts named.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerSheet {
    /// The measurements.
    #[schema(value_type = Object)]
    pub measured: Measured,
    /// Logits `[items, classes]`, f32 little-endian.
    pub outputs: Digest,
    /// Logits `[probes, classes]`, f32 little-endian.
    pub probe_outputs: Digest,
    /// The raw latency samples as JSON.
    pub latency_samples: Digest,
    /// ln(candidate / reference) of each latency launch, billionths.
    pub log_ratio_nanos: Vec<i64>,
}

/// An order whose bytes are named by digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderSheet {
    candidate: PackageRef,
    reference: PackageRef,
    input: InputSpec,
    items: ObjectRef,
    probes: ObjectRef,
    expected: Option<Claims>,
    engine: OfficialEngine,
    backends: Vec<Backend>,
    scope: Scope,
    seed: u64,
    wall_seconds_max: u64,
    memory_bytes_max: u64,
}

/// A package's two files.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackageRef {
    config_json: ObjectRef,
    weights: ObjectRef,
}

/// A file of an order.
#[derive(Clone, Debug)]
pub enum OrderFile {
    /// Bytes in memory.
    Bytes(Arc<[u8]>),
    /// Items, wherever they lie.
    Pixels(Pixels),
}

impl OrderSheet {
    /// The order's sheet, and the files that it names. Everything is hashed, items only once.
    ///
    /// # Errors
    /// When the items can't be read.
    pub fn of(order: &Order) -> io::Result<(Self, Vec<(Digest, OrderFile)>)> {
        let mut files = Vec::new();
        let mut named = |bytes: &Arc<[u8]>| {
            let object = ObjectRef { sha256: Digest::of(bytes), size_bytes: bytes.len() as u64 };
            files.push((object.sha256, OrderFile::Bytes(Arc::clone(bytes))));
            object
        };
        let mut package = |package: &PackageBytes| PackageRef {
            config_json: named(&package.config_json),
            weights: named(&package.weights),
        };
        let (candidate, reference) = (package(&order.candidate), package(&order.reference));
        let probes = named(&order.probes);
        let pixels = &order.inputs.pixels;
        let items = ObjectRef { sha256: pixels.sha256()?, size_bytes: pixels.bytes() };
        files.push((items.sha256, OrderFile::Pixels(pixels.clone())));
        let sheet = Self {
            candidate,
            reference,
            input: order.inputs.spec.clone(),
            items,
            probes,
            expected: order.expected.clone(),
            engine: order.engine,
            backends: order.backends.clone(),
            scope: order.scope,
            seed: order.exact_seed(),
            wall_seconds_max: order.wall_seconds_max,
            memory_bytes_max: order.memory_bytes_max,
        };
        Ok((sheet, files))
    }

    /// The order again, from files that `bytes` and `pixels` fetch by their digests.
    ///
    /// # Errors
    /// As theirs.
    pub fn order<E>(
        self,
        bytes: impl Fn(&ObjectRef) -> Result<Arc<[u8]>, E>,
        pixels: impl Fn(&ObjectRef) -> Result<Pixels, E>,
    ) -> Result<Order, E> {
        let package = |package: &PackageRef| {
            Ok(PackageBytes { config_json: bytes(&package.config_json)?, weights: bytes(&package.weights)? })
        };
        Ok(Order {
            candidate: package(&self.candidate)?,
            reference: package(&self.reference)?,
            inputs: Inputs { spec: self.input, pixels: pixels(&self.items)? },
            probes: bytes(&self.probes)?,
            expected: self.expected,
            engine: self.engine,
            backends: self.backends,
            scope: self.scope,
            seed: self.seed,
            wall_seconds_max: self.wall_seconds_max,
            memory_bytes_max: self.memory_bytes_max,
        })
    }

    /// What it is to be measured on.
    pub fn engine(&self) -> OfficialEngine {
        self.engine
    }
}
