//! One attempt at what a round or a publication asks: taken, measured, and whatever came of it written in one transaction, only
//! while the attempt is still its worker's.
//!
//! What a round asks and what it makes of an answer is said in `rounds`, from rows alone; here is only what follows from a
//! measurement, or from none.

use super::evaluate::until_taken_back;
use super::turns::millis;
use super::{confirm, questions, verdict};
use crate::app::App;
use crate::breaker;
use crate::evaluator::{Machine, ProgressFn, measured_on};
use crate::forms;
use crate::rounds::{self, RoundError};
use crate::wanted::while_wanted;
use futures::FutureExt;
use protocol::evaluation::{Evaluation, EvaluationFailure, Screened};
use protocol::latency::{FollowUp, LatencyVerdict, follow_up, judge};
use protocol::leaf::Purpose;
use protocol::submission::{Code, State};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use store::causes::Chain;
use store::db::rounds::{EntryResult, count_round_attempt, set_result, set_screening};
use store::db::work::{self, Asked, Member, Piece, Stage, Told};
use store::db::{DbError, Tx, attempts};
use store::failpoints::{self, Change, Moment};
use store::objects::ObjectError;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// What everybody is told of a failure of ours; what happened inside is the operator's alone.
const OURS: &str = "infrastructure: the measurement failed on the validator's side";

/// Why there is no measurement.
enum Missed {
    /// What all of this round's, or of this publication's, questions need isn't there.
    Shared(RoundError),
    /// This one failed.
    Failed(EvaluationFailure),
}

/// What becomes of a piece after an attempt.
enum Outcome {
    /// A member answered fresh items.
    Screened(Screened),
    /// A member was measured in full; on a host that stayed unstable that counts as spoiled and stands all the same.
    Measured { result: Box<EntryResult>, spoiled: bool },
    /// A member has no measurement in this round.
    NotMeasured { why: String, failed: bool },
    /// Somebody else said something, or didn't.
    Told(Told),
    /// It waits for the next attempt.
    Again { failed: Option<Whose>, verdict: Option<LatencyVerdict>, wait_seconds: u64 },
}

/// For whom an attempt counts that came to nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// For this one, of whom there may be only so many.
    Its,
    /// For all who ask the same; it is remembered for how long to rest.
    Everybodys,
}

/// It was cut off, which is nobody's failure.
const CUT_OFF: Outcome = Outcome::Again { failed: None, verdict: None, wait_seconds: 0 };

/// Has a piece measured, unless it no longer waits for this very attempt. If what came of it can't be recorded, it returns to the
/// queue as soon as that can be; should this process give that up, the reaper does it in the end.
pub(super) async fn attempt(
    app: &App,
    machine: Machine,
    piece: Piece,
    progress: ProgressFn,
    stop: &CancellationToken,
) -> Result<(), RoundError> {
    let (kind, competition, attempt) = (piece.asked.kind(), &piece.competition, piece.attempt);
    let span = tracing::info_span!("measurement", kind, %competition, attempt);
    let settled = settle(app, machine, piece.clone(), progress, stop).instrument(span).await;
    if let Err(error) = &settled {
        let is_full = match error {
            RoundError::Db(error) => error.is_full(),
            RoundError::Objects(error) => matches!(error, ObjectError::Full),
            _ => false,
        };
        let failed = !is_full && !breaker::is_everybodys(app, competition).await;
        until_taken_back(stop, || end_lost(app, &piece, failed)).await;
    }
    app.signals.answered.notify_waiters();
    settled
}

