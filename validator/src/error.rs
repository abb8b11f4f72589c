//! The one error of the HTTP edge: a problem document (RFC 9457) with a stable code and a hint.
//!
//! It never tells what lies behind the edge: paths, statements and backtraces go to the log alone.

use crate::db::DbError;
use crate::objects::ObjectError;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use protocol::api::Problem;
use protocol::submission::{Code, Rejection};

/// The media type of problem documents.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Where clients of the Hub look for what went wrong.
pub(crate) const ERROR_MESSAGE: HeaderName = HeaderName::from_static("x-error-message");
/// A longer message is cut off; the body has all of it.
const MESSAGE_BYTES_MAX: usize = 1_024;

/// An answer that says why not.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    hint: &'static str,
    retry_after_seconds: Option<u64>,
}

impl ApiError {
    /// A problem with a stable code, what happened, and what to do.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>, hint: &'static str) -> Self {
        Self { status, code, detail: detail.into(), hint, retry_after_seconds: None }
    }

    /// Says when to come back.
    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds.max(1));
        self
    }

    /// The same as 403 where it is a 429 that would make a client wait for longer than this.
    #[must_use]
    pub(crate) fn without_waiting_beyond(mut self, seconds: u64) -> Self {
        let waits = self.retry_after_seconds.is_some_and(|wait| wait > seconds);
        if self.status == StatusCode::TOO_MANY_REQUESTS && waits {
            self.status = StatusCode::FORBIDDEN;
        }
        self
    }

    /// Something that isn't there, or that the caller may not see.
    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            what,
            "Check the address; the lists under /api/v1 link what is there.",
        )
    }

    /// Too often, or too much of something that has a limit: when it may be tried again is known.
    pub(crate) fn too_many(code: &'static str, detail: impl Into<String>, hint: &'static str, seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail, hint).retry_after(seconds)
    }

    /// What is in the way of an act.
    pub(crate) fn conflict(code: &'static str, detail: impl Into<String>, hint: &'static str) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail, hint)
    }

    /// Our fault. What it was is logged here, once.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %Chain(error), "a request failed through our fault");
        let hint = "Try again later; the operator finds the cause under the request id.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the validator failed", hint)
    }

    /// No space left.
    pub(crate) fn disk_full() -> Self {
        let hint = "Try again later; the operator has to make space.";
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", "the validator has no space left", hint)
            .retry_after(600)
    }

    /// Too much at once.
    pub(crate) fn busy(detail: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail, "Try again in a few seconds.").retry_after(5)
    }

    /// Whether it says that there is no room, no time or no welcome.
    fn turns_away(&self) -> bool {
        let full = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE, StatusCode::INSUFFICIENT_STORAGE];
        full.contains(&self.status) || self.is_blocked()
    }

    /// Whether the operator has shut somebody out.
    pub(crate) fn is_blocked(&self) -> bool {
        self.code == "blocked"
    }

    /// What clients of the Hub show to their user: problem and hint in one printable line.
    fn message(&self) -> Option<HeaderValue> {
        let text = format!("{}. {}", self.detail, self.hint);
        let printable = |byte: u8| if (b' '..=b'~').contains(&byte) { byte } else { b'?' };
        let line: Vec<u8> = text.bytes().take(MESSAGE_BYTES_MAX).map(printable).collect();
        HeaderValue::from_bytes(&line).ok()
    }

    /// The problem document.
    pub(crate) fn problem(&self) -> Problem {
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
pub(crate) struct Refused {
    /// The problem's code.
    pub(crate) code: &'static str,
    /// What happened.
    pub(crate) detail: String,
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

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::StateChanged { .. } => {
                let hint = "Ask for the submission's state and go on from there.";
                Self::new(StatusCode::CONFLICT, "state_changed", error.to_string(), hint)
            }
            error if error.is_full() => Self::disk_full(),
            error if error.is_busy() => {
                // That somebody was turned away for it is told with other refusals.
                tracing::debug!(error = %Chain(&error), "the database is held by somebody else");
                Self::busy("the validator's database is busy")
            }
            error => Self::internal(&error),
        }
    }
}

impl From<ObjectError> for ApiError {
    fn from(error: ObjectError) -> Self {
        let detail = error.to_string();
        match error {
            ObjectError::Size { .. } => Code::SizeMismatch.because(detail).into(),
            ObjectError::Digest { .. } => Code::DigestMismatch.because(detail).into(),
            ObjectError::BrokenOff { .. } => {
                let hint = "Send the file again; the URL stays good until it expires.";
                Self::new(StatusCode::BAD_REQUEST, "upload_broken_off", detail, hint)
            }
            ObjectError::Full => Self::disk_full(),
            ObjectError::Away(_) | ObjectError::Unwritable { .. } => {
                tracing::error!("{error}");
                Self::busy("the validator's objects can't be reached at the moment").retry_after(30)
            }
            ObjectError::Missing(_)
            | ObjectError::Store(_)
            | ObjectError::Io(_)
            | ObjectError::Url { .. }
            | ObjectError::Overwrites => Self::internal(&error),
        }
    }
}

/// A rejection that a request already shows, before anything is stored.
impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, rejection.code.as_str(), rejection.detail, rejection.code.hint())
    }
}

/// An error with its causes, for a line of the log.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
