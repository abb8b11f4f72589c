//! Appeals: a submission's owner objects to what became of it, and the operator answers. Both are leaves of the public log,
//! so that nobody can deny having said it or having heard it; what is shown is read from these leaves.
//!
//! It does not know who the operator is, what an appeal is about, or HTTP. An answer changes nothing by itself: what an
//! operator can do is `administration`'s.

use crate::refusal::{Meaning, Refusal};
use protocol::api::{AppealAnswer, AppealView};
use protocol::leaf::{Answer, Appeal};
use protocol::{Hotkey, SubmissionId};
use std::str::FromStr;
use store::db::leaves::{count_under, enqueue};
use store::db::submissions::Submission;
use store::db::{Db, DbError};
use store::failpoints::{self, Change};
use transparency::EntryKind;

/// Appeals of a submission.
pub const APPEALS_MAX: u64 = 3;
/// Characters of an appeal or an answer.
const WORDS_CHARS_MAX: usize = 1_000;

/// What is said: one line that everybody will be able to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(String);

impl FromStr for Words {
    type Err = AppealError;

    fn from_str(text: &str) -> Result<Self, AppealError> {
        let text = text.trim();
        let fits = (1..=WORDS_CHARS_MAX).contains(&text.chars().count());
        let plain = !text.chars().any(|char| char.is_control() || is_format(char));
        if fits && plain { Ok(Self(text.to_owned())) } else { Err(AppealError::Words) }
    }
}

/// Characters that turn text around or can't be seen.
fn is_format(char: char) -> bool {
    matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Why something was not said. Nothing changed then.
#[derive(Debug, thiserror::Error)]
pub enum AppealError {
    /// The hotkey has no such submission.
    #[error("you have no submission {0}")]
    NotYours(SubmissionId),
    /// Nothing was decided yet.
    #[error("{0} is under way, so nothing was decided about it yet")]
    UnderWay(SubmissionId),
    /// It has had its appeals.
    #[error("{0} has had its {APPEALS_MAX} appeals")]
    Spent(SubmissionId),
    /// There is no such appeal.
    #[error("{submission} has no appeal {number}")]
    UnknownAppeal {
        /// The submission.
        submission: SubmissionId,
        /// The appeal's number.
        number: u64,
    },
    /// It was answered.
    #[error("appeal {number} of {submission} was answered before, and an answer stands")]
    Answered {
        /// The submission.
        submission: SubmissionId,
        /// The appeal's number.
        number: u64,
    },
    /// No words, or none that are a single line.
    #[error("an appeal and an answer have 1 to {WORDS_CHARS_MAX} characters on one line")]
    Words,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<AppealError> for Refusal {
    fn from(error: AppealError) -> Self {
        let told = error.to_string();
        match error {
            AppealError::NotYours(_) => Self::not_found(told),
            AppealError::Words => {
                let hint = "Write one line of text: the public log will show it to everybody.";
                Self::new(Meaning::AgainstTheRules, "invalid_body", told, hint)
            }
            AppealError::Db(error) => error.into(),
            _ => {
                let hint =
                    "`retort miner why` shows where it is and what was said, as GET /api/v1/submissions/{id}/why does.";
                Self::conflict("appeal_refused", told, hint)
            }
        }
    }
}

/// States an appeal of a submission's owner; returns its number. The same words again are the same appeal.
///
/// # Errors
/// When the submission isn't the hotkey's, is under way, or has had its appeals.
pub async fn appeal(
    db: &Db,
    hotkey: Hotkey,
    id: &SubmissionId,
    Words(text): Words,
    at: u64,
) -> Result<u64, AppealError> {
    let found = db.submission(id).await?.filter(|submission| submission.hotkey == hotkey);
    let Submission { competition, state, .. } = found.ok_or_else(|| AppealError::NotYours(id.clone()))?;
    if !state.is_terminal() {
        return Err(AppealError::UnderWay(id.clone()));
    }
    if let Some(same) = of(db, id).await?.into_iter().find(|said| said.text == text) {
        return Ok(same.number);
    }
    let mut tx = db.write().await?;
    let before = count_under(&mut tx, &Appeal::prefix(id)).await?;
    if before >= APPEALS_MAX {
        return Err(AppealError::Spent(id.clone()));
    }
    let number = before + 1;
    let leaf = Appeal { competition, submission: id.clone(), hotkey, number, text, at };
    enqueue(&mut tx, &leaf.key(), EntryKind::Appeal, &leaf).await?;
    failpoints::commit(tx, Change::Act).await?;
    tracing::warn!(submission.id = %id, number, "the owner of {id} appeals: retort validator answer-appeal {id} {number}");
    Ok(number)
}

/// States the operator's answer to an appeal, once.
///
/// # Errors
/// When there is no such appeal, or it was answered.
pub async fn answer(
    db: &Db,
    validator: Hotkey,
    id: &SubmissionId,
    number: u64,
    Words(text): Words,
    at: u64,
) -> Result<(), AppealError> {
    let submission = id.clone();
    let Some(said) = of(db, id).await?.into_iter().find(|said| said.number == number) else {
        return Err(AppealError::UnknownAppeal { submission, number });
    };
    if said.answer.is_some() {
        return Err(AppealError::Answered { submission, number });
    }
    let unknown = || AppealError::UnknownAppeal { submission: id.clone(), number };
    let competition = db.submission(id).await?.ok_or_else(unknown)?.competition;
    let leaf = Answer { competition, submission, validator, number, text, at };
    let mut tx = db.write().await?;
    match enqueue(&mut tx, &leaf.key(), EntryKind::Answer, &leaf).await {
        Err(DbError::LeafTaken { .. }) => {
            return Err(AppealError::Answered { submission: leaf.submission, number });
        }
        stated => stated?,
    }
    Ok(failpoints::commit(tx, Change::Act).await?)
}

/// What was said about a submission, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn of(db: &Db, id: &SubmissionId) -> Result<Vec<AppealView>, DbError> {
    let answers: Vec<Answer> = db.leaves_under(&Answer::prefix(id)).await?;
    let appeals: Vec<Appeal> = db.leaves_under(&Appeal::prefix(id)).await?;
    let view = |Appeal { number, text, at, .. }| {
        let answer = answers.iter().find(|answer| answer.number == number);
        let answer = answer.map(|answer| AppealAnswer { text: answer.text.clone(), at: answer.at });
        AppealView { number, text, at, answer }
    };
    Ok(appeals.into_iter().map(view).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_readable_line() {
        let long = "x".repeat(WORDS_CHARS_MAX);
        for (text, good) in [
            ("my model is no copy: see the log of its training", true),
            (&long, true),
            (&format!("{long}x"), false),
            ("", false),
            (" \t ", false),
            ("two\nlines", false),
            ("\u{1b}[2Jcleared", false),
            ("turned \u{202e}around", false),
        ] {
            assert_eq!(text.parse::<Words>().is_ok(), good, "{text:?}");
        }
    }
}
