//! `POST /api/v1/submissions`, `POST …/{id}/complete`, `…/{id}/withdraw`, `GET …/{id}` and `…/{id}/receipt`: entering a
//! package, taking it back and asking after it; `GET …/{id}/why` and `POST …/{id}/appeal`: why it ended as it did, and objecting to that. `GET /api/v1/submissions`: all of them, page by page. `GET /api/v1/miners/{hotkey}`: what one hotkey did.

use super::json;
use super::pages::{Slice, limit, linked};
use super::query::Asked;
use crate::face::Face;
use axum::Extension;
use axum::extract::{OriginalUri, Path, State};
use axum::response::{IntoResponse, Response};
use edge::auth::Signed;
use edge::error::ApiError;
use http::{HeaderMap, StatusCode, header};
use protocol::api::{
    AppealRequest, AppealView, MinerView, SubmissionCreated, SubmissionRequest, SubmissionStatus, SubmissionSummary,
};
use protocol::{CompetitionId, Hotkey, SignedReceipt, SubmissionId, submission};
use serde::Deserialize;
use service::app::App;
use service::appeals;
use service::guard::AddressBlock;
use service::intake::Repeatable;
use service::why::WhyView;
use service::{intake, views};
use store::db::lists::ListFilter;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Submissions of a page.
const SUBMISSIONS_MAX: u32 = 500;

pub(super) fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default()
        .routes(routes!(announce, list))
        .routes(routes!(miner))
        .routes(routes!(status))
        .routes(routes!(complete))
        .routes(routes!(withdraw))
        .routes(routes!(receipt))
        .routes(routes!(why))
        .routes(routes!(appeal))
}

/// Announce a package.
#[utoipa::path(
    post,
    path = "/api/v1/submissions",
    tag = "submissions",
    security(("btauth" = [])),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 128, description = "Names this \
        request for a day: sent again, it is answered with the same submission whatever became of it. With another body \
        it is 422 idempotency_key_reused.")),
    request_body = SubmissionRequest,
    responses(
        (status = 200, description = "The same package was announced before; where its missing files go.",
            body = SubmissionCreated),
        (status = 201, description = "A new submission, and where its files go.", body = SubmissionCreated,
            headers(("Location" = String, description = "Its status."))),
        (status = 429, description = "Too often or too much: address_rate, hotkey_rate, quota_exhausted, \
            announcements_exhausted, pending_exhausted, pending_bytes_exhausted or address_bytes_exhausted. Retry-After says when to come again."),
    ),
)]
async fn announce(
    State(app): State<App>,
    Extension(client): Extension<AddressBlock>,
    headers: HeaderMap,
    signed: Signed,
) -> Result<Response, ApiError> {
    let (hotkey, request) = (signed.hotkey, signed.json()?);
    let repeatable = Repeatable::of(key(&headers), signed.body_sha256())?;
    let announced = intake::announce(&app, (hotkey, client), request, repeatable).await?;
    let status = if announced.created { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/api/v1/submissions/{}", announced.answer.id);
    Ok((status, [(header::LOCATION, location)], json(&announced.answer)).into_response())
}

/// What a client calls its request, if it does.
fn key(headers: &HeaderMap) -> Option<&str> {
    headers.get("idempotency-key").map(|value| value.to_str().unwrap_or_default())
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Query {
    /// Of this competition.
    competition: Option<CompetitionId>,
    /// Of this hotkey.
    hotkey: Option<Hotkey>,
    /// In this state.
    state: Option<submission::State>,
    /// The arrival of the last one of the page before.
    before: Option<u64>,
    /// How many at most.
    #[param(schema_with = limit::<SUBMISSIONS_MAX>)]
    limit: Option<u32>,
}

/// All submissions, the last that arrived first.
///
/// Filters are joined by and.
#[utoipa::path(
    get,
    path = "/api/v1/submissions",
    tag = "submissions",
    params(Query),
    responses((status = 200, description = "A page.", body = [SubmissionSummary])),
)]
async fn list(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    Asked(query): Asked<Query>,
) -> Result<Response, ApiError> {
    let slice = Slice::of(query.limit, SUBMISSIONS_MAX)?;
    if let Some(competition) = &query.competition {
        intake::known_competition(&app, competition).await?;
    }
    let filter = ListFilter { competition: query.competition, hotkey: query.hotkey, state: query.state };
    let listed = views::submissions(&app, &filter, query.before, slice.limit).await?;
    let next = listed.last().filter(|_| listed.len() == slice.limit as usize).map(|last| last.arrival);
    Ok(linked(&listed, &uri, "before", next))
}

/// What a hotkey has done here.
///
/// Its submissions themselves: `GET /api/v1/submissions?hotkey=…`
#[utoipa::path(
    get,
    path = "/api/v1/miners/{hotkey}",
    tag = "miners",
    params(("hotkey" = Hotkey, Path, description = "An ss58 address.")),
    responses((status = 200, description = "The miner.", body = MinerView)),
)]
async fn miner(State(app): State<App>, Path(hotkey): Path<String>) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found("this hotkey has entered nothing here");
    let hotkey: Hotkey = hotkey.parse().map_err(|_| unknown())?;
    Ok(json(&views::miner(&app, &hotkey).await?.ok_or_else(unknown)?))
}

