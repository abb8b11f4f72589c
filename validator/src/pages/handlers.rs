//! The pages' addresses: finds what a page shows and sends it with the headers that a browser should obey.
//!
//! It does not know what a page looks like.

use super::{assets, competition, copies, home, operator as operator_page, problem, round, scatter, submission};
use crate::app::App;
use crate::db::DbError;
use crate::db::competitions::Role;
use crate::error::ApiError;
use crate::operator::{self, Peer};
use crate::{board, rounds, views};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use protocol::CompetitionId;
use protocol::api::CompetitionView;
use std::str::FromStr;
use std::sync::Arc;

/// Pages hold no script, no inline style, no form and nothing from elsewhere.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'";
/// A drawing brings its own style and nothing else.
const DRAWING_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
/// Drawings may be shown in the README files of others.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The routes of all pages.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(home))
        .route("/competitions/{id}", get(competition))
        .route("/competitions/{id}/scatter.svg", get(drawing))
        .route("/competitions/{id}/rounds/{round}", get(round))
        .route("/submissions/{id}", get(submission))
        .route("/operator", get(operator))
        .route("/copies/{a}/{b}", get(pair))
        .route("/assets/style.css", get(style))
        .route("/assets/icon.svg", get(icon))
}

/// Why there is no page.
enum PageError {
    /// Nothing is at this address.
    Missing(String),
    /// Our fault; the API's answer says all there is to say.
    Broken(ApiError),
}

async fn home(State(app): State<App>) -> Result<Response, PageError> {
    let mut competitions = Vec::new();
    for view in views::competitions(&app).await? {
        if let Some(served) = board::leaderboard(&app, &view.competition.manifest.id).await? {
            competitions.push((view, served));
        }
    }
    let pairs: Vec<_> = competitions.iter().map(|(view, served)| (view, &served.leaderboard)).collect();
    Ok(page(home::render(&pairs, app.clock.now())))
}

async fn competition(State(app): State<App>, Path(id): Path<String>) -> Result<Response, PageError> {
    let (view, served) = find(&app, &id).await?;
    let round = app.db.latest_round(&view.competition.manifest.id).await?.map(|round| round.number);
    Ok(page(competition::render(&view, &served.leaderboard, round, app.clock.now())))
}

async fn round(State(app): State<App>, Path((id, number)): Path<(String, String)>) -> Result<Response, PageError> {
    let id: CompetitionId = parse("competition", &id)?;
    let missing = || PageError::Missing(format!("{id} has no such round."));
    let view = views::competition(&app, &id).await?.ok_or_else(missing)?;
    let number = number.parse().map_err(|_| missing())?;
    let found = rounds::view(&app.db, &id, number).await?.ok_or_else(missing)?;
    Ok(page(round::render(&found, &view)))
}

async fn drawing(State(app): State<App>, Path(id): Path<String>) -> Result<Response, PageError> {
    let (_, served) = find(&app, &id).await?;
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, DRAWING_POLICY),
        (RESOURCE_POLICY, "cross-origin"),
    ];
    Ok((headers, scatter::scatter(&served.leaderboard, scatter::Canvas::Alone)).into_response())
}

async fn submission(State(app): State<App>, Path(id): Path<String>) -> Result<Response, PageError> {
    let id = parse("submission", &id)?;
    let missing = || PageError::Missing(format!("No submission is called {id}."));
    let status = views::submission(&app, &id).await?.ok_or_else(missing)?;
    let view = views::competition(&app, &status.competition).await?.ok_or_else(missing)?;
    let models = app.db.models(&status.competition).await?;
    let teacher = models.iter().find(|model| model.role == Role::Teacher).map(|model| &model.report);
    let relations = crate::copies::relations(&app, &id).await?;
    Ok(page(submission::render(&status, &view, teacher, &relations)))
}

async fn pair(State(app): State<App>, Path((a, b)): Path<(String, String)>) -> Result<Response, PageError> {
    let (a, b) = (parse("submission", &a)?, parse("submission", &b)?);
    let pair = crate::copies::pair(&app, &a, &b).await.map_err(|error| PageError::Broken(error.into()))?;
    let missing = || PageError::Missing("No such two submissions of one competition have been compared.".into());
    Ok(page(copies::render(&pair.ok_or_else(missing)?)))
}

async fn operator(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    operator::admit(&app, peer.map(|Extension(peer)| peer), &headers).map_err(PageError::Broken)?;
    let mut response = page(operator_page::render(&operator::view(&app).await?));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn style() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, assets::STYLE).into_response()
}

async fn icon() -> Response {
    let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=86400")];
    (headers, assets::ICON).into_response()
}

async fn find(app: &App, text: &str) -> Result<(CompetitionView, Arc<board::Served>), PageError> {
    let id: CompetitionId = parse("competition", text)?;
    let missing = || PageError::Missing(format!("No competition is called {id}."));
    let view = views::competition(app, &id).await?.ok_or_else(missing)?;
    let served = board::leaderboard(app, &id).await?.ok_or_else(missing)?;
    Ok((view, served))
}

/// A name that can't be one is not there.
fn parse<T: FromStr>(what: &str, text: &str) -> Result<T, PageError> {
    let shown: String = text.chars().take(64).collect();
    text.parse().map_err(|_| PageError::Missing(format!("No {what} is called {shown}.")))
}

fn page(html: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
    ];
    (headers, html).into_response()
}

impl From<DbError> for PageError {
    fn from(error: DbError) -> Self {
        Self::Broken(error.into())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        match self {
            Self::Missing(detail) => {
                (StatusCode::NOT_FOUND, page(problem::render(404, "Nothing is here", &detail))).into_response()
            }
            Self::Broken(error) => error.into_response(),
        }
    }
}
