//! `POST /api/v1/submissions`, `POST …/{id}/complete`, `GET …/{id}` and `…/{id}/receipt`: entering a package and asking
//! after it. `GET /api/v1/submissions`: all of them, page by page. `GET /api/v1/miners/{hotkey}`: what one hotkey did.

use super::json;
use super::pages::{Slice, linked};
use super::query::Asked;
use crate::app::App;
use crate::auth::Signed;
use crate::db::lists::ListFilter;
use crate::error::ApiError;
use crate::intake::Repeatable;
use crate::{intake, views};
use axum::Router;
use axum::extract::{OriginalUri, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode, header};
use protocol::{CompetitionId, Hotkey, SubmissionId, submission};
use serde::Deserialize;

/// Submissions of a page.
const SUBMISSIONS_MAX: u32 = 500;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/submissions", post(announce).get(list))
        .route("/api/v1/miners/{hotkey}", get(miner))
        .route("/api/v1/submissions/{id}", get(status))
        .route("/api/v1/submissions/{id}/complete", post(complete))
        .route("/api/v1/submissions/{id}/receipt", get(receipt))
}

async fn announce(State(app): State<App>, headers: HeaderMap, signed: Signed) -> Result<Response, ApiError> {
    let (hotkey, request) = (signed.hotkey, signed.json()?);
    let repeatable = Repeatable::of(&headers, signed.body_sha256())?;
    let announced = intake::announce(&app, hotkey, request, repeatable).await?;
    let status = if announced.created { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/api/v1/submissions/{}", announced.answer.id);
    Ok((status, [(header::LOCATION, location)], json(&announced.answer)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    competition: Option<CompetitionId>,
    hotkey: Option<Hotkey>,
    state: Option<submission::State>,
    /// The arrival of the last one of the page before.
    before: Option<u64>,
    limit: Option<u32>,
}

async fn list(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    Asked(query): Asked<Query>,
) -> Result<Response, ApiError> {
    let slice = Slice::of(query.limit, SUBMISSIONS_MAX)?;
    if let Some(competition) = &query.competition {
        intake::known_competition(&app, competition).await?;
    }
    let filter = ListFilter { competition: query.competition, hotkey: query.hotkey, state: query.state };
    let listed = views::submissions(&app, &filter, query.before, slice.limit).await?;
    let next = listed.last().filter(|_| listed.len() == slice.limit as usize).map(|last| last.arrival);
    Ok(linked(&listed, &uri, "before", next))
}

async fn miner(State(app): State<App>, Path(hotkey): Path<String>) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found("this hotkey has entered nothing here");
    let hotkey: Hotkey = hotkey.parse().map_err(|_| unknown())?;
    Ok(json(&views::miner(&app, &hotkey).await?.ok_or_else(unknown)?))
}

async fn complete(State(app): State<App>, Path(id): Path<String>, signed: Signed) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    intake::complete(&app, signed.hotkey, &id).await?;
    Ok((StatusCode::ACCEPTED, find(&app, &id).await?).into_response())
}

async fn status(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    find(&app, &parse_id(&id)?).await
}

/// The very bytes that were signed.
async fn receipt(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let none = || ApiError::not_found(format!("{id} has no receipt, since it isn't scored"));
    let sha256 = match app.db.evaluation(&id).await? {
        Some(evaluation) => evaluation.receipt_sha256,
        None if app.db.submission(&id).await?.is_some() => return Err(none()),
        None => return Err(unknown(&id)),
    };
    let bytes = app.objects.get(&sha256).await?;
    let fixed = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")];
    Ok((fixed, [(header::ETAG, format!("\"{sha256}\""))], bytes).into_response())
}

/// The submission as it is now.
pub(super) async fn find(app: &App, id: &SubmissionId) -> Result<Response, ApiError> {
    let found = views::submission(app, id).await?;
    found.map(|status| json(&status)).ok_or_else(|| unknown(id))
}

/// A submission's name out of an address; whatever isn't one names nothing.
pub(super) fn parse_id(text: &str) -> Result<SubmissionId, ApiError> {
    text.parse().map_err(|_| unknown(text.chars().take(64).collect::<String>()))
}

/// Says that nothing has this name.
pub(super) fn unknown(id: impl std::fmt::Display) -> ApiError {
    ApiError::not_found(format!("no submission is called {id}"))
}
