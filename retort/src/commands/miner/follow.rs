//! Following a submission to its end. A score alone is none: whoever turns out to be a copy, once it is compared with
//! everybody's entries, has no rank any more.

use super::super::when;
use super::words::{describe, is_being_compared};
use crate::progress::Phases;
use anyhow::{Result, bail};
use miner_template::client::Client;
use protocol::SubmissionId;
use protocol::api::SubmissionStatus;
use protocol::submission::State;
use std::time::{Duration, Instant};

/// How long a validator that doesn't answer is asked again: a restart, and some.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// Between two questions.
const POLL: Duration = Duration::from_millis(500);
/// How long a scored submission is waited for to be compared: with many entries of large models that takes minutes.
const COMPARED_MAX: Duration = Duration::from_secs(300);

/// Asks until the submission has ended and was compared, and tells what it hears; it gives up waiting for the second.
fn until_end(
    client: &Client,
    submission: &SubmissionId,
    mut hear: impl FnMut(&SubmissionStatus) -> Result<()>,
) -> Result<SubmissionStatus> {
    let (mut silent_since, mut ended_since, mut was_settled) = (None, None, false);
    loop {
        let status = match client.status(submission) {
            Ok(status) => status,
            // A restart loses nothing: the submission goes on.
            Err(error) if error.is_passing() => {
                let since = *silent_since.get_or_insert_with(Instant::now);
                if since.elapsed() > SILENCE_MAX {
                    return Err(error.into());
                }
                std::thread::sleep(POLL);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        silent_since = None;
        hear(&status)?;
        if status.state.is_terminal() {
            let waited = ended_since.get_or_insert_with(Instant::now).elapsed();
            let is_settled = !is_being_compared(&status);
            // A scored one is looked at once more: the board takes a moment to say what was found.
            let is_over = is_settled && (was_settled || status.state != State::Scored);
            if is_over || waited > COMPARED_MAX {
                return Ok(status);
            }
            was_settled = is_settled;
        }
        std::thread::sleep(POLL);
    }
}

/// Waits with a bar of stages.
pub(crate) fn wait_for_end(client: &Client, submission: &SubmissionId) -> Result<SubmissionStatus> {
    let phases = Phases::new(submission.to_string());
    let ended = until_end(client, submission, |status| {
        if !status.state.is_terminal() || is_being_compared(status) {
            phases.at(&waiting(status), 0, 1);
        }
        Ok(())
    })?;
    phases.finish();
    Ok(ended)
}

/// What a submission that hasn't ended waits for.
pub(super) fn waiting(status: &SubmissionStatus) -> String {
    match (status.state, status.queue_position) {
        (State::AwaitingUpload, _) => "its files are still to come".into(),
        (State::Checking, _) => "it waits for the admission check".into(),
        (State::Queued, Some(0)) => "it is next, and waits for the machine".into(),
        (State::Queued, Some(before)) => format!("it waits for its turn: {before} before it"),
        (State::Queued, None) => "it waits for its turn".into(),
        (State::Evaluating, _) => "it is measured".into(),
        (State::Scored, _) => "it is compared with everybody's entries".into(),
        (state, _) => state.to_string(),
    }
}

/// Tells each change, one after the other, and fails if it ends badly.
pub(super) fn follow_to_the_end(client: &Client, submission: &SubmissionId, json: bool) -> Result<()> {
    let mut told = None;
    let ended = until_end(client, submission, |status| {
        // The time left counts down, which is no change.
        let now = (status.state, status.queue_position, status.compared, status.rank.is_some());
        if told.replace(now) != Some(now) {
            match json {
                true => println!("{}", serde_json::to_string(status)?),
                false => println!("{} {}", when(status.changed_at), describe(status)),
            }
        }
        Ok(())
    })?;
    fail_unless_good(&ended)
}

/// An error for a bad end.
pub(super) fn fail_unless_good(status: &SubmissionStatus) -> Result<()> {
    match status.state {
        State::Rejected | State::Failed | State::Expired | State::Withdrawn => {
            bail!("{} ended as {}", status.id, status.state)
        }
        _ => Ok(()),
    }
}
