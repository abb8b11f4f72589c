//! What everybody may see of a round: before the reveal what was committed to, after it everything. The API serves it, and
//! whoever checks a round holds it against what can be computed.
//!
//! It knows no rule and no database: what a step yields is filled in by whoever does it.

use super::{Abandonment, Beacon, BeaconRule, RoundCommitment};
use protocol::competition::ObjectRef;
use protocol::dethrone::Verdict;
use protocol::evaluation::Screened;
use protocol::report::Estimate;
use protocol::reward::{Reason, Weight};
use protocol::round::{Cut, EntryRole, Step};
use protocol::score::Ceiling;
use protocol::{CompetitionId, Digest, SubmissionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /api/v1/competitions/{id}/rounds/{round}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Round)]
pub struct RoundView {
    /// The competition.
    pub competition: CompetitionId,
    /// From 1 upwards.
    #[schema(minimum = 1)]
    pub round: u64,
    /// The version of the rules that it goes by to its end.
    pub rules: u32,
    /// How far it is.
    pub step: Step,
    /// When it opened, in Unix seconds.
    pub opened_at: u64,
    /// When it closes or closed; `None` while only the operator closes it.
    pub closes_at: Option<u64>,
    /// When it came to its step.
    pub changed_at: u64,
    /// What the validator is bound to since it opened.
    pub commitment: RoundCommitment,
    /// Which beacon it was bound to when it opened, from the close on.
    pub beacon_rule: Option<BeaconRule>,
    /// What it waits for, from the close until its beacon has come.
    pub wait: Option<BeaconWait>,
    /// What nobody could know before the close.
    pub beacon: Option<Beacon>,
    /// Why it ended without a draw, once abandoned.
    pub abandoned: Option<Abandonment>,
    /// Who held the seat when it opened.
    pub champion_before: Option<SubmissionId>,
    /// Who holds it at the end, once judged.
    pub champion: Option<SubmissionId>,
    /// When the holder took it, in Unix seconds; 0 while it is empty.
    pub crowned_at: u64,
    /// The round that gave it to the holder; 0 while it is empty. Evidence is pooled from the next one on.
    pub crowned_in: u64,
    /// How many challengers shared the level, once screened.
    pub shared_by: u32,
    /// How long the champion had reigned at the close: what the margin depends on.
    pub champion_age_seconds: u64,
    /// Who is paid what, once judged, parts per million.
    pub weights: Vec<Weight>,
    /// Why everybody earns what they earn, once judged.
    #[serde(default)]
    #[schema(required)]
    pub why: Vec<Reason>,
    /// The ledger's number for those weights, once paid.
    pub epoch: Option<u64>,
    /// Its items, once revealed.
    pub drawn: Option<Drawn>,
    /// Who was measured and what came of it, once judged.
    pub entries: Vec<RoundEntryView>,
    /// The record of the judgement, whose digest the public log has, an object once revealed.
    pub record: Option<ObjectRef>,
    /// The opening, once revealed: give it to `retort verify round`.
    pub reveal: Option<ObjectRef>,
}

/// A submission in a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RoundEntry)]
pub struct RoundEntryView {
    /// Which.
    pub submission: SubmissionId,
    /// Order of arrival.
    pub arrival: u64,
    /// Why it was measured, or that it wasn't.
    pub role: EntryRole,
    /// Right answers and items on public items, all clean.
    #[schema(min_items = 2, max_items = 2)]
    pub clean: Option<[u32; 2]>,
    /// Right answers and items on hidden items, all changed.
    #[schema(min_items = 2, max_items = 2)]
    pub changed: Option<[u32; 2]>,
    /// Candidate over reference in this round, with its 99 % interval.
    pub latency_ratio: Option<Estimate>,
    /// How many fresh items it answered.
    pub fresh_items: Option<u32>,
    /// Its answers to those that screened it, an object once the round is revealed.
    pub screening: Option<Screened>,
    /// What those came to, and what it had to reach.
    #[serde(default)]
    #[schema(required)]
    pub seen: Option<Seen>,
    /// The report, an object once the round is revealed.
    pub report: Option<ObjectRef>,
    /// Item by item, an object once the round is revealed.
    pub outcomes: Option<ObjectRef>,
    /// The signed receipt of all that, an object once the round is revealed.
    pub receipt: Option<ObjectRef>,
    /// Why it could not be measured.
    pub failure: Option<String>,
    /// What the rules make of it.
    pub verdict: Option<Verdict>,
}

/// What a closed round waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BeaconWait {
    /// When its beacon comes, in Unix seconds.
    pub due_at: u64,
    /// When it is abandoned if it hasn't come.
    pub abandoned_at: u64,
    /// Why it isn't there, as last tried.
    pub problem: Option<String>,
}

/// A round's items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drawn {
    /// Items with labels (`RTIMG1`), fixed ones first: private until the reveal.
    pub items: ObjectRef,
    /// The teacher's logits on them (`RTLOG1`): likewise.
    pub teacher_logits: ObjectRef,
    /// How many of them are fixed.
    pub fixed: u32,
    /// The seed of the fixed part.
    pub fixed_seed: Digest,
    /// The round's own seed.
    pub seed: Digest,
    /// Where the fresh ones are cut into those that screen and those that decide.
    pub cut: Cut,
    /// The reference student's answers to all of them (`RTOUT1`): what a margin over an empty seat is counted from.
    pub reference_outcomes: ObjectRef,
    /// The teacher on public and fixed items.
    pub known_ceiling: Ceiling,
    /// The teacher on fresh items.
    pub fresh_ceiling: Ceiling,
}

/// What screening saw of a submission, on the fresh items of this round and of earlier ones that it answered, and what it had
/// to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RoundSeen)]
pub struct Seen {
    /// The items.
    pub items: u32,
    /// Its right answers to them.
    pub correct: u32,
    /// The teacher's: the gate is a share of these.
    pub teacher_correct: u32,
    /// What it stood for a place with, its rounds of waiting counted, parts per million; `None` below the gate.
    pub standing_ppm: Option<i64>,
    /// What the round's last place went for; `None` where all went to those that could wait no longer.
    pub least_ppm: Option<i64>,
}
