//! `GET /api/v1/competitions/{id}/rounds` and `/{round}`: what a round was bound to, and what came of it.

use super::pages::{Slice, linked};
use super::query::Asked;
use super::{competitions::parse_id, json};
use crate::app::App;
use crate::error::ApiError;
use crate::{intake, rounds};
use axum::Router;
use axum::extract::{OriginalUri, Path, State};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

/// Rounds of a page.
const ROUNDS_MAX: u32 = 200;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/competitions/{id}/rounds", get(list))
        .route("/api/v1/competitions/{id}/rounds/{round}", get(one))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// The last round of the page before.
    before: Option<u64>,
    limit: Option<u32>,
}

async fn list(
    State(app): State<App>,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
    Asked(query): Asked<Query>,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let slice = Slice::of(query.limit, ROUNDS_MAX)?;
    intake::known_competition(&app, &id).await?;
    let mut all = rounds::views(&app.db, &id).await?;
    all.retain(|round| query.before.is_none_or(|before| round.round < before));
    let is_more = slice.cut(&mut all);
    let next = all.last().filter(|_| is_more).map(|round| round.round);
    Ok(linked(&all, &uri, "before", next))
}

async fn one(State(app): State<App>, Path((id, round)): Path<(String, String)>) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    intake::known_competition(&app, &id).await?;
    let missing = || ApiError::not_found(format!("{id} has no such round"));
    let number = round.parse().map_err(|_| missing())?;
    Ok(json(&rounds::view(&app.db, &id, number).await?.ok_or_else(missing)?))
}
