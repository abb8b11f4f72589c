//! `POST`, `GET` and `DELETE /api/v1/webhooks…`: who wants to be told of events, each for itself, by signed requests.

use super::json;
use super::openapi::examples;
use crate::face::Face;
use crate::webhooks;
use crate::webhooks::WebhookView;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use edge::auth::Signed;
use edge::error::ApiError;
use http::{StatusCode, header};
use protocol::CompetitionId;
use serde::{Deserialize, Serialize};
use service::app::App;
use service::guard::AddressBlock;
use service::intake;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default().routes(routes!(register, list)).routes(routes!(remove))
}

/// Who wants to be told.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookRequest {
    /// A public https address.
    url: String,
    /// Everything of this competition; without it the hotkey's own submissions, wherever they are.
    competition: Option<CompetitionId>,
}

/// Be told of events.
///
/// Messages are those of Standard Webhooks: `{type, timestamp, data}` with an Event as data, and the headers webhook-id,
/// webhook-timestamp and webhook-signature (v1: HMAC-SHA256 with the key that the answer shows once). They come in order
/// and at least once; an answer in the two hundreds means that a message was heard, anything else that it is sent again,
/// later and later, for about half a day. The address must first answer a `retort.challenge` with `data.challenge` in
/// its body, within five seconds; it is asked soon after the registration, and again twice. Until then it is told nothing
/// (`confirmed_at`), and events wait for it.
// The answer holds the key of the signatures, which is shown once: nobody in between may keep it.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks",
    tag = "events",
    security(("btauth" = [])),
    request_body = WebhookRequest,
    responses(
        (status = 201, description = "From now on, once its address answers.", body = WebhookView,
            example = examples::new_webhook),
        (status = 409, description = "webhooks_exhausted: a hotkey may have four; one, if it isn't registered and more than \
            half of all places are taken."),
        (status = 429, description = "challenge_rate: a hotkey may register eight at once, and four an hour."),
    ),
)]
async fn register(
    State(face): State<Face>,
    Extension(client): Extension<AddressBlock>,
    signed: Signed,
) -> Result<Response, ApiError> {
    let WebhookRequest { url, competition } = signed.json()?;
    if let Some(competition) = &competition {
        intake::known_competition(&face, competition).await?;
    }
    let registered = webhooks::register(&face, (signed.hotkey, client), competition, &url).await?;
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], axum::Json(registered)).into_response())
}

/// Your webhooks.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks",
    tag = "events",
    security(("btauth" = [])),
    responses((status = 200, description = "Without their keys.", body = [WebhookView])),
)]
async fn list(State(app): State<App>, signed: Signed) -> Result<Response, ApiError> {
    Ok(json(&webhooks::list(&app, &signed.hotkey).await?))
}

/// Be told no more.
#[utoipa::path(
    delete,
    path = "/api/v1/webhooks/{id}",
    tag = "events",
    security(("btauth" = [])),
    params(("id" = String, Path, description = "As it was registered.")),
    responses((status = 204, description = "It is forgotten.")),
)]
async fn remove(State(app): State<App>, Path(id): Path<String>, signed: Signed) -> Result<StatusCode, ApiError> {
    webhooks::remove(&app, &signed.hotkey, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
