//! What a validator states in its public log, beside receipts: the bodies of the log's entries and the names they go by.
//!
//! It does NOT know how a log is kept, what proves that an entry is in it, or what follows from a statement.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod act;

pub use act::{Act, Administration};

use crate::auth::SignedText;
use crate::submission::{Blame, Code, State};
use crate::{CompetitionId, Digest, Hotkey, SubmissionId};
use serde::{Deserialize, Serialize};

/// A competition appeared. Whatever is said about it later is held to these digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompetitionPublished {
    /// Its name.
    pub competition: CompetitionId,
    /// SHA-256 of its canonical JSON: rules, data and models.
    pub competition_sha256: Digest,
    /// The root over its hidden items.
    pub hidden_root: Digest,
    /// When, in Unix seconds.
    pub published_at: u64,
}

/// A package was announced, before a byte of it was uploaded. Who announced a digest first had the bytes first: nobody
/// can put themselves before it later, neither a stranger who copies a published package nor the validator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commitment {
    /// Where it is entered.
    pub competition: CompetitionId,
    /// The submission.
    pub submission: SubmissionId,
    /// By whom.
    pub hotkey: Hotkey,
    /// The digest of the package, see [`crate::package::package_digest`].
    pub package_sha256: Digest,
    /// Its place in the validator's order of arrival; the order of the log is the same.
    pub arrival: u64,
    /// When, in Unix seconds.
    pub announced_at: u64,
}

/// A measurement of a submission is about to begin. The leaf is written in the transaction that claims the measurement,
/// so it stands before whatever comes of it, and before the next one's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// The competition.
    pub competition: CompetitionId,
    /// The submission.
    pub submission: SubmissionId,
    /// Which measurement of this submission it is, whatever it is for: from 1 upwards without gaps.
    pub number: u64,
    /// What it is for.
    pub purpose: Purpose,
    /// The round whose secret the seed follows from; 0 where none was ever opened, and the competition's digest stands in
    /// its place.
    pub round: u64,
    /// [`crate::attempt::commitment`] to its seed.
    pub seed_sha256: Digest,
    /// When, in Unix seconds.
    pub at: u64,
}

/// What a measurement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The submission's own report, on public items.
    Submission,
    /// A round's decision, on public and hidden items. Screening asks for outputs alone, which no seed changes.
    Round,
}

/// A submission came to an end without a score: refused, failed, expired, or taken out by hand. One that is scored has its
/// receipt. So every commitment of the log that isn't under way has a leaf that says what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Where it was entered.
    pub competition: CompetitionId,
    /// The submission.
    pub submission: SubmissionId,
    /// Which of its ends, from 1 upwards: a failure that an operator puts back may end again.
    pub number: u64,
    /// Where it is.
    pub state: State,
    /// Why.
    pub code: Code,
    /// Whose fault that is.
    pub blame: Blame,
    /// The last measurement of it that began, see [`Attempt`]; 0 if none did.
    pub attempt: u64,
    /// When, in Unix seconds.
    pub at: u64,
    /// What its miner signed, where it was taken back; a version before this one didn't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<SignedText>,
}

/// A submission that was announced in time is no member of a round, or is one no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// The competition.
    pub competition: CompetitionId,
    /// The round.
    pub round: u64,
    /// The submission.
    pub submission: SubmissionId,
    /// Why.
    pub code: LeftOutCode,
    /// Whose fault that is.
    pub blame: Blame,
    /// When, in Unix seconds.
    pub at: u64,
}

/// A submission's owner objects to what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appeal {
    /// The competition.
    pub competition: CompetitionId,
    /// The submission.
    pub submission: SubmissionId,
    /// Its owner, who signed the request.
    pub hotkey: Hotkey,
    /// Which appeal of this submission, from 1 upwards.
    pub number: u64,
    /// In the owner's words.
    pub text: String,
    /// When, in Unix seconds.
    pub at: u64,
}

/// What an operator answers to an appeal. It changes nothing by itself: acts have leaves of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The competition.
    pub competition: CompetitionId,
    /// The submission.
    pub submission: SubmissionId,
    /// The validator's hotkey.
    pub validator: Hotkey,
    /// Which appeal it answers.
    pub number: u64,
    /// In the operator's words.
    pub text: String,
    /// When, in Unix seconds.
    pub at: u64,
}

macro_rules! codes {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident, $text:literal, $blame:ident;)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// The code as text, as in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Whose fault it is.
            pub fn blame(self) -> Blame {
                match self { $(Self::$variant => Blame::$blame,)* }
            }
        }
    };
}

codes! {
    /// Why a submission is not among those that a round decides between.
    LeftOutCode {
        /// Its files weren't complete in time, whatever the announcement's time.
        FilesLate, "files_late", Miner;
        /// An operator took it out, which has its own leaf.
        Disqualified, "disqualified", Miner;
        /// It is a copy of an earlier one.
        Copy, "copy", Miner;
        /// It is below the gate on public items.
        BelowGate, "below_gate", Miner;
        /// It was shown to be below the gate on hidden items.
        BelowHiddenGate, "below_hidden_gate", Miner;
        /// Its measurement failed, which is the package's fault.
        PackageFailed, "package_failed", Miner;
        /// Its measurement failed through the validator's fault.
        NotMeasured, "not_measured", Validator;
    }
}

impl Attempt {
    /// The name of the entry.
    pub fn key(&self) -> String {
        format!("{}/{}", Self::prefix(&self.submission), self.number)
    }

    /// What the names of a submission's attempts begin with.
    pub fn prefix(submission: &SubmissionId) -> String {
        format!("attempt/{submission}")
    }
}

impl Ended {
    /// The name of the entry.
    pub fn key(&self) -> String {
        format!("{}/{}", Self::prefix(&self.submission), self.number)
    }

    /// What is asked for to take a submission back: the method, and the end of the address.
    pub fn withdrawal(submission: &SubmissionId) -> (&'static str, String) {
        ("POST", format!("/api/v1/submissions/{submission}/withdraw"))
    }

    /// What the names of a submission's ends begin with.
    pub fn prefix(submission: &SubmissionId) -> String {
        format!("ended/{submission}")
    }
}

impl Appeal {
    /// The name of the entry.
    pub fn key(&self) -> String {
        format!("{}/{}", Self::prefix(&self.submission), self.number)
    }

    /// What the names of a submission's appeals begin with.
    pub fn prefix(submission: &SubmissionId) -> String {
        format!("appeal/{submission}")
    }
}

impl Answer {
    /// The name of the entry.
    pub fn key(&self) -> String {
        format!("{}/{}", Self::prefix(&self.submission), self.number)
    }

    /// What the names of the answers to a submission's appeals begin with.
    pub fn prefix(submission: &SubmissionId) -> String {
        format!("answer/{submission}")
    }
}

impl LeftOut {
    /// The name of the entry.
    pub fn key(&self) -> String {
        format!("round/{}/{}/left-out/{}", self.competition, self.round, self.submission)
    }
}

impl CompetitionPublished {
    /// The name of the entry.
    pub fn key(&self) -> String {
        format!("competition/{}", self.competition)
    }
}

impl Commitment {
    /// The name of the entry.
    pub fn key(&self) -> String {
        format!("commitment/{}", self.submission)
    }
}

/// The name of the entry with a submission's receipt.
pub fn receipt_key(submission: &SubmissionId) -> String {
    format!("receipt/{submission}")
}
