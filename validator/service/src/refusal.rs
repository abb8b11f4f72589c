//! Why something isn't done for somebody who asks, by what it means: with a stable code, what happened, and what to do.
//!
//! It never tells what lies behind: paths, statements and backtraces go to the log alone. It does not know how it is said.

use protocol::submission::{Code, Rejection};
use store::causes::Chain;
use store::db::DbError;
use store::objects::ObjectError;

/// What a refusal means to whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It can't be read.
    Malformed,
    /// It can be read, and is against the rules.
    AgainstTheRules,
    /// It isn't for whoever asks.
    Forbidden,
    /// It isn't there, or whoever asks may not see it.
    Missing,
    /// Whoever asks is of another build.
    OtherBuild,
    /// Something is in its way.
    InTheWay,
    /// It didn't come in time.
    TooSlow,
    /// Too often, or too much of something that has a limit.
    TooMuch,
    /// There is no room for it at the moment.
    Busy,
    /// There is no space left.
    Full,
    /// Our fault.
    Failed,
}

/// What whoever asked is told.
#[derive(Debug)]
pub struct Refusal {
    /// What it means.
    pub meaning: Meaning,
    /// Its name, which doesn't change.
    pub code: &'static str,
    /// What happened.
    pub detail: String,
    /// What to do.
    pub hint: &'static str,
    /// When to come back, where that is known.
    pub retry_after_seconds: Option<u64>,
}

impl Refusal {
    /// A refusal with a stable code, what happened, and what to do.
    pub fn new(meaning: Meaning, code: &'static str, detail: impl Into<String>, hint: &'static str) -> Self {
        Self { meaning, code, detail: detail.into(), hint, retry_after_seconds: None }
    }

    /// Says when to come back.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds.max(1));
        self
    }

    /// Something that isn't there, or that the caller may not see.
    pub fn not_found(what: impl Into<String>) -> Self {
        let hint = "`retort competitions` and `retort submissions` list what there is, as the lists under /api/v1 do.";
        Self::new(Meaning::Missing, "not_found", what, hint)
    }

    /// Too often, or too much of something that has a limit: when it may be tried again is known.
    pub fn too_many(code: &'static str, detail: impl Into<String>, hint: &'static str, seconds: u64) -> Self {
        Self::new(Meaning::TooMuch, code, detail, hint).retry_after(seconds)
    }

    /// What is in the way of an act.
    pub fn conflict(code: &'static str, detail: impl Into<String>, hint: &'static str) -> Self {
        Self::new(Meaning::InTheWay, code, detail, hint)
    }

    /// Our fault. What it was is logged here, once.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %Chain(error), "a request failed through our fault");
        let hint = "Try again later; the operator finds the cause under the request id.";
        Self::new(Meaning::Failed, "internal", "the validator failed", hint)
    }

    /// No space left.
    pub fn disk_full() -> Self {
        let hint = "Try again later; the operator has to make space.";
        Self::new(Meaning::Full, "disk_full", "the validator has no space left", hint).retry_after(600)
    }

    /// Too much at once.
    pub fn busy(detail: &str) -> Self {
        Self::new(Meaning::Busy, "busy", detail, "Try again in a few seconds.").retry_after(5)
    }

    /// Whether the operator has shut somebody out.
    pub fn is_blocked(&self) -> bool {
        self.code == "blocked"
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        match error {
            DbError::StateChanged { .. } => {
                let hint = "Ask for the submission's state and go on from there.";
                Self::new(Meaning::InTheWay, "state_changed", error.to_string(), hint)
            }
            error if error.is_full() => Self::disk_full(),
            error if error.is_busy() => {
                // That somebody was turned away for it is told with other refusals.
                tracing::debug!(error = %Chain(&error), "the database is held by somebody else");
                Self::busy("the validator's database is busy")
            }
            error => Self::internal(&error),
        }
    }
}

impl From<ObjectError> for Refusal {
    fn from(error: ObjectError) -> Self {
        let detail = error.to_string();
        match error {
            ObjectError::Size { .. } => Code::SizeMismatch.because(detail).into(),
            ObjectError::Digest { .. } => Code::DigestMismatch.because(detail).into(),
            ObjectError::BrokenOff { .. } => {
                let hint = "Send the file again; the URL stays good until it expires.";
                Self::new(Meaning::Malformed, "upload_broken_off", detail, hint)
            }
            ObjectError::Full => Self::disk_full(),
            // Nobody's request in particular: all wait until it is mended, which is found out at once.
            ObjectError::Away(_) | ObjectError::Unwritable { .. } | ObjectError::Store(_) | ObjectError::Io(_) => {
                tracing::error!("{}", Chain(&error));
                Self::busy("the validator's objects can't be reached at the moment").retry_after(30)
            }
            ObjectError::Missing(_) | ObjectError::Url { .. } | ObjectError::Overwrites => Self::internal(&error),
        }
    }
}

/// A rejection that a request already shows, before anything is stored.
impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::new(Meaning::AgainstTheRules, rejection.code.as_str(), rejection.detail, rejection.code.hint())
    }
}
