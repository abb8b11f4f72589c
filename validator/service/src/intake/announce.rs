//! The first step of intake: an announced package becomes a submission, or the reason why not.
//!
//! It sees names, sizes and digests, never bytes.

use super::repeat::Repeatable;
use super::{admittance, incoming_name, known_competition, not_reserved, quota};
use crate::app::App;
use crate::guard::AddressBlock;
use crate::refusal::Refusal;
use crate::shares;
use protocol::api::{FileDeclaration, PackageObjects, SubmissionCreated, SubmissionRequest, Upload};
use protocol::competition::Limits;
use protocol::leaf::Commitment;
use protocol::name::DisplayName;
use protocol::package::{
    CONFIG_BYTES_MAX, CONFIG_FILE, EXPECTED_BYTES_MAX, EXPECTED_FILE, ONNX_FILE, README_BYTES_MAX, README_FILE,
    WEIGHTS_FILE, is_numbers_beside_onnx, numbers_beside_onnx,
};
use protocol::submission::{Code, Rejection, State};
use protocol::{Digest, Hotkey, SubmissionId};
use std::time::Duration;
use store::db::files::SubmissionFile;
use store::db::origins::Counted;
use store::db::rounds;
use store::db::submissions::{self, Submission};
use store::db::uploads::{self, UploadGrant};
use store::db::{DbError, Tx, leaves};
use store::failpoints::{self, Change, Moment};
use store::secret::mac;
use transparency::EntryKind;

/// What the validator's key is asked for.
const UPLOADS: &str = "retort/uploads/1";

/// A submission with where its files go, and whether it is new.
pub struct Announced {
    pub created: bool,
    pub answer: SubmissionCreated,
}

/// Enters a package. The same package of the same hotkey is the same submission, unless that one failed or expired. A
/// request that says which one it is, sent again, is answered as it was before, whatever became of its submission.
pub async fn announce(
    app: &App,
    (hotkey, client): (Hotkey, AddressBlock),
    request: SubmissionRequest,
    repeatable: Option<Repeatable>,
) -> Result<Announced, Refusal> {
    let (created, submission) = enter(app, (hotkey, client), request, repeatable, Files::ToCome).await?;
    let uploads = uploads(app, &submission).await?;
    if created {
        failpoints::at(Moment::AnnouncementAnswer)?;
    }
    let answer = SubmissionCreated { id: submission.id, state: submission.state, uploads };
    Ok(Announced { created, answer })
}

/// Where the files of an announced package are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Files {
    /// Nowhere yet: until they are all there, or won't come, the announcement holds a place among its own kind.
    ToCome,
    /// With us, in an upload's place.
    Here,
}

/// The submission of a package, and whether it is new.
pub(super) async fn enter(
    app: &App,
    (hotkey, client): (Hotkey, AddressBlock),
    request: SubmissionRequest,
    repeatable: Option<Repeatable>,
    files: Files,
) -> Result<(bool, Submission), Refusal> {
    let manifest = quota::in_force(app, known_competition(app, &request.competition).await?).await?;
    let package_sha256 = check_files(&request.files, &manifest.limits)?;
    let mut tx = app.db.write().await?;
    let now = app.clock.now();
    // Inside, so that whatever stands in the log before a close was announced before it: also where the clock was set back.
    let closed_at = rounds::last_closed_at(&mut tx, &request.competition).await?;
    let new = announced(app, (hotkey, client), &request, package_sha256, &manifest.limits);
    let new = Submission { created_at: new.created_at.max(closed_at), ..new };
    if let Some(repeatable) = &repeatable
        && let Some(id) = repeatable.before(&mut tx, &hotkey, now).await?
    {
        tx.rollback().await.map_err(DbError::from)?;
        let found = app.db.submission(&id).await?.ok_or_else(|| Refusal::not_found("the submission is gone"))?;
        return Ok((false, found));
    }
    if let Some(living) = submissions::living(&mut tx, &new.competition, &hotkey, &package_sha256).await? {
        return Ok((false, again(app, tx, living, request.name.as_ref(), repeatable).await?));
    }
    let is_registered = admittance::check(app, &mut tx, &hotkey, request.invite.as_deref()).await?;
    if let Some(name) = &request.name {
        nameable(&mut tx, &new, name).await?;
    }
    if !is_registered {
        if files == Files::ToCome {
            shares::admit(app, &mut tx, Counted::Announcements, app.config.limits.pending_max, &new.origin).await?;
        }
        quota::check_waiting(app, &mut tx, &hotkey, &new.origin).await?;
    }
    let bytes = request.files.iter().map(|file| file.size).fold(0, u64::saturating_add);
    quota::check(app, &manifest, &mut tx, &hotkey, now, bytes).await?;
    if !is_registered {
        quota::charge(app, &mut tx, client, now, bytes).await?;
    }
    record(app, tx, &new, &request.files, repeatable).await?;
    Ok((true, new))
}

