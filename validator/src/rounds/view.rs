//! What everybody may see of a round: before the reveal what was committed to, after it everything.

use crate::db::rounds::{BeaconWait, Drawn, Entry, EntryRole, Round, Screened, Step};
use crate::db::{Db, DbError};
use datasets::hidden::{Abandonment, Beacon, BeaconRule, RoundCommitment};
use protocol::competition::ObjectRef;
use protocol::dethrone::Verdict;
use protocol::report::Estimate;
use protocol::reward::{Reason, Weight};
use protocol::{CompetitionId, SubmissionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Rounds that are told of one submission, the last ones.
const ROUNDS_SHOWN_MAX: usize = 30;

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

/// A round, as far as it is public.
///
/// # Errors
/// When the database fails.
pub async fn view(db: &Db, competition: &CompetitionId, number: u64) -> Result<Option<RoundView>, DbError> {
    match db.round(competition, number).await? {
        Some(round) => Ok(Some(of(db, round).await?)),
        None => Ok(None),
    }
}

/// A competition's rounds, newest first.
///
/// # Errors
/// When the database fails.
pub async fn views(db: &Db, competition: &CompetitionId) -> Result<Vec<RoundView>, DbError> {
    let mut views = Vec::new();
    for round in db.rounds(competition).await? {
        views.push(of(db, round).await?);
    }
    Ok(views)
}

/// The last rounds that a submission which was announced then may have been in, oldest first, each with its own entry
/// alone.
///
/// # Errors
/// When the database fails.
pub(crate) async fn of_submission(db: &Db, id: &SubmissionId, announced_at: u64) -> Result<Vec<RoundView>, DbError> {
    let Some(submission) = db.submission(id).await? else { return Ok(Vec::new()) };
    let mut entries = db.entries_of(id).await?;
    let rounds = db.rounds(&submission.competition).await?.into_iter();
    let concerned = rounds.filter(|round| round.closes_at.is_none_or(|closes_at| closes_at > announced_at));
    let mut views: Vec<RoundView> = concerned
        .take(ROUNDS_SHOWN_MAX)
        .map(|round| {
            let own = entries.remove(&round.number).filter(|_| round.step >= Step::Judged);
            shown(round, own.into_iter().collect())
        })
        .collect();
    views.reverse();
    Ok(views)
}

async fn of(db: &Db, round: Round) -> Result<RoundView, DbError> {
    let entries = match round.step >= Step::Judged {
        true => db.round_entries(&round.competition, round.number).await?,
        false => Vec::new(),
    };
    Ok(shown(round, entries))
}

fn shown(round: Round, entries: Vec<Entry>) -> RoundView {
    let revealed = round.step == Step::Revealed;
    let (record, closed) = (round.record, round.step > Step::Open);
    let fresh_items = record.drawn.as_ref().map(|drawn| drawn.cut.all);
    RoundView {
        competition: round.competition,
        round: round.number,
        rules: record.rules,
        step: round.step,
        opened_at: round.opened_at,
        closes_at: round.closes_at,
        changed_at: round.changed_at,
        commitment: record.commitment,
        beacon_rule: closed.then_some(record.terms.beacon),
        wait: record.wait,
        beacon: record.beacon,
        abandoned: record.abandoned,
        champion_before: record.champion_before,
        champion: record.champion,
        crowned_at: record.crowned_at,
        crowned_in: record.crowned_in,
        shared_by: record.shared_by,
        champion_age_seconds: record.champion_age_seconds,
        weights: record.weights,
        why: record.settled.map(|settled| settled.why).unwrap_or_default(),
        epoch: round.epoch,
        entries: entries.into_iter().map(|entry| entry_view(entry, revealed, fresh_items)).collect(),
        drawn: record.drawn.filter(|_| revealed),
        record: record.judged.filter(|_| revealed),
        reveal: record.reveal,
    }
}

fn entry_view(entry: Entry, revealed: bool, fresh_items: Option<u32>) -> RoundEntryView {
    let result = entry.result.as_ref();
    RoundEntryView {
        clean: result.map(|result| [result.clean_correct, result.clean_items]),
        changed: result.map(|result| [result.changed_correct, result.changed_items]),
        latency_ratio: result.map(|result| result.report.latency.ratio),
        fresh_items: match entry.role {
            EntryRole::Screened => entry.screening.map(|screened| screened.items),
            _ => result.and(fresh_items),
        },
        screening: entry.screening.filter(|_| revealed),
        report: result.filter(|_| revealed).map(|result| result.report_object),
        outcomes: result.filter(|_| revealed).map(|result| result.outcomes_object),
        receipt: result.filter(|_| revealed).map(|result| result.receipt_object),
        submission: entry.submission,
        arrival: entry.arrival,
        role: entry.role,
        failure: entry.failure,
        verdict: entry.verdict,
    }
}
