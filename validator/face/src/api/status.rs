//! `GET /healthz`, `/readyz` and `/metrics`: for whoever watches over the process.

use super::json;
use crate::face::Face;
use crate::metrics;
use crate::operator;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use edge::error::ApiError;
use http::{HeaderMap, header};
use protocol::Hotkey;
use serde::Serialize;
use service::app::App;
use service::breaker;
use service::state::breaker::Fault;
use std::time::Duration;
use store::objects::ObjectError;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default().routes(routes!(alive)).routes(routes!(ready)).routes(routes!(measured))
}

/// How long a look at the store may take.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// That it works.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// That it does.
    #[schema(inline)]
    status: Works,
    /// The validator's hotkey.
    validator: Hotkey,
}

/// Nothing else is said in a good answer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Works {
    Ok,
}

/// Whether the process answers.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    responses((status = 200, description = "It does.", body = Health)),
)]
async fn alive(State(app): State<App>) -> Response {
    json(&Health { status: Works::Ok, validator: app.hotkey })
}

/// Whether a submission would be taken and evaluated: the database and the object store answer, there is space for uploads,
/// the public log can be written, and the engine works. If not, the detail says why.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "It would.", body = Health),
        (status = 503, description = "It wouldn't; what is there waits until it is mended."),
    ),
)]
async fn ready(State(app): State<App>) -> Result<Response, ApiError> {
    app.db.ping().await.map_err(|_| ApiError::busy("the database doesn't answer"))?;
    if let Some(fault) = app.breaker.fault() {
        let Fault { since, in_public, .. } = fault;
        return Err(ApiError::busy(&format!("nothing can be evaluated since {since}: {in_public}")));
    }
    let there = tokio::time::timeout(LOOK_LIMIT, app.objects.there()).await;
    let there = there.map_err(|_| ApiError::busy("the object store doesn't answer"))?;
    let broken = |error: ObjectError| ApiError::busy(breaker::store_in_public(&error));
    there.map_err(broken)?;
    if app.objects.free_bytes().map_err(broken)? < app.config.limits.disk_reserve_bytes {
        return Err(ApiError::busy("the disk is nearly full"));
    }
    if let Some(trouble) = app.log.trouble() {
        return Err(ApiError::busy(trouble));
    }
    if !app.breaker.has_looked() {
        return Err(ApiError::busy("the first look at the engine isn't over").retry_after(1));
    }
    Ok(json(&Health { status: Works::Ok, validator: app.hotkey }))
}

/// Counts for Prometheus.
///
/// For whoever shows the operator's token: how much is waiting helps whoever wants it to be more. Scrapers that have no
/// token ask at the address `metrics_listen` of the settings.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    security(("operator" = [])),
    responses((status = 200, description = "Text format 0.0.4.", content_type = "text/plain", body = String)),
)]
async fn measured(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    operator::admit(&app, &headers)?;
    numbers(State(app)).await
}

/// The counts, for whoever may see them.
pub async fn numbers(State(app): State<App>) -> Result<Response, ApiError> {
    let text = metrics::text(&app).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