/// A submission as it begins.
fn announced(
    app: &App,
    (hotkey, client): (Hotkey, AddressBlock),
    request: &SubmissionRequest,
    package_sha256: Digest,
    limits: &Limits,
) -> Submission {
    let now = app.clock.now();
    Submission {
        arrival: 0,
        id: SubmissionId::new(app.clock.now_ns() / 1_000_000, rand::random()),
        competition: request.competition.clone(),
        hotkey,
        origin: shares::origin(app, client),
        name: request.name.clone(),
        package_sha256,
        state: State::AwaitingUpload,
        created_at: now,
        changed_at: now,
        upload_until: now + limits.upload_seconds_max,
        // Where files go past us nobody sees when they begin.
        first_byte_until: (!app.objects.signs()).then(|| now + app.config.limits.upload_first_byte_seconds_max),
        attempt: 0,
        failures: 0,
        reason: None,
        architecture: None,
        costs: None,
    }
}

/// The same package, announced again: it may say its name now.
async fn again(
    app: &App,
    mut tx: Tx,
    living: Submission,
    name: Option<&DisplayName>,
    repeatable: Option<Repeatable>,
) -> Result<Submission, Refusal> {
    if let Some(name) = name
        && living.name.as_ref() != Some(name)
    {
        return name_living(app, tx, living, name).await;
    }
    match &repeatable {
        Some(repeatable) => {
            repeatable.remember(&mut tx, &living.hotkey, &living.id, app.clock.now()).await?;
            failpoints::commit(tx, Change::Repeat).await?;
        }
        None => tx.rollback().await.map_err(DbError::from)?,
    }
    Ok(living)
}

/// Writes a new submission, and states in the log whose it is.
async fn record(
    app: &App,
    mut tx: Tx,
    new: &Submission,
    files: &[FileDeclaration],
    repeatable: Option<Repeatable>,
) -> Result<(), Refusal> {
    let arrival = submissions::insert(&mut tx, new, files).await?;
    commit_to(&mut tx, new, arrival).await?;
    if let Some(repeatable) = &repeatable {
        repeatable.remember(&mut tx, &new.hotkey, &new.id, new.created_at).await?;
    }
    failpoints::commit(tx, Change::Announcement).await?;
    app.signals.log.notify_one();
    let (id, hotkey) = (&new.id, new.hotkey);
    tracing::info!(submission.id = %id, %hotkey, competition = %new.competition, "announced submission {id}");
    Ok(())
}

/// Gives a submission that has none the name that its owner asks for.
async fn name_living(app: &App, mut tx: Tx, living: Submission, name: &DisplayName) -> Result<Submission, Refusal> {
    if let Some(given) = &living.name {
        let hint = "Announce it without a name, or with the one that it has.";
        return Err(Refusal::conflict("name_stays", format!("{} is called {given} already", living.id), hint));
    }
    nameable(&mut tx, &living, name).await?;
    submissions::give_name(&mut tx, &living.id, name).await?;
    failpoints::commit(tx, Change::Name).await?;
    app.board.changed_by_hand();
    Ok(Submission { name: Some(name.clone()), ..living })
}

async fn nameable(tx: &mut Tx, submission: &Submission, name: &DisplayName) -> Result<(), Refusal> {
    not_reserved(name)?;
    match submissions::is_name_taken(tx, name, &submission.hotkey, &submission.package_sha256).await? {
        false => Ok(()),
        true => {
            let hint = "Choose one that doesn't look like another's, or leave it out and say it later.";
            Err(Refusal::conflict("name_taken", format!("{name} is another's"), hint))
        }
    }
}

/// States in the public log whose package it is, before anybody else can have its bytes.
async fn commit_to(tx: &mut Tx, new: &Submission, arrival: u64) -> Result<(), DbError> {
    let commitment = Commitment {
        competition: new.competition.clone(),
        submission: new.id.clone(),
        hotkey: new.hotkey,
        package_sha256: new.package_sha256,
        arrival,
        announced_at: new.created_at,
    };
    leaves::enqueue(tx, &commitment.key(), EntryKind::Commitment, &commitment).await
}

