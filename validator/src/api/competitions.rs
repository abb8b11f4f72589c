//! `GET /api/v1/competitions` and `/api/v1/competitions/{id}`: what there is to win, and all that a miner needs.

use super::json;
use super::pages::{Slice, linked};
use super::query::Asked;
use crate::app::App;
use crate::error::ApiError;
use crate::{intake, views};
use axum::Router;
use axum::extract::{OriginalUri, Path, State};
use axum::response::Response;
use axum::routing::get;
use protocol::CompetitionId;
use protocol::api::CompetitionView;
use serde::Deserialize;

/// Competitions of a page.
const COMPETITIONS_MAX: u32 = 100;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/api/v1/competitions", get(list)).route("/api/v1/competitions/{id}", get(one))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// The last one of the page before.
    after: Option<CompetitionId>,
    limit: Option<u32>,
}

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
