//! `GET /api/v1/competitions` and `/api/v1/competitions/{id}`: what there is to win, and all that a miner needs.

use super::json;
use super::pages::{Slice, limit, linked};
use super::query::Asked;
use crate::face::Face;
use axum::extract::{OriginalUri, Path, State};
use axum::response::Response;
use edge::error::ApiError;
use protocol::CompetitionId;
use protocol::api::CompetitionView;
use serde::Deserialize;
use service::app::App;
use service::{intake, views};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Competitions of a page.
const COMPETITIONS_MAX: u32 = 100;

pub(super) fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(one))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Query {
    /// The last one of the page before.
    after: Option<CompetitionId>,
    /// How many at most.
    #[param(schema_with = limit::<COMPETITIONS_MAX>)]
    limit: Option<u32>,
}

/// All competitions, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/competitions",
    tag = "competitions",
    params(Query),
    responses((status = 200, description = "The competitions.", body = [CompetitionView])),
)]
async fn list(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    Asked(query): Asked<Query>,
) -> Result<Response, ApiError> {
    let slice = Slice::of(query.limit, COMPETITIONS_MAX)?;
    let mut all = views::competitions(&app).await?;
    if let Some(after) = &query.after {
        let named = |view: &CompetitionView| view.competition.manifest.id == *after;
        let at = all.iter().position(named).ok_or_else(|| intake::unknown_competition(after))?;
        all.drain(..=at);
    }
    let is_more = slice.cut(&mut all);
    let next = all.last().filter(|_| is_more).map(|view| view.competition.manifest.id.clone());
    Ok(linked(&all, &uri, "after", next))
}

/// Manifest, digests, teacher and data of a competition.
#[utoipa::path(
    get,
    path = "/api/v1/competitions/{id}",
    tag = "competitions",
    params(("id" = CompetitionId, Path, description = "The competition's name.")),
    responses((status = 200, description = "The competition.", body = CompetitionView)),
)]
async fn one(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    match views::competition(&app, &id).await? {
        Some(view) => Ok(json(&view)),
        None => Err(intake::unknown_competition(&id).into()),
    }
}

/// A name that can't be one is unknown.
pub(super) fn parse_id(text: &str) -> Result<CompetitionId, ApiError> {
    text.parse().map_err(|_| intake::unknown_competition(&text.chars().take(64).collect::<String>()).into())
}
