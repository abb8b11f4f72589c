//! `GET /api/v1/events`: what happens, as it happens (`text/event-stream`), or page by page for those who ask for JSON.

use super::pages::{Slice, linked};
use super::query::Asked;
use crate::app::App;
use crate::db::feed::FeedFilter;
use crate::error::ApiError;
use crate::feed::Listener;
use crate::intake;
use axum::Router;
use axum::body::Body;
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use protocol::{CompetitionId, Hotkey, SubmissionId};
use serde::Deserialize;
use std::convert::Infallible;

/// Where a browser says what it heard last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// nginx and its kin would collect a stream before they pass it on.
const NO_BUFFERING: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");
/// Events of a page.
const EVENTS_MAX: u32 = 500;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/api/v1/events", get(events))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    competition: Option<CompetitionId>,
    submission: Option<SubmissionId>,
    hotkey: Option<Hotkey>,
    /// As `Last-Event-ID`, for those who can't send that.
    after: Option<u64>,
    limit: Option<u32>,
}

async fn events(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Asked(query): Asked<Query>,
) -> Result<Response, ApiError> {
    if let Some(competition) = &query.competition {
        intake::known_competition(&app, competition).await?;
    }
    let heard = last_heard(&headers)?.or(query.after);
    let filter = FeedFilter { competition: query.competition, submission: query.submission, hotkey: query.hotkey };
    if wants_json(&headers) {
        let slice = Slice::of(query.limit, EVENTS_MAX)?;
        let events = app.db.feed(heard.unwrap_or(0), &filter, slice.limit).await?;
        let next = events.last().filter(|_| events.len() == slice.limit as usize).map(|event| event.id);
        return Ok(linked(&events, &uri, "after", next));
    }
    let place = app.guard.budgets.stream()?;
    let listener = Listener::new(&app, filter, heard, place).await?;
    let stream = futures::stream::unfold(listener, async |mut listener| {
        let words = listener.next().await?;
        Some((Ok::<_, Infallible>(words), listener))
    });
    let fixed = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store"), NO_BUFFERING];
    Ok((fixed, Body::from_stream(stream)).into_response())
}

/// The number of the last event that the client knows.
fn last_heard(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let hint = "Send the number of the last event that you know, as `id:` gave it.";
    let invalid = || ApiError::new(StatusCode::BAD_REQUEST, "bad_last_event_id", "Last-Event-ID is no number", hint);
    number.map(Some).ok_or_else(invalid)
}

/// Whether pages are asked for, and no stream.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
    let accepted: Vec<&str> = accepted.flat_map(|value| value.split(',')).map(str::trim).collect();
    let names = |kind: &str| accepted.iter().any(|value| value.split(';').next() == Some(kind));
    names("application/json") && !names("text/event-stream")
}
