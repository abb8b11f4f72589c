//! A competition: the manifest that a subnet owner writes in TOML, and its published form in canonical JSON.
//!
//! Parse, don't check: a [`Manifest`] that exists has sensible numbers. It does not know where files are stored.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod teacher;

pub use teacher::{BY_ANSWERS_ONLY, TeacherAnswers, TeacherSource};

use crate::Digest;
use crate::architecture::{CLASSES_MAX, Costs, DIMENSION_MAX, ImageShape};
use crate::backend::Backends;
use crate::dethrone::DethroneRules;
use crate::nulls::Nulls;
pub use crate::official::{EngineName, OfficialEngine};
pub use crate::pool::HiddenPool;
use crate::reward::RewardRules;
use crate::round::{BeaconSource, RoundRules};
use crate::score::ScoreRules;
use crate::transforms::Family;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::collections::HashSet;
use std::{fmt, str::FromStr};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The format of manifests that this version reads.
pub const MANIFEST_FORMAT: &str = "retort-competition/1";

/// A manifest may list this many packages as known.
pub const KNOWN_MAX: usize = 16;
/// The labels may have this many bytes as JSON: each `config.json` repeats them.
pub const LABELS_BYTES_MAX: u64 = 1 << 20;
/// A model's answers to public items and those of a round may have this many bytes, a f32 each: they are held in memory.
const ANSWERS_BYTES_MAX: u64 = 4 << 30;
/// Every reader takes a note with as many cosignatures and the log's signature (C2SP signed-note).
const WITNESSES_MAX: usize = 15;
/// The longest name, an id and a key have less.
const KEY_BYTES_MAX: usize = 400;

/// The name of a competition: lower-case letters, digits and hyphens, at most 64.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CompetitionId(String);

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

/// What goes into a model: images scaled to x = (pixel / 255 - mean) / deviation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Colour planes.
    pub channels: u32,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Mean of each plane in parts per million.
    pub mean_ppm: Vec<u32>,
    /// Standard deviation of each plane in parts per million; at least 1.
    pub deviation_ppm: Vec<u32>,
}

impl InputSpec {
    /// The shape alone.
    pub fn shape(&self) -> ImageShape {
        ImageShape { channels: self.channels, height: self.height, width: self.width }
    }

    /// What each of the 256 pixel values becomes, for each plane.
    pub fn normalisation(&self) -> Vec<[f32; 256]> {
        let table = |(mean_ppm, deviation_ppm): (&u32, &u32)| {
            let (mean, deviation) = (f64::from(*mean_ppm) / 1e6, f64::from(*deviation_ppm) / 1e6);
            std::array::from_fn(|pixel| ((pixel as f64 / 255.0 - mean) / deviation) as f32)
        };
        self.mean_ppm.iter().zip(&self.deviation_ppm).map(table).collect()
    }
}

/// The data set and how it is split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// A data set that the `datasets` crate knows, such as `fashion-mnist`; or the publisher's own, relative to the manifest's
    /// file: `folder:` and a folder of class folders; `parquet:` and a file or folder of Parquet with embedded pictures, as
    /// Hugging Face's `datasets` writes it; `file:` and a folder with `train.parquet` and `test.parquet`, as a validator
    /// publishes them.
    pub source: String,
    /// How the rows of `folder:` and `parquet:` become items.
    #[serde(default, skip_serializing_if = "RowSpec::is_default")]
    pub rows: RowSpec,
    /// How many evaluation items are published with the teacher's outputs; the others stay hidden.
    pub public_items: u32,
    /// How many items are hidden.
    pub hidden_items: u32,
    /// Who knows the hidden images and their labels.
    #[serde(default)]
    #[schema(required)]
    pub hidden_pool: HiddenPool,
}

