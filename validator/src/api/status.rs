//! `GET /healthz`, `/readyz` and `/metrics`: for whoever watches over the process.

use super::json;
use crate::app::App;
use crate::error::ApiError;
use crate::metrics;
use crate::operator;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use protocol::Hotkey;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(routes!(alive)).routes(routes!(ready)).routes(routes!(measured))
}

/// That it works.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// That it does.
    #[schema(inline)]
    status: Works,
    /// The validator's hotkey; of readyz only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    validator: Option<Hotkey>,
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
async fn alive() -> Response {
    json(&Health { status: Works::Ok, validator: None })
}

/// Whether requests can be served: the database answers, there is space for uploads, and the public log can be written.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "They can.", body = Health),
        (status = 503, description = "They can't."),
    ),
)]
async fn ready(State(app): State<App>) -> Result<Response, ApiError> {
    app.db.ping().await.map_err(|_| ApiError::busy("the database doesn't answer"))?;
    if app.objects.free_bytes()? < app.config.limits.disk_reserve_bytes {
        return Err(ApiError::busy("the disk is nearly full"));
    }
    if let Some(trouble) = app.log.trouble() {
        return Err(ApiError::busy(trouble));
    }
    Ok(json(&Health { status: Works::Ok, validator: Some(app.hotkey) }))
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
pub(crate) async fn numbers(State(app): State<App>) -> Result<Response, ApiError> {
    let text = metrics::text(&app).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
