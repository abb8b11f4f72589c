//! Submissions: announcing one, what becomes of it, and its owner's say.

use super::{BoardRow, FormView};
use crate::architecture::Costs;
use crate::competition::ObjectRef;
use crate::latency::LatencyVerdict;
use crate::name::DisplayName;
use crate::package::{CONFIG_FILE, Format, ModelKind};
use crate::report::Report;
use crate::score::Score;
use crate::strict::objects;
use crate::submission::{Blame, Code, Rejection, State};
use crate::{CompetitionId, Digest, Hotkey, SubmissionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A file that a miner is about to upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileDeclaration {
    /// `config.json`, `model.safetensors` or `model.onnx`, `README.md` or `expected.safetensors`.
    #[schema(
        pattern = "^(config\\.json|model\\.(safetensors|onnx)|README\\.md|expected\\.safetensors)$",
        example = "model.safetensors"
    )]
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes.
    pub sha256: Digest,
}

/// The two files of a package that decide about it, as objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackageObjects {
    /// By the name of the second one.
    pub format: Format,
    /// `config.json`.
    pub config: ObjectRef,
    /// `model.safetensors` or `model.onnx`.
    pub model: ObjectRef,
}

impl PackageObjects {
    /// Those among `files`, where both are there.
    pub fn among(files: &[FileDeclaration]) -> Option<Self> {
        let object = |file: &FileDeclaration| ObjectRef { sha256: file.sha256, size_bytes: file.size };
        let config = files.iter().find(|file| file.path == CONFIG_FILE).map(object)?;
        let model = |file: &FileDeclaration| Some((Format::of_file(&file.path)?, object(file)));
        let (format, model) = files.iter().find_map(model)?;
        Some(Self { format, config, model })
    }

    /// The digest that names the package.
    pub fn package_sha256(&self) -> Digest {
        self.format.package_sha256(&self.config.sha256, &self.model.sha256)
    }
}

/// `POST /api/v1/submissions`, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmissionRequest {
    /// Where to enter.
    pub competition: CompetitionId,
    /// The package's files.
    #[serde(deserialize_with = "objects")]
    pub files: Vec<FileDeclaration>,
    /// A code of the operator that lets this hotkey in, where it must be invited; needed once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 64)]
    pub invite: Option<String>,
    /// What the model is called, on this validator alone. A submission that has no name yet gets it when the same package is
    /// announced again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<DisplayName>,
}

/// Its answer: where each file goes. Files that the store already holds need no upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmissionCreated {
    /// The new submission, or the earlier identical one.
    pub id: SubmissionId,
    /// Its state.
    pub state: State,
    /// What is left to upload.
    pub uploads: Vec<Upload>,
}

/// Where one file goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    /// The file.
    pub path: String,
    /// `PUT`.
    #[schema(pattern = "^PUT$")]
    pub method: String,
    /// Absolute, or a path on the validator.
    pub url: String,
    /// Headers to send as they are.
    pub headers: Vec<(String, String)>,
    /// When the URL ends; until the first byte of the submission's files came, when that must have come. Ask again for URLs
    /// that are good for longer.
    pub expires_at: u64,
}

