//! What an operator does to a submission by hand: try a failure of ours again, or disqualify. Each act is stated in the
//! public log with its reason, in the transaction that does it, so that nobody can do it in silence.
//!
//! It does not know who the operator is (`operator`), nor HTTP.

use crate::guard::blocks::Whom;
use crate::refusal::Refusal;
use protocol::leaf::{Act, Administration};
use protocol::submission::{Code, State};
use protocol::{Hotkey, SubmissionId};
use std::str::FromStr;
use store::db::leaves::enqueue;
use store::db::submissions::{self, Submission};
use store::db::{Db, DbError, Tx, is_duplicate};
use store::failpoints::{self, Change};
use transparency::EntryKind;

/// Characters of a reason.
const REASON_CHARS_MAX: usize = 280;

/// Why an operator did something: one line that everybody will be able to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActReason(pub String);

impl FromStr for ActReason {
    type Err = ActError;

    fn from_str(text: &str) -> Result<Self, ActError> {
        let text = text.trim();
        let fits = (1..=REASON_CHARS_MAX).contains(&text.chars().count());
        if fits && !text.chars().any(char::is_control) { Ok(Self(text.to_owned())) } else { Err(ActError::Reason) }
    }
}

impl ActReason {
    /// The line itself.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// Why an act was not done. Nothing changed then.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// There is no such submission.
    #[error("no submission is called {0}")]
    Unknown(SubmissionId),
    /// Its state doesn't allow it.
    #[error("{id} is {state}: {why}")]
    State {
        /// The submission.
        id: SubmissionId,
        /// Where it is.
        state: State,
        /// What would be possible.
        why: &'static str,
    },
    /// Its miner has sent the same package again since.
    #[error("the hotkey of {0} has another entry of the same package by now")]
    Superseded(SubmissionId),
    /// Blocking them, or letting them come again, changes nothing or can't be done.
    #[error("{whom} {why}")]
    Blocked {
        /// The hotkey or network.
        whom: Whom,
        /// Why not.
        why: &'static str,
    },
    /// No reason, or one that is no single line.
    #[error("a reason has 1 to {REASON_CHARS_MAX} characters on one line")]
    Reason,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<ActError> for Refusal {
    fn from(error: ActError) -> Self {
        let hint = match error {
            ActError::Unknown(_) => return Self::not_found(error.to_string()),
            ActError::Db(error) => return error.into(),
            ActError::Blocked { .. } => "`retort validator blocks` and the operator's page show who is blocked.",
            _ => "`retort miner status` shows its state, as GET /api/v1/submissions/{id} does.",
        };
        Self::conflict("act_refused", error.to_string(), hint)
    }
}

/// Puts a submission that failed through our fault back to its admission check.
///
/// # Errors
/// When there is none, it didn't fail, or its miner entered the same package again.
pub async fn requeue(
    db: &Db,
    validator: Hotkey,
    id: &SubmissionId,
    ActReason(reason): ActReason,
    now: u64,
) -> Result<Submission, ActError> {
    let before = find(db, id).await?;
    if before.state != State::Failed {
        let why = "only what failed through the validator's fault is tried again";
        return Err(ActError::State { id: id.clone(), state: before.state, why });
    }
    let mut tx = db.write().await?;
    match submissions::overrule(&mut tx, id, State::Failed, State::Checking, None, now).await {
        Err(DbError::Sql(error)) if is_duplicate(&error) => return Err(ActError::Superseded(id.clone())),
        moved => moved?,
    }
    let (competition, attempt) = (before.competition.clone(), before.attempt + 1);
    let act = Act::SubmissionRequeued { competition, submission: id.clone(), attempt, reason };
    state_and_commit(tx, validator, act, now).await?;
    tracing::warn!(submission.id = %id, "the operator put {id} back to its admission check");
    find(db, id).await
}

/// Takes a submission out of its competition, scored or not. It is rejected from then on, has no place on the board, and
/// doesn't take part in rounds that draw their items later.
///
/// # Errors
/// When there is none, or it ended without a score anyway, or was disqualified already.
pub async fn disqualify(
    db: &Db,
    validator: Hotkey,
    id: &SubmissionId,
    ActReason(reason): ActReason,
    now: u64,
) -> Result<Submission, ActError> {
    let before = find(db, id).await?;
    let from = before.state;
    if !from.may_be_moved(State::Rejected) {
        let why = match before.reason.map(|reason| reason.code) {
            Some(Code::Disqualified) => "it was disqualified already",
            _ => "what ended without a score competes with nobody",
        };
        return Err(ActError::State { id: id.clone(), state: from, why });
    }
    let rejection = Code::Disqualified.because(reason.clone());
    let mut tx = db.write().await?;
    submissions::overrule(&mut tx, id, from, State::Rejected, Some(&rejection), now).await?;
    let competition = before.competition.clone();
    let act = Act::SubmissionDisqualified { competition, submission: id.clone(), from, reason };
    state_and_commit(tx, validator, act, now).await?;
    tracing::warn!(submission.id = %id, from = %from, "the operator disqualified {id}");
    find(db, id).await
}

/// States an act in the transaction that does it, which is then done.
pub async fn state_and_commit(mut tx: Tx, validator: Hotkey, act: Act, at: u64) -> Result<(), DbError> {
    let key = act.key();
    enqueue(&mut tx, &key, EntryKind::Administration, &Administration { validator, act, at }).await?;
    failpoints::commit(tx, Change::Act).await
}

async fn find(db: &Db, id: &SubmissionId) -> Result<Submission, ActError> {
    db.submission(id).await?.ok_or_else(|| ActError::Unknown(id.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_readable_line() {
        let long = "x".repeat(REASON_CHARS_MAX);
        for (text, good) in [
            ("a copy of 01H, see the log", true),
            (&long, true),
            (&format!("{long}x"), false),
            ("", false),
            ("  \t ", false),
            ("two\nlines", false),
            ("\u{1b}[2Jcleared", false),
        ] {
            assert_eq!(text.parse::<ActReason>().is_ok(), good, "{text:?}");
        }
    }
}
