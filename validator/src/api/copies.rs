//! `GET /api/v1/copies/{a}/{b}`: what two submissions have in common, and what the rules make of it.

use super::json;
use crate::app::App;
use crate::copies::{self, CopyError};
use crate::error::ApiError;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/api/v1/copies/{a}/{b}", get(pair))
}

async fn pair(State(app): State<App>, Path((a, b)): Path<(String, String)>) -> Result<Response, ApiError> {
    let missing = || ApiError::not_found("no such two submissions of one competition have been compared");
    let (Ok(a), Ok(b)) = (a.parse(), b.parse()) else { return Err(missing()) };
    Ok(json(&copies::pair(&app, &a, &b).await?.ok_or_else(missing)?))
}

impl From<CopyError> for ApiError {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Busy => Self::busy("another pair is being compared"),
            CopyError::Db(error) => error.into(),
            CopyError::Objects(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}
