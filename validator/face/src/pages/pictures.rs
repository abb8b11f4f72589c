//! The pictures' addresses: badges and drawings, for the README files of others.
//!
//! It does not know what a picture looks like.

use super::handlers::{PageError, find, find_submission, parse};
use super::{badge, scatter};
use crate::face::Face;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header;
use protocol::{CompetitionId, SubmissionId};
use service::app::App;
use service::board;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A drawing brings its own style and nothing else.
const DRAWING_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// The routes of all pictures.
pub fn pictures() -> OpenApiRouter<Face> {
    OpenApiRouter::default()
        .routes(routes!(competition_badge))
        .routes(routes!(submission_badge))
        .routes(routes!(drawing))
}

/// What the address of a drawing answers.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "the fields are only described")]
enum Drawing {
    /// A drawing.
    #[response(status = 200, content_type = "image/svg+xml")]
    There(String),
    /// Nothing of this name; a page.
    #[response(status = 404, content_type = "text/html")]
    Missing(String),
}

/// A competition's champion as a badge.
#[utoipa::path(
    get,
    path = "/badge/{file}",
    tag = "badges",
    params(("file" = String, Path, example = "fashion-mnist.svg", description = "The competition's name and `.svg`.")),
    responses(Drawing),
)]
async fn competition_badge(State(app): State<App>, Path(file): Path<String>) -> Result<Response, PageError> {
    let (view, served) = find(&app, &parse("competition", svg(&file)?)?).await?;
    Ok(picture(badge::competition(&view, &served.leaderboard)))
}

/// A submission's rank as a badge.
#[utoipa::path(
    get,
    path = "/badge/submissions/{file}",
    tag = "badges",
    params(("file" = String, Path, description = "The submission's name and `.svg`.")),
    responses(Drawing),
)]
async fn submission_badge(State(app): State<App>, Path(file): Path<String>) -> Result<Response, PageError> {
    let id: SubmissionId = parse("submission", svg(&file)?)?;
    let (status, view) = find_submission(&app, &id).await?;
    let served = board::leaderboard(&app, &status.competition).await?;
    let ranked = served.map_or(0, |served| served.ranks().len());
    Ok(picture(badge::submission(&status, &view, ranked)))
}

/// Accuracy against latency as a drawing.
#[utoipa::path(
    get,
    path = "/competitions/{id}/scatter.svg",
    tag = "badges",
    params(("id" = CompetitionId, Path, description = "The competition.")),
    responses(Drawing),
)]
async fn drawing(State(app): State<App>, Path(id): Path<String>) -> Result<Response, PageError> {
    let (_, served) = find(&app, &parse("competition", &id)?).await?;
    Ok(picture(scatter::scatter(&served.leaderboard, scatter::Canvas::Alone)))
}

/// The name before `.svg`.
fn svg(file: &str) -> Result<&str, PageError> {
    file.strip_suffix(".svg").ok_or_else(|| PageError::Missing("A badge's address ends in .svg.".into()))
}

/// A drawing that others may show.
fn picture(svg: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, DRAWING_POLICY),
    ];
    (headers, svg).into_response()
}
