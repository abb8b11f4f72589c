//! `GET /log/…`: the static files of the public log (C2SP tlog-tiles), and its verifier key under `/log/key`. Below
//! `/api/v1/log/`: which checkpoints witnesses cosigned.
//!
//! A path is served in exactly one spelling, and only if the signed checkpoint promises it: what is served once is kept
//! for ever by whoever stands in between.

use super::json;
use crate::face::Face;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use edge::Binary;
use edge::error::ApiError;
use http::{Uri, header};
use protocol::api::CosignedCheckpoints;
use service::app::App;
use std::collections::BTreeMap;
use store::causes::Chain;
use transparency::{LogError, LogView, Resource};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A year: these bytes never change.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// An old checkpoint would hide what was logged since.
const NEVER_KEPT: &str = "no-store";

pub(super) fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default()
        .routes(routes!(key))
        .routes(routes!(checkpoint))
        .routes(routes!(tile))
        .routes(routes!(first_cosigned))
        .routes(routes!(last_cosigned))
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

/// The public log's size and root, signed (C2SP tlog-checkpoint), with the cosignatures that witnesses gave it so far. Never
/// cached.
#[utoipa::path(
    get,
    path = "/log/checkpoint",
    tag = "log",
    responses((status = 200, description = "A signed note.", content_type = "text/plain", body = String)),
)]
async fn checkpoint(State(app): State<App>) -> Result<Response, ApiError> {
    let view = view(&app).await?;
    let (size, note) = (view.checkpoint().size(), view.checkpoint().note());
    let lines = app.db.cosignature_lines(size, note).await?;
    let note = view.checkpoint().cosigned(lines.iter().map(String::as_str));
    let headers = [(header::CONTENT_TYPE, Resource::Checkpoint.content_type()), (header::CACHE_CONTROL, NEVER_KEPT)];
    Ok((headers, note).into_response())
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
    let view = view(app).await?;
    let promised = resource.lies_in(view.checkpoint().size());
    let read = view.read(&resource).await.inspect_err(|_| app.log.damage.notify_one());
    let bytes = read.map_err(|error| unreadable(&error))?;
    let bytes = bytes.ok_or_else(|| {
        if promised {
            // The checkpoint promises it and it is gone: whoever writes the log mends it.
            app.log.damage.notify_one();
        }
        missing()
    })?;
    let headers = [(header::CONTENT_TYPE, resource.content_type()), (header::CACHE_CONTROL, IMMUTABLE)];
    Ok((headers, bytes).into_response())
}

/// By when an entry of the public log was witnessed: for each witness its first cosigned checkpoint that holds the entry.
/// Whoever asks decides which witnesses to believe, and checks the signatures.
#[utoipa::path(
    get,
    path = "/api/v1/log/cosigned/{index}",
    tag = "log",
    params(("index" = u64, Path, example = 0, description = "The entry's place in the log, counted from 0.")),
    responses((status = 200, description = "Notes, by size.", body = CosignedCheckpoints)),
)]
async fn first_cosigned(State(app): State<App>, Path(index): Path<u64>) -> Result<Response, ApiError> {
    let size = view(&app).await?.checkpoint().size();
    cosigned(&app, app.db.first_cosigned(index, size).await?).await
}

/// How far the public log is witnessed: for each witness the last checkpoint that it cosigned.
#[utoipa::path(
    get,
    path = "/api/v1/log/cosigned",
    tag = "log",
    responses((status = 200, description = "Notes, by size.", body = CosignedCheckpoints)),
)]
async fn last_cosigned(State(app): State<App>) -> Result<Response, ApiError> {
    let size = view(&app).await?.checkpoint().size();
    cosigned(&app, app.db.last_cosigned(size).await?).await
}

/// These checkpoints with all their cosignatures.
async fn cosigned(app: &App, checkpoints: BTreeMap<u64, String>) -> Result<Response, ApiError> {
    let mut notes = Vec::new();
    for (size, checkpoint) in checkpoints {
        let lines = app.db.cosignature_lines(size, &checkpoint).await?;
        notes.push(checkpoint + &lines.concat());
    }
    Ok(json(&CosignedCheckpoints { notes }))
}

async fn view(app: &App) -> Result<LogView, ApiError> {
    app.log.view(&app.objects).await.map_err(|error| unreadable(&error))
}

fn unreadable(error: &LogError) -> ApiError {
    tracing::error!(error = %Chain(error), "the public log can't be read");
    ApiError::busy("the public log can't be read at the moment")
}
