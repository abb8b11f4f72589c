//! `POST`, `GET` and `DELETE /api/v1/webhooks…`: who wants to be told of events, each for itself, by signed requests.

use super::json;
use crate::app::App;
use crate::auth::Signed;
use crate::error::ApiError;
use crate::{intake, webhooks};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use http::{StatusCode, header};
use protocol::CompetitionId;
use serde::Deserialize;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/api/v1/webhooks", post(register).get(list)).route("/api/v1/webhooks/{id}", delete(remove))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    url: String,
    competition: Option<CompetitionId>,
}

/// The answer holds the key of the signatures, which is shown once: nobody in between may keep it.
async fn register(State(app): State<App>, signed: Signed) -> Result<Response, ApiError> {
    let Registration { url, competition } = signed.json()?;
    if let Some(competition) = &competition {
        intake::known_competition(&app, competition).await?;
    }
    let registered = webhooks::register(&app, signed.hotkey, competition, &url).await?;
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], axum::Json(registered)).into_response())
}

async fn list(State(app): State<App>, signed: Signed) -> Result<Response, ApiError> {
    Ok(json(&webhooks::list(&app, &signed.hotkey).await?))
}

async fn remove(State(app): State<App>, Path(id): Path<String>, signed: Signed) -> Result<StatusCode, ApiError> {
    webhooks::remove(&app, &signed.hotkey, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
