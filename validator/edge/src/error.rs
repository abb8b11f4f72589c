//! The one error of the HTTP edge: a problem document (RFC 9457) with a stable code and a hint.
//!
//! It never tells what lies behind the edge: paths, statements and backtraces go to the log alone.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use protocol::api::Problem;
use service::refusal::{Meaning, Refusal};

/// The media type of problem documents.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Where clients of the Hub look for what went wrong.
pub const ERROR_MESSAGE: HeaderName = HeaderName::from_static("x-error-message");
/// A longer message is cut off; the body has all of it.
const MESSAGE_BYTES_MAX: usize = 1_024;

/// An answer that says why not.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    hint: &'static str,
    retry_after_seconds: Option<u64>,
}

impl ApiError {
    /// A problem with a stable code, what happened, and what to do.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>, hint: &'static str) -> Self {
        Self { status, code, detail: detail.into(), hint, retry_after_seconds: None }
    }

    /// Says when to come back.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds.max(1));
        self
    }

    /// The same as 403 where it is a 429 that would make a client wait for longer than this.
    #[must_use]
    pub fn without_waiting_beyond(mut self, seconds: u64) -> Self {
        let waits = self.retry_after_seconds.is_some_and(|wait| wait > seconds);
        if self.status == StatusCode::TOO_MANY_REQUESTS && waits {
            self.status = StatusCode::FORBIDDEN;
        }
        self
    }

    /// The same behind other words.
    #[must_use]
    pub fn led_in_by(self, words: &str) -> Self {
        Self { detail: format!("{words}{}", self.detail), ..self }
    }

    /// Something that isn't there, or that the caller may not see.
    pub fn not_found(what: impl Into<String>) -> Self {
        Refusal::not_found(what).into()
    }

    /// What is in the way of an act.
    pub fn conflict(code: &'static str, detail: impl Into<String>, hint: &'static str) -> Self {
        Refusal::conflict(code, detail, hint).into()
    }

    /// Our fault. What it was is logged here, once.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        Refusal::internal(error).into()
    }

    /// Too much at once.
    pub fn busy(detail: &str) -> Self {
        Refusal::busy(detail).into()
    }

    /// Whether it says that there is no room, no time or no welcome.
    fn turns_away(&self) -> bool {
        let full = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE, StatusCode::INSUFFICIENT_STORAGE];
        full.contains(&self.status) || self.code == "blocked"
    }

    /// What clients of the Hub show to their user: problem and hint in one printable line.
    fn message(&self) -> Option<HeaderValue> {
        let text = format!("{}. {}", self.detail, self.hint);
        let printable = |byte: u8| if (b' '..=b'~').contains(&byte) { byte } else { b'?' };
        let line: Vec<u8> = text.bytes().take(MESSAGE_BYTES_MAX).map(printable).collect();
        HeaderValue::from_bytes(&line).ok()
    }

    /// The problem document.
    pub fn problem(&self) -> Problem {
        Problem {
            kind: format!("/problems/{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Problem").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.to_owned(),
            hint: self.hint.to_owned(),
            retry_after_seconds: self.retry_after_seconds,
        }
    }
}

/// Somebody was turned away, and not for what they asked: for whoever tells the log.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The problem's code.
    pub code: &'static str,
    /// What happened.
    pub detail: String,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.problem()).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.message().map(|message| (ERROR_MESSAGE, message)));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.turns_away() {
            response.extensions_mut().insert(Refused { code: self.code, detail: self.detail });
        }
        response
    }
}

/// How HTTP says what a refusal means.
fn status(meaning: Meaning) -> StatusCode {
    match meaning {
        Meaning::Malformed => StatusCode::BAD_REQUEST,
        Meaning::AgainstTheRules => StatusCode::UNPROCESSABLE_ENTITY,
        Meaning::Forbidden => StatusCode::FORBIDDEN,
        Meaning::Missing => StatusCode::NOT_FOUND,
        Meaning::OtherBuild => StatusCode::UPGRADE_REQUIRED,
        Meaning::InTheWay => StatusCode::CONFLICT,
        Meaning::TooSlow => StatusCode::REQUEST_TIMEOUT,
        Meaning::TooMuch => StatusCode::TOO_MANY_REQUESTS,
        Meaning::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Meaning::Full => StatusCode::INSUFFICIENT_STORAGE,
        Meaning::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What the service refuses, or failed at, as it means it.
impl<E: Into<Refusal>> From<E> for ApiError {
    fn from(error: E) -> Self {
        let Refusal { meaning, code, detail, hint, retry_after_seconds } = error.into();
        Self { status: status(meaning), code, detail, hint, retry_after_seconds }
    }
}
