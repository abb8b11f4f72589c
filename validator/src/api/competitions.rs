//! `GET /api/v1/competitions` and `/api/v1/competitions/{id}`: what there is to win, and all that a miner needs.

use super::json;
use crate::app::App;
use crate::error::ApiError;
use crate::{intake, views};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use protocol::CompetitionId;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/api/v1/competitions", get(list)).route("/api/v1/competitions/{id}", get(one))
}

async fn list(State(app): State<App>) -> Result<Response, ApiError> {
    Ok(json(&views::competitions(&app).await?))
}

async fn one(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    match views::competition(&app, &id).await? {
        Some(view) => Ok(json(&view)),
        None => Err(intake::unknown_competition(&id)),
    }
}

/// A name that can't be one is unknown.
pub(super) fn parse_id(text: &str) -> Result<CompetitionId, ApiError> {
    text.parse().map_err(|_| intake::unknown_competition(&text.chars().take(64).collect::<String>()))
}
