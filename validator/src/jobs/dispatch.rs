//! Hands queued submissions to the job engine, each attempt once.
//!
//! It reads the queue from our own table, so whatever the engine forgets is handed out again after a restart.

use super::{BATCH_MAX, engine, wait};
use crate::app::App;
use crate::db::{DbError, ages, attempts, submissions};
use crate::error::Chain;
use crate::failpoints::{self, Change, Moment};
use protocol::SubmissionId;
use protocol::submission::State;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use tokio_util::sync::CancellationToken;

/// Takes up what an earlier process left: evaluations that it had begun return to the queue, and whatever is queued is
/// handed out anew, since tasks of that process may be locked by a worker that is gone.
pub(super) async fn recover(app: &App) -> Result<(), DbError> {
    let now = app.clock.now();
    loop {
        let begun = app.db.in_state(State::Evaluating, BATCH_MAX).await?;
        if begun.is_empty() {
            return renew(app).await;
        }
        for submission in begun {
            let mut tx = app.db.write().await?;
            submissions::transition(&mut tx, &submission.id, State::Evaluating, State::Queued, None, now).await?;
            failpoints::commit(tx, Change::Recovery).await?;
            tracing::warn!(submission.id = %submission.id, "an evaluation was cut off; it returns to the queue");
        }
    }
}

/// Makes every task that was handed out void, so that the next look hands all out again.
async fn renew(app: &App) -> Result<(), DbError> {
    let mut tx = app.db.write().await?;
    ages::take_up(&mut tx, app.clock.now()).await?;
    attempts::renew_queued(&mut tx).await?;
    failpoints::commit(tx, Change::Renewal).await
}

/// Hands out what is due, until `stop`.
pub(super) async fn run(app: App, stop: CancellationToken) {
    let mut handed_out = BTreeSet::new();
    while !stop.is_cancelled() {
        if let Err(error) = hand_out(&app, &mut handed_out).await {
            tracing::error!(error = %Chain(error.as_ref()), "can't hand out evaluations");
        }
        tokio::select! {
            () = wait(&app.signals.queue, &stop) => {}
            () = app.signals.stalled.notified() => renew_or_log(&app).await,
            () = app.signals.lost.notified() => renew_or_log(&app).await,
        }
    }
}

async fn renew_or_log(app: &App) {
    if let Err(error) = renew(app).await {
        tracing::error!(error = %Chain(&error), "can't hand out evaluations anew");
    }
}

/// Hands out the earliest due attempts. What was handed out before is remembered, to spare the database.
async fn hand_out(
    app: &App,
    handed_out: &mut BTreeSet<(SubmissionId, u64)>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let due = app.db.due(app.clock.now(), BATCH_MAX).await?;
    handed_out.retain(|task| due.contains(task));
    for (id, attempt) in due {
        if !handed_out.contains(&(id.clone(), attempt)) {
            let place = app.signals.handed_out.fetch_add(1, Ordering::Relaxed);
            engine::push(&app.db, &id, attempt, place).await?;
            failpoints::at(Moment::JobPushed)?;
            handed_out.insert((id, attempt));
        }
    }
    Ok(())
}
