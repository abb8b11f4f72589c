//! `GET /api/v1/competitions/{id}/leaderboard` and `.csv`: served from bytes that are kept until a score changes them.

use super::competitions::parse_id;
use crate::face::Face;
use axum::extract::{Path, State};
use axum::response::Response;
use edge::conditional::answer;
use edge::error::ApiError;
use http::{HeaderMap, header};
use protocol::CompetitionId;
use protocol::api::Leaderboard;
use service::app::App;
use service::board;
use service::intake;
use service::state::board::Served;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default().routes(routes!(as_json)).routes(routes!(as_csv))
}

/// The board: teacher, submissions best first, reference.
#[utoipa::path(
    get,
    path = "/api/v1/competitions/{id}/leaderboard",
    tag = "competitions",
    params(("id" = CompetitionId, Path, description = "The competition's name.")),
    responses((status = 200, description = "The board; its ETag changes with it.", body = Leaderboard)),
)]
async fn as_json(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let fixed = [(header::CACHE_CONTROL, "no-cache"), (header::CONTENT_TYPE, "application/json")];
    Ok(answer(&find(&app, &id).await?.json, fixed, &headers))
}

/// The board as CSV.
#[utoipa::path(
    get,
    path = "/api/v1/competitions/{id}/leaderboard.csv",
    tag = "competitions",
    params(("id" = CompetitionId, Path, description = "The competition's name.")),
    responses((status = 200, description = "One line a row.", content_type = "text/csv", body = String)),
)]
async fn as_csv(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let served = find(&app, &id).await?;
    let name = format!("attachment; filename=\"{id}.csv\"");
    let fixed = [
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, name.as_str()),
    ];
    Ok(answer(&served.csv, fixed, &headers))
}

async fn find(app: &App, id: &str) -> Result<Arc<Served>, ApiError> {
    let id = parse_id(id)?;
    board::leaderboard(app, &id).await?.ok_or_else(|| intake::unknown_competition(&id).into())
}
