//! The board: rows, divisions, and why each row is where it is.

use crate::dethrone::Verdict;
use crate::latency::{LatencyVerdict, judge};
use crate::needs::Needs;
use crate::report::{Estimate, Report};
use crate::score::Score;
use crate::standing::{Division, SortKey};
use crate::submission::State;
use crate::{CompetitionId, Hotkey, SubmissionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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

    /// Whether anybody took its time: whose answers are below the gate beyond doubt has none, and its latency columns are 0.
    pub fn is_timed(&self) -> bool {
        self.latency_verdict != LatencyVerdict::Skipped
    }

    /// The rank as people write it: `=2` where several share it; nothing without one.
    pub fn rank_label(&self) -> Option<String> {
        let shared = if self.group_size.is_some_and(|size| size > 1) { "=" } else { "" };
        self.rank.map(|rank| format!("{shared}{rank}"))
    }
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