/// How the rows of a source become items: which are for training, which column is what, how a picture gets its size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RowSpec {
    /// The part that miners train on; `train` unless said. A source with one part alone is split by the secret key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<String>,
    /// The part that items are taken from; `test`, else `validation`, unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<String>,
    /// The column of pictures, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The column of labels, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// So many rows that can't be read are left out of each part; one more ends it.
    #[serde(skip_serializing_if = "is_zero")]
    pub unreadable_max: u32,
    /// What becomes of pictures of another size than the model's.
    #[serde(skip_serializing_if = "PictureSpec::is_default")]
    pub pictures: PictureSpec,
}

/// How a picture gets the model's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PictureSpec {
    /// Without it pictures of another size are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit: Option<Fit>,
    /// With `crop`: what the shorter side is resized to first, in pixels, as in torchvision's `Resize(256)` before
    /// `CenterCrop(224)`; without it the middle is as large as the picture allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shorter_side: Option<u32>,
}

/// What becomes of a picture of another size. All of them resize by Pillow's `BILINEAR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Its middle is taken.
    Crop,
    /// Black is put beside it.
    Pad,
    /// Its sides become those of the model, whatever their proportions.
    Stretch,
}

impl RowSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl PictureSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn is_zero(value: &u32) -> bool {
    *value == 0
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

/// What a submission may cost and who may send how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of `model.safetensors` or `model.onnx`.
    pub size_bytes_max: u64,
    /// Learned values.
    pub parameters_max: u64,
    /// Multiply-accumulates of one inference.
    pub macs_max: u64,
    /// Bytes of activations alive at once, one item.
    pub activation_bytes_max: u64,
    /// Submissions of one hotkey in 24 hours; failures of ours don't count.
    pub submissions_per_day: u32,
    /// Seconds from the creation of a submission until its files must have arrived.
    #[serde(default = "default_upload_seconds")]
    #[schema(required)]
    pub upload_seconds_max: u64,
    /// Wall-clock seconds of one evaluation.
    #[serde(default = "default_evaluation_seconds")]
    #[schema(required)]
    pub evaluation_seconds_max: u64,
}

impl Limits {
    /// Says which values nobody means: 0 where it would refuse everybody, and seconds beyond `SECONDS_MAX`.
    fn problems(&self) -> Vec<Problem> {
        let bounds = [
            ("limits.size_bytes_max", self.size_bytes_max, u64::MAX),
            ("limits.parameters_max", self.parameters_max, u64::MAX),
            ("limits.macs_max", self.macs_max, u64::MAX),
            ("limits.activation_bytes_max", self.activation_bytes_max, u64::MAX),
            ("limits.submissions_per_day", self.submissions_per_day.into(), u64::MAX),
            ("limits.upload_seconds_max", self.upload_seconds_max, SECONDS_MAX),
            ("limits.evaluation_seconds_max", self.evaluation_seconds_max, SECONDS_MAX),
        ];
        let told = |(field, value, most)| match value {
            0 => Some((field, "is 0, so nobody could enter".to_owned())),
            _ if value > most => Some((field, format!("is {value} s, more than a week: a slip?"))),
            _ => None,
        };
        bounds.into_iter().filter_map(told).collect()
    }
}

/// A field of a manifest, and what is wrong with it.
pub(crate) type Problem = (&'static str, String);

/// A contact longer than this is none.
const CONTACT_BYTES_MAX: usize = 200;

/// Whether a text is a mail address or an https URL that may stand on any page as it is: letters, digits and what belongs
/// there, a host with a dot, and nobody's name before it.
pub(crate) fn is_contact(text: &str) -> bool {
    let plain = |part: &str, more: &str| {
        !part.is_empty() && part.chars().all(|char| char.is_ascii_alphanumeric() || more.contains(char))
    };
    let is_host = |host: &str| host.contains('.') && host.split('.').all(|label| plain(label, "-"));
    if text.len() > CONTACT_BYTES_MAX {
        return false;
    }
    match text.strip_prefix("https://") {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            is_host(host)
                && port.is_none_or(|port| port.parse::<u16>().is_ok())
                && (path.is_empty() || plain(path, "/?#=&%+-._~:@,;!$*()"))
        }
        None => text.split_once('@').is_some_and(|(local, host)| plain(local, ".+-_%") && is_host(host)),
    }
}

