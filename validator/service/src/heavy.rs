//! Work that needs a large model in memory and a core for a while: one at a time, and after everything else.
//!
//! A flood of large models then costs time, never memory, and requests are answered meanwhile. It does not know what is
//! done.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// How far heavy work stands back behind the service's other threads and the workers that are measured.
const NICENESS: i32 = 10;
/// What fewer bytes than these need is no heavy work: it waits for nobody, and a crowded host doesn't hold it up.
const LIGHT_BYTES_MAX: u64 = 4 << 20;

/// The one place for heavy work. Whoever comes first has it first.
#[derive(Clone, Debug)]
pub struct Heavy(Arc<Semaphore>);

/// A turn: whoever has one may hold a model. Light work has no permit.
#[derive(Debug)]
pub struct Turn(Option<Arc<OwnedSemaphorePermit>>);

/// The thread ended without a result.
#[derive(Debug, thiserror::Error)]
#[error("a thread for heavy work {0}")]
pub struct HeavyError(String);

impl Default for Heavy {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Heavy {
    /// Waits for a turn at work on files of so many bytes.
    pub async fn turn(&self, bytes: u64) -> Turn {
        if bytes < LIGHT_BYTES_MAX {
            return Turn(None);
        }
        let permit = Arc::clone(&self.0).acquire_owned().await;
        Turn(Some(Arc::new(permit.expect("a semaphore that nobody closes, because it is ours"))))
    }
}

impl Turn {
    /// Runs `work` in a thread, one of low priority if it is heavy. The turn lasts until it is done, even if nobody waits
    /// for it any more.
    ///
    /// # Errors
    /// When the thread can't be started, or `work` panics.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, HeavyError> {
        let Some(permit) = self.0.clone() else {
            return tokio::task::spawn_blocking(work).await.map_err(|error| HeavyError(error.to_string()));
        };
        let (done, result) = oneshot::channel();
        // A thread of its own, since one that lowered its priority can't raise it again.
        let spawned = std::thread::Builder::new().name("heavy".to_owned()).spawn(move || {
            if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
                tracing::debug!(%error, "heavy work keeps its priority");
            }
            // Nobody may wait any more.
            let _ = done.send(work());
            drop(permit);
        });
        spawned.map_err(|error| HeavyError(format!("can't be started: {error}")))?;
        result.await.map_err(|_| HeavyError("panicked; its message is above".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_turn_lasts_until_the_work_is_done_though_nobody_waits() {
        let heavy = Heavy::default();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let turn = heavy.turn(u64::MAX).await;
        let given_up = tokio::time::timeout(Duration::from_millis(20), turn.run(move || wait.recv().is_ok())).await;
        assert!(given_up.is_err());
        drop(turn);
        assert!(
            tokio::time::timeout(Duration::from_millis(50), heavy.turn(u64::MAX)).await.is_err(),
            "the work goes on"
        );
        go.send(()).expect("a thread that waits, because it was told nothing yet");
        tokio::time::timeout(Duration::from_secs(10), heavy.turn(u64::MAX))
            .await
            .expect("a turn, because the work is done");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_frees_the_place() {
        let heavy = Heavy::default();
        let failed = heavy.turn(u64::MAX).await.run::<()>(|| panic!("on purpose")).await;
        assert!(failed.is_err_and(|error| error.to_string().contains("panicked")));
        assert_eq!(heavy.turn(u64::MAX).await.run(|| 7).await.ok(), Some(7));
    }
}
