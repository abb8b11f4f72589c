//! `GET /api/models` and `/api/datasets`: which repositories there are, for whoever looks for a name.
//!
//! It lists names and asks for no revision, so a list makes nothing.

use crate::errors::HubError;
use crate::messages::read::Listed;
use crate::messages::{Never, date};
use crate::repository::Repository;
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header;
use protocol::submission;
use service::app::App;
use service::board;
use service::views;
use std::collections::BTreeMap;
use store::db::lists::ListFilter;
use url::form_urlencoded;

/// Repositories in one answer, and submissions that are looked at: the last that arrived.
const LISTED_MAX: usize = 500;

/// Champions and teachers of competitions, and scored submissions, the last first (Hub: list_models).
#[utoipa::path(
    get,
    path = "/api/models",
    tag = "hub",
    params(
        ("author" = Option<String>, Query, description = "`arena`, `teachers` or `submissions` alone."),
        ("search" = Option<String>, Query, description = "Only names that hold this."),
        ("limit" = Option<u32>, Query, description = "How many at most; 500 are the limit."),
    ),
    responses((status = 200, description = "At most 500 repositories.", body = [Listed])),
)]
pub(crate) async fn models(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, HubError> {
    let mut found = Vec::new();
    for view in views::competitions(&app).await? {
        let (id, at) = (&view.competition.manifest.id, view.competition.published_at);
        // A repository without a champion is empty yet.
        if board::first(&app, id).await?.is_some() {
            found.push(listed(&Repository::Champion(id.clone()), vec!["retort", "champion"], at));
        }
        if view.competition.teacher.model().is_some() {
            found.push(listed(&Repository::Teacher(id.clone()), vec!["retort", "teacher"], at));
        }
    }
    let scored = ListFilter { competition: None, hotkey: None, state: Some(submission::State::Scored) };
    for summary in views::submissions(&app, &scored, None, LISTED_MAX as u32).await? {
        let repository = Repository::Submission(summary.id.clone());
        found.push(listed(&repository, vec!["retort", "submission"], summary.changed_at));
    }
    Ok(answer(found, query.as_deref()))
}

/// Public data of competitions, newest first (Hub: list_datasets).
#[utoipa::path(
    get,
    path = "/api/datasets",
    tag = "hub",
    params(
        ("author" = Option<String>, Query, description = "`arena`, or nothing is found."),
        ("search" = Option<String>, Query, description = "Only names that hold this."),
        ("limit" = Option<u32>, Query, description = "How many at most; 500 are the limit."),
    ),
    responses((status = 200, description = "At most 500 repositories.", body = [Listed])),
)]
pub(crate) async fn datasets(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, HubError> {
    let all = views::competitions(&app).await?;
    let data = all.iter().map(|view| {
        let repository = Repository::Data(view.competition.manifest.id.clone());
        listed(&repository, vec!["retort", "data"], view.competition.published_at)
    });
    Ok(answer(data.collect(), query.as_deref()))
}

fn listed(repository: &Repository, tags: Vec<&'static str>, at: u64) -> Listed {
    Listed {
        id: repository.id(),
        model_id: (!repository.holds_data()).then(|| repository.id()),
        author: repository.namespace(),
        private: Never,
        downloads: 0,
        likes: 0,
        tags,
        created_at: date(at),
        last_modified: date(at),
    }
}

/// What of it was asked for. Other questions of the Hub's (`sort`, `filter`, `full`) mean nothing here.
fn answer(mut found: Vec<Listed>, query: Option<&str>) -> Response {
    let asked: BTreeMap<_, _> = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect();
    if let Some(author) = asked.get("author") {
        found.retain(|listed| listed.author == author);
    }
    if let Some(search) = asked.get("search") {
        let search = search.to_lowercase();
        found.retain(|listed| listed.id.to_lowercase().contains(&search));
    }
    let limit = asked.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(LISTED_MAX);
    found.truncate(limit.min(LISTED_MAX));
    ([(header::CACHE_CONTROL, "no-cache")], Json(found)).into_response()
}
