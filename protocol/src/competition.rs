//! A competition: the manifest that a subnet owner writes in TOML, and its published form in canonical JSON.
//!
//! Parse, don't check: a [`Manifest`] that exists has sensible numbers. It does not know where files are stored.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod checks;
mod data;
mod id;
mod limits;
mod moment;
mod teacher;

pub use checks::ManifestError;
use checks::{Problem, is_contact};
pub use data::{DataSpec, Fit, InputSpec, PictureSpec, RowSpec};
pub use id::CompetitionId;
pub use limits::Limits;
use moment::moment;
pub use teacher::{BY_ANSWERS_ONLY, TeacherAnswers, TeacherSource};

use crate::Digest;
use crate::architecture::Costs;
use crate::backend::Backends;
use crate::dethrone::DethroneRules;
use crate::hardware::HardwareClass;
use crate::nulls::Nulls;
pub use crate::official::{EngineName, OfficialEngine};
pub use crate::pool::HiddenPool;
use crate::reward::RewardRules;
use crate::round::{BeaconSource, RoundRules};
use crate::score::ScoreRules;
use crate::transforms::Family;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The format of manifests that this version reads.
pub const MANIFEST_FORMAT: &str = "retort-competition/1";

/// A manifest may list this many packages as known.
pub const KNOWN_MAX: usize = 16;
/// The labels may have this many bytes as JSON: each `config.json` repeats them.
pub const LABELS_BYTES_MAX: u64 = 1 << 20;

/// A task, a teacher, data, limits, rules and rewards, as a subnet owner writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`].
    pub format: String,
    /// The name in URLs and on the command line.
    pub id: CompetitionId,
    /// One line for people.
    pub title: String,
    /// A paragraph for people.
    #[serde(default)]
    #[schema(required)]
    pub description: String,
    /// What students are given under, as an SPDX expression: whoever announces a package gives it to everybody under that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "MIT")]
    pub license: Option<String>,
    /// Where questions go: a mail address or an https URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "arena@example.com")]
    pub contact: Option<String>,
    /// What models do.
    pub task: Task,
    /// When submissions end, in Unix seconds; never if absent. A manifest may write a date with its zone.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "moment")]
    #[schema(nullable = false)]
    pub closes_at: Option<u64>,
    /// What every model takes.
    pub input: InputSpec,
    /// Names of the classes, in the order of the outputs.
    pub labels: Vec<String>,
    /// Where the evaluation items come from.
    pub data: DataSpec,
    /// The model to distil: a package folder, relative to the manifest; or what a model of any kind answered to all items.
    pub teacher: TeacherSource,
    /// A Parquet file with a column `teacher_logits`, a list of f32 for each training image in their order, relative to the
    /// manifest: it saves every miner a pass of the teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub training_teacher_logits: Option<String>,
    /// The model that every latency is a ratio to: a package folder, relative to the manifest.
    pub reference: ModelSource,
    /// How far below the teacher's cost submissions must stay.
    #[serde(default)]
    #[schema(required)]
    pub teacher_distance: TeacherDistance,
    /// Public checkpoints that many may begin with: package folders relative to the manifest, or repositories of a Hub.
    /// Whoever begins with the same one is told so, and is no copy of another who did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub known: Vec<ModelSource>,
    /// What kinds of models it takes; those of the catalogue unless it says more.
    #[serde(default = "catalogue", skip_serializing_if = "is_catalogue")]
    #[schema(required = false)]
    pub models: Vec<Taken>,
    /// What runs its models where they are measured, teacher and reference with them: outputs and latencies of two engines are
    /// never compared. What is published names version and library, too.
    #[serde(default, skip_serializing_if = "OfficialEngine::is_default")]
    #[schema(required = false)]
    pub engine: OfficialEngine,
    /// The machines that its latencies are measured on, rounds' as well as submissions'; where it isn't said, the validator's
    /// own class, whatever that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub hardware: Option<HardwareClass>,
    /// What besides it may compute answers, where nothing is decided by them.
    #[serde(default, skip_serializing_if = "Backends::is_empty")]
    #[schema(required = false)]
    pub backends: Backends,
    /// What a submission may cost.
    pub limits: Limits,
    /// When the package of a scored submission may be downloaded by everybody.
    #[serde(default)]
    #[schema(required)]
    pub weights_public: WeightsPublic,
    /// How reports become scores.
    #[serde(default)]
    #[schema(required)]
    pub score: ScoreRules,
    /// How a challenger dethrones the champion.
    #[serde(default)]
    #[schema(required)]
    pub dethrone: DethroneRules,
    /// How rounds go.
    #[serde(default)]
    #[schema(required)]
    pub rounds: RoundRules,
    /// How scores become weights.
    #[serde(default)]
    #[schema(required)]
    pub reward: RewardRules,
    /// What honest students have in common here. Without it likeness is evidence for people, and only equal weights and equal
    /// functions make a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub nulls: Option<Nulls>,
    /// Who watches the public log.
    #[serde(default)]
    #[schema(required)]
    pub log: LogTerms,
}

