//! Serving: accepts connections, runs background work, and ends both within a bounded time.
//!
//! The accept loop is ours since axum's own has no time limit for the head of a request. It does not know what is
//! served.

use crate::app::App;
use crate::db::DbError;
use crate::operator::Peer;
use crate::{jobs, router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Bytes of the head of a request; hyper wants at least 8 KiB.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long the loop rests when the system has no descriptor for another connection.
const ACCEPT_REST: Duration = Duration::from_millis(200);

/// Why serving ended early.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// What an earlier process left couldn't be taken up.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The listener is broken.
    #[error("the listener: {0}")]
    Listener(#[from] io::Error),
}

/// Serves until `shutdown`: then no connection is accepted any more, requests in flight are finished, an evaluation
/// under way returns to the queue, and all of it takes no longer than the settings say. The database is closed then.
///
/// # Errors
/// When it can't begin.
pub async fn run(listener: TcpListener, app: App, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
    let background = Background::start(&app).await?;
    tracing::info!(address = %listener.local_addr()?, hotkey = %app.hotkey, "serving");
    let graceful = GracefulShutdown::new();
    tokio::select! {
        () = accept(&listener, &app, &graceful) => {}
        () = shutdown => {}
    }
    drop(listener);
    background.end(&app, graceful.shutdown()).await;
    tracing::info!("stopped");
    Ok(())
}

/// Evaluates what a serving process on the same directory hands out, until `shutdown`, without serving anything.
///
/// # Errors
/// None so far.
pub async fn work(app: App, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
    let background = Background::worker(&app);
    shutdown.await;
    background.end(&app, std::future::ready(())).await;
    Ok(())
}

/// The background work of a validator.
struct Background {
    stop: CancellationToken,
    tracker: TaskTracker,
    /// Whoever drops this ends the work too.
    _stopping: DropGuard,
}

impl Background {
    fn new() -> Self {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        Self { _stopping: stop.clone().drop_guard(), stop, tracker }
    }

    fn worker(app: &App) -> Self {
        let background = Self::new();
        jobs::start_worker(app, &background.stop, &background.tracker);
        background
    }

    async fn start(app: &App) -> Result<Self, DbError> {
        let background = Self::new();
        jobs::start(app, &background.stop, &background.tracker).await?;
        Ok(background)
    }

    /// Ends the work and `serving` within the time of the settings, then closes the database.
    async fn end(self, app: &App, serving: impl Future<Output = ()>) {
        self.stop.cancel();
        self.tracker.close();
        let finished = async {
            tokio::join!(serving, self.tracker.wait());
        };
        let limit = Duration::from_secs(app.config.limits.shutdown_seconds_max);
        if tokio::time::timeout(limit, finished).await.is_err() {
            tracing::warn!("not everything ended in time; what was cut off is taken up at the next start");
        }
        app.db.close().await;
    }
}

async fn accept(listener: &TcpListener, app: &App, graceful: &GracefulShutdown) {
    let places = Arc::new(Semaphore::new(app.config.limits.connections_max as usize));
    let router = router::router(app.clone());
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("a place, because nobody closes the semaphore");
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        let connection = graceful.watch(connect(stream, Peer(peer), app, router.clone()));
        let app = app.clone();
        tokio::spawn(async move {
            app.counters.connections.fetch_add(1, Ordering::Relaxed);
            // Clients go away in many ways; none of them is news.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            app.counters.connections.fetch_sub(1, Ordering::Relaxed);
            drop(place);
        });
    }
}

type Connection = http1::Connection<TokioIo<TcpStream>, FromPeer>;

/// The routes, told of each request whose connection it came on.
struct FromPeer {
    routes: TowerToHyperService<axum::Router>,
    peer: Peer,
}

impl Service<http::Request<Incoming>> for FromPeer {
    type Response = <TowerToHyperService<axum::Router> as Service<http::Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<axum::Router> as Service<http::Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<axum::Router> as Service<http::Request<Incoming>>>::Future;

    fn call(&self, mut request: http::Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        self.routes.call(request)
    }
}

fn connect(stream: TcpStream, peer: Peer, app: &App, router: axum::Router) -> Connection {
    // Small answers shouldn't wait for more to be sent with them; without this they are only slower.
    let _ = stream.set_nodelay(true);
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(app.config.limits.header_read_seconds_max))
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), FromPeer { routes: TowerToHyperService::new(router), peer })
}
