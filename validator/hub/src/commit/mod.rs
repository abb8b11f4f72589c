//! A commit to `main` of `arena/<competition>`: a package that is entered in one request.
//!
//! Clients that upload to the Hub send a whole package as text, file by file. It is received as any upload is: counted,
//! hashed, at a pace, into files without a name that nobody can read. Only then is the package announced, so that its
//! leaf in the public log exists before its bytes have a name, and only then are they stored, completed and checked, by
//! the very functions that every other submission goes through (`intake`). What isn't protected is the moment between a
//! validator's receiving the bytes and its announcing them: who doesn't trust it that far announces the package first
//! (`POST /api/v1/submissions`), and then commits the same one. Packages that come file by file wait in [`drafts`].

mod ndjson;
mod part;

use crate::beside;
use crate::contents::COMMIT_DIGITS;
use crate::drafts::{self, Drafts};
use crate::errors::{HubError, WARNING};
use crate::messages::write::Committed;
use crate::repository::ARENA;
use crate::revisions;
use crate::sender::{Bearer, Refused, Target, Where, address};
use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use edge::error::ApiError;
use futures::TryStreamExt;
use http::{HeaderMap, HeaderValue, StatusCode};
use ndjson::{CommitError, Line, Lines, Piece};
use protocol::competition::{Limits, Manifest, Taken};
use protocol::package::{
    CONFIG_BYTES_MAX, CONFIG_FILE, EXPECTED_BYTES_MAX, EXPECTED_FILE, ONNX_FILE, README_BYTES_MAX, README_FILE,
    WEIGHTS_FILE, is_noise, is_numbers_beside_onnx, numbers_beside_onnx,
};
use protocol::submission::{Code, Rejection, State};
use protocol::{CompetitionId, Digest, SubmissionId};
use service::app::App;
use service::guard::AddressBlock;
use service::intake;
use std::time::Duration;
use store::objects::{Incoming, ObjectError, Spool, Spooled};

/// A package has no more files.
const FILES_MAX: usize = 4;
/// Files of the largest size that may lie beside a package.
const BESIDE_FILES: u64 = 8;
/// Names of files that were left out which are kept; the client is told a few.
const LEFT_OUT_MAX: usize = 64;
/// How long a client waits for the admission check, which takes some 50 ms; a page tells it later.
const CHECK_SECONDS_MAX: Duration = Duration::from_secs(20);
const CHECK_POLL: Duration = Duration::from_millis(25);

/// The first line of a commit, for its description.
fn first_line() -> &'static str {
    "{\"key\":\"header\",\"value\":{\"summary\":\"student\"}}\n"
}

