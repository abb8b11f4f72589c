//! `POST /api/v1/submissions`, `POST …/{id}/complete` and `GET …/{id}`: entering a package and asking after it.

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

async fn find(app: &App, id: &SubmissionId) -> Result<Response, ApiError> {
    let found = views::submission(app, id).await?;
    found.map(|status| json(&status)).ok_or_else(|| unknown(id))
}

fn parse_id(text: &str) -> Result<SubmissionId, ApiError> {
    text.parse().map_err(|_| unknown(text.chars().take(64).collect::<String>()))
}

fn unknown(id: impl std::fmt::Display) -> ApiError {
    ApiError::not_found(format!("no submission is called {id}"))
}
