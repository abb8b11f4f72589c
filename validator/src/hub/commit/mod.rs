//! A commit to `main` of `arena/<competition>`: a package that is entered in one request.
//!
//! Clients that upload to the Hub send a whole package as text, file by file. It is received as any upload is: counted,
//! hashed, at a pace, into files without a name that nobody can read. Only then is the package announced, so that its
//! leaf in the public log exists before its bytes have a name, and only then are they stored, completed and checked, by
//! the very functions that every other submission goes through (`intake`). What isn't protected is the moment between a
//! validator's receiving the bytes and its announcing them: who doesn't trust it that far announces the package first
//! (`POST /api/v1/submissions`), and then commits the same one.

mod ndjson;

use super::errors::HubError;
use super::revisions;
use super::upload::{Bearer, Target};
use crate::app::App;
use crate::error::ApiError;
use crate::intake::{self, Space};
use crate::objects::{Incoming, ObjectError, Spool, Spooled};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use http::{HeaderMap, StatusCode};
use ndjson::{CommitError, Line, Lines, Piece};
use protocol::competition::Limits;
use protocol::package::{CONFIG_BYTES_MAX, CONFIG_FILE, README_BYTES_MAX, README_FILE, WEIGHTS_FILE};
use protocol::submission::Code;
use protocol::{Digest, SubmissionId};
use serde_json::json;
use std::time::Duration;

/// A package has no more files.
const FILES_MAX: usize = 3;

/// `POST /api/models/{repository}/commit/{revision}`.
pub(super) async fn commit(
    State(app): State<App>,
    bearer: Bearer,
    target: Target,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HubError> {
    let manifest = target.open_to(&app, &bearer).await?.competition.manifest;
    app.guard.admit_hotkey(&bearer.hotkey)?;
    let _place = app.upload_places.try_acquire().map_err(|_| ApiError::busy("too many uploads at once"))?;
    let _space = Space::reserve(&app, bytes_max(&manifest.limits).saturating_add(CONFIG_BYTES_MAX + README_BYTES_MAX))?;
    let receiving = receive(&app, &manifest.limits, body);
    let seconds = manifest.limits.upload_seconds_max;
    let received = tokio::time::timeout(Duration::from_secs(seconds), receiving).await;
    let Received { files, parent } = received.map_err(|_| too_slow(seconds))??;
    if let Some(parent) = parent {
        revisions::check_parent(&app, &manifest.id, &parent).await?;
    }
    let id = intake::whole(&app, bearer.hotkey, manifest.id, files).await?;
    Ok(Json(answer(&app, &headers, &id)).into_response())
}

/// Where the client's user goes on: the submission's page.
fn answer(app: &App, headers: &HeaderMap, id: &SubmissionId) -> serde_json::Value {
    let url = format!("{}/submissions/{id}", super::upload::address(app, headers));
    json!({ "success": true, "commitUrl": url, "commitOid": commit_oid(id), "hookOutput": "" })
}

/// The same for the same submission, for ever: sending a package again gives it again.
fn commit_oid(id: &SubmissionId) -> String {
    let mut digits = Digest::of(format!("retort-hub-commit/1\n{id}\n").as_bytes()).to_string();
    digits.truncate(revisions::COMMIT_DIGITS);
    digits
}

/// The largest file of a package.
pub(super) fn bytes_max(limits: &Limits) -> u64 {
    limits.size_bytes_max.max(README_BYTES_MAX)
}

/// What a commit brought.
struct Received {
    files: Vec<(String, Spooled)>,
    parent: Option<String>,
}

/// Receives a commit's lines, and each file into a spool of its own.
async fn receive(app: &App, limits: &Limits, body: Body) -> Result<Received, HubError> {
    let stream = body.into_data_stream().map_err(|error| error.to_string());
    let mut incoming = Incoming::new(stream, app.config.limits.upload_pace());
    let (mut lines, mut pieces) = (Lines::default(), Vec::new());
    let mut package = Package { app, bytes_max: bytes_max(limits), spool: None, files: Vec::new(), parent: None };
    while let Some(chunk) = incoming.next().await? {
        lines.push(&chunk, &mut pieces)?;
        package.take(&mut pieces).await?;
    }
    lines.finish(&mut pieces)?;
    package.take(&mut pieces).await?;
    Ok(Received { files: package.files, parent: package.parent })
}

/// A package that is coming.
struct Package<'a> {
    app: &'a App,
    bytes_max: u64,
    /// The file whose line is coming: its name comes after its bytes.
    spool: Option<Spool>,
    files: Vec<(String, Spooled)>,
    parent: Option<String>,
}

impl Package<'_> {
    async fn take(&mut self, pieces: &mut Vec<Piece>) -> Result<(), HubError> {
        for piece in pieces.drain(..) {
            match piece {
                Piece::Content(bytes) => {
                    let written = self.spool()?.write(&bytes).await;
                    written.map_err(|error| self.too_large(error))?;
                }
                Piece::Line(Line::Header { parent }) => self.parent = parent,
                Piece::Line(Line::File { path }) => self.end_file(path).await?,
                Piece::Line(Line::Other { key }) => return Err(refused(&key)),
            }
        }
        Ok(())
    }

    fn spool(&mut self) -> Result<&mut Spool, ObjectError> {
        if self.spool.is_none() {
            self.spool = Some(self.app.objects.spool(self.bytes_max)?);
        }
        self.spool.as_mut().ok_or(ObjectError::Full)
    }

    async fn end_file(&mut self, path: String) -> Result<(), HubError> {
        if ![CONFIG_FILE, WEIGHTS_FILE, README_FILE].contains(&path.as_str()) || self.files.len() == FILES_MAX {
            let shown: String = path.chars().take(64).collect();
            return Err(unexpected(&shown));
        }
        self.spool()?;
        if let Some(spool) = self.spool.take() {
            self.files.push((path, spool.finish().await?));
        }
        Ok(())
    }

    fn too_large(&self, error: ObjectError) -> HubError {
        match error {
            ObjectError::Size { .. } => {
                let detail = format!("a file has more than {} bytes, which is the limit", self.bytes_max);
                ApiError::from(Code::FileTooLarge.because(detail)).into()
            }
            error => error.into(),
        }
    }
}

/// A file that packages don't have.
pub(super) fn unexpected(shown: &str) -> HubError {
    let detail = format!(
        "{shown:?} is no file of a package: it has config.json, model.safetensors and, if you like, README.md; \
         upload those alone with --include"
    );
    ApiError::from(Code::FileUnexpected.because(detail)).into()
}

/// What the protocol has and a submission hasn't.
fn refused(key: &str) -> HubError {
    let (detail, hint) = match key {
        "lfsFile" => (
            "a file came by its digest alone",
            "Send it in the commit, as the answer to preupload says; `hf upload` does that by itself.",
        ),
        "deletedFile" | "deletedFolder" => {
            ("nothing can be deleted", "A submission is entered whole, and what was entered stays.")
        }
        _ => ("a commit has files only", "Send config.json, model.safetensors and, if you like, README.md."),
    };
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "commit_refused", format!("{detail} ({key})"), hint).into()
}

fn too_slow(seconds: u64) -> HubError {
    let detail = format!("the commit didn't arrive within {seconds} s");
    let hint = "Submit again on a faster line.";
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "upload_too_slow", detail, hint).into()
}

impl From<CommitError> for HubError {
    fn from(error: CommitError) -> Self {
        let hint = "Commit with huggingface_hub or hf-hub, or see docs/HUB.md for what they send.";
        ApiError::new(StatusCode::BAD_REQUEST, "commit_malformed", error.to_string(), hint).into()
    }
}