/// Enters a package (Hub: upload_folder, hf upload).
///
/// A line of JSON with the summary, then a line a file with its base64. One file alone waits up to ten minutes for the
/// others.
#[utoipa::path(
    post,
    path = "/api/models/{namespace}/{name}/commit/{revision}",
    tag = "hub",
    security(("token" = [])),
    params(Where),
    request_body(content((String = "application/x-ndjson"), (String = "text/plain", example = first_line)),
        description = "The lines."),
    responses(
        (status = 200, description = "What was entered, or what is missing.", body = Committed),
        (status = 400, description = "commit_malformed."),
        (status = 408, description = "upload_too_slow."),
        (status = 422, description = "commit_refused, or the code of an admission check."),
        Refused,
    ),
)]
pub(super) async fn commit(
    Shared(drafts): Shared<Drafts>,
    Shared(app): Shared<App>,
    Extension(client): Extension<AddressBlock>,
    bearer: Bearer,
    target: Target,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HubError> {
    let manifest = target.open_to(&app, &bearer).await?.competition.manifest;
    app.guard.admit_hotkey(&bearer.hotkey)?;
    let place = app.guard.place(&app.guard.budgets.uploads, client, &bearer.hotkey).await?;
    let bytes = bytes_max(&manifest.limits).saturating_add(CONFIG_BYTES_MAX + README_BYTES_MAX + EXPECTED_BYTES_MAX);
    let space = intake::space_for(&app, client, &bearer.hotkey, bytes).await?;
    let receiving = receive(&app, &manifest, body);
    let seconds = manifest.limits.upload_seconds_max;
    let received = tokio::time::timeout(Duration::from_secs(seconds), receiving).await;
    let Received { mut files, summary, parent, left_out } = received.map_err(|_| too_slow(seconds))??;
    if let Some(parent) = parent {
        revisions::check_parent(&app, &manifest.id, &parent).await?;
    }
    if let (true, Some(alone)) = (files.is_empty(), left_out.iter().find(|path| !path.contains('/'))) {
        return Err(unexpected(alone));
    }
    if let [(path, _)] = files.as_slice()
        && part::is_part(&summary, path)
    {
        let of = (bearer.hotkey, manifest.id.clone());
        let earlier = drafts.take(&of, app.clock.now());
        let (earlier, place) = earlier.map_or_else(Default::default, |(files, place)| (files, Some(place)));
        files = with_earlier(earlier, files);
        if let Some(missing) = missing(&files, &manifest) {
            let place = match place {
                Some(place) => place,
                None => app.guard.place(&app.guard.budgets.drafts, client, &bearer.hotkey).await?,
            };
            drafts.keep(of, files, place, app.clock.now());
            return Ok(waiting(&app, &headers, &manifest.id, missing));
        }
    }
    let id = intake::whole(&app, (bearer.hotkey, client), manifest.id, files).await?;
    // Nobody waits for a place while this one waits for its check.
    drop((place, space));
    if let Some(rejection) = rejection(&app, &id).await? {
        return Err(ApiError::from(rejection).into());
    }
    let mut response = Json(answer(&app, &headers, &id)).into_response();
    response.headers_mut().extend(beside::told(&left_out).map(|warning| (WARNING, warning)));
    Ok(response)
}

/// Why the admission check refuses a package, if it says so while the client waits: nobody is told that an upload went well
/// which is rejected a moment later.
async fn rejection(app: &App, id: &SubmissionId) -> Result<Option<Rejection>, HubError> {
    let checked = async {
        loop {
            match app.db.submission(id).await? {
                Some(submission) if submission.state == State::Checking => tokio::time::sleep(CHECK_POLL).await,
                Some(submission) if submission.state == State::Rejected => return Ok(submission.reason),
                _ => return Ok(None),
            }
        }
    };
    tokio::time::timeout(CHECK_SECONDS_MAX, checked).await.unwrap_or(Ok(None))
}

/// A part, and those of its package that came before; of two files of a name the later one.
fn with_earlier(earlier: Vec<(String, Spooled)>, part: Vec<(String, Spooled)>) -> Vec<(String, Spooled)> {
    let of_others = |(path, _): &(String, Spooled)| part.iter().all(|(new, _)| new != path);
    let mut files: Vec<_> = earlier.into_iter().filter(of_others).collect();
    files.extend(part);
    files
}

/// What a package still needs.
fn missing(files: &[(String, Spooled)], manifest: &Manifest) -> Option<&'static str> {
    let has = |name: &str| files.iter().any(|(path, _)| path == name);
    match (has(CONFIG_FILE), has(WEIGHTS_FILE) || has(ONNX_FILE)) {
        (false, _) => Some(CONFIG_FILE),
        (true, true) => None,
        (true, false) if !manifest.takes(Taken::Onnx) => Some(WEIGHTS_FILE),
        (true, false) if !manifest.takes(Taken::Catalogue) => Some(ONNX_FILE),
        (true, false) => Some("model.safetensors or model.onnx"),
    }
}

/// The answer to a part: nothing is entered yet, and the client says so to its user.
fn waiting(app: &App, headers: &HeaderMap, competition: &CompetitionId, missing: &str) -> Response {
    let minutes = drafts::SECONDS_MAX / 60;
    let warning =
        format!("incomplete; nothing is entered yet: {missing} is missing, upload it within {minutes} minutes");
    let url = format!("{}/{ARENA}/{competition}", address(app, headers));
    let oid = "0".repeat(COMMIT_DIGITS);
    let mut response = Json(Committed::new(url, oid)).into_response();
    response.headers_mut().extend(HeaderValue::from_str(&warning).ok().map(|warning| (WARNING, warning)));
    response
}

/// Where the client's user goes on: the submission's page.
fn answer(app: &App, headers: &HeaderMap, id: &SubmissionId) -> Committed {
    let url = format!("{}/submissions/{id}", address(app, headers));
    Committed::new(url, commit_oid(id))
}

/// The same for the same submission, for ever: sending a package again gives it again.
fn commit_oid(id: &SubmissionId) -> String {
    let mut digits = Digest::of(format!("retort-hub-commit/1\n{id}\n").as_bytes()).to_string();
    digits.truncate(COMMIT_DIGITS);
    digits
}

/// The largest file of a package.
pub(super) fn bytes_max(limits: &Limits) -> u64 {
    limits.size_bytes_max.max(README_BYTES_MAX).max(EXPECTED_BYTES_MAX)
}

/// All files of a commit: those of a package, and what lies beside them.
fn all_bytes_max(limits: &Limits) -> u64 {
    let package = limits.size_bytes_max.saturating_add(CONFIG_BYTES_MAX + README_BYTES_MAX + EXPECTED_BYTES_MAX);
    package.saturating_add(BESIDE_FILES * beside::BYTES_MAX)
}

/// What a commit brought.
struct Received {
    files: Vec<(String, Spooled)>,
    summary: String,
    parent: Option<String>,
    /// Files that are no package's.
    left_out: Vec<String>,
}

