//! A witness over HTTP, as C2SP tlog-witness has it: `POST /add-checkpoint`, and `GET /<origin hash>/checkpoint` for
//! monitors.
//!
//! It needs no validator: a key, the keys of the logs that it witnesses, and a folder. What it decides lies in
//! `transparency`.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{StatusCode, header};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use store::causes::Chain;
use store::clock::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use transparency::witness::{REQUEST_BYTES_MAX, SIZE_CONTENT_TYPE};
use transparency::{AddCheckpoint, Refusal, WitnessStore, WitnessStoreError};

/// A request is here, and answered, within this time or not at all.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Its head is here within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests in flight are waited for at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at once: those that ask are logs, and a log has one.
const CONNECTIONS_MAX: usize = 256;
/// How long the loop rests when the system has no descriptor for another connection.
const ACCEPT_REST: Duration = Duration::from_millis(200);
const TEXT: &str = "text/plain; charset=utf-8";

#[derive(Clone)]
struct Serving {
    store: Arc<WitnessStore>,
    clock: Clock,
}

/// Witnesses until `shutdown`; requests in flight are finished.
pub async fn serve(listener: TcpListener, store: WitnessStore, clock: Clock, shutdown: impl Future<Output = ()>) {
    let router = Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{origin_hash}/checkpoint", get(checkpoint))
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(REQUEST_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIMEOUT))
        .with_state(Serving { store: Arc::new(store), clock });
    let (graceful, places) = (GracefulShutdown::new(), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    let accepting = async {
        loop {
            let place = Arc::clone(&places).acquire_owned().await.ok();
            match listener.accept().await {
                Ok(accepted) => connect(accepted, &router, &graceful, place),
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shutdown => {}
    }
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("not every request ended in time");
    }
}

/// Serves a connection, which has its place as long as it lasts.
fn connect(
    (stream, _): (TcpStream, SocketAddr),
    router: &Router,
    graceful: &GracefulShutdown,
    place: Option<OwnedSemaphorePermit>,
) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
    let watched = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a connection broke");
        }
        drop(place);
    });
}

async fn add_checkpoint(State(Serving { store, clock }): State<Serving>, body: Bytes) -> Response {
    // It writes a file and waits for the disk, one request after the other.
    let added = tokio::task::spawn_blocking(move || {
        let request = AddCheckpoint::parse(&body)?;
        store.add_checkpoint(&request, clock.now())
    });
    match added.await {
        Ok(Ok(cosigned)) => {
            let (origin, size) = (cosigned.checkpoint.origin(), cosigned.checkpoint.size());
            tracing::info!(origin, size, time = cosigned.time, "cosigned");
            text(StatusCode::OK, TEXT, cosigned.line)
        }
        Ok(Err(WitnessStoreError::Refused(refusal))) => refuse(&refusal),
        Ok(Err(error)) => {
            tracing::error!(error = %Chain(&error), "can't keep what would be cosigned");
            text(StatusCode::SERVICE_UNAVAILABLE, TEXT, "it can't be kept at the moment\n".into())
        }
        Err(error) => {
            tracing::error!(%error, "a request broke");
            text(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the request broke\n".into())
        }
    }
}

fn refuse(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match refusal {
        // C2SP: the size alone, so that the log goes on from there.
        Refusal::Conflict { size } => text(status, SIZE_CONTENT_TYPE, format!("{size}\n")),
        Refusal::Inconsistent { .. } | Refusal::ClockBehind => {
            tracing::warn!(%status, problem = %refusal, "refused");
            text(status, TEXT, format!("{refusal}\n"))
        }
        _ => {
            tracing::debug!(%status, problem = %refusal, "refused");
            text(status, TEXT, format!("{refusal}\n"))
        }
    }
}

async fn checkpoint(State(Serving { store, .. }): State<Serving>, Path(origin_hash): Path<String>) -> Response {
    match store.monitored(&origin_hash) {
        Some(note) => text(StatusCode::OK, TEXT, note),
        None => text(StatusCode::NOT_FOUND, TEXT, "nothing was cosigned of such a log\n".into()),
    }
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], body).into_response()
}