async fn settle(
    app: &App,
    machine: Machine,
    mut piece: Piece,
    progress: ProgressFn,
    stop: &CancellationToken,
) -> Result<(), RoundError> {
    if !piece.is_wanted(app.clock.now()) {
        return Ok(app.db.forget_piece(&piece).await?);
    }
    let competes = competes(app, &piece).await?;
    if !claim(app, &mut piece, competes).await? {
        return Ok(());
    }
    if !competes {
        return write(app, &piece, None, &taken_out(&piece)).await;
    }
    let began = Instant::now();
    let measuring = AssertUnwindSafe(Box::pin(measured(app, machine, &piece, progress))).catch_unwind();
    let measured = tokio::select! {
        measured = while_wanted(|| is_wanted(app, &piece), measuring) => measured,
        () = stop.cancelled() => return write(app, &piece, None, &CUT_OFF).await,
    };
    let used = began.elapsed();
    let panicked = |_| Err(Missed::Failed(EvaluationFailure::Infrastructure("the engine panicked".into())));
    let outcome = match measured.map(|measured| measured.unwrap_or_else(panicked)) {
        None => taken_out(&piece),
        Some(Ok(evaluation)) => Box::pin(came(app, &piece, evaluation, used)).await?,
        Some(Err(missed)) => failed(app, &piece, missed).await?,
    };
    write(app, &piece, Some(used), &outcome).await
}

/// Takes a piece out of the queue, if it waits for this attempt; a full measurement is stated in the public log before it begins.
async fn claim(app: &App, piece: &mut Piece, competes: bool) -> Result<bool, DbError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    if !work::claim(&mut tx, piece, now).await? {
        return Ok(false);
    }
    if let Asked::RoundEntry(Member { submission, stage: Stage::Decision, .. }) = &piece.asked
        && competes
    {
        let begun = attempts::begin(&mut tx, &piece.competition, submission, Purpose::Round, now).await?;
        work::set_begun(&mut tx, piece, begun).await?;
        piece.begun = Some(begun);
    }
    failpoints::commit(tx, Change::Attempt).await?;
    app.signals.log.notify_one();
    app.signals.busy_at.store(now, Ordering::Relaxed);
    let (competition, kind, round) = (&piece.competition, piece.asked.kind(), piece.asked.round());
    let submission = piece.asked.submission().map(ToString::to_string);
    tracing::info!(%competition, kind, round, submission.id = submission, attempt = piece.attempt, "measuring for {competition}");
    Ok(true)
}

/// Whether the submission that a piece is about, if it is about one, is still in the competition.
async fn competes(app: &App, piece: &Piece) -> Result<bool, DbError> {
    let Some(id) = piece.asked.submission() else { return Ok(true) };
    Ok(app.db.submission(id).await?.is_some_and(|submission| submission.state == State::Scored))
}

async fn is_wanted(app: &App, piece: &Piece) -> Result<bool, DbError> {
    Ok(app.db.is_at_work(piece, app.clock.now()).await? && competes(app, piece).await?)
}

/// What is written of a piece that nobody wants any more, if it is still its worker's.
fn taken_out(piece: &Piece) -> Outcome {
    match &piece.asked {
        Asked::RoundEntry(_) => {
            let why = Code::Disqualified.because("taken out before it was measured".into()).to_string();
            Outcome::NotMeasured { why, failed: false }
        }
        Asked::Teacher { .. } => CUT_OFF,
        Asked::Publication { .. } | Asked::Form { .. } => {
            Outcome::Told(Told::Failed { problem: "nobody waits for it any more".into() })
        }
    }
}

async fn measured(app: &App, machine: Machine, piece: &Piece, progress: ProgressFn) -> Result<Evaluation, Missed> {
    let asked = match &piece.asked {
        Asked::RoundEntry(member) => rounds::request(app, &piece.competition, member, piece.begun).await,
        Asked::Teacher { question, .. } | Asked::Publication { question, .. } => {
            questions::request(app, question).await.map(Ok)
        }
        Asked::Form { form, model, .. } => forms::request(app, &piece.competition, *form, &model.sha256).await.map(Ok),
    };
    let request = asked.map_err(Missed::Shared)?.map_err(Missed::Failed)?;
    let package = request.order.package_sha256();
    measured_on(app.evaluator.as_ref(), machine, request, package, progress).await.map_err(Missed::Failed)
}

