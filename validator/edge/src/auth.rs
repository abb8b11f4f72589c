//! Signed requests at the HTTP edge: `btauth/1`, bound to this validator, each accepted once.
//!
//! A handler that takes [`Signed`] is given a proven sender and the very bytes that were signed. It does not know what
//! the sender may do.

use crate::error::ApiError;
use axum::body::HttpBody as _;
use axum::extract::{FromRef, FromRequest, FromRequestParts, OriginalUri, Request};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use protocol::auth::{AuthError, Claim, Policy, SignedText, VerifiedRequest};
use protocol::{Digest, Hotkey, strict};
use serde::de::DeserializeOwned;
use service::app::App;
use service::guard::AddressBlock;
use service::guard::places::Place;
use std::net::Ipv4Addr;
use std::time::Duration;
use store::config::ServiceLimits;
use store::failpoints::{self, Moment};

/// A request that this hotkey signed for us, for the first time.
#[derive(Debug)]
pub struct Signed {
    /// Who.
    pub hotkey: Hotkey,
    /// What it signed.
    pub text: SignedText,
    body: Bytes,
    /// Among the requests that change something, until it is answered.
    _place: Place,
}

impl Signed {
    /// The digest of the body as it was signed.
    pub fn body_sha256(&self) -> Digest {
        Digest::of(&self.body)
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        strict::from_slice(&self.body).map_err(|error| {
            let hint = "Compare the body with /openapi.json; unknown fields are errors.";
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", error.to_string(), hint)
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for Signed
where
    App: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let app = &App::from_ref(state);
        let (mut parts, body) = request.into_parts();
        // Shape, receiver and freshness need no body, so a stranger's isn't read.
        let headers = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        // Clients sign by the time of day; whether somebody set ours a moment ago is no matter of theirs.
        let now_ns = app.clock.wall_ns();
        let claim = Claim::from_headers(headers).map_err(|error| refused(&error.into()))?;
        let claim = claim.admit(&app.hotkey, now_ns, &Policy::default()).map_err(|error| refused(&error))?;
        let body = read_body(&parts.headers, body, &app.config.limits).await?;
        let Ok(OriginalUri(uri)) = OriginalUri::from_request_parts(&mut parts, app).await;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let (method, body_sha256) = (parts.method.as_str(), Digest::of(&body));
        let text = claim.signed_text(method, target, body_sha256);
        let verified = claim.verify(method, target, body_sha256).map_err(|error| refused(&error))?;
        let place = enter(app, &parts, &verified).await?;
        failpoints::at(Moment::NonceStored)?;
        Ok(Self { hotkey: verified.hotkey, text, body, _place: place })
    }
}

/// Takes what a proven request needs, its own before what is common: a replay costs nobody anything, and whoever is over its
/// own rate costs nobody else anything.
async fn enter(app: &App, parts: &Parts, request: &VerifiedRequest) -> Result<Place, ApiError> {
    let VerifiedRequest { hotkey, nonce_ns, .. } = *request;
    let replayed = || refused(&AuthError::ReplayedRequest { hotkey, nonce_ns });
    if app.db.knows_nonce(request).await? {
        return Err(replayed());
    }
    app.guard.admit_hotkey(&hotkey)?;
    let place = app.guard.place(&app.guard.budgets.writes, client(parts), &hotkey).await?;
    app.guard.admit_signed(&hotkey).await?;
    // Of two that come at once one is first.
    let is_first = app.db.remember_nonce(request, app.clock.now()).await?;
    if is_first { Ok(place) } else { Err(replayed()) }
}

/// Whose address a request came from, as the router found out.
pub fn client(parts: &Parts) -> AddressBlock {
    parts.extensions.get().copied().unwrap_or_else(|| AddressBlock::of(Ipv4Addr::UNSPECIFIED.into()))
}

/// The request with a body that has come, where it has one.
pub async fn with_body_read(request: Request, limits: &ServiceLimits) -> Result<Request, ApiError> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let body = read_body(&parts.headers, body, limits).await?;
    Ok(Request::from_parts(parts, body.into()))
}

/// Reads a small body within its limits of size and time.
pub async fn read_body(headers: &HeaderMap, body: axum::body::Body, limits: &ServiceLimits) -> Result<Bytes, ApiError> {
    let bytes_max = limits.body_bytes_max;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let too_large = || {
        let detail = format!("the body has more than {bytes_max} bytes");
        let hint = "Only uploads may be large; they go to the URLs that a submission is given.";
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail, hint)
    };
    if announced.is_some_and(|bytes| bytes > bytes_max) {
        return Err(too_large());
    }
    let limit = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let seconds = limits.body_read_seconds_max;
    match tokio::time::timeout(Duration::from_secs(seconds), axum::body::to_bytes(body, limit)).await {
        Ok(read) => read.map_err(|error| if is_too_long(&error) { too_large() } else { broken_off() }),
        Err(_) => {
            let detail = format!("the body didn't arrive within {seconds} s");
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail, "Send the request again, at once."))
        }
    }
}

/// Whether reading ended at the limit, not at the connection's end.
fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>())
}

fn broken_off() -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "body_broken_off", "the body broke off", "Send the request again.")
}

/// The token of an `Authorization` header; the name of its scheme is in whatever case (RFC 9110).
pub fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// 401 with the name that the protocol gives to the failure.
fn refused(error: &AuthError) -> ApiError {
    let (code, hint) = match error {
        AuthError::MalformedAuth(_) => ("malformed_auth", "Send the X-Bittensor-* headers of btauth/1."),
        AuthError::WrongReceiver { .. } => (
            "wrong_receiver",
            "Sign for this validator's hotkey: field `validator` of /api/v1/competitions/{id}; `retort` asks for it by itself.",
        ),
        AuthError::StaleRequest { .. } => (
            "stale_request",
            "Which of the two clocks is wrong isn't known here. Set yours by NTP, or sign anew by the Date of this answer; a \
             nonce is Unix time in nanoseconds, at most 10 s back and 2 s ahead.",
        ),
        AuthError::BadSignature(_) => {
            ("bad_signature", "Sign method, path with query as sent, and the SHA-256 of the very body that is sent.")
        }
        AuthError::ReplayedRequest { .. } | AuthError::NonceWindowFull { .. } => {
            ("replayed_request", "Sign every request anew, with a nonce of its own.")
        }
    };
    ApiError::new(StatusCode::UNAUTHORIZED, code, error.to_string(), hint)
}

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn the_name_of_a_scheme_is_in_whatever_case() {
        for value in ["Bearer token", "bearer token", "BEARER  token "] {
            assert_eq!(bearer(value), Some("token"));
        }
        for value in ["Basic token", "Bearertoken", "token", ""] {
            assert_eq!(bearer(value), None);
        }
    }
}
