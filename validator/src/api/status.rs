//! `GET /healthz`, `/readyz` and `/metrics`: for whoever watches over the process.

use super::json;
use crate::app::App;
use crate::error::ApiError;
use crate::metrics;
use crate::operator::{self, Peer};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::{HeaderMap, header};
use serde_json::json as value;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready)).route("/metrics", get(measured))
}

/// The process runs and answers.
async fn alive() -> Response {
    json(&value!({ "status": "ok" }))
}

/// Requests can be served: the database answers and there is space for uploads.
async fn ready(State(app): State<App>) -> Result<Response, ApiError> {
    app.db.ping().await.map_err(|_| ApiError::busy("the database doesn't answer"))?;
    if app.objects.free_bytes()? < app.config.limits.disk_reserve_bytes {
        return Err(ApiError::busy("the disk is nearly full"));
    }
    Ok(json(&value!({ "status": "ok", "validator": app.hotkey })))
}

/// For the operator alone: how much is waiting helps whoever wants it to be more.
async fn measured(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    operator::admit(&app, peer.map(|Extension(peer)| peer), &headers)?;
    let text = metrics::text(&app).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
