//! `GET /api/v1/objects/sha256/{digest}`: immutable bytes of published competitions and scored submissions.
//!
//! Anything else looks as if it weren't there, whether or not it is stored. Where the store signs URLs, whoever wants
//! bytes is sent there.

use crate::app::App;
use crate::conditional::is_known;
use crate::deliver::{Delivery, IMMUTABLE};
use crate::error::ApiError;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, Method, StatusCode};
use protocol::Digest;
use protocol::competition::ObjectRef;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/api/v1/objects/sha256/{digest}", get(object))
}

async fn object(
    State(app): State<App>,
    method: Method,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found("no public object has this digest");
    let sha256: Digest = digest.parse().map_err(|_| unknown())?;
    let object = app.db.public_object(&sha256).await?.ok_or_else(unknown)?;
    let delivery = Delivery {
        object: ObjectRef { sha256, size_bytes: object.size_bytes },
        etag: format!("\"{sha256}\""),
        cache_control: IMMUTABLE,
        filename: object.filename,
    };
    if method == Method::GET
        && !is_known(&headers, &delivery.etag)
        && let Some(url) = delivery.elsewhere(&app).await?
    {
        return Ok(delivery.redirect(StatusCode::TEMPORARY_REDIRECT, &url));
    }
    delivery.answer(&app, &method, &headers).await
}
