//! The reaper: looks at everything that isn't done and ends what has had its time.
//!
//! It also forgets nonces and upload tokens that can't matter any more, notices a worker that takes nothing, and before
//! all that whether the clock was set: then everything under way keeps its age, so that nothing is over too soon or stands
//! still until the old time comes again.

use super::ending::{self, Ending};
use super::{IDLE, pieces, turns};
use crate::app::App;
use protocol::submission::{Code, Rejection, State};
use std::sync::atomic::Ordering;
use store::causes::Chain;
use store::db::ages;
use store::db::submissions::{self, Submission};
use store::db::work::Asked;
use store::db::{DbError, int};
use store::failpoints::{self, Change};
use tokio_util::sync::CancellationToken;

/// How long the queue may stand although nothing is evaluated.
const STALL_SECONDS: u64 = 60;
/// How long it is remembered what addresses announced.
const BYTES_RETENTION_SECONDS: u64 = 24 * 3_600;
/// How long it is told why a webhook ended.
const WEBHOOK_RETENTION_SECONDS: u64 = 7 * 24 * 3_600;
/// How long it is remembered what rounds that are over asked, and for whom the machine worked.
const WORK_RETENTION_SECONDS: u64 = 24 * 3_600;
/// How long finished tasks of the job engine are kept.
const TASK_RETENTION_SECONDS: u64 = 24 * 3_600;

/// Looks again and again, until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut before = app.clock.steady_ns();
    while !stop.is_cancelled() {
        let seconds = app.clock.steady_ns().saturating_sub(before) / 1_000_000_000;
        before += seconds * 1_000_000_000;
        match follow(&app).await {
            Ok(()) if app.breaker.fault().is_some() => hold(&app, seconds).await,
            Ok(()) => sweep(&app).await,
            // What can't be moved with the clock keeps its age by the old one.
            Err(error) => tracing::error!(error = %Chain(&error), "can't follow the clock"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(IDLE) => {}
        }
    }
}

/// Follows a clock that was set: what is under way keeps its age. Until then everybody writes by the old clock.
async fn follow(app: &App) -> Result<(), DbError> {
    let Some(seconds) = app.clock.was_set() else {
        app.clock.settle();
        return Ok(());
    };
    let mut tx = app.db.write().await?;
    ages::shift(&mut tx, seconds).await?;
    // While nobody else writes: whatever is written by the new clock comes after what is moved here.
    app.clock.follow(seconds);
    if let Err(error) = failpoints::commit(tx, Change::Expiry).await {
        app.clock.follow(seconds.saturating_neg());
        return Err(error);
    }
    let busy_at = &app.signals.busy_at;
    busy_at.store(busy_at.load(Ordering::Relaxed).saturating_add_signed(seconds), Ordering::Relaxed);
    app.counters.clock_jumps.fetch_add(1, Ordering::Relaxed);
    app.counters.clock_jumped_seconds.fetch_add(seconds, Ordering::Relaxed);
    tracing::warn!(seconds, "the clock was set by {seconds:+} s; what is under way keeps its age");
    app.signals.queue.notify_one();
    Ok(())
}

/// Lets nobody's time pass while we are broken: uploads that can't be taken have as much longer.
async fn hold(app: &App, seconds: u64) {
    // An idle worker is not stuck.
    app.signals.busy_at.store(app.clock.now(), Ordering::Relaxed);
    if seconds > 0
        && let Err(error) = app.db.postpone_uploads(seconds).await
        && !error.is_full()
    {
        tracing::error!(error = %Chain(&error), "can't give uploads more time");
    }
}

