//! `GET /api/v1/competitions/{id}/rounds` and `/{round}`: what a round was bound to, and what came of it.

use super::{competitions::parse_id, json};
use crate::app::App;
use crate::error::ApiError;
use crate::{intake, rounds};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/competitions/{id}/rounds", get(list))
        .route("/api/v1/competitions/{id}/rounds/{round}", get(one))
}

async fn list(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    intake::known_competition(&app, &id).await?;
    Ok(json(&rounds::views(&app.db, &id).await?))
}

async fn one(State(app): State<App>, Path((id, round)): Path<(String, String)>) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    intake::known_competition(&app, &id).await?;
    let missing = || ApiError::not_found(format!("{id} has no such round"));
    let number = round.parse().map_err(|_| missing())?;
    Ok(json(&rounds::view(&app.db, &id, number).await?.ok_or_else(missing)?))
}
