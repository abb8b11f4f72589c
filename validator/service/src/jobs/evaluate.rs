//! One attempt to evaluate a submission: claim it, measure it, and see what follows; `ending` writes that.
//!
//! It knows the narrow [`Evaluator`](crate::evaluator::Evaluator) and nothing of what lies behind it.

use super::ending::{self, Ending, Outcome};
use super::verdict::{self, Next};
use super::{confirm, order, scored};
use crate::app::App;
use crate::breaker;
use crate::evaluator::{Evaluator, Machine, measured_on, silent};
use crate::expected;
use crate::fleet::{self, Hand};
use crate::state::fleet::Seat;
use crate::wanted::while_wanted;
use futures::FutureExt;
use protocol::SubmissionId;
use protocol::evaluation::{Evaluation, EvaluationFailure};
use protocol::latency::LatencyVerdict;
use protocol::leaf::Purpose;
use protocol::receipt::MeasuredBy;
use protocol::submission::{Code, Rejection, State};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use store::causes::Chain;
use store::db::attempts::Begun;
use store::db::competitions::StoredCompetition;
use store::db::latency::LatencyControl;
use store::db::submissions::{self, Submission};
use store::db::workers::{self, Hold, NewHold};
use store::db::{DbError, attempts};
use store::failpoints::{self, Change, Moment};
use store::objects::ObjectError;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How often, and after which rest each time, an attempt is given back of which nothing could be recorded.
const TAKE_BACK_TRIES: u32 = 60;
const TAKE_BACK_REST: Duration = Duration::from_secs(1);

/// Why what came of an attempt could not be recorded. The reaper returns it to the queue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
    #[error("a report that is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("a receipt: {0}")]
    Receipt(#[from] protocol::receipt::ReceiptError),
}

impl AttemptError {
    /// Whether the disk is full.
    fn is_full(&self) -> bool {
        match self {
            Self::Db(error) => error.is_full(),
            Self::Objects(error) => matches!(error, ObjectError::Full),
            Self::Json(_) | Self::Receipt(_) => false,
        }
    }
}

/// Who measures, and the machine that it has.
pub(super) struct Post<'a> {
    pub(super) evaluator: &'a dyn Evaluator,
    pub(super) machine: Machine,
}

impl Post<'_> {
    /// The worker elsewhere whose machine it is.
    fn hand(&self) -> Option<Arc<Hand>> {
        self.machine.hold().cloned()
    }
}

/// As a receipt names it.
fn named(hand: &Hand) -> MeasuredBy {
    let Seat { key, name, facts, trust, .. } = &*hand.seat;
    MeasuredBy { name: name.clone(), key: *key, machine: facts.machine, class: facts.class.clone(), trust: *trust }
}

/// Workers that may be lost with a submission before that counts as its failure: it may be what they are lost by.
const LOSSES_MAX: u64 = 3;

/// Evaluates a submission, unless it no longer waits for this very attempt. If what came of it can't be recorded, it
/// returns to the queue as soon as that can be; should this process give that up, the reaper does it in the end.
pub(super) async fn attempt(
    app: &App,
    post: Post<'_>,
    (id, attempt): (&SubmissionId, u64),
    stop: &CancellationToken,
) -> Result<(), AttemptError> {
    let claimed = async move || match claim(app, post.hand().as_deref(), id, attempt).await? {
        Some(claimed) => settle(app, post, claimed, Instant::now(), stop).await,
        None => Ok(()),
    };
    recorded(app, (id, attempt), stop, claimed()).await
}

/// Goes on with what a worker elsewhere claimed from an earlier process.
pub(super) async fn go_on(
    app: &App,
    post: Post<'_>,
    hold: &Hold,
    stop: &CancellationToken,
) -> Result<(), AttemptError> {
    let held = (&hold.submission, hold.attempt);
    let went_on = async move || match app.db.submission(held.0).await? {
        Some(submission) if (submission.state, submission.attempt) == (State::Evaluating, hold.attempt) => {
            let ago = Duration::from_secs(app.clock.now().saturating_sub(hold.begun_at));
            let began = Instant::now().checked_sub(ago).unwrap_or_else(Instant::now);
            settle(app, post, (submission, hold.begun()), began, stop).await
        }
        _ => Ok(()),
    };
    recorded(app, held, stop, went_on()).await
}

