//! `GET /api/v1/operator`: the operator's page as JSON. `POST …/submissions/{id}/requeue` and `…/disqualify`: what the
//! operator does by hand. All of it for the operator alone.

use super::json;
use super::submissions::{find, parse_id, unknown};
use crate::administration::{self, ActError, ActReason};
use crate::app::App;
use crate::auth::read_body;
use crate::db::submissions::Submission;
use crate::error::ApiError;
use crate::operator::{self, Peer};
use axum::extract::{FromRequest, Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::{HeaderMap, StatusCode};
use protocol::strict;
use serde::Deserialize;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/operator", get(view))
        .route("/api/v1/operator/submissions/{id}/requeue", post(requeue))
        .route("/api/v1/operator/submissions/{id}/disqualify", post(disqualify))
}

async fn view(State(app): State<App>, peer: Option<Extension<Peer>>, headers: HeaderMap) -> Result<Response, ApiError> {
    operator::admit(&app, peer.map(|Extension(peer)| peer), &headers)?;
    Ok(json(&operator::view(&app).await?))
}

async fn requeue(State(app): State<App>, Path(id): Path<String>, reason: Reason) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let moved = administration::requeue(&app.db, app.hotkey, &id, reason.0, app.clock.now()).await?;
    app.signals.check.notify_one();
    answer(&app, &moved).await
}

async fn disqualify(State(app): State<App>, Path(id): Path<String>, reason: Reason) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let moved = administration::disqualify(&app.db, app.hotkey, &id, reason.0, app.clock.now()).await?;
    answer(&app, &moved).await
}

/// The submission after an act.
async fn answer(app: &App, moved: &Submission) -> Result<Response, ApiError> {
    app.signals.log.notify_one();
    app.board.changed(&moved.competition);
    find(app, &moved.id).await
}

/// The body of an act, from somebody who showed the operator's token.
struct Reason(ActReason);

impl FromRequest<App> for Reason {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            reason: String,
        }
        let (parts, body) = request.into_parts();
        operator::admit_to_act(app, &parts.headers)?;
        let body = read_body(&parts.headers, body, &app.config.limits).await?;
        let hint = "Send {\"reason\": \"...\"}: one line, which the public log will show to everybody.";
        let invalid = |why: String| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", why, hint);
        let Body { reason } = strict::from_slice(&body).map_err(|error| invalid(error.to_string()))?;
        Ok(Self(reason.parse().map_err(|error: ActError| invalid(error.to_string()))?))
    }
}

impl From<ActError> for ApiError {
    fn from(error: ActError) -> Self {
        match error {
            ActError::Unknown(id) => unknown(id),
            ActError::Db(error) => error.into(),
            error => Self::conflict("act_refused", error.to_string(), "GET /api/v1/submissions/{id} shows its state."),
        }
    }
}
