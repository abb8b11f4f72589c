//! Handing out an object as a request wants it: whole, a part of it, or nothing where the client has it already.
//!
//! Validators and ranges as RFC 9110 has them. It does not know who may read what.

use crate::conditional::is_known;
use crate::error::ApiError;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use protocol::competition::ObjectRef;
use service::app::App;
use std::ops::Range;
use std::time::Duration;
use store::db::weights::Withheld;
use store::objects::ObjectError;
use url::Url;

/// A year: these bytes never change.
pub const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// How long a signed URL is good for: a download begins at once, and resumes with a new one.
const SIGNED_FOR: Duration = Duration::from_secs(3_600);

/// An object on its way out.
pub struct Delivery {
    /// Which.
    pub object: ObjectRef,
    /// Its entity tag, in quotes.
    pub etag: String,
    /// How long it may be kept.
    pub cache_control: &'static str,
    /// What to call it on disk: it is never shown in a browser, only saved.
    pub filename: String,
}

impl Delivery {
    /// The answer to a request for it.
    pub async fn answer(self, app: &App, method: &Method, headers: &HeaderMap) -> Result<Response, ApiError> {
        let size_bytes = self.object.size_bytes;
        if is_known(headers, &self.etag) {
            return Ok((StatusCode::NOT_MODIFIED, self.described()).into_response());
        }
        let range = match requested(headers, &self.etag, size_bytes) {
            Requested::Whole => None,
            Requested::Part(range) => Some(range),
            Requested::Unsatisfiable => return Ok(unsatisfiable(size_bytes)),
            Requested::Malformed => {
                let hint = "Ask for `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-COUNT`, in digits.";
                return Err(ApiError::new(StatusCode::BAD_REQUEST, "bad_range", "the range is none", hint));
            }
        };
        let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let part = range.clone().unwrap_or(0..size_bytes);
        let body = if *method == Method::HEAD || size_bytes == 0 {
            Body::empty()
        } else {
            Body::from_stream(app.objects.stream(&self.object.sha256, range.clone()).await?.stream)
        };
        let mut response = (status, self.described(), body).into_response();
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
        if let Some(Range { start, end }) = range {
            let content_range = format!("bytes {start}-{}/{size_bytes}", end - 1);
            response
                .headers_mut()
                .extend(HeaderValue::from_str(&content_range).map(|value| (header::CONTENT_RANGE, value)));
        }
        Ok(response)
    }

    /// Where else than from us it can be had, where the store signs.
    pub async fn elsewhere(&self, app: &App) -> Result<Option<Url>, ObjectError> {
        app.objects.signed_download(&self.object.sha256, SIGNED_FOR).await
    }

    /// Sends a client there. The address ends and is its bearer's alone, so nobody may keep the way to it.
    pub fn redirect(&self, status: StatusCode, url: &Url) -> Response {
        let mut response = (status, self.described()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(HeaderValue::from_str(url.as_str()).ok().map(|url| (header::LOCATION, url)));
        response
    }

    /// Headers of every answer about it.
    fn described(&self) -> [(header::HeaderName, String); 5] {
        [
            (header::ETAG, self.etag.clone()),
            (header::CACHE_CONTROL, self.cache_control.to_owned()),
            (header::ACCEPT_RANGES, "bytes".to_owned()),
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
            (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", self.filename)),
        ]
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Requested {
    Whole,
    Part(Range<u64>),
    Unsatisfiable,
    Malformed,
}

/// Which bytes a request wants. Several ranges at once, or a unit that we don't know, mean the whole, as RFC 9110 allows; so
/// does a range that ends before it begins. What isn't written as a range is refused, since others may read it.
fn requested(headers: &HeaderMap, etag: &str, size_bytes: u64) -> Requested {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let several = headers.get_all(header::RANGE).iter().nth(1).is_some();
    if several || text(header::IF_RANGE).is_some_and(|version| version != etag) {
        return Requested::Whole;
    }
    let Some((unit, ranges)) = text(header::RANGE).and_then(|range| range.split_once('=')) else {
        return Requested::Whole;
    };
    if !unit.eq_ignore_ascii_case("bytes") {
        return Requested::Whole;
    }
    let ranges: Option<Vec<(&str, &str)>> = ranges.split(',').map(|range| written(range.trim())).collect();
    let (first, last) = match ranges.as_deref() {
        Some([range]) => *range,
        Some(_) => return Requested::Whole,
        None => return Requested::Malformed,
    };
    // Numbers that nothing has are beyond every end.
    let number = |digits: &str| digits.parse::<u64>().unwrap_or(u64::MAX);
    let range = match (first, last) {
        ("", count) => size_bytes.saturating_sub(number(count))..size_bytes,
        (first, "") => number(first)..size_bytes,
        (first, last) if number(last) < number(first) => return Requested::Whole,
        (first, last) => number(first)..number(last).saturating_add(1).min(size_bytes),
    };
    if range.is_empty() { Requested::Unsatisfiable } else { Requested::Part(range) }
}

/// The digits of a range's ends, of which one may be missing.
fn written(range: &str) -> Option<(&str, &str)> {
    let (first, last) = range.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(first) && digits(last) && range.len() > 1).then_some((first, last))
}

fn unsatisfiable(size_bytes: u64) -> Response {
    let hint = "Ask for bytes that the object has; Content-Range says how many.";
    let error = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", "no such bytes", hint);
    ([(header::CONTENT_RANGE, format!("bytes */{size_bytes}"))], error).into_response()
}

/// What everybody hears who wants a package before its time.
pub fn not_yet(withheld: &Withheld) -> ApiError {
    let Withheld { submission, round } = withheld;
    let detail =
        format!("the package of {submission} isn't public yet: it is kept back until round {round} is revealed");
    let hint = "Come again when the round is over; the competition's page says how far it is, as GET /api/v1/competitions/<id>/rounds does.";
    ApiError::new(StatusCode::FORBIDDEN, "weights_withheld", detail, hint)
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
            ("bytes=99999999999999999999-", Requested::Unsatisfiable),
            ("bytes=2-99999999999999999999", Requested::Part(2..10)),
            ("BYTES=0-1", Requested::Part(0..2)),
            ("Bytes=+3-5", Requested::Malformed),
            ("bytes=+3-5,7-8", Requested::Malformed),
            ("bytes=+3-5", Requested::Malformed),
            ("bytes=3-+5", Requested::Malformed),
            ("bytes=-+5", Requested::Malformed),
            ("bytes=--5", Requested::Malformed),
            ("bytes=3", Requested::Malformed),
            ("bytes=-", Requested::Malformed),
            ("bytes=0x1-5", Requested::Malformed),
        ] {
            let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(range))]);
            assert_eq!(requested(&headers, "\"e\"", 10), expected, "{range}");
        }
    }
}
