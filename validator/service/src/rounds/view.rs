//! What everybody may see of a round: before the reveal what was committed to, after it everything.

use datasets::hidden::{RoundEntryView, RoundView, Seen};
use protocol::round::{EntryRole, Step};
use protocol::score::{PPM, ScoreRules, share_ppm, wilson};
use protocol::{CompetitionId, SubmissionId};
use store::db::rounds::{Round, RoundEntry};
use store::db::{Db, DbError};

/// Rounds that are told of one submission, the last ones.
const ROUNDS_SHOWN_MAX: usize = 30;

/// What a round saw of a submission, in a sentence: what was asked, what was right, and the line it had to pass.
pub fn told_of(seen: &Seen, rules: &ScoreRules) -> String {
    let shown = shown_share([seen.correct.into(), seen.items.into()]);
    let gate = gate_of([seen.teacher_correct.into(), seen.items.into()], rules);
    let mut told = format!("{shown} of {} hidden items right, where {gate}", seen.items);
    let points = |ppm: i64| ppm as f64 / 1e6;
    told.push_str(&match (seen.standing_ppm, seen.least_ppm) {
        (None, _) => String::new(),
        (Some(own), Some(least)) if own <= least => {
            format!(
                "; it stood for a place with a score of {:.4}, and the last one went for {:.4}",
                points(own),
                points(least)
            )
        }
        (Some(own), Some(_)) => {
            format!(
                "; it stood for a place with a score of {:.4}, enough for one, but its owner has one at most",
                points(own)
            )
        }
        (Some(own), None) => {
            format!(
                "; it stood for a place with a score of {:.4}, and all went to those that could wait no longer",
                points(own)
            )
        }
    });
    told
}

/// A share with its interval.
pub fn shown_share([right, items]: [u64; 2]) -> String {
    let found = wilson(right, items);
    let percent = |ppm: i64| ppm as f64 / 1e4;
    format!("{:.2} % [{:.2}, {:.2}]", percent(found.value_ppm), percent(found.low_ppm), percent(found.high_ppm))
}

/// What the gate asks for on items of which the teacher has so many right.
pub fn gate_of([right, items]: [u64; 2], rules: &ScoreRules) -> String {
    let teacher_ppm = share_ppm(right, items);
    let percent = |ppm: i64| ppm as f64 / 1e4;
    format!(
        "the gate asks for {:.2} %: {:.1} % of what the teacher gets right, {:.2} %",
        percent(teacher_ppm * i64::from(rules.gate_ppm) / PPM),
        percent(rules.gate_ppm.into()),
        percent(teacher_ppm),
    )
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
pub async fn of_submission(db: &Db, id: &SubmissionId, announced_at: u64) -> Result<Vec<RoundView>, DbError> {
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

fn shown(round: Round, entries: Vec<RoundEntry>) -> RoundView {
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

fn entry_view(entry: RoundEntry, revealed: bool, fresh_items: Option<u32>) -> RoundEntryView {
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
        seen: entry.seen,
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