/// A limit in seconds beyond a week is a slip.
const SECONDS_MAX: u64 = 7 * 86_400;
/// The end of the year 2100; what lies beyond was written in milliseconds.
const MOMENT_MAX: u64 = 4_133_980_799;

/// Unix seconds, or TOML's own date and time with its zone.
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(u64),
        Date(toml::value::Datetime),
        Text(String),
    }
    let written = Option::<Written>::deserialize(deserializer)
        .map_err(|_| de::Error::custom("neither Unix seconds nor a date such as 2027-01-01T03:00:00-03:00"))?;
    let date = match written {
        None => return Ok(None),
        Some(Written::Seconds(seconds)) => return Ok(Some(seconds)),
        Some(Written::Date(date)) => date,
        Some(Written::Text(text)) => return Err(de::Error::custom(of_quoted(&text))),
    };
    let text = date.to_string();
    let at = OffsetDateTime::parse(&text, &Rfc3339).ok().and_then(|at| u64::try_from(at.unix_timestamp()).ok());
    at.map(Some).ok_or_else(|| {
        de::Error::custom(format!("{text} is no moment: write a date, a time and a zone, such as 2027-01-01T00:00:00Z"))
    })
}

/// What is wrong with a moment between quotes: mostly those.
fn of_quoted(text: &str) -> String {
    let bare = text.trim();
    match bare.parse::<u64>().is_ok() || bare.parse::<toml::value::Datetime>().is_ok() {
        true => format!("{text:?} is a text because of its quotes: write {bare} without them"),
        false => {
            format!("{text:?} is neither Unix seconds nor a date such as 2027-01-01T03:00:00-03:00, without quotes")
        }
    }
}

fn default_upload_seconds() -> u64 {
    3_600
}

fn default_evaluation_seconds() -> u64 {
    300
}

/// A stored object: its digest and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ObjectRef {
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// Number of bytes.
    pub size_bytes: u64,
}

/// A manifest that can't be used, with the offending field.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, or not this structure.
    #[error("read the manifest: {0}")]
    Toml(#[from] toml::de::Error),
    /// A number makes no sense.
    #[error("manifest field `{field}`: {problem}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Several make none: all of them, a line each.
    #[error("{}", lines(.0))]
    Several(Vec<Self>),
}

