//! `GET /api/v1/events`: what happens, as it happens (`text/event-stream`), or page by page for those who ask for JSON.

use super::openapi::examples;
use super::pages::{Slice, limit, linked};
use super::query::Asked;
use crate::face::Face;
use crate::feed::Listener;
use axum::Extension;
use axum::body::Body;
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Response};
use edge::error::ApiError;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use protocol::{CompetitionId, Hotkey, SubmissionId};
use serde::Deserialize;
use service::guard::AddressBlock;
use service::intake;
use std::convert::Infallible;
use store::db::feed::{FeedEvent, FeedFilter};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Where a browser says what it heard last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// nginx and its kin would collect a stream before they pass it on.
const NO_BUFFERING: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");
/// Events of a page.
const EVENTS_MAX: u32 = 500;

pub(super) fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default().routes(routes!(events))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Query {
    /// Of this competition.
    competition: Option<CompetitionId>,
    /// Of this submission.
    submission: Option<SubmissionId>,
    /// Of this hotkey's submissions.
    hotkey: Option<Hotkey>,
    /// The last event that is known; for those who can't send Last-Event-ID.
    after: Option<u64>,
    /// How many at most, of a page of JSON.
    #[param(schema_with = limit::<EVENTS_MAX>)]
    limit: Option<u32>,
}

/// What happens, as it happens.
///
/// A stream of server-sent events: `id` is the event's number, `event` its kind, `data` an Event. It begins with
/// `hello`, which says from which number on it tells. Whoever comes back with Last-Event-ID misses nothing and hears
/// nothing twice, whatever was restarted in between. Comments are heartbeats, every 15 seconds. Those who accept
/// application/json and no stream get a page of events instead, from the first one on.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "events",
    params(Query, ("Last-Event-ID" = Option<u64>, Header, description = "The last event that is known.")),
    responses((status = 200, description = "A stream, or a page.", content(
        (String = "text/event-stream", example = examples::stream),
        ([FeedEvent] = "application/json"),
    ))),
)]
async fn events(
    State(face): State<Face>,
    OriginalUri(uri): OriginalUri,
    Extension(client): Extension<AddressBlock>,
    headers: HeaderMap,
    Asked(query): Asked<Query>,
) -> Result<Response, ApiError> {
    if let Some(competition) = &query.competition {
        intake::known_competition(&face, competition).await?;
    }
    let heard = last_heard(&headers)?.or(query.after);
    let filter = FeedFilter { competition: query.competition, submission: query.submission, hotkey: query.hotkey };
    if wants_json(&headers) {
        let slice = Slice::of(query.limit, EVENTS_MAX)?;
        let events = face.db.feed(heard.unwrap_or(0), &filter, slice.limit).await?;
        let next = events.last().filter(|_| events.len() == slice.limit as usize).map(|event| event.id);
        return Ok(linked(&events, &uri, "after", next));
    }
    let place = face.guard.stream(client)?;
    let listener = Listener::new(&face, filter, heard, place).await?;
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
