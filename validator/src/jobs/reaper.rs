//! The reaper: looks at everything that isn't done and ends what has had its time.
//!
//! It also forgets nonces and upload tokens that can't matter any more, and notices a worker that takes nothing.

use super::{IDLE, evaluate};
use crate::app::App;
use crate::auth::NONCE_RETENTION_SECONDS;
use crate::db::submissions::{self, Submission};
use crate::db::{DbError, int};
use crate::error::Chain;
use crate::failpoints::{self, Change};
use protocol::submission::{Code, Rejection, State};
use tokio_util::sync::CancellationToken;

/// How long the queue may stand although nothing is evaluated.
const STALL_SECONDS: u64 = 60;
/// How long finished tasks of the job engine are kept.
const TASK_RETENTION_SECONDS: u64 = 24 * 3_600;

/// Looks again and again, until `stop`.
pub(super) async fn run(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = sweep(&app).await {
            tracing::error!(error = %Chain(&error), "can't look for what has had its time");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(IDLE) => {}
        }
    }
}

async fn sweep(app: &App) -> Result<(), DbError> {
    let now = app.clock.now();
    for submission in app.db.overdue(State::AwaitingUpload, now).await? {
        let reason = Code::UploadExpired.because("the files didn't arrive in time".into());
        end(app, &submission, State::Expired, &reason).await?;
    }
    let limits = &app.config.limits;
    for submission in app.db.overdue(State::Checking, now.saturating_sub(limits.check_seconds_max)).await? {
        let reason = Code::Infrastructure.because("the admission check didn't end".into());
        end(app, &submission, State::Failed, &reason).await?;
    }
    for submission in app.db.overdue(State::Queued, now.saturating_sub(limits.queue_seconds_max)).await? {
        let reason = Code::Infrastructure.because("no worker was free in time".into());
        end(app, &submission, State::Failed, &reason).await?;
    }
    end_evaluations(app, now).await?;
    notice_stall(app, now).await?;
    app.db.forget_nonces(now.saturating_sub(NONCE_RETENTION_SECONDS)).await?;
    app.db.forget_upload_grants(now).await?;
    sqlx::query("DELETE FROM Jobs WHERE done_at < ?")
        .bind(int(now.saturating_sub(TASK_RETENTION_SECONDS)))
        .execute(app.db.pool())
        .await?;
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
            evaluate::lose(app, &submission, Some(reason)).await?;
        }
    }
    Ok(())
}

/// Asks for a new worker when work is due, nothing is under way, and that has lasted.
async fn notice_stall(app: &App, now: u64) -> Result<(), DbError> {
    if !app.db.in_state(State::Evaluating, 1).await?.is_empty() {
        app.signals.busy_at.store(now, std::sync::atomic::Ordering::Relaxed);
        return Ok(());
    }
    let Some((id, _)) = app.db.due(now, 1).await?.into_iter().next() else { return Ok(()) };
    let Some(submission) = app.db.submission(&id).await? else { return Ok(()) };
    let idle_since = submission.changed_at.max(app.signals.busy_at.load(std::sync::atomic::Ordering::Relaxed));
    if now.saturating_sub(idle_since) >= STALL_SECONDS {
        app.signals.busy_at.store(now, std::sync::atomic::Ordering::Relaxed);
        app.signals.stalled.notify_waiters();
    }
    Ok(())
}
