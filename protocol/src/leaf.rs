//! What a validator states in its public log, beside receipts: the bodies of the log's entries and the names they go by.
//!
//! It does NOT know how a log is kept, what proves that an entry is in it, or what follows from a statement.

use crate::reward::RewardRules;
use crate::submission::State;
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

/// What an operator did by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Administration {
    /// The validator's hotkey.
    pub validator: Hotkey,
    /// What was done.
    pub act: Act,
    /// When, in Unix seconds.
    pub at: u64,
}

/// An act of administration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// The validator began a log.
    LogBegun {
        /// The log's public key as a verifier key of C2SP's signed-note: `name+id+base64`.
        log_key: String,
    },
    /// Other rewards were announced for a later round.
    RewardAnnounced {
        /// The competition.
        competition: CompetitionId,
        /// The first round that is paid by them.
        from_round: u64,
        /// The rules.
        reward: RewardRules,
    },
    /// A submission that had failed through the validator's fault was put back to its admission check.
    SubmissionRequeued {
        /// The competition.
        competition: CompetitionId,
        /// The submission.
        submission: SubmissionId,
        /// The attempt that begins with it; later ones are higher.
        attempt: u64,
        /// Why, in the operator's words.
        reason: String,
    },
    /// A submission was taken out of its competition: it has no place any more, wins no round and is paid nothing from
    /// the next draw on. What was measured on it and paid for it before stays stated.
    SubmissionDisqualified {
        /// The competition.
        competition: CompetitionId,
        /// The submission.
        submission: SubmissionId,
        /// Where it was then.
        from: State,
        /// Why, in the operator's words.
        reason: String,
    },
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

impl Act {
    /// The name of the entry.
    pub fn key(&self) -> String {
        match self {
            Self::LogBegun { .. } => "administration/log-begun".into(),
            Self::RewardAnnounced { competition, from_round, .. } => {
                format!("administration/reward/{competition}/{from_round}")
            }
            Self::SubmissionRequeued { submission, attempt, .. } => {
                format!("administration/requeued/{submission}/{attempt}")
            }
            Self::SubmissionDisqualified { submission, .. } => format!("administration/disqualified/{submission}"),
        }
    }
}

/// The name of the entry with a submission's receipt.
pub fn receipt_key(submission: &SubmissionId) -> String {
    format!("receipt/{submission}")
}