/// Has an attempt given back of which nothing could be recorded.
async fn recorded(
    app: &App,
    (id, attempt): (&SubmissionId, u64),
    stop: &CancellationToken,
    settling: impl Future<Output = Result<(), AttemptError>>,
) -> Result<(), AttemptError> {
    let span = tracing::info_span!("evaluation", submission.id = %id, attempt);
    let settled = settling.instrument(span).await;
    if let Err(error) = &settled {
        // A full disk is nobody's failure, nor is what fails for everybody; what else fails is counted, so that it ends.
        let failed = !error.is_full() && !everybodys(app, id, stop).await;
        until_taken_back(stop, || take_back(app, id, attempt, failed)).await;
    }
    settled
}

/// Tries again and again to take an attempt back of which nothing could be recorded.
pub(super) async fn until_taken_back<E, F>(stop: &CancellationToken, take_back: impl Fn() -> F)
where
    E: std::error::Error + 'static,
    F: Future<Output = Result<(), E>>,
{
    for _ in 0..TAKE_BACK_TRIES {
        tokio::select! {
            () = tokio::time::sleep(TAKE_BACK_REST) => {}
            () = stop.cancelled() => break,
        }
        match take_back().await {
            Ok(()) => break,
            Err(error) => tracing::warn!(error = %Chain(&error), "an attempt can't be given back"),
        }
    }
}

/// Whether the submission is still at this attempt.
async fn is_ours(app: &App, id: &SubmissionId, attempt: u64) -> Result<bool, DbError> {
    let now = app.db.submission(id).await?;
    Ok(now.is_some_and(|now| (now.state, now.attempt) == (State::Evaluating, attempt)))
}

async fn take_back(app: &App, id: &SubmissionId, attempt: u64, failed: bool) -> Result<(), DbError> {
    let mut tx = app.db.write().await?;
    attempts::take_back(&mut tx, id, attempt, failed, app.clock.now()).await?;
    failpoints::commit(tx, Change::Loss).await?;
    app.signals.queue.notify_one();
    Ok(())
}

/// Measures a submission that was claimed, since `began`, and records what came of it.
async fn settle(
    app: &App,
    post: Post<'_>,
    (submission, begun): (Submission, Begun),
    began: Instant,
    stop: &CancellationToken,
) -> Result<(), AttemptError> {
    let submission = &submission;
    let (id, attempt, hand) = (&submission.id, submission.attempt, post.hand());
    let measuring = AssertUnwindSafe(Box::pin(measure(app, post, submission, begun))).catch_unwind();
    let measured = tokio::select! {
        measured = while_wanted(|| is_ours(app, id, attempt), measuring) => measured,
        () = stop.cancelled() => {
            if hand.is_some() {
                // A worker elsewhere goes on; the next process takes its answer.
                return Ok(());
            }
            let ending = Ending { used: None, control: None, outcome: ending::lost(app, submission, None) };
            return Ok(ending::write(app, submission, &ending).await?);
        }
    };
    let used = began.elapsed();
    let Some(measured) = measured else {
        tracing::warn!(submission.id = %id, attempt, "the measurement was ended: the submission was taken away from it");
        let ending = Ending { used: Some(used), control: None, outcome: Outcome::TakenAway };
        return Ok(ending::write(app, submission, &ending).await?);
    };
    // Nothing that was being done is used any more.
    let panicked = |_| Err(EvaluationFailure::Infrastructure("the engine panicked".into()));
    let ending = match measured.unwrap_or_else(panicked) {
        Ok((stored, evaluation)) => {
            failpoints::at(Moment::Measured)?;
            Box::pin(found(app, submission, (begun, used, hand.as_deref().map(named)), &stored, evaluation)).await?
        }
        Err(failure) if let Some(hand) = hand.as_ref().filter(|hand| !hand.seat.trust.is_own()) => {
            let outcome = Outcome::ForOurs(confirm::of_failed(&hand.seat.key, &failure));
            Ending { used: None, control: None, outcome }
        }
        Err(_)
            if hand.as_ref().is_some_and(|hand| hand.is_nobodys_fault()) && app.db.losses(id).await? <= LOSSES_MAX =>
        {
            Ending { used: None, control: None, outcome: ending::lost(app, submission, None) }
        }
        Err(failure) => {
            if confirm::is_answer(&failure) {
                confirm::hold_against(app, id, None).await?;
            }
            failed(app, submission, failure, used, stop).await
        }
    };
    ending::write(app, submission, &ending).await?;
    if let Some(hand) = &hand {
        fleet::look_at(app, &hand.seat).await?;
    }
    Ok(())
}

