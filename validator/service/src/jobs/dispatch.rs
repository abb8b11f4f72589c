//! Gives the job engine as many turns as there are attempts that may begin, of submissions and of what else is asked.
//!
//! It counts, and knows nobody: whose turn it is gets decided when the turn is taken. Turns that the engine lost
//! aren't counted, so they are given again.

use super::engine::Queue;
use super::{BATCH_MAX, engine, wait};
use crate::app::App;
use protocol::SubmissionId;
use protocol::submission::State;
use std::collections::HashSet;
use store::causes::Chain;
use store::db::{DbError, ages, attempts, submissions, work};
use store::failpoints::{self, Change, Moment};
use tokio_util::sync::CancellationToken;

/// Takes up what an earlier process left: measurements that it had begun return to the queue, unless a worker elsewhere is still at one.
///
/// # Errors
/// When the database fails.
pub async fn recover(app: &App) -> Result<(), DbError> {
    let now = app.clock.now();
    for piece in app.db.pieces_running().await? {
        let mut tx = app.db.write().await?;
        work::give_back(&mut tx, &piece, false, None, (now, 0)).await?;
        failpoints::commit(tx, Change::Recovery).await?;
        tracing::warn!(competition = %piece.competition, "a measurement was cut off; it returns to the queue");
    }
    let held: HashSet<SubmissionId> = app.db.holds().await?.into_iter().map(|hold| hold.submission).collect();
    loop {
        let begun =
            app.db.in_state(State::Evaluating, BATCH_MAX + u32::try_from(held.len()).unwrap_or(u32::MAX)).await?;
        let mut begun = begun.into_iter().filter(|submission| !held.contains(&submission.id)).peekable();
        if begun.peek().is_none() {
            return take_up(app).await;
        }
        for submission in begun {
            let mut tx = app.db.write().await?;
            submissions::transition(&mut tx, &submission.id, State::Evaluating, State::Queued, None, now).await?;
            // Whoever still works on it, in a process that is cut off from us, comes too late.
            attempts::count_attempt(&mut tx, &submission.id, false, now).await?;
            failpoints::commit(tx, Change::Recovery).await?;
            tracing::warn!(submission.id = %submission.id, "an evaluation was cut off; it returns to the queue");
        }
    }
}

/// Lets nothing wait for a clock that was ahead.
async fn take_up(app: &App) -> Result<(), DbError> {
    let mut tx = app.db.write().await?;
    ages::take_up(&mut tx, app.clock.now()).await?;
    failpoints::commit(tx, Change::Recovery).await
}

/// Gives turns, until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = give_turns(&app).await {
            tracing::error!(error = %Chain(error.as_ref()), "can't give turns");
        }
        wait(&app.signals.queue, &stop).await;
    }
}

/// Adds what is missing to a turn for each attempt that is due, up to a stock of them.
async fn give_turns(app: &App) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let now = app.clock.now();
    let submissions = app.db.due(now).await?.0;
    let here = if app.config.submissions_elsewhere { app.db.unconfirmed_due(now).await? } else { submissions };
    give(app, Queue::Cpu, here + app.db.work_due(now).await?.0).await?;
    // Workers elsewhere measure submissions alone. One that finds nothing to do has taken a turn, so it gets no more than that.
    let seats = app.fleet.seats().len() as u64;
    give(app, Queue::Fleet, submissions.min(seats)).await
}

async fn give(app: &App, queue: Queue, due: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let wanted = due.min(u64::from(BATCH_MAX));
    for _ in engine::turns(&app.db, queue).await?..wanted {
        engine::push(&app.db, queue).await?;
        failpoints::at(Moment::JobPushed)?;
    }
    Ok(())
}