/// Say that all files have been uploaded. The body is empty.
#[utoipa::path(
    post,
    path = "/api/v1/submissions/{id}/complete",
    tag = "submissions",
    security(("btauth" = [])),
    params(("id" = SubmissionId, Path, description = "The submission's name.")),
    responses((status = 202, description = "The admission check is due.", body = SubmissionStatus)),
)]
async fn complete(State(app): State<App>, Path(id): Path<String>, signed: Signed) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    intake::complete(&app, signed.hotkey, &id).await?;
    Ok((StatusCode::ACCEPTED, find(&app, &id).await?).into_response())
}

/// Take back what isn't measured yet. The body is empty.
///
/// What it drew on the quota stays spent, and the public log says what became of it.
#[utoipa::path(
    post,
    path = "/api/v1/submissions/{id}/withdraw",
    tag = "submissions",
    security(("btauth" = [])),
    params(("id" = SubmissionId, Path, description = "The submission's name.")),
    responses(
        (status = 200, description = "It is withdrawn.", body = SubmissionStatus),
        (status = 404, description = "The signer has no such submission."),
        (status = 409, description = "not_withdrawable: it is being measured, has ended, or its round has closed."),
    ),
)]
async fn withdraw(State(app): State<App>, Path(id): Path<String>, signed: Signed) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    intake::withdraw(&app, (signed.hotkey, signed.text), &id).await?;
    find(&app, &id).await
}

/// Where a submission is, and all that is known about it.
#[utoipa::path(
    get,
    path = "/api/v1/submissions/{id}",
    tag = "submissions",
    params(("id" = SubmissionId, Path, description = "The submission's name.")),
    responses((status = 200, description = "Its status.", body = SubmissionStatus)),
)]
async fn status(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    find(&app, &parse_id(&id)?).await
}

/// The signed receipt of a scored submission, the very bytes that were signed and logged.
#[utoipa::path(
    get,
    path = "/api/v1/submissions/{id}/receipt",
    tag = "submissions",
    params(("id" = SubmissionId, Path, description = "The submission's name.")),
    responses((status = 200, description = "Canonical JSON (`retort-receipt/2`); its ETag is its SHA-256.",
        body = SignedReceipt)),
)]
async fn receipt(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let none = || ApiError::not_found(format!("{id} has no receipt, since it isn't scored"));
    let sha256 = match app.db.evaluation(&id).await? {
        Some(evaluation) => evaluation.receipt_sha256,
        None if app.db.submission(&id).await?.is_some() => return Err(none()),
        None => return Err(unknown(&id)),
    };
    let bytes = app.objects.get(&sha256).await?;
    let fixed = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")];
    Ok((fixed, [(header::ETAG, format!("\"{sha256}\""))], bytes).into_response())
}

/// What became of a submission, and why: admission, gate, copies, each round, pay, and what was said about it.
#[utoipa::path(
    get,
    path = "/api/v1/submissions/{id}/why",
    tag = "submissions",
    params(("id" = SubmissionId, Path, description = "The submission's name.")),
    responses((status = 200, description = "Its story.", body = WhyView)),
)]
async fn why(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    Ok(json(&service::why::of(&app, &id).await?.ok_or_else(|| unknown(&id))?))
}

/// Object to what became of your submission. The public log states it, and the operator's answer.
#[utoipa::path(
    post,
    path = "/api/v1/submissions/{id}/appeal",
    tag = "submissions",
    security(("btauth" = [])),
    params(("id" = SubmissionId, Path, description = "The submission's name.")),
    request_body = AppealRequest,
    responses(
        (status = 201, description = "It is stated; the same words again are the same appeal.", body = [AppealView]),
        (status = 404, description = "The signer has no such submission."),
        (status = 409, description = "appeal_refused: the submission is under way, or has had its three appeals."),
    ),
)]
async fn appeal(State(app): State<App>, Path(id): Path<String>, signed: Signed) -> Result<Response, ApiError> {
    let (id, AppealRequest { text }) = (parse_id(&id)?, signed.json()?);
    appeals::appeal(&app.db, signed.hotkey, &id, text.parse()?, app.clock.now()).await?;
    app.signals.log.notify_one();
    Ok((StatusCode::CREATED, json(&appeals::of(&app.db, &id).await?)).into_response())
}

/// The submission as it is now.
pub(super) async fn find(app: &App, id: &SubmissionId) -> Result<Response, ApiError> {
    let found = views::submission(app, id).await?;
    found.map(|status| json(&status)).ok_or_else(|| unknown(id))
}

/// A submission's name out of an address; whatever isn't one names nothing.
pub(super) fn parse_id(text: &str) -> Result<SubmissionId, ApiError> {
    text.parse().map_err(|_| unknown(text.chars().take(64).collect::<String>()))
}

/// Says that nothing has this name.
fn unknown(id: impl std::fmt::Display) -> ApiError {
    ApiError::not_found(format!("no submission is called {id}"))
}