/// What follows from a measurement. What a clock says against a model it must say twice, and what a restless host spoiled is made
/// again so many times, as a submission's is.
async fn came(app: &App, piece: &Piece, evaluation: Evaluation, used: Duration) -> Result<Outcome, RoundError> {
    let Asked::RoundEntry(member) = &piece.asked else {
        return Ok(Outcome::Told(questions::told(app, evaluation, millis(used)).await?));
    };
    if let Stage::Screening { .. } = member.stage {
        return Ok(Outcome::Screened(rounds::screened(app, evaluation).await?));
    }
    let found = judge(&evaluation.report.latency);
    if follow_up(&piece.verdicts, found, app.config.limits.evaluation_unstable_max) == FollowUp::Repeat {
        let (id, round) = (&member.submission, member.round);
        tracing::warn!(submission.id = %id, round, "{id} is measured once more: {found}");
        let wait_seconds = verdict::wait_seconds(app, piece.verdicts.len() as u64 + 1);
        return Ok(Outcome::Again { failed: Some(Whose::Its), verdict: Some(found), wait_seconds });
    }
    failpoints::at(Moment::RoundMeasured)?;
    if !found.is_unstable() {
        confirm::hold_clock_against(app, &member.submission, &evaluation.report).await?;
    }
    let number = piece.begun.map_or(0, |begun| begun.number);
    let result = rounds::measured(app, &piece.competition, (member, number), evaluation).await?;
    Ok(Outcome::Measured { result: Box::new(result), spoiled: found.is_unstable() })
}

/// What follows where there is no measurement: the package's own fault at once, ours after so many attempts.
async fn failed(app: &App, piece: &Piece, missed: Missed) -> Result<Outcome, RoundError> {
    let competition = &piece.competition;
    let failure = match missed {
        // Nobody of this round can be asked: it waits, and no member is less measured for it.
        Missed::Shared(error) => {
            tracing::error!(%competition, error = %Chain(&error), "what the round of {competition} asks can't be put together");
            return Ok(later(app, piece));
        }
        Missed::Failed(failure) => failure,
    };
    let told = failure.to_string();
    match (&piece.asked, failure) {
        (Asked::RoundEntry(_), EvaluationFailure::Package(rejection)) => {
            Ok(Outcome::NotMeasured { why: rejection.to_string(), failed: false })
        }
        (Asked::Publication { .. } | Asked::Form { .. }, EvaluationFailure::Package(rejection)) => {
            Ok(Outcome::Told(Told::Rejected(rejection)))
        }
        (Asked::Publication { .. }, EvaluationFailure::Infrastructure(problem)) => {
            Ok(Outcome::Told(Told::Failed { problem }))
        }
        (_, _) if breaker::is_everybodys(app, competition).await => Ok(CUT_OFF),
        (asked, _) => {
            let submission = asked.submission().map(ToString::to_string);
            tracing::error!(%competition, submission.id = submission, round = asked.round(), "the engine failed: {told}");
            lost(app, piece, true).await
        }
    }
}

/// Ends an attempt whose measurement was lost, through a failure of ours or because it was cut off.
pub(super) async fn end_lost(app: &App, piece: &Piece, failed: bool) -> Result<(), RoundError> {
    let outcome = lost(app, piece, failed).await?;
    write(app, piece, None, &outcome).await
}

async fn lost(app: &App, piece: &Piece, failed: bool) -> Result<Outcome, RoundError> {
    let Asked::RoundEntry(Member { round, submission, .. }) = &piece.asked else { return Ok(later(app, piece)) };
    let entry = app.db.entries_of(submission).await?.remove(round);
    let attempts = entry.map_or(0, |entry| entry.attempts);
    let limits = &app.config.limits;
    Ok(match failed && attempts + 1 >= limits.evaluation_attempts_max {
        true => Outcome::NotMeasured { why: OURS.into(), failed },
        false => {
            let wait_seconds = if failed { limits.evaluation_retry_seconds } else { 0 };
            Outcome::Again { failed: failed.then_some(Whose::Its), verdict: None, wait_seconds }
        }
    })
}

