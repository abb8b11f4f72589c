//! Background work: admission checks, all that is measured, the public log, and the reaper that lets nothing be forgotten.
//!
//! Rows are the truth about what is due: a submission's own, and those of what rounds and publications ask (`store::db::work`). The job
//! engine (apalis, in the same database) hands out turns: the dispatcher gives it as many as there are attempts that may begin, and
//! whoever gets one takes what is next by then (`queue`). So a turn that is lost, repeated or late does no harm, and rows that are
//! written while an attempt is still its worker's make results exactly once. Nothing outside has anything measured. Nothing here
//! knows HTTP.

pub mod append;
mod confirm;
pub mod dispatch;
mod ending;
pub mod engine;
mod evaluate;
mod order;
mod pieces;
mod questions;
mod queue;
pub mod reaper;
mod receipt;
mod scored;
pub mod seats;
pub mod turns;
mod verdict;

pub use queue::measure_for;

use crate::app::App;
use crate::breaker;
use crate::intake;
use protocol::submission::State;
use std::time::{Duration, Instant};
use store::causes::Chain;
use store::db::DbError;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long a loop waits when nobody wakes it.
const IDLE: Duration = Duration::from_secs(1);
/// What an admission check takes at least that counts as the machine's work.
const CHECK_CHARGED: Duration = Duration::from_secs(1);
/// Submissions that one look into the database takes up.
const BATCH_MAX: u32 = 64;

/// Waits until `notify`, `stop`, or for a while.
async fn wait(notify: &Notify, stop: &CancellationToken) {
    tokio::select! {
        () = notify.notified() => {}
        () = stop.cancelled() => {}
        () = tokio::time::sleep(IDLE) => {}
    }
}

/// Until `stop`, checks whatever is complete, one after the other, in fair turns. A check that gives no verdict is tried
/// again some times.
pub async fn check(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        app.breaker.whole(&stop).await;
        match check_next(&app).await {
            Ok(true) => {}
            Ok(false) => wait(&app.signals.check, &stop).await,
            Err(error) => {
                tracing::error!(error = %Chain(&error), "can't see which checks are due");
                wait(&app.signals.check, &stop).await;
            }
        }
    }
}

/// Checks the submission whose turn it is; whether there was one.
async fn check_next(app: &App) -> Result<bool, DbError> {
    let Some((id, _)) = turns::next(app, State::Checking, turns::Taker::Ours).await? else { return Ok(false) };
    let Some(submission) = app.db.submission(&id).await? else { return Ok(false) };
    let began = Instant::now();
    let checked = intake::check(app, &submission).await;
    if let Err(error) = checked {
        tracing::error!(submission.id = %id, error = %Chain(&error), "an admission check gave no verdict");
        if !breaker::is_everybodys(app, &submission.competition).await {
            intake::count_failed_check(app, &submission).await?;
        }
        return Ok(true);
    }
    // What takes no time worth mentioning must not turn the order of arrival around.
    if began.elapsed() >= CHECK_CHARGED {
        turns::charge(app, &submission, began.elapsed()).await?;
    }
    Ok(true)
}
