//! `PUT /api/v1/uploads/{token}`: bytes that come through us, where the object store can't sign URLs.

use crate::app::App;
use crate::error::ApiError;
use crate::intake;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::routing::put;
use http::{HeaderMap, StatusCode, header};

/// Uploads count their own bytes and watch their own clock.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/api/v1/uploads/{token}", put(upload)).layer(DefaultBodyLimit::disable())
}

async fn upload(
    State(app): State<App>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    intake::upload(&app, &token, length, body).await?;
    Ok(StatusCode::NO_CONTENT)
}
