//! The fourth step of intake: the admission check, which is `protocol::package::admit` and nothing else.
//!
//! It runs in a thread of its own, since it reads every weight.

use crate::app::App;
use crate::db::DbError;
use crate::db::submissions::{self, Submission};
use crate::failpoints::{self, Change};
use crate::objects::ObjectError;
use protocol::api::FileDeclaration;
use protocol::package::{Admission, Admitted, CONFIG_FILE, WEIGHTS_FILE, admit};
use protocol::submission::{Rejection, State};

/// Why a check gave no verdict. It stays due.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
    #[error("the check's thread: {0}")]
    Thread(#[from] tokio::task::JoinError),
    #[error("the submission has no {0}; this is a bug")]
    File(&'static str),
    #[error("the submission's competition is gone; this is a bug")]
    Competition,
}

/// Admits a complete submission to the queue, or rejects it.
pub(crate) async fn check(app: &App, submission: &Submission) -> Result<(), CheckError> {
    let files: Vec<FileDeclaration> =
        app.db.files(&submission.id).await?.into_iter().map(|file| file.declared).collect();
    let digest = |path: &'static str| {
        files.iter().find(|file| file.path == path).map(|file| file.sha256).ok_or(CheckError::File(path))
    };
    let config_json = app.objects.get(&digest(CONFIG_FILE)?).await?;
    let weights = app.objects.get(&digest(WEIGHTS_FILE)?).await?;
    let stored = app.db.competition(&submission.competition).await?.ok_or(CheckError::Competition)?;
    let manifest = stored.competition.manifest;
    let verdict = tokio::task::spawn_blocking(move || {
        let rules = Admission { input: &manifest.input, labels: &manifest.labels, limits: &manifest.limits };
        admit(&config_json, &weights, &rules)
    })
    .await?;
    match apply(app, submission, verdict).await {
        // The reaper was faster.
        Err(DbError::StateChanged { .. }) => Ok(()),
        applied => Ok(applied?),
    }
}

async fn apply(app: &App, submission: &Submission, verdict: Result<Admitted, Rejection>) -> Result<(), DbError> {
    let (id, now) = (&submission.id, app.clock.now());
    let mut tx = app.db.write().await?;
    match verdict {
        Ok(admitted) => {
            submissions::set_admitted(&mut tx, id, &admitted.config.architecture, &admitted.costs).await?;
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
