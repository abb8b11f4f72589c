//! `GET` and `HEAD /{repository}/resolve/{revision}/{path}`: a file.
//!
//! Small files and those of a local store come from us. Where the store can sign, large ones are fetched from it: the
//! answer is a redirect that carries everything a client wants to know first, so that it need not follow to find out.

use super::errors::{HubError, REPO_COMMIT};
use super::repository::Place;
use super::revisions;
use crate::app::App;
use crate::db::hub::RevisionFile;
use crate::deliver::{Delivery, IMMUTABLE, SIGNED_FOR};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use protocol::competition::ObjectRef;

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
    let mut response = match elsewhere(&app, file).await? {
        Some(url) => redirect(&delivery, &url),
        None => delivery.answer(&app, &method, &headers).await?,
    };
    let commit = HeaderValue::from_str(&revision.commit).ok();
    response.headers_mut().extend(commit.map(|commit| (REPO_COMMIT, commit)));
    Ok(response)
}

/// Where else than from us a file can be had.
async fn elsewhere(app: &App, file: &RevisionFile) -> Result<Option<String>, HubError> {
    if file.pointer_size.is_none() {
        return Ok(None);
    }
    Ok(app.objects.signed_download(&file.sha256, SIGNED_FOR).await?.map(String::from))
}

fn redirect(delivery: &Delivery, url: &str) -> Response {
    let mut response = (StatusCode::FOUND, delivery.described()).into_response();
    let headers = response.headers_mut();
    // The address ends, and is its bearer's alone.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(LINKED_SIZE, HeaderValue::from(delivery.object.size_bytes));
    for (name, value) in [(header::LOCATION, url), (LINKED_ETAG, &delivery.etag)] {
        headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
    }
    response
}
