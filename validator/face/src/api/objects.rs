//! `GET /api/v1/objects/sha256/{digest}`: immutable bytes of published competitions and scored submissions.
//!
//! A file of a scored submission that isn't public yet says when it will be; anything else looks as if it weren't there,
//! whether or not it is stored. Where the store signs URLs, whoever wants
//! bytes is sent there.

use crate::face::Face;
use axum::extract::{Path, State};
use axum::response::Response;
use edge::Binary;
use edge::conditional::is_known;
use edge::deliver::{Delivery, IMMUTABLE, not_yet};
use edge::error::ApiError;
use http::{HeaderMap, Method, StatusCode};
use protocol::Digest;
use protocol::competition::ObjectRef;
use service::app::App;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default().routes(routes!(object))
}

/// Immutable bytes of a published competition or a scored submission. One range at a time.
#[utoipa::path(
    get,
    path = "/api/v1/objects/sha256/{digest}",
    tag = "files",
    params(
        ("digest" = Digest, Path, description = "SHA-256 of the bytes."),
        ("Range" = Option<String>, Header, description = "Some bytes, such as `bytes=0-1023`; one range at a time."),
    ),
    responses(
        (status = 200, description = "All bytes.", content_type = "application/octet-stream", body = inline(Binary)),
        (status = 206, description = "Some bytes.", content_type = "application/octet-stream", body = inline(Binary)),
        (status = 304, description = "You have them."),
        (status = 307, description = "They lie in a bucket that signs: `Location` is good for a while."),
        (status = 403, description = "weights_withheld: a file of a scored submission that becomes public with a round; \
            the detail says with which."),
        (status = 416, description = "There is no such range."),
    ),
)]
async fn object(
    State(app): State<App>,
    method: Method,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found("no public object has this digest");
    let sha256: Digest = digest.parse().map_err(|_| unknown())?;
    let Some(object) = app.db.public_object(&sha256).await? else {
        return Err(app.db.withheld_object(&sha256).await?.map_or_else(unknown, |withheld| not_yet(&withheld)));
    };
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
