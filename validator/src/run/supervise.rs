//! Supervision: background work that ends or panics is started again, and when that doesn't help, somebody is told.
//!
//! Starting again helps against what passes; work that ends `ENDS_MAX` times within `WINDOW` won't get better by
//! itself, and a process without it must not go on as if nothing were wrong: see [`Supervisor::gave_up`]. It does not
//! know what the work is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// How often work may end within the window before it is given up.
const ENDS_MAX: usize = 4;
/// The window.
const WINDOW: Duration = Duration::from_secs(600);
/// How long work that ended rests.
const REST: Duration = Duration::from_secs(1);

/// Background work that runs until this is ended or dropped.
pub(super) struct Supervisor {
    stop: CancellationToken,
    tracker: TaskTracker,
    /// The work that was given up.
    gave_up: watch::Sender<Option<&'static str>>,
    restarts: Arc<AtomicU64>,
    /// Whoever drops this ends the work too.
    _stopping: DropGuard,
}

impl Default for Supervisor {
    fn default() -> Self {
        let stop = CancellationToken::new();
        Self {
            _stopping: stop.clone().drop_guard(),
            stop,
            tracker: TaskTracker::new(),
            gave_up: watch::Sender::new(None),
            restarts: Arc::default(),
        }
    }
}

impl Supervisor {
    /// Counts restarts into `restarts` from here on.
    #[must_use]
    pub(super) fn counting(mut self, restarts: Arc<AtomicU64>) -> Self {
        self.restarts = restarts;
        self
    }

    /// Runs work that never ends by itself, and again whenever it does.
    pub(super) fn keep<F, Fut>(&self, name: &'static str, work: F)
    where
        F: Fn(CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.watch(name, true, work);
    }

    /// Runs work that ends once it is done, and again only if it panics.
    pub(super) fn finish<F, Fut>(&self, name: &'static str, work: F)
    where
        F: Fn(CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.watch(name, false, work);
    }

    fn watch<F, Fut>(&self, name: &'static str, endless: bool, work: F)
    where
        F: Fn(CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (stop, gave_up, restarts) = (self.stop.clone(), self.gave_up.clone(), Arc::clone(&self.restarts));
        let tasks = self.tracker.clone();
        self.tracker.spawn(async move {
            let mut ends = VecDeque::new();
            while !stop.is_cancelled() {
                let ended = tasks.spawn(work(stop.clone())).await;
                if stop.is_cancelled() || (ended.is_ok() && !endless) {
                    return;
                }
                let now = Instant::now();
                ends.retain(|end| now.duration_since(*end) < WINDOW);
                ends.push_back(now);
                let (panicked, often) = (ended.is_err(), ends.len());
                if often >= ENDS_MAX {
                    tracing::error!(work = name, panicked, often, "the background work `{name}` ended too often");
                    gave_up.send_replace(Some(name));
                    return;
                }
                tracing::error!(work = name, panicked, often, "the background work `{name}` ended; it starts again");
                restarts.fetch_add(1, Ordering::Relaxed);
                tokio::select! {
                    () = tokio::time::sleep(REST) => {}
                    () = stop.cancelled() => {}
                }
            }
        });
    }

    /// Waits until work is given up, and says which.
    pub(super) async fn gave_up(&self) -> &'static str {
        let mut given_up = self.gave_up.subscribe();
        let found = given_up.wait_for(Option::is_some).await.ok().and_then(|name| *name);
        found.expect("a name, because the sender lives as long as this does and sends nothing else")
    }

    /// Asks all work to end and waits until it has.
    pub(super) async fn end(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Work that ends `times` times by itself, in its way, `pause` after it began, and then runs until it is stopped.
    fn ending(supervisor: &Supervisor, times: u64, pause: Duration, way: fn()) -> Arc<AtomicU64> {
        let begun = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&begun);
        supervisor.keep("test", move |stop| {
            let nth = count.fetch_add(1, Ordering::SeqCst);
            async move {
                if nth < times {
                    tokio::time::sleep(pause).await;
                    return way();
                }
                stop.cancelled().await;
            }
        });
        begun
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_or_panics_now_and_then_is_started_again() {
        for way in [|| {}, || panic!("this panic is part of the test")] {
            let supervisor = Supervisor::default();
            let begun = ending(&supervisor, 10, WINDOW / 3, way);
            tokio::time::sleep(WINDOW * 10).await;
            assert_eq!(begun.load(Ordering::SeqCst), 11);
            assert!(supervisor.gave_up.borrow().is_none());
            supervisor.end().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_always_ends_or_panics_is_given_up_and_named() {
        for way in [|| {}, || panic!("this panic is part of the test")] {
            let supervisor = Supervisor::default();
            let begun = ending(&supervisor, u64::MAX, Duration::ZERO, way);
            assert_eq!(supervisor.gave_up().await, "test");
            assert_eq!(begun.load(Ordering::SeqCst), ENDS_MAX as u64);
            supervisor.end().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_done_is_done() {
        let supervisor = Supervisor::default();
        let begun = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&begun);
        supervisor.finish("test", move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            std::future::ready(())
        });
        tokio::time::sleep(WINDOW).await;
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        supervisor.end().await;
    }
}
