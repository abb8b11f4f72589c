//! `GET /api/v1/competitions/{id}/leaderboard` and `.csv`: served from bytes that are kept until a score changes them.

use super::competitions::parse_id;
use crate::app::App;
use crate::board::{self, Served};
use crate::error::ApiError;
use crate::intake;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, header};
use std::sync::Arc;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/competitions/{id}/leaderboard", get(as_json))
        .route("/api/v1/competitions/{id}/leaderboard.csv", get(as_csv))
}

async fn as_json(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let fixed = [(header::CACHE_CONTROL, "no-cache"), (header::CONTENT_TYPE, "application/json")];
    Ok(find(&app, &id).await?.json.answer(fixed, &headers))
}

async fn as_csv(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let served = find(&app, &id).await?;
    let name = format!("attachment; filename=\"{id}.csv\"");
    let fixed = [
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, name.as_str()),
    ];
    Ok(served.csv.answer(fixed, &headers))
}

async fn find(app: &App, id: &str) -> Result<Arc<Served>, ApiError> {
    let id = parse_id(id)?;
    board::leaderboard(app, &id).await?.ok_or_else(|| intake::unknown_competition(&id))
}
