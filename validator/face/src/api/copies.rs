//! `GET /api/v1/copies/{a}/{b}`: what two submissions have in common, and what the rules make of it; and the same of one
//! submission and the entries 0 of its competition.

use super::json;
use crate::face::Face;
use axum::extract::{Path, State};
use axum::response::Response;
use edge::error::ApiError;
use protocol::SubmissionId;
use service::app::App;
use service::copies::{self, EntriesView, PairView};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default().routes(routes!(pair)).routes(routes!(entries))
}

/// The evidence between two submissions of a competition, or of two with the same inputs and labels: what they share, what
/// the rules make of it.
#[utoipa::path(
    get,
    path = "/api/v1/copies/{a}/{b}",
    tag = "submissions",
    params(
        ("a" = SubmissionId, Path, description = "One submission."),
        ("b" = SubmissionId, Path, description = "Another one."),
    ),
    responses(
        (status = 200, description = "The pair, the earlier one first.", body = PairView),
        (status = 404, description = "No such two submissions of one competition have been compared."),
        (status = 503, description = "Another pair is being compared."),
    ),
)]
async fn pair(State(app): State<App>, Path((a, b)): Path<(String, String)>) -> Result<Response, ApiError> {
    let missing = || ApiError::not_found("no such two submissions of one competition have been compared");
    let (Ok(a), Ok(b)) = (a.parse(), b.parse()) else { return Err(missing()) };
    Ok(json(&copies::pair(&app, &a, &b).await?.ok_or_else(missing)?))
}

/// What a submission is to its competition's teacher, its reference and the packages that the manifest lists as known, as
/// far as it is not independent of them.
#[utoipa::path(
    get,
    path = "/api/v1/submissions/{id}/entries",
    tag = "submissions",
    params(("id" = SubmissionId, Path, description = "The submission.")),
    responses(
        (status = 200, description = "The entries that it isn't independent of; none for most.", body = EntriesView),
        (status = 404, description = "No such submission."),
    ),
)]
async fn entries(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let missing = || ApiError::not_found("no such submission");
    let id = id.parse().map_err(|_| missing())?;
    app.db.submission(&id).await?.ok_or_else(missing)?;
    Ok(json(&copies::entries_of(&app, &id).await?))
}
