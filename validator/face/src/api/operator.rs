//! `GET /api/v1/operator`: the operator's page as JSON. `POST …/submissions/{id}/requeue` and `…/disqualify`,
//! `…/block` and `…/allow`: what the operator does by hand. All of it for the operator alone.

use super::json;
use super::submissions::{find, parse_id};
use crate::face::Face;
use crate::operator::{self, OperatorView};
use axum::body::Body;
use axum::extract::{FromRequest, Path, Request, State};
use axum::response::Response;
use edge::auth::read_body;
use edge::error::ApiError;
use http::{HeaderMap, StatusCode};
use protocol::api::SubmissionStatus;
use protocol::{SubmissionId, strict};
use serde::{Deserialize, Serialize};
use service::administration::{self, ActError, ActReason};
use service::app::App;
use service::blocks::{self, Whom, WhomError};
use store::db::blocks::BlockRow;
use store::db::submissions::Submission;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default()
        .routes(routes!(view))
        .routes(routes!(requeue))
        .routes(routes!(disqualify))
        .routes(routes!(block))
        .routes(routes!(allow))
}

/// The host's health, the queue and the last latency controls.
///
/// For whoever shows the operator's token.
#[utoipa::path(
    get,
    path = "/api/v1/operator",
    tag = "operator",
    security(("operator" = [])),
    responses((status = 200, description = "What the operator's page shows.", body = OperatorView)),
)]
async fn view(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    operator::admit(&app, &headers)?;
    Ok(json(&operator::view(&app).await?))
}

/// Put a submission that failed through the validator's fault back to its admission check.
///
/// The public log states it. For whoever shows the operator's token.
#[utoipa::path(
    post,
    path = "/api/v1/operator/submissions/{id}/requeue",
    tag = "operator",
    security(("operator" = [])),
    params(("id" = SubmissionId, Path, description = "The submission's name.")),
    request_body = ActRequest,
    responses(
        (status = 200, description = "It is due again.", body = SubmissionStatus),
        (status = 409, description = "It didn't fail through the validator's fault, or its miner entered the same \
            package again."),
    ),
)]
async fn requeue(State(app): State<App>, Path(id): Path<String>, reason: Reason) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let moved = administration::requeue(&app.db, app.hotkey, &id, reason.0, app.clock.now()).await?;
    app.signals.check.notify_one();
    answer(&app, &moved).await
}

/// Take a submission out of its competition.
///
/// The public log states it. For whoever shows the operator's token.
#[utoipa::path(
    post,
    path = "/api/v1/operator/submissions/{id}/disqualify",
    tag = "operator",
    security(("operator" = [])),
    params(("id" = SubmissionId, Path, description = "The submission's name.")),
    request_body = ActRequest,
    responses(
        (status = 200, description = "It is rejected with the code `disqualified`.", body = SubmissionStatus),
        (status = 409, description = "It ended without a score anyway."),
    ),
)]
async fn disqualify(State(app): State<App>, Path(id): Path<String>, reason: Reason) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let moved = administration::disqualify(&app.db, app.hotkey, &id, reason.0, app.clock.now()).await?;
    answer(&app, &moved).await
}

/// Refuse all requests of a hotkey, or from a network, from now on.
///
/// The public log states it, with the network as it is written. For whoever shows the operator's token.
#[utoipa::path(
    post,
    path = "/api/v1/operator/block",
    tag = "operator",
    security(("operator" = [])),
    request_body = BlockRequest,
    responses(
        (status = 200, description = "Who is blocked now, the last one first.", body = [BlockRow]),
        (status = 409, description = "They are blocked already, or too many are."),
    ),
)]
async fn block(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let (whom, reason) = read_block(&app, &headers, body).await?;
    blocks::block(&app.db, app.hotkey, whom, reason, app.clock.now()).await?;
    blocked(&app).await
}

/// Let a hotkey or a network come again that was blocked.
///
/// The public log states it. For whoever shows the operator's token.
#[utoipa::path(
    post,
    path = "/api/v1/operator/allow",
    tag = "operator",
    security(("operator" = [])),
    request_body = BlockRequest,
    responses(
        (status = 200, description = "Who is blocked now, the last one first.", body = [BlockRow]),
        (status = 409, description = "They aren't blocked."),
    ),
)]
async fn allow(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let (whom, reason) = read_block(&app, &headers, body).await?;
    blocks::allow(&app.db, app.hotkey, whom, reason, app.clock.now()).await?;
    blocked(&app).await
}

/// Who is blocked after an act, which the door knows by now.
async fn blocked(app: &App) -> Result<Response, ApiError> {
    app.signals.log.notify_one();
    blocks::refresh(app).await?;
    Ok(json(&app.db.blocks().await?))
}

/// Whom the operator blocks or allows, and why.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BlockRequest {
    /// A hotkey, an address or a network in CIDR notation; the public log shows it to everybody.
    #[schema(example = "203.0.113.0/24")]
    who: String,
    /// One line; the public log shows it to everybody.
    #[schema(min_length = 1, max_length = 280, example = "it holds all places of writers")]
    reason: String,
}

async fn read_block(app: &App, headers: &HeaderMap, body: Body) -> Result<(Whom, ActReason), ApiError> {
    operator::admit(app, headers)?;
    let body = read_body(headers, body, &app.config.limits).await?;
    let BlockRequest { who, reason } = strict::from_slice(&body).map_err(|error| invalid(error.to_string()))?;
    let whom = who.parse().map_err(|error: WhomError| invalid(error.to_string()))?;
    Ok((whom, reason.parse().map_err(|error: ActError| invalid(error.to_string()))?))
}

/// What can't be read as an act.
fn invalid(why: String) -> ApiError {
    let hint =
        "Compare the body with /openapi.json; a reason is one line, which the public log will show to everybody.";
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", why, hint)
}

/// The submission after an act.
async fn answer(app: &App, moved: &Submission) -> Result<Response, ApiError> {
    app.signals.log.notify_one();
    app.board.changed(&moved.competition);
    find(app, &moved.id).await
}

/// Why the operator acts.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ActRequest {
    /// One line; the public log shows it to everybody.
    #[schema(min_length = 1, max_length = 280, example = "its weights are those of 01K9M4T0Q8ZJ5R6V7W8X9Y0ABC")]
    reason: String,
}

/// The body of an act, from somebody who showed the operator's token.
struct Reason(ActReason);

impl FromRequest<Face> for Reason {
    type Rejection = ApiError;

    async fn from_request(request: Request, face: &Face) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        operator::admit(face, &parts.headers)?;
        let body = read_body(&parts.headers, body, &face.config.limits).await?;
        let ActRequest { reason } = strict::from_slice(&body).map_err(|error| invalid(error.to_string()))?;
        Ok(Self(reason.parse().map_err(|error: ActError| invalid(error.to_string()))?))
    }
}