/// `GET /api/v1/submissions/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmissionStatus {
    /// The submission.
    pub id: SubmissionId,
    /// Where it was entered.
    pub competition: CompetitionId,
    /// By whom.
    pub hotkey: Hotkey,
    /// What its owner calls it: shown beside its id, since the id alone says which it is.
    #[serde(default)]
    #[schema(required)]
    pub name: Option<String>,
    /// Where it is.
    pub state: State,
    /// Why it ended without a score, or why it is in the queue again.
    pub reason: Option<Reason>,
    /// Entries before it in the queue, while queued.
    pub queue_position: Option<u32>,
    /// Seconds until a result, roughly, while queued or evaluating.
    pub eta_seconds: Option<u32>,
    /// When it was created.
    pub created_at: u64,
    /// When it reached its present state.
    pub changed_at: u64,
    /// What it is, once admitted: an architecture of the catalogue, or an ONNX graph.
    pub architecture: Option<ModelKind>,
    /// Its exact costs, once admitted.
    pub costs: Option<Costs>,
    /// Its files as they were uploaded: what receipts name. Under `/api/v1/objects/sha256/{digest}` once scored, and where the
    /// manifest keeps packages back, once the round is over that it was entered in.
    pub files: Vec<FileDeclaration>,
    /// The same model in bytes that the validator wrote, once admitted: what to download once it is public.
    #[serde(default)]
    #[schema(required)]
    pub published: Vec<FileDeclaration>,
    /// The same model as other engines and other tools take it, once it was a champion: each measured beside the original.
    #[serde(default)]
    #[schema(required)]
    pub forms: Vec<FormView>,
    /// The round with whose end its package becomes public, while a scored one is kept back.
    #[serde(default)]
    pub withheld_until_round: Option<u64>,
    /// What was measured, once scored.
    pub report: Option<Report>,
    /// What the rules make of it, once scored.
    pub score: Option<Score>,
    /// Its rank, once scored.
    pub rank: Option<u32>,
    /// The digest of its signed receipt, once scored: `GET /api/v1/submissions/{id}/receipt`.
    pub receipt: Option<Digest>,
    /// The receipt's place in the public log, once it is there.
    pub receipt_log_index: Option<u64>,
    /// Its row of the board, once scored.
    pub row: Option<BoardRow>,
    /// What its latency is good for, once scored: only a sound one decides a rank for good.
    #[serde(default)]
    pub latency_verdict: Option<LatencyVerdict>,
    /// Whether it was compared with everybody's entries, once scored: before, a copy still has a rank.
    #[serde(default)]
    pub compared: Option<bool>,
}

/// `POST /api/v1/submissions/{id}/appeal`, signed by the submission's owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppealRequest {
    /// One line; the public log shows it to everybody.
    #[schema(min_length = 1, max_length = 1000, example = "my model is no copy: it was trained from other weights")]
    pub text: String,
}

/// An appeal of a submission's owner, with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Appeal)]
pub struct AppealView {
    /// From 1 upwards.
    #[schema(minimum = 1)]
    pub number: u64,
    /// What the owner says.
    pub text: String,
    /// When, in Unix seconds.
    pub at: u64,
    /// What the operator answered, if it did.
    pub answer: Option<AppealAnswer>,
}

/// An operator's answer to an appeal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppealAnswer {
    /// What the operator says.
    pub text: String,
    /// When, in Unix seconds.
    pub at: u64,
}

/// A submission in a list: `GET /api/v1/submissions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmissionSummary {
    /// The submission.
    pub id: SubmissionId,
    /// Where it was entered.
    pub competition: CompetitionId,
    /// By whom.
    pub hotkey: Hotkey,
    /// What its owner calls it.
    #[serde(default)]
    #[schema(required)]
    pub name: Option<String>,
    /// Order of arrival over all competitions; lists go from the last to the first.
    pub arrival: u64,
    /// Where it is.
    pub state: State,
    /// Why it ended without a score, or why it is in the queue again.
    pub code: Option<Code>,
    /// When it was created.
    pub created_at: u64,
    /// When it reached its present state.
    pub changed_at: u64,
    /// The family, once admitted.
    pub architecture: Option<String>,
    /// The composite score, once scored.
    pub score_ppm: Option<i64>,
    /// Its rank on the board, once scored and above the gate.
    pub rank: Option<u32>,
}

/// A rejection with whom it blames and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// The stable code.
    pub code: Code,
    /// What was found.
    pub detail: String,
    /// Whose fault it is.
    pub blame: Blame,
    /// What to do.
    pub hint: String,
}

impl From<Rejection> for Reason {
    fn from(Rejection { code, detail }: Rejection) -> Self {
        Self { code, detail, blame: code.blame(), hint: code.hint().to_owned() }
    }
}
