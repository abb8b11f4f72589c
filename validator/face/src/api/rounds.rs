//! `GET /api/v1/competitions/{id}/rounds` and `/{round}`: what a round was bound to, and what came of it.

use super::pages::{Slice, limit, linked};
use super::query::Asked;
use super::{competitions::parse_id, json};
use crate::face::Face;
use axum::extract::{OriginalUri, Path, State};
use axum::response::Response;
use datasets::hidden::RoundView;
use edge::error::ApiError;
use protocol::CompetitionId;
use serde::Deserialize;
use service::app::App;
use service::{intake, rounds};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Rounds of a page.
const ROUNDS_MAX: u32 = 200;

pub(super) fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(one))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Query {
    /// The last round of the page before.
    before: Option<u64>,
    /// How many at most.
    #[param(schema_with = limit::<ROUNDS_MAX>)]
    limit: Option<u32>,
}

/// The rounds of a competition, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/competitions/{id}/rounds",
    tag = "competitions",
    params(("id" = CompetitionId, Path, description = "The competition's name."), Query),
    responses((status = 200, description = "The rounds, as far as they are public.", body = [RoundView])),
)]
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

/// One round.
#[utoipa::path(
    get,
    path = "/api/v1/competitions/{id}/rounds/{round}",
    tag = "competitions",
    params(
        ("id" = CompetitionId, Path, description = "The competition's name."),
        ("round" = u64, Path, minimum = 1, description = "The round's number."),
    ),
    responses((status = 200, description = "The round, as far as it is public.", body = RoundView)),
)]
async fn one(State(app): State<App>, Path((id, round)): Path<(String, String)>) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    intake::known_competition(&app, &id).await?;
    let missing = || ApiError::not_found(format!("{id} has no such round"));
    let number = round.parse().map_err(|_| missing())?;
    Ok(json(&rounds::view(&app.db, &id, number).await?.ok_or_else(missing)?))
}
