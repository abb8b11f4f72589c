//! `GET /log/…`: the static files of the public log (C2SP tlog-tiles), and its verifier key under `/log/key`.
//!
//! A path is served in exactly one spelling, and only if the signed checkpoint promises it: what is served once is kept
//! for ever by whoever stands in between.

use super::Binary;
use crate::app::App;
use crate::error::{ApiError, Chain};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Uri, header};
use transparency::Resource;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A year: these bytes never change.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// An old checkpoint would hide what was logged since.
const NEVER_KEPT: &str = "no-store";

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(routes!(key)).routes(routes!(checkpoint)).routes(routes!(tile))
}

/// The public log's verifier key (C2SP signed-note).
#[utoipa::path(
    get,
    path = "/log/key",
    tag = "log",
    responses((status = 200, description = "`name+id+base64`.", content_type = "text/plain", body = String)),
)]
async fn key(State(app): State<App>) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, format!("{}\n", app.log.key())).into_response()
}

/// The public log's size and root, signed (C2SP tlog-checkpoint). Never cached.
#[utoipa::path(
    get,
    path = "/log/checkpoint",
    tag = "log",
    responses((status = 200, description = "A signed note.", content_type = "text/plain", body = String)),
)]
async fn checkpoint(State(app): State<App>, uri: Uri) -> Result<Response, ApiError> {
    file(&app, &uri).await
}

/// A tile of hashes or, below `entries/`, a bundle of entries (C2SP tlog-tiles). Immutable.
#[utoipa::path(
    get,
    path = "/log/tile/{*tile}",
    tag = "log",
    params(("tile" = String, Path, example = "entries/x001/067.p/112",
        description = "Level and index with slashes as they are, such as `0/000` or `entries/x001/067.p/112`.")),
    responses((status = 200, description = "Its bytes.", content_type = "application/octet-stream", body = inline(Binary))),
)]
async fn tile(State(app): State<App>, uri: Uri) -> Result<Response, ApiError> {
    file(&app, &uri).await
}

/// The path is read as it was sent: an escaped one is another.
async fn file(app: &App, uri: &Uri) -> Result<Response, ApiError> {
    let missing = || ApiError::not_found("the log has no such file");
    let resource = uri.path().strip_prefix("/log/").and_then(Resource::parse).ok_or_else(missing)?;
    let unreadable = |error| {
        tracing::error!(error = %Chain(&error), "the public log can't be read");
        ApiError::busy("the public log can't be read at the moment")
    };
    let view = app.log.view(&app.objects).await.map_err(unreadable)?;
    let bytes = view.read(&resource).await.map_err(unreadable)?.ok_or_else(missing)?;
    let kept = if resource.is_immutable() { IMMUTABLE } else { NEVER_KEPT };
    let headers = [(header::CONTENT_TYPE, resource.content_type()), (header::CACHE_CONTROL, kept)];
    Ok((headers, bytes).into_response())
}
