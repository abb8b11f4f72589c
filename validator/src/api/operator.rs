//! `GET /api/v1/operator`: the operator's page as JSON, for the operator alone.

use super::json;
use crate::app::App;
use crate::error::ApiError;
use crate::operator::{self, Peer};
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use http::HeaderMap;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/api/v1/operator", get(view))
}

async fn view(State(app): State<App>, peer: Option<Extension<Peer>>, headers: HeaderMap) -> Result<Response, ApiError> {
    operator::admit(&app, peer.map(|Extension(peer)| peer), &headers)?;
    Ok(json(&operator::view(&app).await?))
}