fn lines(errors: &[ManifestError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
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

    /// Whether its numbers make sense.
    ///
    /// # Errors
    /// All fields that don't, and what would be right.
    pub fn check(&self) -> Result<(), ManifestError> {
        let named =
            |field: &'static str, problems: Vec<String>| problems.into_iter().map(move |problem| (field, problem));
        let mut problems = self.own_problems();
        problems.extend(self.label_problems());
        problems.extend(self.limits.problems());
        problems.extend(named("score", self.score.problems()));
        problems.extend(named("dethrone", self.dethrone.problems()));
        problems.extend(named("rounds", self.rounds.problems(self.data.hidden_items, self.data.hidden_pool)));
        problems.extend(self.teacher.answers().map(|answers| answers.problems(self)).unwrap_or_default());
        let stated = self.teacher.answers().and_then(TeacherAnswers::costs);
        problems.extend(stated.and_then(|(parameters, macs)| self.too_near_the_teacher(parameters, macs)));
        problems.extend(self.check_pool().err().map(|problem| ("data.hidden_pool", problem)));
        problems.extend(self.reward.check().err().map(|problem| ("reward", problem)));
        problems.extend(named("nulls", self.nulls.as_ref().map(Nulls::problems).unwrap_or_default()));
        let mut errors: Vec<_> =
            problems.into_iter().map(|(field, problem)| ManifestError::Field { field, problem }).collect();
        match (errors.len(), errors.pop()) {
            (1, Some(error)) => Err(error),
            (_, Some(error)) => {
                errors.push(error);
                Err(ManifestError::Several(errors))
            }
            (_, None) => Ok(()),
        }
    }

    fn own_problems(&self) -> Vec<Problem> {
        let (planes, sides) = (self.input.channels as usize, 1..=DIMENSION_MAX);
        let labels_bytes = serde_json::json!(self.labels).to_string().len() as u64;
        let of_a_round = u64::from(self.rounds.items_of(self.data.hidden_items));
        let items = u64::from(self.data.public_items).saturating_add(of_a_round);
        let answers_bytes = items.saturating_mul(4).saturating_mul(self.labels.len() as u64);
        let fields = [
            ("format", self.format == MANIFEST_FORMAT, format!("must be `{MANIFEST_FORMAT}`")),
            ("title", (1..=120).contains(&self.title.len()), "must have 1 to 120 bytes".into()),
            (
                "license",
                self.license.as_ref().is_none_or(|license| spdx::Expression::parse(license).is_ok()),
                "must be an SPDX expression, such as MIT or CC-BY-4.0 (spdx.org/licenses)".into(),
            ),
            (
                "contact",
                self.contact.as_deref().is_none_or(is_contact),
                "must be a mail address, such as arena@example.com, or an https:// URL, in at most 200 plain characters"
                    .into(),
            ),
            ("labels", (2..=CLASSES_MAX).contains(&self.labels.len()), format!("needs 2 to {CLASSES_MAX} names")),
            (
                "labels",
                answers_bytes <= ANSWERS_BYTES_MAX,
                format!(
                    "a model's answers to public items and a round's have {answers_bytes} bytes, at most {ANSWERS_BYTES_MAX}: take fewer items \
                     or fewer classes"
                ),
            ),
            (
                "labels",
                labels_bytes <= LABELS_BYTES_MAX,
                format!("{labels_bytes} bytes as JSON, at most {LABELS_BYTES_MAX}: each config.json repeats them"),
            ),
            (
                "input",
                [self.input.channels, self.input.height, self.input.width].iter().all(|side| sides.contains(side)),
                format!("needs 1 to {DIMENSION_MAX} channels, rows and columns"),
            ),
            ("input.mean_ppm", self.input.mean_ppm.len() == planes, format!("needs {planes} values")),
            (
                "input.deviation_ppm",
                self.input.deviation_ppm.len() == planes && self.input.deviation_ppm.iter().all(|d| *d > 0),
                format!("needs {planes} values above 0"),
            ),
            (
                "models",
                matches!(self.models[..], [_]) || matches!(self.models[..], [first, second] if first != second),
                "needs catalogue, onnx or both".into(),
            ),
            (
                "backends.accuracy",
                (1..).zip(&self.backends.accuracy).all(|(next, one)| !self.backends.accuracy.iter().skip(next).any(|other| other == one)),
                "names one twice".into(),
            ),
            ("data.public_items", self.data.public_items > 0, "must be above 0".into()),
            ("data.hidden_items", self.data.hidden_items > 0, "must be above 0".into()),
            (
                "closes_at",
                self.closes_at.is_none_or(|at| at <= MOMENT_MAX),
                "lies beyond the year 2100: write Unix seconds, not milliseconds".into(),
            ),
            ("known", self.known.len() <= KNOWN_MAX, format!("at most {KNOWN_MAX} packages: each one is measured")),
            (
                "log.witnesses",
                self.log.witnesses.len() <= WITNESSES_MAX && self.log.witnesses.iter().all(|key| is_key_text(key)),
                format!("takes at most {WITNESSES_MAX} verifier keys, NAME+ID+BASE64, as `retort witness` prints them"),
            ),
        ];
        fields.into_iter().filter(|(_, holds, _)| !holds).map(|(field, _, problem)| (field, problem)).collect()
    }

    /// Labels are what people see and what maps of classes are keyed by, so each is a name, and one class's alone.
    fn label_problems(&self) -> Vec<Problem> {
        /// More would bury the other problems.
        const SHOWN: usize = 5;
        let mut seen = HashSet::new();
        let labels = (1..).zip(self.labels.iter().map(String::as_str));
        let problems = labels.filter_map(|(number, label)| match label {
            "" => Some(format!("number {number} is empty")),
            text if text.trim() != text => Some(format!("number {number}, {text:?}, begins or ends with white space")),
            text if text.chars().any(char::is_control) => {
                Some(format!("number {number}, {text:?}, has a control character"))
            }
            text if !seen.insert(text) => Some(format!("number {number}, {text:?}, is there before")),
            _ => None,
        });
        let mut problems: Vec<String> = problems.collect();
        let more = problems.len().saturating_sub(SHOWN);
        problems.truncate(SHOWN);
        if more > 0 {
            problems.push(format!("and {more} others of the kind"));
        }
        problems.into_iter().map(|problem| ("labels", problem)).collect()
    }

    /// Checks that the limits keep submissions as far from the teacher as [`Self::teacher_distance`] says.
    ///
    /// # Errors
    /// Names the limit that is too loose, and what it may be.
    pub fn check_teacher_distance(&self, teacher: &Costs) -> Result<(), ManifestError> {
        match self.too_near_the_teacher(teacher.parameters, teacher.macs) {
            None => Ok(()),
            Some((field, problem)) => Err(ManifestError::Field { field, problem }),
        }
    }

    fn too_near_the_teacher(&self, parameters: u64, macs: u64) -> Option<Problem> {
        if self.teacher_distance == TeacherDistance::None {
            return None;
        }
        let limits = [
            ("limits.macs_max", self.limits.macs_max, macs / 2),
            ("limits.parameters_max", self.limits.parameters_max, parameters / 2),
        ];
        let (field, limit, most) = limits.into_iter().find(|(_, limit, most)| limit > most)?;
        let problem = format!(
            "{limit} is more than half of the teacher's, so that the teacher itself might be entered in disguise; \
             lower it to {most}, or write teacher_distance = \"none\""
        );
        Some((field, problem))
    }

    /// A private pool has to outlast the round in which the seat is first taken.
    fn check_pool(&self) -> Result<(), String> {
        let items = self.data.hidden_items;
        match self.rounds_max() {
            Some(rounds @ 0..=1) => Err(format!(
                "a private pool of {items} images lasts for {rounds} round of {} items: what is revealed is never fresh \
                 again, so lower rounds.items or add images",
                self.rounds.items_of(items)
            )),
            _ => Ok(()),
        }
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

/// Whether a text has the shape of a verifier key; whether it is one, `transparency` knows.
fn is_key_text(text: &str) -> bool {
    let is_plain = |char: char| !char.is_whitespace() && !char.is_control();
    text.len() <= KEY_BYTES_MAX
        && text.splitn(3, '+').filter(|part| !part.is_empty()).count() == 3
        && text.chars().all(is_plain)
}

impl FromStr for CompetitionId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(good) || text.starts_with('-') {
            return Err("a competition's id is 1 to 64 lower-case letters, digits and inner hyphens".into());
        }
        Ok(Self(text.into()))
    }
}

impl PartialSchema for CompetitionId {
    fn schema() -> RefOr<Schema> {
        let description = "A competition's name: lower-case letters, digits and inner hyphens.";
        crate::schema::text(description, "^[a-z0-9][a-z0-9-]{0,63}$", "fashion-mnist")
    }
}

impl ToSchema for CompetitionId {}

impl TryFrom<String> for CompetitionId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CompetitionId> for String {
    fn from(id: CompetitionId) -> Self {
        id.0
    }
}

impl fmt::Display for CompetitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for CompetitionId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