/// Who has to have seen the public log, for what it says to count as said in time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogTerms {
    /// Verifier keys of witnesses (C2SP tlog-cosignature, Ed25519), of which more than half have to vouch. Whoever verifies may
    /// name others.
    #[schema(max_items = 15)]
    pub witnesses: Vec<String>,
}

/// When everybody may download the package of a scored submission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightsPublic {
    /// When the round that it was entered in is revealed or abandoned: nobody can send a near copy into the same round.
    #[default]
    AtReveal,
    /// As soon as it is scored.
    AtOnce,
}

/// The least distance between a submission and the teacher, by which nobody enters the teacher itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TeacherDistance {
    /// At most half of the teacher's multiply-accumulates and half of its parameters: limits must say so.
    #[default]
    Half,
    /// Limits may be as loose as one likes. Who doesn't keep half the distance all the same is compared with the teacher.
    None,
}

/// Whether a model costs at most half of what its teacher does: it is no copy of it then, however it was initialised.
pub fn keeps_teacher_distance(student: &Costs, teacher: &Costs) -> bool {
    student.macs <= teacher.macs / 2 && student.parameters <= teacher.parameters / 2
}

/// A kind of models that a competition takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    /// Architectures of the catalogue: packages `retort/1`.
    Catalogue,
    /// ONNX graphs: packages `retort/2`.
    Onnx,
}

/// What a manifest takes that says nothing: it isn't written, so that what was published before keeps its digest.
fn catalogue() -> Vec<Taken> {
    vec![Taken::Catalogue]
}

fn is_catalogue(models: &[Taken]) -> bool {
    models == catalogue()
}

/// What models of a competition do. Closed, so that a new task touches admission, metrics and scoring visibly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One label per image.
    ImageClassification,
}

/// Where a published model is taken from. A manifest may write the text alone: `teacher = "hf://org/name@revision"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(from = "WrittenSource")]
pub struct ModelSource {
    /// A package folder, relative to the manifest's file; or a repository of a Hub with that package in it,
    /// `hf://org/name@revision`, with `#sha256:…` behind it where the revision is no commit.
    pub package: String,
}

/// A source as it may be written.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, or a table with `package` alone")]
enum WrittenSource {
    Text(String),
    Table(SourceTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceTable {
    package: String,
}

impl From<WrittenSource> for ModelSource {
    fn from(written: WrittenSource) -> Self {
        match written {
            WrittenSource::Text(package) | WrittenSource::Table(SourceTable { package }) => Self { package },
        }
    }
}

/// A stored object: its digest and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ObjectRef {
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// Number of bytes.
    pub size_bytes: u64,
}

impl Manifest {
    /// Reads a manifest from TOML.
    ///
    /// # Errors
    /// When it isn't TOML, has unknown or missing fields, or numbers that make no sense.
    pub fn from_toml(text: &str) -> Result<Self, ManifestError> {
        let mut manifest: Self = toml::from_str(text)?;
        // What is published says what rounds do.
        if manifest.teacher.answers().is_some() && manifest.rounds.transforms == Family::default() {
            manifest.rounds.transforms = Family::identity();
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// Names the beacon of a manifest that doesn't, which is what is published then.
    ///
    /// # Errors
    /// When the rounds can't have it.
    pub fn take_beacon(&mut self, beacon: BeaconSource) -> Result<(), ManifestError> {
        self.rounds.beacon = Some(beacon);
        self.check()
    }

    /// How many rounds there can be; `None` where the pool sets no limit.
    pub fn rounds_max(&self) -> Option<u32> {
        let private = self.data.hidden_pool == HiddenPool::Private;
        private.then(|| self.rounds.rounds_of(self.data.hidden_items))
    }

    /// What its publisher chose that keeps it from deciding about money: said wherever it is shown.
    pub fn caveats(&self) -> Vec<&'static str> {
        let beacon = self.rounds.beacon.and_then(BeaconSource::weakness);
        let nulls = self.nulls.as_ref().map_or_else(|| vec![Nulls::WITHOUT], Nulls::weaknesses);
        let unseen = self.teacher.answers().is_some() && self.teacher_distance == TeacherDistance::None;
        let teacher = unseen.then_some(
            "no distance to its teacher is kept, which is known by its answers only: whoever has that model may enter it, and \
             nobody can tell",
        );
        let others = [self.data.hidden_pool.weakness(), beacon, self.reward.weakness()];
        others.into_iter().flatten().chain(nulls).chain(teacher).collect()
    }

    /// Whether models of this kind may be entered.
    pub fn takes(&self, kind: Taken) -> bool {
        self.models.contains(&kind)
    }

    /// Whether submissions have ended at `now`, in Unix seconds.
    pub fn is_closed(&self, now: u64) -> bool {
        self.closes_at.is_some_and(|closes_at| now >= closes_at)
    }
}
