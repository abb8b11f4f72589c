//! Background work: admission checks, evaluations, the public log, and the reaper that lets nothing be forgotten.
//!
//! A submission's row is the truth about what is due. The job engine (apalis, in the same database) hands out turns: the
//! dispatcher gives it as many as there are submissions whose attempt may begin, and whoever gets one takes the submission
//! whose turn it is by then. So a turn that is lost, repeated or late does no harm, and the primary key of evaluations
//! makes results exactly once. Nothing here knows HTTP.

mod dispatch;
pub(crate) mod engine;
mod evaluate;
mod log;
mod reaper;
mod receipt;
pub(crate) mod turns;
mod verdict;

use crate::app::App;
use crate::board;
use crate::breaker;
use crate::db::DbError;
use crate::error::Chain;
use crate::intake;
use crate::supervise::Supervisor;
use protocol::submission::State;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long a loop waits when nobody wakes it.
const IDLE: Duration = Duration::from_secs(1);
/// What an admission check takes at least that counts as the machine's work.
const CHECK_CHARGED: Duration = Duration::from_secs(1);
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
    /// A submission was scored.
    pub(crate) scored: Notify,
    /// Something happened that people watch for.
    pub(crate) feed: Notify,
    /// When an evaluation was last begun or seen under way, in Unix seconds; at first, when the work began.
    pub(crate) busy_at: AtomicU64,
}

/// Takes up what an earlier process left, then has all background work supervised.
pub(crate) async fn start(app: &App, supervisor: &Supervisor) -> Result<(), DbError> {
    dispatch::recover(app).await?;
    crate::blocks::refresh(app).await?;
    // What has waited since an earlier process is no sign that this one's worker is stuck.
    app.signals.busy_at.store(app.clock.now(), Ordering::Relaxed);
    keep(supervisor, "admission checks", app, check_loop);
    keep(supervisor, "dispatcher", app, dispatch::run);
    start_worker(app, supervisor);
    keep(supervisor, "blocks", app, crate::blocks::run);
    keep(supervisor, "orphans", app, crate::sweep::run);
    keep(supervisor, "reaper", app, reaper::run);
    keep(supervisor, "copies", app, crate::copies::watch);
    keep(supervisor, "rounds", app, crate::rounds::run);
    keep(supervisor, "public log", app, log::run);
    keep(supervisor, "witnesses", app, crate::witness::run);
    keep(supervisor, "feed", app, crate::feed::run);
    keep(supervisor, "webhooks", app, crate::webhooks::run);
    let app = app.clone();
    supervisor.finish("replicates", move |stop| {
        let app = app.clone();
        async move {
            if let Err(error) = board::warm(&app, &stop).await {
                tracing::error!(error = %Chain(&error), "can't draw missing replicates");
            }
        }
    });
    Ok(())
}

/// Starts a worker and nothing else: whoever serves the same directory hands out, and looks after what is left.
pub(crate) fn start_worker(app: &App, supervisor: &Supervisor) {
    keep(supervisor, "evaluation worker", app, engine::run);
    keep(supervisor, "breaker", app, breaker::run);
}

/// Has endless work done with `app`.
fn keep<F, Fut>(supervisor: &Supervisor, name: &'static str, app: &App, work: F)
where
    F: Fn(App, CancellationToken) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let app = app.clone();
    supervisor.keep(name, move |stop| work(app.clone(), stop));
}

/// Waits until `notify`, `stop`, or for a while.
async fn wait(notify: &Notify, stop: &CancellationToken) {
    tokio::select! {
        () = notify.notified() => {}
        () = stop.cancelled() => {}
        () = tokio::time::sleep(IDLE) => {}
    }
}

/// Checks whatever is complete, one after the other, in fair turns. A check that gives no verdict is tried again some times.
async fn check_loop(app: App, stop: CancellationToken) {
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
    let Some((id, _)) = turns::next(app, State::Checking).await? else { return Ok(false) };
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
