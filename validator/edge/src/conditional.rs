//! Answers that are whole in memory: their tag, `304 Not Modified` for whoever has them already, and gzip for whoever
//! takes it. Streams and files pass through untouched.
//!
//! It does not know what an answer says.

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use store::ready::{Ready, etag, gzip};

/// Less is not worth the work.
const GZIP_BYTES_MIN: usize = 1_024;
/// What is read into memory at most; answers of ours that are known to be whole are far smaller.
const WHOLE_BYTES_MAX: u64 = 64 << 20;
/// What compresses well.
pub const TEXTS: [&str; 5] = ["application/json", "text/html", "text/css", "text/csv", "image/svg+xml"];

/// Tags, spares and compresses the answers to reads.
pub async fn conditional(request: Request, next: Next) -> Response {
    if *request.method() != Method::GET {
        return next.run(request).await;
    }
    let headers = request.headers().clone();
    let response = next.run(request).await;
    if !is_whole_text(&response) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = match axum::body::to_bytes(body, WHOLE_BYTES_MAX as usize).await {
        Ok(bytes) => bytes,
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let given = parts.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok().map(str::to_owned));
    let tag = given.unwrap_or_else(|| etag(&bytes));
    if is_known(&headers, &tag) {
        return not_modified(&parts.headers, &tag);
    }
    parts.headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let squeezed = takes_gzip(&headers) && bytes.len() >= GZIP_BYTES_MIN;
    let bytes = if squeezed { gzip(&bytes) } else { bytes };
    if squeezed {
        parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    // The same tag stands for the plain and the compressed bytes, so it can't promise equal ones.
    if let Ok(weak) = HeaderValue::from_str(&weakened(&tag)) {
        parts.headers.insert(header::ETAG, weak);
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// The answer as this client takes it; `fixed` are the headers that say what it is.
pub fn answer<const N: usize>(ready: &Ready, fixed: [(HeaderName, &str); N], headers: &HeaderMap) -> Response {
    if is_known(headers, &ready.etag) {
        return not_modified(fixed.into_response().headers(), &ready.etag);
    }
    let tag = [(header::ETAG, weakened(&ready.etag)), (header::VARY, "accept-encoding".to_owned())];
    if takes_gzip(headers) && ready.plain.len() >= GZIP_BYTES_MIN {
        let coding = [(header::CONTENT_ENCODING, "gzip")];
        return (fixed, tag, coding, ready.squeezed.clone()).into_response();
    }
    (fixed, tag, ready.plain.clone()).into_response()
}

/// A good answer of text that nobody has compressed and everybody may keep.
fn is_whole_text(response: &Response) -> bool {
    let headers = response.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default();
    response.status() == StatusCode::OK
        && TEXTS.contains(&kind)
        && !headers.contains_key(header::CONTENT_ENCODING)
        && text(header::CACHE_CONTROL) != "no-store"
        && response.body().size_hint().exact().is_some_and(|bytes| bytes <= WHOLE_BYTES_MAX)
}

fn weakened(tag: &str) -> String {
    if tag.starts_with("W/") { tag.to_owned() } else { format!("W/{tag}") }
}

/// Whether the client has the version with this tag already.
pub fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let bare = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|tags| tags.split(',')).map(str::trim).any(|known| known == "*" || bare(known) == bare(tag))
}

/// Whether the client takes gzip.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = matches!(quality.trim().trim_start_matches("q="), "0" | "0.0" | "0.00" | "0.000");
        matches!(name.trim(), "gzip" | "*") && !refused
    })
}

/// 304 with what a cache needs to go on with what it has.
fn not_modified(of: &HeaderMap, tag: &str) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    let headers = response.headers_mut();
    for name in [header::CACHE_CONTROL, header::CONTENT_SECURITY_POLICY] {
        if let Some(value) = of.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&weakened(tag)) {
        headers.insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn asking(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (accepted, takes) in
            [("gzip", true), ("br, gzip;q=0.5", true), ("*", true), ("gzip;q=0", false), ("br", false), ("", false)]
        {
            assert_eq!(takes_gzip(&asking(header::ACCEPT_ENCODING, accepted)), takes, "{accepted}");
        }
        let text = "Rank".repeat(5_000);
        let mut again = String::new();
        flate2::read::GzDecoder::new(&gzip(text.as_bytes())[..]).read_to_string(&mut again).unwrap();
        assert_eq!(again, text);
    }

    #[test]
    fn tags_are_compared_as_weak_ones() {
        for (sent, known) in [("\"a\"", true), ("W/\"a\"", true), ("\"b\", \"a\"", true), ("*", true), ("\"b\"", false)]
        {
            assert_eq!(is_known(&asking(header::IF_NONE_MATCH, sent), "W/\"a\""), known, "{sent}");
        }
    }
}
