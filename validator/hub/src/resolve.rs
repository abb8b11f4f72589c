//! `GET` and `HEAD /{repository}/resolve/{revision}/{path}`: a file; `blob` leads there.
//!
//! Small files and those of a local store come from us. Where the store can sign, large ones are fetched from it: the
//! answer is a redirect that carries everything a client wants to know first, so that it need not follow to find out.

use crate::contents;
use crate::errors::{HubError, Missing, REPO_COMMIT};
use crate::repository::{AtRevision, Place};
use crate::revisions;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use edge::Binary;
use edge::deliver::{Delivery, IMMUTABLE, not_yet};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use protocol::competition::ObjectRef;
use service::app::App;
use store::db::hub::Revision;
use url::Url;

const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");

/// A file of a repository (Hub: hf_hub_download). HEAD, Range and If-None-Match work.
#[utoipa::path(
    get,
    path = "/resolve/{revision}/{*path}",
    tag = "hub",
    params(
        AtRevision,
        ("path" = String, Path, description = "The file's path; slashes stay as they are."),
        ("Range" = Option<String>, Header, description = "Some bytes, such as `bytes=0-1023`; one range at a time."),
    ),
    responses(
        (status = 200, content_type = "*/*", body = inline(Binary),
            description = "The file; its `ETag` is its SHA-256 if it is large, else git's id.",
            headers(("X-Repo-Commit" = String, description = "The revision's commit id."))),
        (status = 206, content_type = "*/*", body = inline(Binary), description = "The range that was asked for.",
            headers(("Content-Range" = String, description = "Which bytes of how many."))),
        (status = 302, description = "A large file lies in a bucket that signs: `Location` is good for a while; \
            `X-Linked-Size` and `X-Linked-ETag` say what is there."),
        (status = 304, description = "You have it."),
        (status = 403, description = "The weights of a submission whose round isn't revealed yet: `X-Error-Code` is \
            GatedRepo, and the message says which round."),
        (status = 416, description = "The file has no such range."),
        Missing,
    ),
)]
pub(crate) async fn file(
    State(app): State<App>,
    method: Method,
    place: Place,
    headers: HeaderMap,
) -> Result<Response, HubError> {
    let revision =
        revisions::find(&app, &place.repository, &place.revision).await.map_err(|error| error.to(&headers))?;
    handed_out(&app, &method, &place, &headers, &revision).await
}

/// The Hub's page of a file, whose address people paste: leads to the file.
#[utoipa::path(
    get,
    path = "/blob/{revision}/{*path}",
    tag = "hub",
    params(AtRevision, ("path" = String, Path, description = "The file's path; slashes stay as they are.")),
    responses((status = 303, description = "The file."), Missing),
)]
pub(crate) async fn page(State(app): State<App>, place: Place, uri: Uri) -> Result<Redirect, HubError> {
    let revision = revisions::find(&app, &place.repository, &place.revision).await?;
    if revision.files.iter().all(|file| file.path != place.path) {
        return Err(HubError::no_entry(&place.path, &revision.commit));
    }
    // No name before it has a slash in it, so the first one is the address's own.
    Ok(Redirect::to(&uri.path().replacen("/blob/", "/resolve/", 1)))
}

/// A file of a revision, from us or from the store.
async fn handed_out(
    app: &App,
    method: &Method,
    place: &Place,
    headers: &HeaderMap,
    revision: &Revision,
) -> Result<Response, HubError> {
    let found = revision.files.iter().find(|file| file.path == place.path);
    let file = found.ok_or_else(|| HubError::no_entry(&place.path, &revision.commit))?;
    // What is small was made for the revision; large files are objects of their own, and have their own time.
    if file.pointer_size.is_some() && app.db.public_object(&file.sha256).await?.is_none() {
        let withheld = app.db.withheld_object(&file.sha256).await?;
        // None where its submission was taken out before its time came.
        let gone = || HubError::no_entry(&place.path, &revision.commit);
        return Err(withheld.map_or_else(gone, |withheld| HubError::withheld(not_yet(&withheld))));
    }
    let delivery = Delivery {
        object: ObjectRef { sha256: file.sha256, size_bytes: file.size },
        etag: format!("\"{}\"", file.tag()),
        // A branch moves; a tag is only looked up again; a commit is what it is.
        cache_control: if place.revision == revision.commit { IMMUTABLE } else { "no-cache" },
        filename: file.path.rsplit('/').next().unwrap_or_default().to_owned(),
    };
    // What is small comes from us.
    let elsewhere = if file.pointer_size.is_some() { delivery.elsewhere(app).await? } else { None };
    let mut response = match elsewhere {
        Some(url) => redirect(&delivery, &url),
        None => delivery.answer(app, method, headers).await?,
    };
    let commit = HeaderValue::from_str(&revision.commit).ok();
    response.headers_mut().extend(commit.map(|commit| (REPO_COMMIT, commit)));
    Ok(response)
}

/// A file as git holds it (Hub's JavaScript client: fileExists): of a large one the pointer, which says its digest and size.
#[utoipa::path(
    get,
    path = "/raw/{revision}/{*path}",
    tag = "hub",
    params(AtRevision, ("path" = String, Path, description = "The file's path; slashes stay as they are.")),
    responses(
        (status = 200, content_type = "*/*", body = inline(Binary), description = "The file, or its pointer."),
        Missing,
    ),
)]
pub(crate) async fn raw(
    State(app): State<App>,
    method: Method,
    place: Place,
    headers: HeaderMap,
) -> Result<Response, HubError> {
    let revision = revisions::find(&app, &place.repository, &place.revision).await?;
    let large = revision.files.iter().find(|file| file.path == place.path && file.pointer_size.is_some());
    let Some(large) = large else { return handed_out(&app, &method, &place, &headers, &revision).await };
    let pointer = contents::pointer(&large.sha256, large.size);
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")], pointer)
        .into_response())
}

/// The way to the file, with what clients want to know of it before they follow.
fn redirect(delivery: &Delivery, url: &Url) -> Response {
    let mut response = delivery.redirect(StatusCode::FOUND, url);
    let headers = response.headers_mut();
    headers.insert(LINKED_SIZE, HeaderValue::from(delivery.object.size_bytes));
    headers.extend(HeaderValue::from_str(&delivery.etag).ok().map(|etag| (LINKED_ETAG, etag)));
    response
}
