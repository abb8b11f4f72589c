//! Background work: admission checks, evaluations, the public log, and the reaper that lets nothing be forgotten.
//!
//! A submission's row is the truth about what is due. The job engine (apalis, in the same database) hands out
//! evaluations: the dispatcher gives it one task per attempt with an idempotency key, and the task does nothing unless
//! the row still waits for that very attempt. So a task that is lost, repeated or late does no harm, and the primary key
//! of evaluations makes results exactly once. Nothing here knows HTTP.

mod dispatch;
pub(crate) mod engine;
mod evaluate;
mod log;
mod reaper;
mod receipt;
mod verdict;

use crate::app::App;
use crate::board;
use crate::db::DbError;
use crate::error::Chain;
use crate::intake;
use futures::StreamExt;
use protocol::submission::State;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a loop waits when nobody wakes it.
const IDLE: Duration = Duration::from_secs(1);
/// Submissions that one look into the database takes up.
const BATCH_MAX: u32 = 64;

/// Wakes background work before its time.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// A submission became complete.
    pub(crate) check: Notify,
    /// A submission was admitted or returned to the queue.
    pub(crate) queue: Notify,
    /// There is something to state in the public log.
    pub(crate) log: Notify,
    /// The job engine's worker takes nothing although there is work.
    pub(crate) stalled: Notify,
    /// A worker ended with tasks that it may have taken along.
    pub(crate) lost: Notify,
    /// A submission was scored.
    pub(crate) scored: Notify,
    /// When an evaluation was last begun or seen under way, in Unix seconds; at first, when the work began.
    pub(crate) busy_at: AtomicU64,
}

/// Takes up what an earlier process left, then starts all background work. It ends when `stop` does.
pub(crate) async fn start(app: &App, stop: &CancellationToken, tracker: &TaskTracker) -> Result<(), DbError> {
    dispatch::recover(app).await?;
    // What has waited since an earlier process is no sign that this one's worker is stuck.
    app.signals.busy_at.store(app.clock.now(), Ordering::Relaxed);
    supervise("admission checks", app, stop, tracker, check_loop);
    supervise("dispatcher", app, stop, tracker, dispatch::run);
    start_worker(app, stop, tracker);
    supervise("orphans", app, stop, tracker, crate::sweep::run);
    supervise("reaper", app, stop, tracker, reaper::run);
    supervise("copies", app, stop, tracker, crate::copies::watch);
    supervise("rounds", app, stop, tracker, crate::rounds::run);
    supervise("public log", app, stop, tracker, log::run);
    let (app, stop) = (app.clone(), stop.clone());
    tracker.spawn(async move {
        if let Err(error) = board::warm(&app, &stop).await {
            tracing::error!(error = %Chain(&error), "can't draw missing replicates");
        }
    });
    Ok(())
}

/// Starts a worker and nothing else: whoever serves the same directory hands out, and looks after what is left.
pub(crate) fn start_worker(app: &App, stop: &CancellationToken, tracker: &TaskTracker) {
    supervise("evaluation worker", app, stop, tracker, engine::run);
}

/// Runs a task until `stop`, and again whenever it ends or panics before.
fn supervise<F, Fut>(name: &'static str, app: &App, stop: &CancellationToken, tracker: &TaskTracker, work: F)
where
    F: Fn(App, CancellationToken) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (app, stop) = (app.clone(), stop.clone());
    let tasks = tracker.clone();
    tracker.spawn(async move {
        while !stop.is_cancelled() {
            let ended = tasks.spawn(work(app.clone(), stop.clone())).await;
            if !stop.is_cancelled() {
                tracing::error!(work = name, panicked = ended.is_err(), "background work ended and is started again");
                tokio::time::sleep(IDLE).await;
            }
        }
    });
}

/// Waits until `notify`, `stop`, or for a while.
async fn wait(notify: &Notify, stop: &CancellationToken) {
    tokio::select! {
        () = notify.notified() => {}
        () = stop.cancelled() => {}
        () = tokio::time::sleep(IDLE) => {}
    }
}

/// Checks whatever is complete, a few at once. A check that gives no verdict stays due; the reaper ends its time.
async fn check_loop(app: App, stop: CancellationToken) {
    let checks_max = app.config.limits.checks_max as usize;
    while !stop.is_cancelled() {
        let due = match app.db.in_state(State::Checking, BATCH_MAX).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(error = %Chain(&error), "can't see which checks are due");
                Vec::new()
            }
        };
        let mut lost = due.is_empty();
        let checks = due.into_iter().map(|submission| {
            let app = app.clone();
            async move { intake::check(&app, &submission).await }
        });
        let mut checks = futures::stream::iter(checks).buffer_unordered(checks_max);
        while let Some(checked) = checks.next().await {
            if let Err(error) = checked {
                tracing::error!(error = %Chain(&error), "an admission check gave no verdict");
                lost = true;
            }
        }
        if lost {
            wait(&app.signals.check, &stop).await;
        }
    }
}
