//! The job engine: apalis over the same database. One queue for this machine, and one for workers elsewhere; each takes one turn at a
//! time, since two evaluations at once would spoil each other's latencies.
//!
//! Its own migrations run in a table of their own. Its `setup` is not used: that would switch SQLite's syncing off.

use super::{IDLE, queue};
use crate::app::App;
use crate::evaluator::AtHome;
use crate::fleet::Seated;
use apalis::prelude::{
    BackendExt, BoxDynError, Data, PollSnapshot, PollStrategy, TaskBuilder, TaskSink, WorkerBuilder, WorkerBuilderExt,
};
use apalis_sqlite::{Config, SqliteStorage};
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use store::causes::Chain;
use store::db::{Db, DbError};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Where a turn is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Queue {
    /// On this machine.
    Cpu,
    /// By a worker elsewhere.
    Fleet,
}

/// A turn at the machine: for whatever is next by then.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct EvaluationTurn {}

/// What a task is run with.
#[derive(Clone)]
struct Bench {
    app: App,
    /// The worker elsewhere that measures; `None` for this machine.
    elsewhere: Option<AtHome<Seated>>,
    stop: CancellationToken,
}

/// Brings the engine's tables up to date.
pub async fn migrate(db: &Db) -> Result<(), sqlx::migrate::MigrateError> {
    let mut migrations = SqliteStorage::migrations();
    migrations.dangerous_set_table_name("_apalis_migrations");
    migrations.run(db.pool()).await
}

/// Gives the engine a turn more.
pub(super) async fn push(db: &Db, queue: Queue) -> Result<(), BoxDynError> {
    // A failed attempt is followed by another turn, never by the engine's repetition; and a turn is for now, by whatever
    // clock.
    storage(db, queue)
        .push_task(TaskBuilder::new(EvaluationTurn {}).max_attempts(1).run_at_timestamp(0).build())
        .await?;
    Ok(())
}

/// How many turns the engine would hand out now. What a lost worker had taken isn't among them.
pub(super) async fn turns(db: &Db, queue: Queue) -> Result<u64, DbError> {
    let query = "SELECT count(*) FROM Jobs WHERE job_type = $1 AND status = 'Pending' AND lock_by IS NULL";
    let queue: &str = queue.into();
    Ok(sqlx::query_scalar(query).bind(queue).fetch_one(db.pool()).await?)
}

/// Runs workers until `stop`, one after the other: one that stalls is replaced, and so is one that the database ended,
/// which may be full for a while.
pub async fn run(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        worker(&app, None, &stop).await;
        if !stop.is_cancelled() {
            app.counters.restarts.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                () = tokio::time::sleep(IDLE) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// Runs a worker until it ends or its work stalls.
pub(super) async fn worker(app: &App, elsewhere: Option<AtHome<Seated>>, stop: &CancellationToken) {
    let queue = if elsewhere.is_some() { Queue::Fleet } else { Queue::Cpu };
    let named: &str = queue.into();
    // A worker's name must be unique over all processes that ever were.
    let name = format!("{named}-{:032x}", rand::random::<u128>());
    let ending = stop.clone();
    let until = async move {
        ending.cancelled().await;
        Ok::<(), std::io::Error>(())
    };
    let bench = Bench { app: app.clone(), elsewhere, stop: stop.clone() };
    let period = Duration::from_millis(app.config.limits.worker_poll_ms);
    let backend = storage(&app.db, queue).poll_with_strategy(Looks::every(period));
    let worker = WorkerBuilder::new(name.clone()).backend(backend).data(bench).concurrency(1).build(run_task);
    tokio::select! {
        ended = nudged(worker.run_until(until), period) => {
            if let Err(error) = ended {
                tracing::error!(error = %Chain(&error), "the evaluation worker ended");
            }
        }
        () = app.signals.stalled.notified() => tracing::error!("the evaluation worker is stuck and is replaced"),
    }
    if let Err(error) = say_goodbye(&app.db, &name).await {
        tracing::debug!(error = %Chain(&error), "it isn't written that a worker ended");
    }
}

/// Nobody waits for a worker that ended.
async fn say_goodbye(db: &Db, name: &str) -> Result<(), DbError> {
    sqlx::query("UPDATE Workers SET last_seen = 0 WHERE id = $1").bind(name).execute(db.pool()).await?;
    Ok(())
}

/// Polls a future whenever it wishes, and every so often although it doesn't: the engine takes events out of its channel
/// only when it is polled for another reason, and the task that sends them waits for that.
async fn nudged<F: Future>(future: F, period: Duration) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut nudges = tokio::time::interval(period);
    nudges.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            output = &mut future => return output,
            _ = nudges.tick() => {}
        }
    }
}

/// Wakes an idle worker again and again. The engine's own interval sets no new alarm if one look takes longer than it;
/// the worker then sleeps until its next heartbeat, half a minute.
struct Looks(Interval);

impl Looks {
    fn every(period: Duration) -> Self {
        let mut interval = tokio::time::interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(interval)
    }
}

impl PollStrategy for Looks {
    fn poll_drive(&mut self, cx: &mut Context<'_>, _: &PollSnapshot) -> Poll<Option<()>> {
        let mut due = Poll::Pending;
        // Until it is pending, which is when the alarm is set.
        while self.0.poll_tick(cx).is_ready() {
            due = Poll::Ready(Some(()));
        }
        due
    }
}

async fn run_task(_: EvaluationTurn, bench: Data<Bench>) -> Result<(), BoxDynError> {
    let Bench { app, elsewhere, stop } = &*bench;
    let turn = match elsewhere {
        Some(worker) => queue::turn_elsewhere(app, worker, stop).await,
        None => queue::turn(app, stop).await,
    };
    if let Err(error) = turn {
        tracing::error!(error = %Chain(error.as_ref()), "a measurement's end wasn't recorded");
    }
    app.signals.queue.notify_one();
    // What became of it stands in our own tables; the engine need not know.
    Ok(())
}

fn storage(db: &Db, queue: Queue) -> SqliteStorage<EvaluationTurn> {
    let queue: &str = queue.into();
    SqliteStorage::new(db.pool()).with_config(Config::default().queue(queue).batch_size(1))
}