/// Receives a commit's lines, and each file into a spool of its own.
async fn receive(app: &App, manifest: &Manifest, body: Body) -> Result<Received, HubError> {
    let stream = body.into_data_stream().map_err(|error| error.to_string());
    // Blanks and line breaks are no progress.
    let mut incoming = Incoming::with_padding(stream, app.config.limits.upload_pace());
    let (mut lines, mut pieces) = (Lines::default(), Vec::new());
    let mut package = Package::new(app, manifest);
    while let Some(chunk) = incoming.next().await? {
        lines.push(&chunk, &mut pieces)?;
        incoming.count(pieces.iter().map(Piece::content_bytes).sum());
        package.take(&mut pieces).await?;
    }
    lines.finish(&mut pieces)?;
    package.take(&mut pieces).await?;
    Ok(package.received)
}

/// A package that is coming.
struct Package<'a> {
    app: &'a App,
    competition: &'a CompetitionId,
    bytes_max: u64,
    /// Bytes of files that may still come, whatever they are.
    bytes_left: u64,
    /// The file whose line is coming: its name comes after its bytes.
    spool: Option<Spool>,
    received: Received,
}

impl<'a> Package<'a> {
    fn new(app: &'a App, manifest: &'a Manifest) -> Self {
        let received = Received { files: Vec::new(), summary: String::new(), parent: None, left_out: Vec::new() };
        let bytes_max = bytes_max(&manifest.limits);
        let bytes_left = all_bytes_max(&manifest.limits);
        Self { app, competition: &manifest.id, bytes_max, bytes_left, spool: None, received }
    }

    async fn take(&mut self, pieces: &mut Vec<Piece>) -> Result<(), HubError> {
        for piece in pieces.drain(..) {
            match piece {
                Piece::Content(bytes) => {
                    let left = self.bytes_left.checked_sub(bytes.len() as u64);
                    self.bytes_left = left.ok_or_else(|| self.too_many())?;
                    let written = self.spool()?.write(&bytes).await;
                    written.map_err(|error| self.too_large(error))?;
                }
                Piece::Line(Line::Header { summary, parent }) => {
                    (self.received.summary, self.received.parent) = (summary, parent);
                }
                Piece::Line(Line::File { path }) => self.end_file(path).await?,
                Piece::Line(Line::Other { key }) => return Err(refused(&key)),
            }
        }
        Ok(())
    }

    fn spool(&mut self) -> Result<&mut Spool, HubError> {
        if self.spool.is_none() {
            self.spool = Some(self.app.objects.spool(self.bytes_max)?);
        }
        self.spool.as_mut().ok_or_else(|| ObjectError::Full.into())
    }

    async fn end_file(&mut self, path: String) -> Result<(), HubError> {
        self.spool()?;
        let Some(spool) = self.spool.take() else { return Ok(()) };
        let file = spool.finish().await?;
        let is_of_package = [CONFIG_FILE, WEIGHTS_FILE, ONNX_FILE, README_FILE, EXPECTED_FILE].contains(&path.as_str());
        if is_of_package && self.received.files.len() < FILES_MAX {
            self.received.files.push((path, file));
            return Ok(());
        }
        let means_nothing = is_noise(&path)
            || beside::is_served(self.app, self.competition, &path, Some(&file.object().sha256)).await?;
        let left_out = async || -> Result<bool, HubError> {
            Ok(beside::is_beside(&path) && !beside::is_served(self.app, self.competition, &path, None).await?)
        };
        if is_of_package || is_numbers_beside_onnx(&path) || !(means_nothing || left_out().await?) {
            return Err(unexpected(&path));
        }
        if !means_nothing && self.received.left_out.len() < LEFT_OUT_MAX {
            self.received.left_out.push(path);
        }
        Ok(())
    }

    fn too_many(&self) -> HubError {
        ApiError::from(Code::FileTooLarge.because("the files of the commit have too many bytes together".into())).into()
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
pub(super) fn unexpected(path: &str) -> HubError {
    let shown: String = path.chars().take(64).collect();
    if is_numbers_beside_onnx(&shown) {
        return ApiError::from(numbers_beside_onnx(&shown)).into();
    }
    let detail = format!(
        "{shown:?} is no file of a package: it has config.json, model.safetensors or model.onnx and, if you like, README.md \
         and expected.safetensors; upload those alone with --include"
    );
    ApiError::from(Code::FileUnexpected.because(detail)).into()
}

/// A package that lies in a folder of what was sent.
pub(super) fn nested(competition: &CompetitionId, path: &str) -> HubError {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).chars().take(64).collect::<String>();
    let detail = format!(
        "{CONFIG_FILE} and the model lie in the folder {folder:?}; send what is in it: hf upload \
         {ARENA}/{competition} ./{folder} ."
    );
    ApiError::from(Code::FileMissing.because(detail)).into()
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
        _ => (
            "a commit has files only",
            "Send config.json, model.safetensors or model.onnx and, if you like, README.md.",
        ),
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
