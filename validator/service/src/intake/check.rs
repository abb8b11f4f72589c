//! The fourth step of intake: the admission check, which is `program::package::admit` and nothing else. What is admitted
//! gets the form in which it is published.
//!
//! It takes a turn at heavy work, since it reads every weight.

use crate::app::App;
use crate::expected;
use crate::heavy::{HeavyError, Turn};
use crate::materials;
use crate::state::materials::MaterialError;
use bytes::Bytes;
use program::package::{Admitted, Package, Published, admit};
use protocol::api::FileDeclaration;
use protocol::package::{Admission, CONFIG_FILE, ONNX_FILE, WEIGHTS_FILE};
use protocol::submission::{Code, Rejection, State};
use std::time::Duration;
use store::db::submissions::{self, Submission};
use store::db::{DbError, files};
use store::failpoints::{self, Change};
use store::objects::ObjectError;

/// Why a check gave no verdict. It stays due.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
    #[error(transparent)]
    Thread(#[from] HeavyError),
    #[error(transparent)]
    Material(#[from] MaterialError),
    #[error("the submission's competition is gone; this is a bug")]
    Competition,
    #[error("it didn't end within {} s", .0.as_secs())]
    Late(Duration),
}

/// A file that is to be published, in pieces.
type Pieces = (&'static str, Vec<Bytes>);

/// Admits a complete submission to the queue, or rejects it.
pub async fn check(app: &App, submission: &Submission) -> Result<(), CheckError> {
    let turn = materials::turn(app, &submission.id).await?;
    // A store that never answers must not hold up the checks behind it.
    let limit = Duration::from_secs(app.config.limits.check_seconds_max);
    tokio::time::timeout(limit, in_turn(app, submission, &turn)).await.map_err(|_| CheckError::Late(limit))?
}

/// Counts a check that gave no verdict through our fault: it is tried again, and after too many tries given up.
pub async fn count_failed_check(app: &App, submission: &Submission) -> Result<(), DbError> {
    let mut tx = app.db.write().await?;
    let (limits, now, id) = (&app.config.limits, app.clock.now(), &submission.id);
    if submission.failures + 1 >= limits.evaluation_attempts_max {
        let reason = Code::Infrastructure.because("the admission check didn't end".into());
        match submissions::transition(&mut tx, id, State::Checking, State::Failed, Some(&reason), now).await {
            Err(DbError::StateChanged { .. }) => return Ok(()),
            changed => changed?,
        }
        tracing::info!(submission.id = %id, "submission {id} is failed: {reason}");
    } else {
        submissions::count_failed_check(&mut tx, id, now + limits.evaluation_retry_seconds).await?;
    }
    failpoints::commit(tx, Change::Expiry).await
}

async fn in_turn(app: &App, submission: &Submission, turn: &Turn) -> Result<(), CheckError> {
    let (format, [config_json, model]) = materials::files_of(app, &submission.id).await?;
    let stored = app.db.competition(&submission.competition).await?.ok_or(CheckError::Competition)?;
    let manifest = stored.competition.manifest;
    let answers = expected::file_of(app, &submission.id).await?;
    let work = move || {
        let rules = Admission { input: &manifest.input, labels: &manifest.labels, limits: &manifest.limits };
        let package = Package { format, config_json: &config_json, model: &model };
        let admitted = admit(&package, &rules, &manifest.models)?;
        answers.map(|file| expected::read(&file, &manifest)).transpose()?;
        let published = published(&admitted, &model)?;
        Ok((admitted, published))
    };
    let verdict = match turn.run(work).await? {
        Ok((admitted, files)) => Ok((admitted, store(app, files).await?)),
        Err(rejection) => Err(rejection),
    };
    match apply(app, submission, verdict).await {
        // The reaper was faster.
        Err(DbError::StateChanged { .. }) => Ok(()),
        applied => Ok(applied?),
    }
}

/// The files that are published of an admitted package, in pieces: the tensors stay where they lie.
fn published(admitted: &Admitted, model: &Bytes) -> Result<[Pieces; 2], Rejection> {
    let package = match admitted.published(model)? {
        Published::Catalogue(package) => package,
        Published::Onnx(config_json, model) => {
            return Ok([(CONFIG_FILE, vec![config_json.into()]), (ONNX_FILE, vec![model.into()])]);
        }
    };
    let within = model.as_ptr_range();
    let piece = |part: &[u8]| match within.contains(&part.as_ptr()) {
        true => model.slice_ref(part),
        false => Bytes::copy_from_slice(part),
    };
    let weights = package.weights.parts().map(piece).collect();
    Ok([(CONFIG_FILE, vec![package.config_json.into()]), (WEIGHTS_FILE, weights)])
}

/// Stores what is published. A kill before the rows are written leaves objects that the sweeper finds.
async fn store(app: &App, files: [Pieces; 2]) -> Result<Vec<FileDeclaration>, ObjectError> {
    let mut stored = Vec::new();
    for (path, parts) in files {
        let object = app.objects.put_parts(parts).await?;
        stored.push(FileDeclaration { path: path.to_owned(), size: object.size_bytes, sha256: object.sha256 });
    }
    Ok(stored)
}

async fn apply(
    app: &App,
    submission: &Submission,
    verdict: Result<(Admitted, Vec<FileDeclaration>), Rejection>,
) -> Result<(), DbError> {
    let mut tx = app.db.write().await?;
    let (id, now) = (&submission.id, app.clock.now());
    match verdict {
        Ok((admitted, published)) => {
            submissions::set_admitted(&mut tx, id, &admitted.kind(), &admitted.costs()).await?;
            files::set_published(&mut tx, id, &published).await?;
            submissions::transition(&mut tx, id, State::Checking, State::Queued, None, now).await?;
            tracing::info!(submission.id = %id, "admitted submission {id}");
        }
        Err(rejection) => {
            submissions::transition(&mut tx, id, State::Checking, State::Rejected, Some(&rejection), now).await?;
            tracing::info!(submission.id = %id, code = %rejection.code, "rejected submission {id}: {rejection}");
        }
    }
    failpoints::commit(tx, Change::Admission).await?;
    app.signals.queue.notify_one();
    Ok(())
}
