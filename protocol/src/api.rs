//! The messages of the HTTP API, shared by the service and its clients. Timestamps are Unix seconds.

use crate::amendment::Amendment;
use crate::architecture::Costs;
use crate::competition::{Manifest, ObjectRef};
use crate::dethrone::Verdict;
use crate::latency::{LatencyVerdict, judge};
use crate::name::DisplayName;
use crate::needs::Needs;
use crate::package::{CONFIG_FILE, Format, ModelKind};
use crate::published::Competition;
use crate::report::{Estimate, Report};
use crate::reward::PolicyChange;
use crate::score::Score;
use crate::standing::{Division, SortKey};
use crate::strict::objects;
use crate::submission::{Blame, Code, Rejection, State};
use crate::{CompetitionId, Digest, Hotkey, SubmissionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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

/// `POST /api/v1/names`, signed; its answer is the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NameRequest {
    /// What the signer is called.
    pub name: DisplayName,
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

/// `POST /api/v1/tokens`, signed: a token for clients that can't sign, such as those of the Hugging Face Hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// What its owner calls it: 1 to 64 printable ASCII characters.
    #[schema(min_length = 1, max_length = 64, pattern = "^[ -~]*$")]
    pub label: String,
    /// How long it is good: at most a year.
    #[schema(minimum = 1, maximum = 31536000)]
    pub expires_in_seconds: u64,
}

/// What a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenScope {
    /// To enter submissions of its hotkey.
    Submit,
}

/// A token, without what opens anything: `GET /api/v1/tokens`, signed, lists them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its name: `DELETE /api/v1/tokens/{id}`, signed, ends it.
    pub id: String,
    /// For whom it submits.
    pub hotkey: Hotkey,
    /// What its owner calls it.
    pub label: String,
    /// What it may be used for.
    pub scope: TokenScope,
    /// When it was made.
    pub created_at: u64,
    /// Until when it is good.
    pub expires_at: u64,
}

/// The answer to a [`TokenRequest`]: the only time that the token itself is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    /// `Authorization: Bearer …`.
    pub token: String,
    /// What is known about it.
    #[serde(flatten)]
    pub view: TokenView,
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

/// `GET /api/v1/miners/{hotkey}`: what a hotkey has done here. Its submissions are a list of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MinerView {
    /// Who.
    pub hotkey: Hotkey,
    /// What it calls itself.
    #[serde(default)]
    #[schema(required)]
    pub name: Option<String>,
    /// Its submissions by state; states without any are absent.
    pub submissions: BTreeMap<State, u64>,
    /// Its best in each competition where it has a rank.
    pub best: Vec<SubmissionSummary>,
    /// The seats that it holds.
    pub seats: Vec<CompetitionId>,
    /// What judged rounds pay it, newest first.
    pub rewards: Vec<MinerReward>,
}

/// What a round pays a hotkey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MinerReward {
    /// Where.
    pub competition: CompetitionId,
    /// In which round.
    pub round: u64,
    /// Of everything that the round pays, parts per million.
    pub weight_ppm: u32,
    /// The ledger's number for it, once paid.
    pub epoch: Option<u64>,
    /// When the round came to its present step.
    pub at: u64,
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

/// What a row of the board stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// The teacher: the ceiling, unranked.
    Teacher,
    /// The reference student: the floor, unranked.
    Reference,
    /// A submission.
    Submission,
}

