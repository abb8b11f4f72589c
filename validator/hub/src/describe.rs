//! What a repository has, as JSON: its revision, its files, its branches and tags.
//!
//! Fields are named as the Hub names them. It does not hand out files.

use crate::contents::Subject;
use crate::errors::{HubError, Missing};
use crate::messages::read::{Commit, Entry, Info, Paths, Reference, References, Sibling};
use crate::messages::{Never, Nothing, date};
use crate::repository::{AtRevision, MAIN, Place, Repository};
use crate::revisions;
use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use edge::auth::read_body;
use edge::error::ApiError;
use http::{HeaderMap, HeaderName, StatusCode, header};
use protocol::strict;
use serde_json::Value;
use service::app::App;
use std::collections::BTreeSet;
use store::db::hub::Revision;

/// Paths that one request may ask about.
const PATHS_MAX: usize = 256;

/// A repository, at `main` (Hub: model_info, dataset_info).
#[utoipa::path(
    get,
    path = "",
    tag = "hub",
    params(
        ("blobs" = Option<bool>, Query, description = "Whether sizes and digests of files are told as well."),
    ),
    responses((status = 200, description = "The repository.", body = Info), Missing),
)]
pub(crate) async fn info(state: State<App>, query: RawQuery, place: Place) -> Result<Response, HubError> {
    info_at(state, query, place).await
}

/// The same at a revision.
#[utoipa::path(
    get,
    path = "/revision/{revision}",
    tag = "hub",
    params(
        AtRevision,
        ("blobs" = Option<bool>, Query, description = "Whether sizes and digests of files are told as well."),
    ),
    responses((status = 200, description = "The repository.", body = Info), Missing),
)]
pub(crate) async fn info_at(State(app): State<App>, query: RawQuery, place: Place) -> Result<Response, HubError> {
    let revision = revisions::find(&app, &place.repository, &place.revision).await?;
    let with_blobs = asks(&query, "blobs");
    let (id, date) = (place.repository.id(), date(revision.at));
    let of_model = |field: &str| revision.card.get(field)?.as_str().filter(|_| !place.repository.holds_data());
    Ok(fresh(&Info {
        number: &revision.commit[..24.min(revision.commit.len())],
        id: &id,
        author: place.repository.namespace(),
        sha: &revision.commit,
        private: Never,
        gated: Never,
        disabled: Never,
        downloads: 0,
        likes: 0,
        tags: revision.card.get("tags").cloned().unwrap_or_else(|| Value::Array(Vec::new())),
        created_at: &date,
        last_modified: &date,
        card_data: &revision.card,
        siblings: revision.files.iter().map(|file| Sibling::new(file, with_blobs)).collect(),
        model_id: (!place.repository.holds_data()).then_some(&id),
        pipeline_tag: of_model("pipeline_tag"),
        library_name: of_model("library_name"),
    }))
}

/// The files of a revision (Hub: list_repo_tree).
#[utoipa::path(
    get,
    path = "/tree/{revision}",
    tag = "hub",
    params(
        AtRevision,
        ("recursive" = Option<bool>, Query, description = "Whether what lies in folders is listed as well."),
    ),
    responses((status = 200, description = "Folders, then files.", body = [Entry]), Missing),
)]
pub(crate) async fn tree(state: State<App>, query: RawQuery, place: Place) -> Result<Response, HubError> {
    folder(state, query, place).await
}

/// The files in a folder of it.
#[utoipa::path(
    get,
    path = "/tree/{revision}/{*path}",
    tag = "hub",
    params(
        AtRevision,
        ("path" = String, Path, description = "The folder; slashes stay as they are."),
        ("recursive" = Option<bool>, Query, description = "Whether what lies in folders is listed as well."),
    ),
    responses((status = 200, description = "Folders, then files.", body = [Entry]), Missing),
)]
pub(crate) async fn folder(State(app): State<App>, query: RawQuery, place: Place) -> Result<Response, HubError> {
    let revision = revisions::find(&app, &place.repository, &place.revision).await?;
    let folder = place.path.trim_matches('/');
    let entries = entries(&revision, folder, asks(&query, "recursive"));
    if entries.is_empty() && !folder.is_empty() {
        return Err(HubError::no_entry(folder, &revision.commit));
    }
    Ok(fresh(&entries))
}

/// Files and folders below `folder`, all of them or those directly in it.
fn entries<'a>(revision: &'a Revision, folder: &str, recursive: bool) -> Vec<Entry<'a>> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let (mut entries, mut folders) = (Vec::new(), BTreeSet::new());
    for file in &revision.files {
        let Some(below) = file.path.strip_prefix(&prefix) else { continue };
        for (end, _) in below.match_indices('/').take(if recursive { usize::MAX } else { 1 }) {
            folders.insert(format!("{prefix}{}", &below[..end]));
        }
        if recursive || !below.contains('/') {
            entries.push(Entry::file(file));
        }
    }
    folders.into_iter().map(|path| Entry::folder(revision, path)).chain(entries).collect()
}