/// What follows from a measurement.
async fn found(
    app: &App,
    submission: &Submission,
    measured: (Begun, Duration, Option<MeasuredBy>),
    stored: &StoredCompetition,
    evaluation: Evaluation,
) -> Result<Ending, AttemptError> {
    let (_, used, by) = &measured;
    let (used, worker) = (*used, by.as_ref().map(|by| by.key));
    let (next, control) = verdict::next(app, submission, &evaluation.report).await?;
    let control = control.map(|control| LatencyControl { worker, ..control });
    match by.as_ref().filter(|by| !by.trust.is_own()) {
        None => confirm::hold_against(app, &submission.id, Some(&evaluation.report)).await?,
        Some(by) => {
            let is_above_gate = scored::score_of(&evaluation.report, stored).gate;
            if let Some(theirs) = confirm::of_measured(by, &next, &evaluation, is_above_gate) {
                // What its clock says against a model is no finding of ours.
                let control = control.filter(|control| !matches!(control.verdict, LatencyVerdict::Breach(_)));
                // Nor is its time the owner's: it is charged once, for ours.
                return Ok(Ending { used: None, control, outcome: Outcome::ForOurs(theirs) });
            }
        }
    }
    let outcome = match next {
        Next::Score => Outcome::Scored(Box::new(scored::scored(app, submission, measured, stored, evaluation).await?)),
        Next::Again { reason, repeats } => {
            Outcome::Again { reason: Some(reason), failed: false, wait_seconds: verdict::wait_seconds(app, repeats) }
        }
        Next::Reject(rejection) => Outcome::Ended(State::Rejected, rejection),
    };
    Ok(Ending { used: Some(used), control, outcome })
}

/// What follows where there is no measurement.
async fn failed(
    app: &App,
    submission: &Submission,
    failure: EvaluationFailure,
    used: Duration,
    stop: &CancellationToken,
) -> Ending {
    let ended = |to, rejection| Ending { used: Some(used), control: None, outcome: Outcome::Ended(to, rejection) };
    match failure {
        EvaluationFailure::Package(rejection) if rejection.code.blame() == protocol::submission::Blame::Miner => {
            ended(State::Rejected, rejection)
        }
        // Nobody else meets it, and another attempt would find the same.
        EvaluationFailure::Package(rejection) if rejection.code == Code::EngineMissing => {
            tracing::warn!(submission.id = %submission.id, "{rejection}");
            ended(State::Failed, rejection)
        }
        failure => {
            let is_answer = matches!(&failure, EvaluationFailure::Package(_));
            let counted = ours(app, submission, failure, stop).await;
            let is_charged = is_answer || counted.as_ref().is_some_and(|it| it.code == Code::Infrastructure);
            let outcome = ending::lost(app, submission, counted);
            Ending { used: is_charged.then_some(used), control: None, outcome }
        }
    }
}

