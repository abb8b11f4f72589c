//! What a repository has, as JSON: its revision, its files, its branches and tags.
//!
//! Fields are named as the Hub names them. It does not hand out files.

use super::errors::HubError;
use super::repository::{Place, Repository};
use super::revisions::{self, MAIN, Subject};
use crate::app::App;
use crate::auth::read_body;
use crate::db::hub::{Revision, RevisionFile};
use crate::error::ApiError;
use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use protocol::strict;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Paths that one request may ask about.
const PATHS_MAX: usize = 256;

/// `GET /api/models/{namespace}/{name}[/revision/{revision}]`.
pub(super) async fn info(State(app): State<App>, query: RawQuery, place: Place) -> Result<Response, HubError> {
    let revision = revisions::find(&app, &place.repository, &place.revision).await?;
    let with_blobs = asks(&query, "blobs");
    let siblings: Vec<Value> = revision.files.iter().map(|file| sibling(file, with_blobs)).collect();
    let id = place.repository.id();
    let mut info = json!({
        "_id": &revision.commit[..24.min(revision.commit.len())],
        "id": id,
        "author": place.repository.namespace(),
        "sha": revision.commit,
        "private": false,
        "gated": false,
        "disabled": false,
        "downloads": 0,
        "likes": 0,
        "tags": revision.card.get("tags").cloned().unwrap_or_else(|| json!([])),
        "createdAt": date(revision.at),
        "lastModified": date(revision.at),
        "cardData": revision.card,
        "siblings": siblings,
    });
    if !place.repository.holds_data() {
        info["modelId"] = json!(id);
        for field in ["pipeline_tag", "library_name"] {
            info[field] = revision.card.get(field).cloned().unwrap_or_default();
        }
    }
    Ok(fresh(&info))
}

fn sibling(file: &RevisionFile, with_blobs: bool) -> Value {
    let mut sibling = json!({ "rfilename": file.path });
    if with_blobs {
        (sibling["size"], sibling["blobId"]) = (json!(file.size), json!(file.oid));
        if let Some(pointer_size) = file.pointer_size {
            // Unlike a tree, this names the digest by its kind.
            sibling["lfs"] = json!({ "sha256": file.sha256, "size": file.size, "pointerSize": pointer_size });
        }
    }
    sibling
}

/// `GET …/tree/{revision}[/{path}]`.
pub(super) async fn tree(State(app): State<App>, query: RawQuery, place: Place) -> Result<Response, HubError> {
    let revision = revisions::find(&app, &place.repository, &place.revision).await?;
    let folder = place.path.trim_matches('/');
    let entries = entries(&revision, folder, asks(&query, "recursive"));
    if entries.is_empty() && !folder.is_empty() {
        return Err(HubError::no_entry(folder, &revision.commit));
    }
    Ok(fresh(&entries))
}

/// Files and folders below `folder`, all of them or those directly in it.
fn entries(revision: &Revision, folder: &str, recursive: bool) -> Vec<Value> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let (mut entries, mut folders) = (Vec::new(), BTreeSet::new());
    for file in &revision.files {
        let Some(below) = file.path.strip_prefix(&prefix) else { continue };
        for (end, _) in below.match_indices('/').take(if recursive { usize::MAX } else { 1 }) {
            folders.insert(format!("{prefix}{}", &below[..end]));
        }
        if recursive || !below.contains('/') {
            entries.push(entry(file));
        }
    }
    folders.iter().map(|path| folder_entry(revision, path)).chain(entries).collect()
}

fn entry(file: &RevisionFile) -> Value {
    let mut entry = json!({ "type": "file", "oid": file.oid, "size": file.size, "path": file.path });
    if let Some(pointer_size) = file.pointer_size {
        entry["lfs"] = json!({ "oid": file.sha256, "size": file.size, "pointerSize": pointer_size });
    }
    entry
}