/// Exactly the files of a package, each within its limit. Gives the digest that names the package.
fn check_files(files: &[FileDeclaration], limits: &Limits) -> Result<Digest, Rejection> {
    let find = |path: &str| files.iter().find(|file| file.path == path);
    for file in files {
        let (code, bytes_max) = match file.path.as_str() {
            CONFIG_FILE => (Code::ConfigTooLarge, CONFIG_BYTES_MAX),
            WEIGHTS_FILE | ONNX_FILE => (Code::FileTooLarge, limits.size_bytes_max),
            README_FILE => (Code::FileTooLarge, README_BYTES_MAX),
            EXPECTED_FILE => (Code::FileTooLarge, EXPECTED_BYTES_MAX),
            other if is_numbers_beside_onnx(other) => return Err(numbers_beside_onnx(other)),
            other => {
                let shown: String = other.chars().take(64).collect();
                return Err(Code::FileUnexpected.because(format!("{shown:?} is no file of a package")));
            }
        };
        if file.size > bytes_max {
            return Err(code.because(format!("{} has {} bytes, limit {bytes_max}", file.path, file.size)));
        }
        if file.size == 0 {
            return Err(Code::FileMissing.because(format!("{} is empty", file.path)));
        }
        if files.iter().filter(|other| other.path == file.path).count() > 1 {
            return Err(Code::FileUnexpected.because(format!("{} is announced twice", file.path)));
        }
    }
    let missing = |path: &str| Code::FileMissing.because(format!("{path} is not announced"));
    if find(CONFIG_FILE).is_none() {
        return Err(missing(CONFIG_FILE));
    }
    if find(WEIGHTS_FILE).is_some() && find(ONNX_FILE).is_some() {
        let detail = format!("{WEIGHTS_FILE} and {ONNX_FILE} are two models: send one");
        return Err(Code::FileUnexpected.because(detail));
    }
    let package = PackageObjects::among(files).ok_or_else(no_weights)?;
    Ok(package.package_sha256())
}

/// By the hub, files beside a package are left where they are, so that nobody hears of a checkpoint by its name.
fn no_weights() -> Rejection {
    Code::FileMissing.because(format!(
        "{WEIGHTS_FILE} is not announced (of a .pt, .pth, .bin or .ckpt save it with \
         safetensors.torch.save_file(model.state_dict(), \"{WEIGHTS_FILE}\"))"
    ))
}

/// Where the files go that have not arrived.
async fn uploads(app: &App, submission: &Submission) -> Result<Vec<Upload>, Refusal> {
    if submission.state != State::AwaitingUpload {
        return Ok(Vec::new());
    }
    let files = app.db.files(&submission.id).await?;
    let mut uploads = Vec::new();
    for file in files.iter().filter(|file| !file.stored) {
        uploads.push(upload_of(app, submission, file).await?);
    }
    Ok(uploads)
}

async fn upload_of(app: &App, submission: &Submission, file: &SubmissionFile) -> Result<Upload, Refusal> {
    let path = file.declared.path.clone();
    let expires_in = Duration::from_secs(submission.upload_until.saturating_sub(app.clock.now()));
    let url = match app.objects.signed_upload(&incoming_name(&submission.id, &path), expires_in).await? {
        Some(url) => url.to_string(),
        None => own_upload_url(app, submission, &path).await?,
    };
    let headers = vec![("content-type".to_owned(), "application/octet-stream".to_owned())];
    let expires_at = submission.first_byte_until.unwrap_or(u64::MAX).min(submission.upload_until);
    Ok(Upload { path, method: "PUT".into(), url, headers, expires_at })
}

/// A URL on this validator with a token, of which the database keeps the digest only. Whoever announces the same package
/// again gets the same token: two programs of one miner share an upload, and neither ends the other's.
async fn own_upload_url(app: &App, submission: &Submission, path: &str) -> Result<String, Refusal> {
    let token = hex::encode(mac(&app.keypair.key_for(UPLOADS), format!("{}\n{path}", submission.id).as_bytes()));
    let grant =
        UploadGrant { submission: submission.id.clone(), path: path.to_owned(), expires_at: submission.upload_until };
    let mut tx = app.db.write().await?;
    uploads::grant(&mut tx, &Digest::of(token.as_bytes()), &grant).await?;
    failpoints::commit(tx, Change::UploadToken).await?;
    Ok(format!("{}/api/v1/uploads/{token}", app.config.public_base().unwrap_or_default()))
}
