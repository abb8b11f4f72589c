//! What runs in the background of a validator, all of it supervised. It does not know what any of it does.

use super::supervise::Supervisor;
use face::face::Face;
use face::{feed, webhooks};
use service::app::App;
use service::{blocks, board, breaker, copies, forms, jobs, rounds, sweep, witness};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use store::causes::Chain;
use store::db::DbError;
use tokio_util::sync::CancellationToken;

/// The background work of a validator. Whoever drops it ends the work too.
pub(super) struct Background {
    pub(super) supervisor: Supervisor,
}

impl Background {
    fn new(app: &App) -> Self {
        Self { supervisor: Supervisor::default().counting(Arc::clone(&app.counters.restarts)) }
    }

    pub(super) fn worker(app: &App) -> Self {
        let background = Self::new(app);
        start_worker(app, &background.supervisor);
        background
    }

    pub(super) async fn start(face: &Face) -> Result<Self, DbError> {
        let background = Self::new(face);
        start(face, &background.supervisor).await?;
        Ok(background)
    }

    /// Ends the work and `serving`, then closes the database: all of it within the time of the settings, of which a quarter
    /// is kept for the database.
    pub(super) async fn end(self, app: &App, serving: impl Future<Output = ()>) {
        let finished = async {
            tokio::join!(serving, self.supervisor.end());
        };
        let limit = Duration::from_secs(app.config.limits.shutdown_seconds_max);
        if tokio::time::timeout(limit / 4 * 3, finished).await.is_err() {
            tracing::warn!("not everything ended in time; what was cut off is taken up at the next start");
        }
        // It waits for whoever still asks it something.
        if tokio::time::timeout(limit / 4, app.db.close()).await.is_err() {
            tracing::warn!("the database wasn't closed in time; it loses nothing by that");
        }
    }
}

/// Takes up what an earlier process left, then has all background work supervised.
async fn start(face: &Face, supervisor: &Supervisor) -> Result<(), DbError> {
    let app: &App = face;
    app.clock.hold();
    jobs::dispatch::recover(app).await?;
    blocks::refresh(app).await?;
    // What has waited since an earlier process is no sign that this one's worker is stuck.
    app.signals.busy_at.store(app.clock.now(), Ordering::Relaxed);
    keep(supervisor, "admission checks", app, jobs::check);
    keep(supervisor, "dispatcher", app, jobs::dispatch::run);
    start_worker(app, supervisor);
    keep(supervisor, "workers elsewhere", app, jobs::seats::run);
    keep(supervisor, "blocks", app, blocks::run);
    keep(supervisor, "orphans", app, sweep::run);
    keep(supervisor, "reaper", app, jobs::reaper::run);
    keep(supervisor, "copies", app, copies::watch);
    keep(supervisor, "rounds", app, rounds::run);
    keep(supervisor, "forms", app, forms::run);
    keep(supervisor, "public log", app, jobs::append::run);
    keep(supervisor, "witnesses", app, witness::run);
    keep(supervisor, "feed", face, feed::run);
    keep(supervisor, "webhooks", face, webhooks::run);
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
fn start_worker(app: &App, supervisor: &Supervisor) {
    keep(supervisor, "evaluation worker", app, jobs::engine::run);
    keep(supervisor, "breaker", app, breaker::run);
}

/// Has endless work done with `given`.
fn keep<T, F, Fut>(supervisor: &Supervisor, name: &'static str, given: &T, work: F)
where
    T: Clone + Send + 'static,
    F: Fn(T, CancellationToken) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let given = given.clone();
    supervisor.keep(name, move |stop| work(given.clone(), stop));
}
