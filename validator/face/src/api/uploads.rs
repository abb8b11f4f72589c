//! `PUT /api/v1/uploads/{token}`: bytes that come through us, where the object store can't sign URLs.

use crate::face::Face;
use axum::Extension;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use edge::Binary;
use edge::error::ApiError;
use futures::TryStreamExt;
use http::{HeaderMap, StatusCode, header};
use service::app::App;
use service::guard::AddressBlock;
use service::intake;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Uploads count their own bytes and watch their own clock.
pub fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default().routes(routes!(upload)).layer(DefaultBodyLimit::disable())
}

/// Send one file to the URL that the announcement was answered with.
#[utoipa::path(
    put,
    path = "/api/v1/uploads/{token}",
    tag = "files",
    params(("token" = String, Path, description = "Part of the URL, good for one file until it expires.")),
    request_body(content = inline(Binary), content_type = "application/octet-stream", description = "The file."),
    responses((status = 204, description = "Stored.")),
)]
async fn upload(
    State(app): State<App>,
    Extension(client): Extension<AddressBlock>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = body.into_data_stream().map_err(|error| error.to_string());
    intake::upload(&app, client, &token, length, body).await?;
    Ok(StatusCode::NO_CONTENT)
}