/// What a failure of ours counts as for the submission that met it; `None` if everybody would have met it.
async fn ours(
    app: &App,
    submission: &Submission,
    failure: EvaluationFailure,
    stop: &CancellationToken,
) -> Option<Rejection> {
    let id = &submission.id;
    let seen = match failure {
        EvaluationFailure::Package(rejection) => rejection,
        EvaluationFailure::Infrastructure(problem) => {
            // Everybody sees a submission's reason; what happened inside is the operator's alone.
            tracing::error!(submission.id = %id, "the engine failed: {problem}");
            Code::Infrastructure.because("the evaluation failed on the validator's side".into())
        }
    };
    (!everybodys(app, id, stop).await).then_some(seen)
}

/// Whether a failure that this submission met is everybody's. What is cut off by the end of the process is.
async fn everybodys(app: &App, id: &SubmissionId, stop: &CancellationToken) -> bool {
    // A database that says nothing is no fault of the submission's either.
    let Ok(Some(submission)) = app.db.submission(id).await else { return true };
    tokio::select! {
        everybodys = breaker::is_everybodys(app, &submission.competition) => everybodys,
        () = stop.cancelled() => true,
    }
}

/// Takes a submission out of the queue, if it waits for this attempt, and states in the public log that a measurement
/// begins.
async fn claim(
    app: &App,
    hand: Option<&Hand>,
    id: &SubmissionId,
    attempt: u64,
) -> Result<Option<(Submission, Begun)>, DbError> {
    let Some(submission) = app.db.submission(id).await? else { return Ok(None) };
    let mut tx = app.db.write().await?;
    // Looked at inside: another process may count attempts at any moment.
    if submission.attempt != attempt || attempts::attempt(&mut tx, id).await? != Some(attempt) {
        return Ok(None);
    }
    match submissions::transition(&mut tx, id, State::Queued, State::Evaluating, None, app.clock.now()).await {
        Err(DbError::StateChanged { .. }) => return Ok(None),
        changed => changed?,
    }
    let now = app.clock.now();
    let begun = attempts::begin(&mut tx, &submission.competition, id, Purpose::Submission, now).await?;
    if let Some(Hand { claim, secret, seat, .. }) = hand {
        let held_until = now.saturating_add(app.config.limits.worker_lease_seconds);
        let hold = NewHold { claim, worker: &seat.key, secret, held_until };
        workers::hold(&mut tx, (id, attempt), begun, hold, now).await?;
    }
    failpoints::commit(tx, Change::Claim).await?;
    app.signals.log.notify_one();
    // An evaluation may be over before the reaper looks.
    app.signals.busy_at.store(app.clock.now(), Ordering::Relaxed);
    tracing::info!(submission.id = %id, attempt, measurement = begun.number, "evaluating submission {id}");
    Ok(Some((submission, begun)))
}

async fn measure(
    app: &App,
    post: Post<'_>,
    submission: &Submission,
    begun: Begun,
) -> Result<(StoredCompetition, Evaluation), EvaluationFailure> {
    let ours = |error: &dyn std::fmt::Display| EvaluationFailure::Infrastructure(error.to_string());
    let stored = app.db.competition(&submission.competition).await.map_err(|error| ours(&error))?;
    let stored = stored.ok_or_else(|| ours(&"the competition is gone; this is a bug"))?;
    let is_ours = post.hand().is_none_or(|hand| hand.seat.trust.is_own());
    let round = app.db.begun_in(&submission.id, begun.number).await.map_err(|error| ours(&error))?;
    let asked = (begun.seed, stored.engine_in(round).engine, is_ours);
    let request = order::request(app, submission, &stored, asked).await.map_err(|error| ours(&error))?;
    let expected = expected::of(app, &submission.id, &stored.competition.manifest).await?;
    let claimed = tokio::task::spawn_blocking(move || request.claiming(expected)).await;
    let request = claimed.map_err(|error| ours(&error))??;
    let package = submission.package_sha256;
    let evaluation = measured_on(post.evaluator, post.machine, request, package, silent()).await?;
    Ok((stored, evaluation))
}