/// Looks at everything once. What fails in one part keeps nobody from looking at the others.
async fn sweep(app: &App) {
    let now = app.clock.now();
    let since = |seconds: u64| now.saturating_sub(seconds);
    let unsent = Code::UploadExpired.because("the files didn't arrive in time".into());
    let parts = [
        ("uploads", end_all(app, State::AwaitingUpload, now, (State::Expired, unsent)).await),
        ("evaluations", end_evaluations(app, now).await),
        ("what rounds and publications asked", end_pieces(app, now).await),
        ("a worker that stalls", notice_stall(app, now).await),
        ("nonces", app.db.forget_nonces(since(store::db::nonces::RETENTION_SECONDS)).await),
        ("upload tokens", app.db.forget_upload_grants(now).await),
        ("bytes of addresses", app.db.forget_address_bytes(since(BYTES_RETENTION_SECONDS)).await),
        ("machine time", app.db.forget_machine_time(since(turns::WINDOW_SECONDS)).await),
        ("webhooks that ended", app.db.forget_ended_webhooks(since(WEBHOOK_RETENTION_SECONDS)).await),
        ("what rounds and publications asked once", app.db.forget_work(since(WORK_RETENTION_SECONDS)).await),
        ("finished tasks", forget_tasks(app, since(TASK_RETENTION_SECONDS)).await),
    ];
    for (part, looked) in parts {
        if let Err(error) = looked {
            tracing::error!(part, error = %Chain(&error), "can't look for what has had its time");
        }
    }
}

/// Ends whatever is in `state` since `since` or longer.
async fn end_all(app: &App, state: State, since: u64, (to, reason): (State, Rejection)) -> Result<(), DbError> {
    for submission in app.db.overdue(state, since).await? {
        end(app, &submission, to, &reason).await?;
    }
    Ok(())
}

async fn forget_tasks(app: &App, horizon: u64) -> Result<(), DbError> {
    sqlx::query("DELETE FROM Jobs WHERE done_at < $1").bind(int(horizon)).execute(app.db.pool()).await?;
    Ok(())
}

async fn end(app: &App, submission: &Submission, to: State, reason: &Rejection) -> Result<(), DbError> {
    let mut tx = app.db.write().await?;
    match submissions::transition(&mut tx, &submission.id, submission.state, to, Some(reason), app.clock.now()).await {
        Err(DbError::StateChanged { .. }) => return Ok(()),
        changed => changed?,
    }
    failpoints::commit(tx, Change::Expiry).await?;
    tracing::info!(submission.id = %submission.id, "submission {} is {to}: {reason}", submission.id);
    Ok(())
}

/// An evaluation whose end was never recorded counts as a failure of ours.
async fn end_evaluations(app: &App, now: u64) -> Result<(), DbError> {
    let grace = app.config.limits.evaluation_grace_seconds;
    for submission in app.db.overdue(State::Evaluating, now.saturating_sub(grace)).await? {
        let Some(stored) = app.db.competition(&submission.competition).await? else { continue };
        let limit = stored.competition.manifest.limits.evaluation_seconds_max.saturating_add(grace);
        if now.saturating_sub(submission.changed_at) >= limit {
            let reason = Code::Infrastructure.because("the evaluation didn't end".into());
            let outcome = ending::lost(app, &submission, Some(reason));
            ending::write(app, &submission, &Ending { used: None, control: None, outcome }).await?;
        }
    }
    Ok(())
}

/// So does a measurement for a round or a publication.
async fn end_pieces(app: &App, now: u64) -> Result<(), DbError> {
    let limits = &app.config.limits;
    for piece in app.db.pieces_running().await? {
        let limit = match (&piece.asked, app.db.competition(&piece.competition).await?) {
            (Asked::RoundEntry(_), Some(stored)) => stored.competition.manifest.limits.evaluation_seconds_max,
            _ => limits.publish_seconds_max,
        };
        if now.saturating_sub(piece.changed_at) >= limit.saturating_add(limits.evaluation_grace_seconds)
            && let Err(error) = pieces::end_lost(app, &piece, true).await
        {
            tracing::error!(competition = %piece.competition, error = %Chain(&error), "a measurement can't be ended");
        }
    }
    Ok(())
}

/// Asks for a new worker when work is due, nothing is under way, and that has lasted.
async fn notice_stall(app: &App, now: u64) -> Result<(), DbError> {
    if !app.db.in_state(State::Evaluating, 1).await?.is_empty() || !app.db.pieces_running().await?.is_empty() {
        app.signals.busy_at.store(now, Ordering::Relaxed);
        return Ok(());
    }
    let waits = [app.db.due(now).await?.1, app.db.work_due(now).await?.1];
    let Some(since) = waits.into_iter().flatten().min() else { return Ok(()) };
    let idle_since = since.max(app.signals.busy_at.load(Ordering::Relaxed));
    if now.saturating_sub(idle_since) >= STALL_SECONDS {
        app.signals.busy_at.store(now, Ordering::Relaxed);
        app.signals.stalled.notify_waiters();
    }
    Ok(())
}