/// A row of the board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoardRow {
    /// What it stands for.
    pub kind: RowKind,
    /// One more than the entries that are better beyond doubt; shared by all that can't be told from their group's
    /// first. By fresh hidden items for those that were measured on them; the others follow, by public ones, and are
    /// provisional. The teacher, the reference, copies and what is below the gate have none.
    pub rank: Option<u32>,
    /// Whether its rank rests on public items alone: it stands below all that were measured on fresh ones and is paid
    /// nothing yet.
    #[serde(default)]
    #[schema(required)]
    pub provisional: bool,
    /// What it is worth on the fresh hidden items that it answered, over rounds: what its rank and its pay go by.
    #[serde(default)]
    pub hidden_score_ppm: Option<i64>,
    /// How many those are.
    #[serde(default)]
    pub fresh_items: Option<u32>,
    /// The submission, for submissions.
    pub submission: Option<SubmissionId>,
    /// Its owner, for submissions.
    pub hotkey: Option<Hotkey>,
    /// What its owner calls itself: shown beside the short key, since the key alone says who it is.
    #[serde(default)]
    #[schema(required)]
    pub owner_name: Option<String>,
    /// What its owner calls the model: shown beside its short id.
    #[serde(default)]
    #[schema(required)]
    pub model_name: Option<String>,
    /// The family: `mlp`, `resnet`, ...
    pub architecture: String,
    /// Accuracy.
    pub accuracy_ppm: i64,
    /// Its 95 % interval.
    #[schema(min_items = 2, max_items = 2)]
    pub accuracy_interval_ppm: [i64; 2],
    /// Share of the teacher's answers.
    pub agreement_ppm: i64,
    /// Latency over the reference's.
    pub latency_ratio_ppm: i64,
    /// Its interval.
    #[schema(min_items = 2, max_items = 2)]
    pub latency_ratio_interval_ppm: [i64; 2],
    /// What that latency is good for; on an unstable host it is provisional.
    pub latency_verdict: LatencyVerdict,
    /// Median latency in microseconds.
    pub latency_us_p50: u64,
    /// 90th percentile in microseconds.
    pub latency_us_p90: Option<u64>,
    /// The size that is scored: two bytes a value, after folding.
    pub size_bytes: u64,
    /// Learned values.
    pub parameters: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// The composite score.
    pub score_ppm: i64,
    /// Its 95 % interval.
    #[schema(min_items = 2, max_items = 2)]
    pub score_interval_ppm: [i64; 2],
    /// The state, `scored` on the board.
    pub state: State,
    /// The reason for the rank, in words.
    pub why: String,
    /// Whether its package brings answers of the framework that it was trained in (`expected.safetensors`), which the engine's
    /// were held against.
    #[serde(default)]
    #[schema(required)]
    pub brings_answers: bool,
    /// The order inside groups too, from 1: by `sort_key`.
    #[serde(default)]
    pub place: Option<u32>,
    /// How many share the rank, this one included.
    #[serde(default)]
    pub group_size: Option<u32>,
    /// Its rank after the judged round before the last; absent where it had none.
    #[serde(default)]
    pub last_round_rank: Option<u32>,
    /// What places go by: the composite on fresh hidden items, on public ones while it is provisional.
    #[serde(default)]
    pub sort_key: Option<SortKey>,
    /// The composite of the first place minus this one, on the items that ranks go by.
    #[serde(default)]
    pub behind_leader_ppm: Option<i64>,
    /// Its 95 % interval, paired: both on the same resampled items. Absent where the two have no place on the same ones.
    #[serde(default)]
    #[schema(min_items = 2, max_items = 2)]
    pub behind_leader_interval_ppm: Option<[i64; 2]>,
    /// The divisions it stands in, with its place in each.
    #[serde(default)]
    #[schema(required)]
    pub divisions: Vec<DivisionPlace>,
    /// How it compares with the best that its owner had entered before.
    #[serde(default)]
    pub own_best: Option<OwnBest>,
    /// What it would have taken to dethrone the champion in its last bout.
    #[serde(default)]
    pub needs: Option<Needs>,
    /// Its last attempt to dethrone the champion.
    #[serde(default)]
    pub last_attempt: Option<Attempt>,
    /// Accuracy on the hidden items of the last judged round that measured it.
    #[serde(default)]
    pub hidden_accuracy_ppm: Option<i64>,
    /// Accuracy on public items minus that: a memoriser loses much.
    #[serde(default)]
    pub gap_ppm: Option<i64>,
    /// What the teacher lost in the same round.
    #[serde(default)]
    pub teacher_gap_ppm: Option<i64>,
    /// `needs`, `own_best`, `last_attempt` and the gap as sentences.
    #[serde(default)]
    #[schema(required)]
    pub details: Vec<String>,
}

/// A place in a division.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DivisionPlace {
    /// Which.
    pub division: Division,
    /// From 1.
    pub place: u32,
}

/// A division of the board, best first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DivisionBoard {
    /// Which.
    pub division: Division,
    /// Its submissions in order.
    pub entries: Vec<SubmissionId>,
}

/// An entry beside the best that its owner had entered before it, on the same resampled items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OwnBest {
    /// The earlier one.
    pub submission: SubmissionId,
    /// The composite of this entry minus that of the earlier one.
    pub gain_ppm: i64,
    /// The paired standard error of the gain.
    pub standard_error_ppm: i64,
    /// Whether the gain is more than one standard error; from then on this entry is the own best.
    pub clearly_better: bool,
}

