//! `GET /api/v1/copies/{a}/{b}`: what two submissions have in common, and what the rules make of it.

use super::json;
use crate::app::App;
use crate::copies::{self, CopyError, PairView};
use crate::error::ApiError;
use axum::extract::{Path, State};
use axum::response::Response;
use protocol::SubmissionId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(routes!(pair))
}

/// The evidence between two submissions of a competition: what they share, what the rules make of it.
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

impl From<CopyError> for ApiError {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Busy => Self::busy("another pair is being compared"),
            CopyError::Db(error) => error.into(),
            CopyError::Objects(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}
