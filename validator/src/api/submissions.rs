//! `POST /api/v1/submissions`, `POST …/{id}/complete`, `GET …/{id}` and `…/{id}/receipt`: entering a package and asking
//! after it.

use super::json;
use crate::app::App;
use crate::auth::Signed;
use crate::error::ApiError;
use crate::{intake, views};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{StatusCode, header};
use protocol::SubmissionId;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/submissions", post(announce))
        .route("/api/v1/submissions/{id}", get(status))
        .route("/api/v1/submissions/{id}/complete", post(complete))
        .route("/api/v1/submissions/{id}/receipt", get(receipt))
}

async fn announce(State(app): State<App>, signed: Signed) -> Result<Response, ApiError> {
    let announced = intake::announce(&app, signed.hotkey, signed.json()?).await?;
    let status = if announced.created { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/api/v1/submissions/{}", announced.answer.id);
    Ok((status, [(header::LOCATION, location)], json(&announced.answer)).into_response())
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
