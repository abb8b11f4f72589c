//! The composition of a running validator: connections are accepted, background work is done, and both end within a bounded
//! time. It does not know what is served or done.

mod background;
mod supervise;

use background::Background;
use face::face::Face;
use face::router;
use face::serve;
use hyper_util::server::graceful::GracefulShutdown;
use service::app::App;
use service::ledger::{self, LostLedger};
use std::io;
use std::net::SocketAddr;
use store::causes::Chain;
use store::db::DbError;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Why serving ended early.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// What an earlier process left couldn't be taken up.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The listener is broken.
    #[error("the listener: {0}")]
    Listener(#[from] io::Error),
    /// The ledger is gone or shorter than it was.
    #[error(transparent)]
    Ledger(#[from] LostLedger),
    /// What webhooks are told with.
    #[error(
        "the client of webhooks can't be made: are there certificates of authorities here (Debian: ca-certificates)?"
    )]
    Client(#[source] reqwest::Error),
    /// Nobody could ask for the metrics.
    #[error("can't listen on {address} for metrics: choose another metrics_listen")]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Work that must always run doesn't: everything else was ended in order, and a new process may do better.
    #[error("the background work `{work}` ended again and again; see the log for why")]
    Background {
        /// Which.
        work: &'static str,
    },
}

/// Serves until `shutdown`: then no connection is accepted any more, requests in flight are finished, an evaluation
/// under way returns to the queue, and all of it takes no longer than the settings say. The database is closed then.
///
/// # Errors
/// When it can't begin, or when background work can't be kept running: then it ends as by `shutdown`, since a validator
/// that takes submissions and does nothing with them is worse than none.
pub async fn run(listener: TcpListener, app: App, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
    serve::ask_for(app.config.limits.connections_max);
    let metrics = metrics_listener(&app).await?;
    let address = listener.local_addr()?;
    let _ = app.bound.set(address);
    let face = Face::new(app.clone()).map_err(ServeError::Client)?;
    let background = Background::start(&face).await?;
    tracing::info!(%address, hotkey = %app.hotkey, "serving");
    warn_of_settings(&app, address);
    let (graceful, closing) = (GracefulShutdown::new(), CancellationToken::new());
    let doors = async {
        let all = serve::accept(&listener, &app, router::router(face.clone()), &graceful, &closing);
        match &metrics {
            Some(metrics) => {
                let numbers = serve::accept(metrics, &app, router::metrics(app.clone()), &graceful, &closing);
                tokio::join!(all, numbers);
            }
            None => all.await,
        }
    };
    let ended = tokio::select! {
        () = doors => Ok(()),
        () = shutdown => Ok(()),
        work = background.supervisor.gave_up() => Err(ServeError::Background { work }),
        lost = ledger::lost(&app) => {
            tracing::error!(error = %Chain(&lost), "the ledger is lost: the validator stops");
            Err(ServeError::Ledger(lost))
        }
    };
    drop((listener, metrics));
    closing.cancel();
    background.end(&app, graceful.shutdown()).await;
    tracing::info!("stopped");
    ended
}

/// Where scrapers without a token ask, if the settings say so.
async fn metrics_listener(app: &App) -> Result<Option<TcpListener>, ServeError> {
    let Some(address) = app.config.metrics_address() else { return Ok(None) };
    let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Metrics { address, source })?;
    tracing::info!(address = %listener.local_addr()?, "metrics are here for everybody");
    Ok(Some(listener))
}

/// Says what about the settings is likely a mistake.
fn warn_of_settings(app: &App, address: SocketAddr) {
    let (public_url, proxies) = (&app.config.public_url, &app.config.trusted_proxies);
    if !public_url.is_empty() && proxies.is_empty() {
        let consequence = "behind a proxy everybody shares the limits of one address";
        tracing::warn!("public_url is set and trusted_proxies isn't: {consequence}");
    }
    if !address.ip().to_canonical().is_loopback() && !public_url.starts_with("https://") {
        let advice = "put a proxy with TLS in front, and set public_url to its address";
        tracing::warn!(%address, "others are served without TLS: {advice}");
    }
}

/// Evaluates what a serving process on the same directory hands out, until `shutdown`, without serving anything.
///
/// # Errors
/// When the worker can't be kept running.
pub async fn work(app: App, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
    let background = Background::worker(&app);
    let ended = tokio::select! {
        () = shutdown => Ok(()),
        work = background.supervisor.gave_up() => Err(ServeError::Background { work }),
    };
    background.end(&app, std::future::ready(())).await;
    ended
}