/// It is tried again without an end, and after longer rests.
fn later(app: &App, piece: &Piece) -> Outcome {
    let wait_seconds = verdict::wait_seconds(app, piece.failures + 1);
    Outcome::Again { failed: Some(Whose::Everybodys), verdict: None, wait_seconds }
}

/// Writes an attempt's end, and tells whoever waits for it.
async fn write(app: &App, piece: &Piece, used: Option<Duration>, outcome: &Outcome) -> Result<(), RoundError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    if let Some(used) = used {
        work::charge(&mut tx, piece, millis(used).max(1), now).await?;
    }
    let in_time = outcome.write(&mut tx, piece, now).await?;
    failpoints::commit(tx, outcome.change()).await?;
    let (competition, attempt) = (&piece.competition, piece.attempt);
    if !in_time {
        tracing::warn!(%competition, attempt, "a round's result came after its time and is dropped");
        return Ok(());
    }
    outcome.tell(app, piece);
    Ok(outcome.moment().map_or(Ok(()), failpoints::at)?)
}

impl Outcome {
    fn change(&self) -> Change {
        match self {
            Self::Screened(_) | Self::Measured { .. } | Self::Told(_) => Change::Result,
            Self::NotMeasured { .. } => Change::End,
            Self::Again { .. } => Change::Loss,
        }
    }

    fn moment(&self) -> Option<Moment> {
        match self {
            Self::Screened(_) => Some(Moment::RoundScreened),
            Self::Measured { .. } | Self::NotMeasured { .. } => Some(Moment::RoundResult),
            Self::Again { failed: Some(Whose::Its), .. } => Some(Moment::RoundAttempt),
            Self::Told(_) | Self::Again { .. } => None,
        }
    }

    /// Writes it, if the attempt is still its worker's; whether it was.
    async fn write(&self, tx: &mut Tx, piece: &Piece, now: u64) -> Result<bool, DbError> {
        let in_time = match self {
            Self::Again { failed, verdict, wait_seconds } => {
                let retry_at = now.saturating_add(*wait_seconds);
                work::give_back(tx, piece, failed.is_some(), *verdict, (now, retry_at)).await?
            }
            Self::Told(told) => work::finish(tx, piece, Some(told), now).await?,
            _ => work::finish(tx, piece, None, now).await?,
        };
        if let Asked::RoundEntry(Member { round, submission, .. }) = &piece.asked
            && in_time
        {
            self.write_entry(tx, (&piece.competition, *round), submission).await?;
        }
        Ok(in_time)
    }

    /// What it means for a member of a round.
    async fn write_entry(
        &self,
        tx: &mut Tx,
        round: (&protocol::CompetitionId, u64),
        id: &protocol::SubmissionId,
    ) -> Result<(), DbError> {
        match self {
            Self::Screened(screened) => set_screening(tx, round, id, screened).await?,
            Self::Measured { result, .. } => set_result(tx, round, id, Ok(&**result)).await?,
            Self::NotMeasured { why, .. } => set_result(tx, round, id, Err(why.as_str())).await?,
            Self::Told(_) | Self::Again { .. } => {}
        }
        match self {
            Self::Measured { spoiled: true, .. }
            | Self::NotMeasured { failed: true, .. }
            | Self::Again { failed: Some(Whose::Its), .. } => count_round_attempt(tx, round, id).await,
            _ => Ok(()),
        }
    }

    fn tell(&self, app: &App, piece: &Piece) {
        let submission = piece.asked.submission().map(ToString::to_string).unwrap_or_default();
        let round = piece.asked.round();
        match self {
            Self::NotMeasured { why, .. } => {
                tracing::warn!(submission.id = submission, round, "{submission} can't be measured: {why}");
            }
            Self::Measured { .. } => app.signals.log.notify_one(),
            Self::Screened(_) | Self::Told(_) => {}
            Self::Again { .. } => app.signals.queue.notify_one(),
        }
    }
}