/// The entries of some paths, at most 256; those that aren't there are left out (Hub: get_paths_info).
#[utoipa::path(
    post,
    path = "/paths-info/{revision}",
    tag = "hub",
    params(AtRevision),
    request_body(content((Paths = "application/json"), (Paths = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "What is there.", body = [Entry]), Missing),
)]
pub(crate) async fn paths_info(
    State(app): State<App>,
    place: Place,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HubError> {
    let body = read_body(&headers, body, &app.config.limits).await?;
    let paths = asked_paths(&headers, &body)?;
    let revision = revisions::find(&app, &place.repository, &place.revision).await?;
    let all = entries(&revision, "", true);
    let asked = |entry: &&Entry| paths.iter().any(|asked| *asked == entry.path);
    Ok(fresh(&all.iter().filter(asked).collect::<Vec<_>>()))
}

/// The paths of a request's body, which is a form or JSON.
fn asked_paths(headers: &HeaderMap, body: &[u8]) -> Result<Vec<String>, ApiError> {
    let hint = "Send `paths`, at most 256, as JSON or as a form.";
    let bad = |problem: String| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", problem, hint);
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes()).unwrap_or_default();
    let paths = if kind.starts_with(b"application/json") {
        strict::from_slice::<Paths>(body).map_err(|error| bad(error.to_string()))?.paths
    } else {
        let pairs = url::form_urlencoded::parse(body);
        pairs.filter(|(name, _)| name == "paths").map(|(_, path)| path.into_owned()).collect()
    };
    if paths.len() > PATHS_MAX { Err(bad(format!("{} paths", paths.len()))) } else { Ok(paths) }
}

/// Branches and tags (Hub: list_repo_refs). Without a champion there is no branch yet.
#[utoipa::path(
    get,
    path = "/refs",
    tag = "hub",
    responses((status = 200, description = "The branch and the tags.", body = References), Missing),
)]
pub(crate) async fn refs(State(app): State<App>, place: Place) -> Result<Response, HubError> {
    let repository = &place.repository;
    revisions::check_exists(&app, repository).await?;
    let mut branches = Vec::new();
    if let Ok(main) = revisions::find(&app, repository, MAIN).await {
        branches.push(Reference::new("heads", MAIN, &main.commit));
    }
    let mut tags = Vec::new();
    for tag in revisions::tags(&app, repository).await? {
        let revision = revisions::revision_of(&app, repository, &Subject::Submission(tag.champion)).await?;
        tags.push(Reference::new("tags", &tag.name, &revision.commit));
    }
    Ok(fresh(&References { branches, tags, converts: Nothing, pull_requests: Nothing }))
}

/// Whether its files may be had (Hub: auth_check): those of a repository that exists, by everybody.
#[utoipa::path(
    get,
    path = "/auth-check",
    tag = "hub",
    responses((status = 200, description = "They may.", body = Object), Missing),
)]
pub(crate) async fn auth_check(State(app): State<App>, place: Place) -> Result<Response, HubError> {
    revisions::check_exists(&app, &place.repository).await?;
    Ok(fresh(&serde_json::json!({})))
}

/// How many commits a list has, by which clients count them.
const TOTAL: HeaderName = HeaderName::from_static("x-total-count");

/// What the repository showed, newest first (Hub: list_repo_commits).
#[utoipa::path(
    get,
    path = "/commits/{revision}",
    tag = "hub",
    params(AtRevision),
    responses((status = 200, description = "The commits.", body = [Commit]), Missing),
)]
pub(crate) async fn commits(State(app): State<App>, place: Place) -> Result<Response, HubError> {
    let head = revisions::find(&app, &place.repository, &place.revision).await?;
    let mut commits = vec![commit(&place.repository, &head, "main", head.at)];
    let mut tags = revisions::tags(&app, &place.repository).await?;
    tags.reverse();
    for tag in tags {
        let subject = Subject::Submission(tag.champion);
        let revision = revisions::revision_of(&app, &place.repository, &subject).await?;
        if commits.last().is_none_or(|last: &Commit| last.id != revision.commit) {
            commits.push(commit(&place.repository, &revision, &tag.name, tag.at));
        }
    }
    let mut answer = fresh(&commits);
    answer.headers_mut().insert(TOTAL, commits.len().into());
    Ok(answer)
}

fn commit(repository: &Repository, revision: &Revision, name: &str, at: u64) -> Commit {
    let title = format!("{repository} at {name}: {}", revision.subject);
    Commit { id: revision.commit.clone(), title, message: "", authors: Nothing, date: date(at) }
}

/// Whether a query switches something on.
fn asks(RawQuery(query): &RawQuery, name: &str) -> bool {
    let pairs = url::form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes());
    pairs.into_iter().any(|(key, value)| key == name && matches!(&*value, "true" | "True" | "1"))
}

/// JSON that is asked for anew each time: `main` moves.
fn fresh(value: &(impl serde::Serialize + ?Sized)) -> Response {
    ([(header::CACHE_CONTROL, "no-cache")], Json(value)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Digest;
    use serde_json::Map;
    use store::db::hub::RevisionFile;

    #[test]
    fn a_tree_lists_folders_and_what_is_in_them() {
        let file = |path: &str| RevisionFile {
            path: path.into(),
            size: 1,
            sha256: Digest::of(b""),
            oid: String::new(),
            pointer_size: None,
        };
        let files = vec![file(".eval_results/x.yaml"), file("README.md"), file("a/b/c")];
        let revision = Revision {
            repository: String::new(),
            subject: String::new(),
            commit: "c".into(),
            files,
            card: Value::Object(Map::new()),
            at: 0,
        };
        let paths = |folder: &str, recursive: bool| -> Vec<String> {
            let entries = entries(&revision, folder, recursive);
            entries.into_iter().map(|entry| entry.path.into_owned()).collect()
        };
        assert_eq!(paths("", false), [".eval_results", "a", "README.md"]);
        assert_eq!(paths("", true), [".eval_results", "a", "a/b", ".eval_results/x.yaml", "README.md", "a/b/c"]);
        assert_eq!(paths("a", false), ["a/b"]);
        assert_eq!(paths("a/b", true), ["a/b/c"]);
        assert!(paths("none", true).is_empty());
    }
}