/// An attempt to dethrone the champion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// In which round.
    pub round: u64,
    /// What became of it, with every p-value and the rule that decided.
    pub verdict: Verdict,
}

impl BoardRow {
    /// Fills the measured columns from a report and its score.
    pub fn measured(kind: RowKind, architecture: &str, report: &Report, score: &Score, why: String) -> Self {
        let ends = |estimate: Estimate| [estimate.low_ppm, estimate.high_ppm];
        Self {
            kind,
            rank: None,
            provisional: false,
            hidden_score_ppm: None,
            fresh_items: None,
            submission: None,
            hotkey: None,
            architecture: architecture.to_owned(),
            accuracy_ppm: score.accuracy.value_ppm,
            accuracy_interval_ppm: ends(score.accuracy),
            agreement_ppm: score.agreement.value_ppm,
            latency_ratio_ppm: report.latency.ratio.value_ppm,
            latency_ratio_interval_ppm: ends(report.latency.ratio),
            latency_verdict: judge(&report.latency),
            latency_us_p50: report.latency.p50_ns / 1_000,
            latency_us_p90: report.latency.p90_ns.map(|ns| ns / 1_000),
            size_bytes: report.cost.size_bytes,
            parameters: report.cost.parameters,
            macs: report.cost.macs,
            score_ppm: score.composite.value_ppm,
            score_interval_ppm: ends(score.composite),
            state: State::Scored,
            why,
            place: None,
            group_size: None,
            last_round_rank: None,
            sort_key: None,
            behind_leader_ppm: None,
            behind_leader_interval_ppm: None,
            divisions: Vec::new(),
            own_best: None,
            needs: None,
            last_attempt: None,
            hidden_accuracy_ppm: None,
            gap_ppm: None,
            teacher_gap_ppm: None,
            owner_name: None,
            model_name: None,
            brings_answers: false,
            details: Vec::new(),
        }
    }

    /// The rank as people write it: `=2` where several share it; nothing without one.
    pub fn rank_label(&self) -> Option<String> {
        let shared = if self.group_size.is_some_and(|size| size > 1) { "=" } else { "" };
        self.rank.map(|rank| format!("{shared}{rank}"))
    }
}

/// `GET /api/v1/log/cosigned` and `GET /api/v1/log/cosigned/{index}`: signed notes (C2SP), each a checkpoint of the public log
/// with its signature and the cosignatures that it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CosignedCheckpoints {
    /// The notes, the smallest checkpoint first.
    pub notes: Vec<String>,
}

/// `GET /api/v1/competitions/{id}/leaderboard`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Leaderboard {
    /// The competition.
    pub competition: CompetitionId,
    /// Submissions best first, then the reference; the teacher leads.
    pub rows: Vec<BoardRow>,
    /// Who holds the seat.
    pub champion: Option<SubmissionId>,
    /// The first place; provisional until fresh hidden items were asked of anybody.
    #[serde(default)]
    pub leader: Option<SubmissionId>,
    /// The last judged round: ranks rest on it, and it took what was in time.
    #[serde(default)]
    pub last_round: Option<u64>,
    /// Who stands in which division.
    #[serde(default)]
    #[schema(required)]
    pub divisions: Vec<DivisionBoard>,
}

/// `GET /api/v1/competitions/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CompetitionView {
    /// SHA-256 of the competition's canonical JSON.
    pub sha256: Digest,
    /// The validator's hotkey: the receiver that signed requests name.
    pub validator: Hotkey,
    /// The competition.
    pub competition: Competition,
    /// The submission that leads.
    pub champion: Option<SubmissionId>,
    /// What was changed since it was published, in order: `competition` is as it was published.
    #[serde(default)]
    #[schema(required)]
    pub amendments: Vec<Amendment>,
    /// Rewards that were announced for later rounds.
    pub reward_changes: Vec<PolicyChange>,
    /// The seed of the copy probes, whose SHA-256 the competition states; once it is over.
    pub probe_seed: Option<Digest>,
}

impl CompetitionView {
    /// The manifest as amendments leave it, while `round` runs (0 before the first).
    pub fn manifest(&self, round: u64) -> Manifest {
        self.competition.manifest.clone().amended(&self.amendments, round)
    }
}

/// RFC 9457 `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `/problems/{code}`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The stable code.
    pub code: String,
    /// What to do.
    pub hint: String,
    /// After how many seconds the same request may do better, where that is known; `Retry-After` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retry_after_seconds: Option<u64>,
}