/// Folders have no id of their own here; the revision's tells two of them apart as well.
fn folder_entry(revision: &Revision, path: &str) -> Value {
    json!({ "type": "directory", "oid": revision.commit, "size": 0, "path": path })
}

#[derive(Deserialize)]
struct Paths {
    paths: Vec<String>,
}

/// `POST …/paths-info/{revision}`: the entries of some paths; those that aren't there are left out.
pub(super) async fn paths_info(
    State(app): State<App>,
    place: Place,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HubError> {
    let body = read_body(&headers, body, &app.config.limits).await?;
    let paths = asked_paths(&headers, &body)?;
    let revision = revisions::find(&app, &place.repository, &place.revision).await?;
    let all = entries(&revision, "", true);
    let asked = |entry: &&Value| entry["path"].as_str().is_some_and(|path| paths.iter().any(|asked| asked == path));
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

/// `GET …/refs`: the branch, which is there once it has something, and the tags.
pub(super) async fn refs(State(app): State<App>, place: Place) -> Result<Response, HubError> {
    let repository = &place.repository;
    revisions::check_exists(&app, repository).await?;
    let reference = |kind: &str, name: &str, commit: &str| json!({ "name": name, "ref": format!("refs/{kind}/{name}"), "targetCommit": commit });
    let mut branches = Vec::new();
    if let Ok(main) = revisions::find(&app, repository, MAIN).await {
        branches.push(reference("heads", MAIN, &main.commit));
    }
    let mut tags = Vec::new();
    for tag in revisions::tags(&app, repository).await? {
        let revision = revisions::revision_of(&app, repository, &Subject::Submission(tag.champion)).await?;
        tags.push(reference("tags", &tag.name, &revision.commit));
    }
    Ok(fresh(&json!({ "branches": branches, "tags": tags, "converts": [] })))
}

/// `GET …/commits/{revision}`: what the repository showed before, newest first.
pub(super) async fn commits(State(app): State<App>, place: Place) -> Result<Response, HubError> {
    let head = revisions::find(&app, &place.repository, &place.revision).await?;
    let mut commits = vec![commit(&place.repository, &head, "main", head.at)];
    let mut tags = revisions::tags(&app, &place.repository).await?;
    tags.reverse();
    for tag in tags {
        let subject = Subject::Submission(tag.champion);
        let revision = revisions::revision_of(&app, &place.repository, &subject).await?;
        if commits.last().is_none_or(|last: &Value| last["id"] != json!(revision.commit)) {
            commits.push(commit(&place.repository, &revision, &tag.name, tag.at));
        }
    }
    Ok(fresh(&commits))
}

fn commit(repository: &Repository, revision: &Revision, name: &str, at: u64) -> Value {
    let title = format!("{repository} at {name}: {}", revision.subject);
    json!({ "id": revision.commit, "title": title, "message": "", "authors": [], "date": date(at) })
}

/// Whether a query switches something on.
fn asks(RawQuery(query): &RawQuery, name: &str) -> bool {
    let pairs = url::form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes());
    pairs.into_iter().any(|(key, value)| key == name && matches!(&*value, "true" | "True" | "1"))
}

/// A time as the Hub writes it.
pub(super) fn date(unix_seconds: u64) -> String {
    let seconds = i64::try_from(unix_seconds).unwrap_or_default();
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    // Clients want milliseconds.
    let text = time.format(&Rfc3339).unwrap_or_default();
    text.replace('Z', ".000Z")
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
            entries.iter().filter_map(|entry| entry["path"].as_str().map(str::to_owned)).collect()
        };
        assert_eq!(paths("", false), [".eval_results", "a", "README.md"]);
        assert_eq!(paths("", true), [".eval_results", "a", "a/b", ".eval_results/x.yaml", "README.md", "a/b/c"]);
        assert_eq!(paths("a", false), ["a/b"]);
        assert_eq!(paths("a/b", true), ["a/b/c"]);
        assert!(paths("none", true).is_empty());
        assert_eq!(date(1_800_000_000), "2027-01-15T08:00:00.000Z");
    }
}
