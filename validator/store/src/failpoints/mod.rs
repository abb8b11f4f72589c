//! Named points at every step that makes something durable, where a test kills the process or lets the disk be full.
//!
//! [`Point::all`] lists them, so that a test can walk all of them and notice a new one that nobody visits. Without the
//! feature `failpoints` nothing happens at a point and the compiler leaves nothing of it. With it, the variable
//! `FAILPOINTS` (of the crate `fail`) says what happens where, for a process that called `arm`:
//!
//! ```text
//! FAILPOINTS='announcement.committed=return(kill);object.before=return(full)'
//! ```
//!
//! `kill` is SIGKILL to this very process, `full` the error of a full disk, `tell` a line on standard error the first
//! time. This file knows no step but by name.

#[cfg(feature = "failpoints")]
mod armed;

#[cfg(feature = "failpoints")]
pub use armed::{Armed, arm};
#[cfg(feature = "failpoints")]
pub use armed::{FailingStore, reach_io};

use crate::db::{DbError, Tx};
use protocol::round::Step;
use std::fmt;

/// Where something can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// A transaction's rows are written and not yet committed.
    Written(Change),
    /// They are committed, and nobody was told.
    Committed(Change),
    /// Any other moment.
    At(Moment),
}

/// What a transaction changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The public log's key is stated.
    LogBegun,
    /// A competition appears.
    Publication,
    /// Other rewards are announced.
    RewardChange,
    /// A package is announced.
    Announcement,
    /// An upload is given a token.
    UploadToken,
    /// All files are there.
    Completion,
    /// Its miner took it back.
    Withdrawal,
    /// A hotkey called itself something.
    Name,
    /// The admission check has its verdict.
    Admission,
    /// What an earlier process was evaluating returns to the queue.
    Recovery,
    /// A worker takes an attempt.
    Claim,
    /// What a round has measured is asked.
    Asked,
    /// A measurement for a round is about to begin.
    Attempt,
    /// A result with its receipt.
    Result,
    /// An attempt is lost.
    Loss,
    /// An evaluation ends without a result.
    End,
    /// Something is done or said by hand: an act of the operator, an appeal, its answer.
    Act,
    /// What a board resampled is kept.
    Replicates,
    /// A token that submits for a hotkey is made.
    Token,
    /// Somebody will be told of events.
    Webhook,
    /// A repository of the Hub gets a revision.
    HubRevision,
    /// A request's key stands for a submission that was there before.
    Repeat,
    /// A submission has had its time.
    Expiry,
    /// A fingerprint with its comparisons.
    Comparison,
    /// Where leaves are in the log.
    LeafPlaces,
    /// Where leaves are that a killed process had appended.
    LeafCatchUp,
    /// A round comes to this step.
    Round(Step),
    /// A round has its beacon.
    RoundBeacon,
    /// A round gets its number on the ledger.
    RoundEpoch,
}

/// A moment outside a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// A signed request's nonce is stored.
    NonceStored,
    /// An upload's bytes are in a temporary file.
    UploadSpooled,
    /// A part of a large object is written under a name for the time being.
    ObjectPart,
    /// An object is about to be stored.
    ObjectBefore,
    /// An object is stored under its name.
    ObjectAfter,
    /// The row says that a file is stored.
    FileMarked,
    /// The answer to an announcement is about to be sent.
    AnnouncementAnswer,
    /// The answer to an upload is about to be sent.
    UploadAnswer,
    /// The answer that a submission is complete is about to be sent.
    CompletionAnswer,
    /// The job engine has an attempt.
    JobPushed,
    /// The engine measured, and nothing of it is stored.
    Measured,
    /// A receipt is signed and not stored.
    ReceiptSigned,
    /// All objects of a result are stored.
    ResultStored,
    /// A fingerprint is stored and not compared.
    FingerprintStored,
    /// A file of the log's entries is about to be written.
    LogEntriesBefore,
    /// It is written.
    LogEntriesAfter,
    /// A tile of the log is about to be written.
    LogTileBefore,
    /// It is written.
    LogTileAfter,
    /// The log's checkpoint is about to be written.
    LogCheckpointBefore,
    /// It is written.
    LogCheckpointAfter,
    /// The ledger has a round's close.
    LedgerMarked,
    /// A round's items are stored.
    RoundItemsStored,
    /// What was asked of a submission to screen it is stored.
    RoundScreened,
    /// A submission is measured in a round, and nothing of it is stored.
    RoundMeasured,
    /// What was measured on a submission in a round is stored.
    RoundResult,
    /// The record of a round's judgement is stored.
    RoundRecorded,
    /// The ledger has a round's weights.
    RewardsPaid,
    /// A round's reveal is stored.
    RevealStored,
    /// A competition's objects are stored.
    PublicationStored,
    /// A measurement in a round failed through our fault, and is counted.
    RoundAttempt,
    /// A token opens nothing any more.
    TokenRevoked,
    /// A webhook heard of an event, and nothing says so.
    WebhookDelivered,
    /// It is written how far a webhook is.
    WebhookTold,
    /// It is written that a webhook didn't hear.
    WebhookMissed,
    /// A webhook is forgotten.
    WebhookRemoved,
}

