//! What an operator did by hand, as the public log states it. It does not know what follows from an act.

use crate::amendment::Amendment;
use crate::fleet::{Standing, WorkerName};
use crate::reward::RewardRules;
use crate::submission::State;
use crate::{CompetitionId, Hotkey, SubmissionId};
use serde::{Deserialize, Serialize};

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
    /// A round was closed before the time that was announced, or without one.
    RoundClosedByHand {
        /// The competition.
        competition: CompetitionId,
        /// The round.
        round: u64,
        /// When it was to close, in Unix seconds; `None` where only a command closes it.
        announced: Option<u64>,
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
    /// Something about a published competition was changed.
    CompetitionAmended {
        /// The competition.
        competition: CompetitionId,
        /// What, and why.
        amendment: Amendment,
    },
    /// Requests of a hotkey, or from a network, were refused from then on. What was entered before goes its way.
    Blocked {
        /// Which such act of this validator it is, from 1 upwards.
        number: u64,
        /// The hotkey, or the network in CIDR notation.
        who: String,
        /// Why, in the operator's words.
        reason: String,
    },
    /// Somebody who was blocked may come again.
    Allowed {
        /// Which such act of this validator it is, from 1 upwards.
        number: u64,
        /// The hotkey, or the network in CIDR notation.
        who: String,
        /// Why, in the operator's words.
        reason: String,
    },
    /// A worker on another machine was let in, given no more work, given work again, or shut out: it changes who measures.
    WorkerStands {
        /// Which such act of this validator it is, from 1 upwards.
        number: u64,
        /// What the operator calls it.
        worker: WorkerName,
        /// What it signs with, as receipts name it.
        key: Hotkey,
        /// How it stands from then on.
        stands: Standing,
        /// Why, in the operator's words.
        reason: String,
    },
}

impl Act {
    /// The name of the entry.
    pub fn key(&self) -> String {
        match self {
            Self::LogBegun { .. } => "administration/log-begun".into(),
            Self::RewardAnnounced { competition, from_round, .. } => {
                format!("administration/reward/{competition}/{from_round}")
            }
            Self::RoundClosedByHand { competition, round, .. } => {
                format!("administration/round-closed/{competition}/{round}")
            }
            Self::SubmissionRequeued { submission, attempt, .. } => {
                format!("administration/requeued/{submission}/{attempt}")
            }
            Self::SubmissionDisqualified { submission, .. } => format!("administration/disqualified/{submission}"),
            Self::CompetitionAmended { competition, amendment } => {
                format!("administration/amended/{competition}/{}", amendment.number)
            }
            Self::Blocked { number, .. } => format!("administration/blocked/{number}"),
            Self::WorkerStands { number, .. } => format!("administration/worker/{number}"),
            Self::Allowed { number, .. } => format!("administration/allowed/{number}"),
        }
    }
}
