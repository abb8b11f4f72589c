//! The third step of intake: the miner says that all files are there, and we see whether they are.

use super::incoming_name;
use crate::app::App;
use crate::refusal::{Meaning, Refusal};
use protocol::competition::ObjectRef;
use protocol::submission::State;
use protocol::{Hotkey, SubmissionId};
use store::db::submissions::{self, Submission};
use store::db::{DbError, files};
use store::failpoints::{self, Change, Moment};

/// Makes the admission check due. Saying it twice is harmless.
pub async fn complete(app: &App, hotkey: Hotkey, id: &SubmissionId) -> Result<(), Refusal> {
    // Somebody else's submission looks like none.
    let found = app.db.submission(id).await?.filter(|submission| submission.hotkey == hotkey);
    let submission = found.ok_or_else(|| Refusal::not_found(format!("you have no submission {id}")))?;
    if submission.state != State::AwaitingUpload {
        return Ok(());
    }
    let missing = missing_files(app, &submission).await?;
    if !missing.is_empty() {
        let hint = "Send the same submission again to be told where the missing files go.";
        let detail = format!("not arrived: {}", missing.join(", "));
        return Err(Refusal::new(Meaning::InTheWay, "upload_incomplete", detail, hint));
    }
    let mut tx = app.db.write().await?;
    let (from, to) = (State::AwaitingUpload, State::Checking);
    match submissions::transition(&mut tx, id, from, to, None, app.clock.now()).await {
        // Another request was faster, or the time ran out: the answer shows which.
        Err(DbError::StateChanged { .. }) => return Ok(()),
        changed => changed?,
    }
    failpoints::commit(tx, Change::Completion).await?;
    app.signals.check.notify_one();
    tracing::info!(submission.id = %id, "submission {id} is complete");
    failpoints::at(Moment::CompletionAnswer)?;
    Ok(())
}

/// The files that have not arrived. Those sent to signed URLs are taken over here.
async fn missing_files(app: &App, submission: &Submission) -> Result<Vec<String>, Refusal> {
    let pace = app.config.limits.upload_pace();
    let mut missing = Vec::new();
    for file in app.db.files(&submission.id).await?.into_iter().filter(|file| !file.stored) {
        let declared = file.declared;
        let expected = ObjectRef { sha256: declared.sha256, size_bytes: declared.size };
        let incoming = incoming_name(&submission.id, &declared.path);
        if app.objects.signs() && app.objects.adopt(&incoming, expected, pace).await? {
            files::set_stored(&app.db, &submission.id, &declared.path).await?;
        } else {
            missing.push(declared.path);
        }
    }
    Ok(missing)
}