impl Change {
    const ALL: [(Self, &str); 37] = [
        (Self::LogBegun, "log-begun"),
        (Self::Publication, "publication"),
        (Self::RewardChange, "reward-change"),
        (Self::Announcement, "announcement"),
        (Self::UploadToken, "upload-token"),
        (Self::Completion, "completion"),
        (Self::Withdrawal, "withdrawal"),
        (Self::Name, "name"),
        (Self::Admission, "admission"),
        (Self::Recovery, "recovery"),
        (Self::Claim, "claim"),
        (Self::Asked, "asked"),
        (Self::Attempt, "attempt"),
        (Self::Result, "result"),
        (Self::Loss, "loss"),
        (Self::End, "end"),
        (Self::Act, "act"),
        (Self::Replicates, "replicates"),
        (Self::Token, "token"),
        (Self::Webhook, "webhook"),
        (Self::HubRevision, "hub-revision"),
        (Self::Repeat, "repeat"),
        (Self::Expiry, "expiry"),
        (Self::Comparison, "comparison"),
        (Self::LeafPlaces, "leaf-places"),
        (Self::LeafCatchUp, "leaf-catch-up"),
        (Self::Round(Step::Open), "round-open"),
        (Self::Round(Step::Closed), "round-closed"),
        (Self::RoundBeacon, "round-beacon"),
        (Self::Round(Step::Abandoned), "round-abandoned"),
        (Self::Round(Step::Drawn), "round-drawn"),
        (Self::Round(Step::Screened), "round-screened"),
        (Self::Round(Step::Measured), "round-measured"),
        (Self::Round(Step::Judged), "round-judged"),
        (Self::Round(Step::Paid), "round-paid"),
        (Self::Round(Step::Revealed), "round-revealed"),
        (Self::RoundEpoch, "round-epoch"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(change, _)| *change == self).map_or("", |(_, name)| name)
    }
}

impl Moment {
    const ALL: [(Self, &str); 35] = [
        (Self::NonceStored, "nonce.stored"),
        (Self::UploadSpooled, "upload.spooled"),
        (Self::ObjectPart, "object.part"),
        (Self::ObjectBefore, "object.before"),
        (Self::ObjectAfter, "object.after"),
        (Self::FileMarked, "file.marked"),
        (Self::AnnouncementAnswer, "announcement.answer"),
        (Self::UploadAnswer, "upload.answer"),
        (Self::CompletionAnswer, "completion.answer"),
        (Self::JobPushed, "job.pushed"),
        (Self::Measured, "evaluation.measured"),
        (Self::ReceiptSigned, "receipt.signed"),
        (Self::ResultStored, "result.stored"),
        (Self::FingerprintStored, "fingerprint.stored"),
        (Self::LogEntriesBefore, "log-entries.before"),
        (Self::LogEntriesAfter, "log-entries.after"),
        (Self::LogTileBefore, "log-tile.before"),
        (Self::LogTileAfter, "log-tile.after"),
        (Self::LogCheckpointBefore, "log-checkpoint.before"),
        (Self::LogCheckpointAfter, "log-checkpoint.after"),
        (Self::LedgerMarked, "ledger.marked"),
        (Self::RoundItemsStored, "round.items-stored"),
        (Self::RoundScreened, "round.screened"),
        (Self::RoundMeasured, "round.measured"),
        (Self::RoundResult, "round.result"),
        (Self::RoundRecorded, "round.recorded"),
        (Self::RewardsPaid, "rewards.paid"),
        (Self::RevealStored, "reveal.stored"),
        (Self::PublicationStored, "publication.stored"),
        (Self::RoundAttempt, "round.attempt"),
        (Self::TokenRevoked, "token.revoked"),
        (Self::WebhookDelivered, "webhook.delivered"),
        (Self::WebhookTold, "webhook.told"),
        (Self::WebhookMissed, "webhook.missed"),
        (Self::WebhookRemoved, "webhook.removed"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(moment, _)| *moment == self).map_or("", |(_, name)| name)
    }
}

impl Point {
    /// All points there are.
    pub fn all() -> Vec<Self> {
        let changes = Change::ALL.iter().flat_map(|(change, _)| [Self::Written(*change), Self::Committed(*change)]);
        changes.chain(Moment::ALL.iter().map(|(moment, _)| Self::At(*moment))).collect()
    }
}

/// The name in `FAILPOINTS`.
impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(change) => write!(f, "{}.written", change.name()),
            Self::Committed(change) => write!(f, "{}.committed", change.name()),
            Self::At(moment) => f.write_str(moment.name()),
        }
    }
}

/// Passes a point; what a test wants there happens here.
#[cfg(feature = "failpoints")]
pub fn reach(point: Point) -> Result<(), DbError> {
    reach_io(point).map_err(|error| DbError::Sql(sqlx::Error::Io(error)))
}

/// Passes a point, which is nothing.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
#[expect(clippy::unnecessary_wraps, reason = "with the feature it fails")]
pub fn reach(_: Point) -> Result<(), DbError> {
    Ok(())
}

/// Passes a moment.
#[inline]
pub fn at(moment: Moment) -> Result<(), DbError> {
    reach(Point::At(moment))
}

/// Commits a transaction, between its two points.
pub async fn commit(tx: Tx, change: Change) -> Result<(), DbError> {
    reach(Point::Written(change))?;
    tx.commit().await?;
    reach(Point::Committed(change))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_point_has_a_name_of_its_own() {
        let names: BTreeSet<String> = Point::all().iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), Point::all().len());
        assert!(names.iter().all(|name| !name.starts_with('.') && !name.is_empty()), "{names:?}");
    }
}
