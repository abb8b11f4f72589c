//! Ending a service: the first signal lets it finish, the second doesn't, and neither is lost.

use crate::leave;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use validator::App;

/// What a process exits with that was told twice to end: 128 and SIGINT, as shells count.
const FORCED: i32 = 130;

/// How long a process may take to end once it is told to.
pub(crate) fn time_to_end(app: &App) -> Duration {
    Duration::from_secs(app.config.limits.shutdown_seconds_max)
}

/// Ends with SIGINT or SIGTERM. The process is gone `limit` later, whatever it is in the midst of, or whoever waits for this
/// hasn't come to it yet; a second signal doesn't wait for what is in flight.
pub(crate) fn until_interrupted(limit: Duration) -> impl Future<Output = ()> + Send {
    let (tell, told) = oneshot::channel();
    leave::leave_signals();
    if let Err(error) = listen(limit, tell) {
        // Then the system ends this process at once, as it does with those that listen to nothing.
        tracing::warn!(%error, "signals can't be listened to");
    }
    async move {
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Listens to both signals from now on, so that neither a first one is lost nor a second one: in a thread and a runtime of
/// their own, which no work of the service can keep busy.
fn listen(limit: Duration, tell: oneshot::Sender<()>) -> std::io::Result<()> {
    let (ready, listens) = std::sync::mpsc::channel();
    let both = || Ok::<_, std::io::Error>((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?));
    let work = move || {
        let listening = async {
            let (heard, answer) = match both() {
                Ok(heard) => (Some(heard), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // Whoever asked waits for the answer.
            let _ = ready.send(answer);
            if let Some((interrupted, terminated)) = heard {
                end(interrupted, terminated, limit, tell).await;
            }
        };
        // Without a runtime nothing is answered.
        let _ = tokio::runtime::Builder::new_current_thread().enable_all().build().map(|run| run.block_on(listening));
    };
    std::thread::Builder::new().name("signals".into()).spawn(work)?;
    listens.recv().unwrap_or_else(|_| Err(std::io::Error::other("no runtime for signals")))
}

async fn end(mut interrupted: Signal, mut terminated: Signal, limit: Duration, tell: oneshot::Sender<()>) {
    tokio::select! { _ = interrupted.recv() => {}, _ = terminated.recv() => {} }
    eprintln!("ending; once more to end at once");
    // Whoever doesn't wait any more is about to end.
    let _ = tell.send(());
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
        () = tokio::time::sleep(limit) => {
            eprintln!("ended after {} s: what was cut off is taken up at the next start", limit.as_secs());
            leave::now(0);
        }
    }
    eprintln!("ended at once: what was cut off is taken up at the next start");
    leave::now(FORCED);
}
