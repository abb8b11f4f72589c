//! The second step of intake: bytes that come through us, to a URL with a token.
//!
//! What arrives is trusted with nothing: it is stored only once it has the announced size and digest.

use crate::app::App;
use crate::guard::AddressBlock;
use crate::guard::space::Space;
use crate::refusal::{Meaning, Refusal};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use protocol::competition::ObjectRef;
use protocol::submission::{Code, State};
use protocol::{Digest, Hotkey, SubmissionId};
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use store::causes::Chain;
use store::db::files::{self, SubmissionFile};
use store::db::submissions;
use store::failpoints::{self, Moment};
use store::objects::{Incoming, ObjectError};

/// Receives one file. Sending it again is harmless.
pub async fn upload(
    app: &App,
    client: AddressBlock,
    token: &str,
    length: Option<u64>,
    body: impl Stream<Item = Result<Bytes, String>> + Send,
) -> Result<(), Refusal> {
    let Some(grant) = app.db.upload_grant(&Digest::of(token.as_bytes())).await? else {
        return Err(Refusal::not_found("no upload has this token"));
    };
    let submission = app.db.submission(&grant.submission).await?;
    let submission = submission.ok_or_else(|| Refusal::not_found("no upload has this token"))?;
    app.guard.blocks.admit(&submission.hotkey)?;
    let files = app.db.files(&submission.id).await?;
    let file = files.into_iter().find(|file| file.declared.path == grant.path);
    let SubmissionFile { declared, stored } = file.ok_or_else(|| Refusal::not_found("no upload has this token"))?;
    let now = app.clock.now();
    let has_failed = submission.state.is_terminal() && submission.state != State::Scored;
    if stored && !has_failed && now < grant.expires_at {
        // Another program of the same miner was faster: what comes is read, so that the answer arrives, and dropped.
        let expected = ObjectRef { sha256: declared.sha256, size_bytes: declared.size };
        let _place = app.guard.place(&app.guard.budgets.uploads, client, &submission.hotkey).await?;
        return receive_again(app, expected, body).await;
    }
    if submission.state != State::AwaitingUpload || now >= grant.expires_at {
        let hint = "Ask for the submission's state; an expired one may be submitted again.";
        let detail = format!("the submission is {} and takes no files", submission.state);
        return Err(Refusal::new(Meaning::InTheWay, "upload_closed", detail, hint));
    }
    if let Some(length) = length.filter(|length| *length != declared.size) {
        let detail = format!("{} was announced with {} bytes, {length} are coming", declared.path, declared.size);
        return Err(Code::SizeMismatch.because(detail).into());
    }
    let _place = app.guard.place(&app.guard.budgets.uploads, client, &submission.hotkey).await?;
    let _space = space_for(app, client, &submission.hotkey, declared.size).await?;
    let expected = ObjectRef { sha256: declared.sha256, size_bytes: declared.size };
    receive(app, &submission.id, expected, grant.expires_at - now, body).await?;
    files::set_stored(&app.db, &submission.id, &declared.path).await?;
    failpoints::at(Moment::FileMarked)?;
    tracing::info!(submission.id = %submission.id, path = declared.path, bytes = declared.size, "received a file");
    failpoints::at(Moment::UploadAnswer)?;
    Ok(())
}

/// Reads bytes that are here already, and stores nothing of them; others than announced are refused as they would be.
async fn receive_again(
    app: &App,
    expected: ObjectRef,
    body: impl Stream<Item = Result<Bytes, String>> + Send,
) -> Result<(), Refusal> {
    let body = std::pin::pin!(body);
    let mut incoming = Incoming::new(body, app.config.limits.upload_pace());
    let (mut hasher, mut received, size) = (Sha256::new(), 0_u64, expected.size_bytes);
    while let Some(chunk) = incoming.next().await? {
        received = received.saturating_add(chunk.len() as u64);
        if received > size {
            break;
        }
        hasher.update(&chunk);
    }
    if received != size {
        return Err(ObjectError::Size { expected: size, received }.into());
    }
    let sha256 = Digest::from(<[u8; 32]>::from(hasher.finalize()));
    let differs = || ObjectError::Digest { expected: expected.sha256, received: sha256 };
    if sha256 == expected.sha256 { Ok(()) } else { Err(differs().into()) }
}

/// Receives a body within the time that its token has left.
async fn receive(
    app: &App,
    id: &SubmissionId,
    expected: ObjectRef,
    seconds_left: u64,
    body: impl Stream<Item = Result<Bytes, String>> + Send,
) -> Result<(), Refusal> {
    let stream = body.enumerate().then(async |(index, chunk)| {
        if index == 0
            && chunk.is_ok()
            && let Err(error) = submissions::begun(&app.db, id).await
        {
            tracing::error!(error = %Chain(&error), "can't note that an upload began");
        }
        chunk
    });
    let stream = std::pin::pin!(stream);
    let received = app.objects.receive(expected, app.config.limits.upload_pace(), stream);
    match tokio::time::timeout(Duration::from_secs(seconds_left), received).await {
        Ok(received) => Ok(received?),
        Err(_) => Err(Refusal::new(
            Meaning::TooSlow,
            "upload_too_slow",
            "the upload's time is over",
            "Submit again on a faster line.",
        )),
    }
}

/// Space on the disk for an upload, beside what others under way may need and a reserve, so that uploads can't stop the
/// database however many there are at once.
pub async fn space_for(app: &App, client: AddressBlock, hotkey: &Hotkey, size_bytes: u64) -> Result<Space, Refusal> {
    // An upload lies there twice for a moment: as a temporary file and as an object.
    let bytes = size_bytes.saturating_mul(2);
    let free = app.objects.free_bytes()?.saturating_sub(app.config.limits.disk_reserve_bytes);
    app.guard.space(free, bytes, client, hotkey).await
}
