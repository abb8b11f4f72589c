//! `GET` and `HEAD /{repository}/resolve/{revision}/{path}`: a file.
//!
//! Small files and those of a local store come from us. Where the store can sign, large ones are fetched from it: the
//! answer is a redirect that carries everything a client wants to know first, so that it need not follow to find out.

use super::errors::{HubError, REPO_COMMIT};
use super::repository::Place;
use super::revisions;
use crate::app::App;
use crate::deliver::{Delivery, IMMUTABLE};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use protocol::competition::ObjectRef;
use url::Url;

const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");

pub(super) async fn file(
    State(app): State<App>,
    method: Method,
    place: Place,
    headers: HeaderMap,
) -> Result<Response, HubError> {
    let revision = revisions::find(&app, &place.repository, &place.revision).await?;
    let found = revision.files.iter().find(|file| file.path == place.path);
    let file = found.ok_or_else(|| HubError::no_entry(&place.path, &revision.commit))?;
    let delivery = Delivery {
        object: ObjectRef { sha256: file.sha256, size_bytes: file.size },
        etag: format!("\"{}\"", file.tag()),
        // A branch moves; a tag is only looked up again; a commit is what it is.
        cache_control: if place.revision == revision.commit { IMMUTABLE } else { "no-cache" },
        filename: file.path.rsplit('/').next().unwrap_or_default().to_owned(),
    };
    // What is small comes from us.
    let elsewhere = if file.pointer_size.is_some() { delivery.elsewhere(&app).await? } else { None };
    let mut response = match elsewhere {
        Some(url) => redirect(&delivery, &url),
        None => delivery.answer(&app, &method, &headers).await?,
    };
    let commit = HeaderValue::from_str(&revision.commit).ok();
    response.headers_mut().extend(commit.map(|commit| (REPO_COMMIT, commit)));
    Ok(response)
}

/// The way to the file, with what clients want to know of it before they follow.
fn redirect(delivery: &Delivery, url: &Url) -> Response {
    let mut response = delivery.redirect(StatusCode::FOUND, url);
    let headers = response.headers_mut();
    headers.insert(LINKED_SIZE, HeaderValue::from(delivery.object.size_bytes));
    headers.extend(HeaderValue::from_str(&delivery.etag).ok().map(|etag| (LINKED_ETAG, etag)));
    response
}
