//! `GET /api/v1/objects/sha256/{digest}`: immutable bytes of published competitions and scored submissions.
//!
//! Anything else looks as if it weren't there, whether or not it is stored. Where the store signs URLs, whoever wants
//! bytes is sent there.

use crate::app::App;
use crate::conditional::is_known;
use crate::db::competitions::PublicObject;
use crate::error::ApiError;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use protocol::Digest;
use std::ops::Range;
use std::time::Duration;

/// A year: these bytes never change.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// How long a signed URL is good for: a slow start of a download, not its end.
const SIGNED_FOR: Duration = Duration::from_secs(600);

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
    let etag = format!("\"{sha256}\"");
    if is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, described(&object, &etag)).into_response());
    }
    if method == Method::GET
        && let Some(url) = app.objects.signed_download(&sha256, SIGNED_FOR).await?
    {
        // The target ends, so nobody may keep the way to it.
        let headers = [(header::LOCATION, url.to_string()), (header::CACHE_CONTROL, "no-store".to_owned())];
        return Ok((StatusCode::TEMPORARY_REDIRECT, headers).into_response());
    }
    let range = match requested(&headers, &etag, object.size_bytes) {
        Requested::Whole => None,
        Requested::Part(range) => Some(range),
        Requested::Unsatisfiable => return Ok(unsatisfiable(object.size_bytes)),
    };
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let part = range.clone().unwrap_or(0..object.size_bytes);
    let body = if method == Method::HEAD || object.size_bytes == 0 {
        Body::empty()
    } else {
        Body::from_stream(app.objects.stream(&sha256, range.clone()).await?.stream)
    };
    let mut response = (status, described(&object, &etag), body).into_response();
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    if let Some(Range { start, end }) = range {
        let content_range = format!("bytes {start}-{}/{}", end - 1, object.size_bytes);
        response
            .headers_mut()
            .extend(HeaderValue::from_str(&content_range).map(|value| (header::CONTENT_RANGE, value)));
    }
    Ok(response)
}

/// Headers of every answer about an object. It is never shown in a browser, only saved.
fn described(object: &PublicObject, etag: &str) -> [(header::HeaderName, String); 5] {
    [
        (header::ETAG, etag.to_owned()),
        (header::CACHE_CONTROL, IMMUTABLE.to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", object.filename)),
    ]
}

#[derive(Debug, PartialEq, Eq)]
enum Requested {
    Whole,
    Part(Range<u64>),
    Unsatisfiable,
}

/// Which bytes a request wants. Several ranges at once, or a form we don't know, mean the whole, as RFC 9110 allows.
fn requested(headers: &HeaderMap, etag: &str, size_bytes: u64) -> Requested {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_RANGE).is_some_and(|version| version != etag) {
        return Requested::Whole;
    }
    let Some((first, last)) = text(header::RANGE).and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
    else {
        return Requested::Whole;
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if last >= first => first..last.saturating_add(1).min(size_bytes),
        (Ok(first), Err(_)) if last.is_empty() => first..size_bytes,
        (Err(_), Ok(count)) if first.is_empty() => size_bytes.saturating_sub(count)..size_bytes,
        _ => return Requested::Whole,
    };
    if range.is_empty() { Requested::Unsatisfiable } else { Requested::Part(range) }
}

fn unsatisfiable(size_bytes: u64) -> Response {
    let hint = "Ask for bytes that the object has; Content-Range says how many.";
    let error = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", "no such bytes", hint);
    ([(header::CONTENT_RANGE, format!("bytes */{size_bytes}"))], error).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        for (range, expected) in [
            ("bytes=0-3", Requested::Part(0..4)),
            ("bytes=8-", Requested::Part(8..10)),
            ("bytes=-3", Requested::Part(7..10)),
            ("bytes=5-99", Requested::Part(5..10)),
            ("bytes=-99", Requested::Part(0..10)),
            ("bytes=10-", Requested::Unsatisfiable),
            ("bytes=-0", Requested::Unsatisfiable),
            ("bytes=3-1", Requested::Whole),
            ("bytes=0-1,4-5", Requested::Whole),
            ("lines=0-1", Requested::Whole),
            ("bytes=99999999999999999999-", Requested::Whole),
        ] {
            let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(range))]);
            assert_eq!(requested(&headers, "\"e\"", 10), expected, "{range}");
        }
    }
}
