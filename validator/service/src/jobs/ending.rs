//! How an attempt to evaluate a submission ends: whatever came of it is written in one transaction, and only while the attempt is
//! still its worker's. What the machine did for it and what its times say of the host are true either way, and written with it.
//!
//! It does not know how anything is measured, nor which end is the right one.

use super::receipt::Issued;
use super::turns::millis;
use crate::app::App;
use protocol::competition::{ObjectRef, WeightsPublic};
use protocol::submission::{Rejection, State};
use std::time::Duration;
use store::db::competitions::{PublicObject, publish_object};
use store::db::evaluations::{self, StoredEvaluation};
use store::db::latency::{self, LatencyControl};
use store::db::submissions::Submission;
use store::db::unconfirmed::{self, Unconfirmed};
use store::db::workers;
use store::db::{DbError, Tx, attempts, is_duplicate, replicates, turns, weights};
use store::failpoints::{self, Change};

/// All that is written of an attempt when it is over.
pub(super) struct Ending {
    /// How long the machine worked for it, where that counts.
    pub(super) used: Option<Duration>,
    /// What its times say of the host, where there are any.
    pub(super) control: Option<LatencyControl>,
    /// What becomes of the submission.
    pub(super) outcome: Outcome,
}

/// What becomes of a submission after an attempt.
pub(super) enum Outcome {
    /// It has its result.
    Scored(Box<Scored>),
    /// It ends without one.
    Ended(State, Rejection),
    /// It waits for the next attempt.
    Again {
        /// Why, for its page.
        reason: Option<Rejection>,
        /// Whether that counts as a failure.
        failed: bool,
        /// Seconds until the next may begin.
        wait_seconds: u64,
    },
    /// It waits for a machine of ours, whatever another's worker said.
    ForOurs(Unconfirmed),
    /// It was taken away from the attempt, which has nothing to say any more.
    TakenAway,
}

/// A result, all of whose objects are stored.
pub(super) struct Scored {
    pub(super) row: StoredEvaluation,
    pub(super) replicates: Option<protocol::significance::Replicates>,
    /// What everybody may read of it, with names.
    pub(super) public: [(ObjectRef, &'static str); 4],
    pub(super) receipt: Issued,
    pub(super) weights_public: WeightsPublic,
}

/// What becomes of a submission whose evaluation was cut off (`None`) or failed through our fault: it is tried again, until it
/// failed too often.
pub(super) fn lost(app: &App, submission: &Submission, failure: Option<Rejection>) -> Outcome {
    let limits = &app.config.limits;
    let Some(failure) = failure else { return Outcome::Again { reason: None, failed: false, wait_seconds: 0 } };
    tracing::error!(submission.id = %submission.id, failures = submission.failures + 1, "an evaluation failed: {failure}");
    match submission.failures + 1 >= limits.evaluation_attempts_max {
        true => Outcome::Ended(State::Failed, failure),
        false => Outcome::Again { reason: None, failed: true, wait_seconds: limits.evaluation_retry_seconds },
    }
}

/// Writes an attempt's end, and tells whoever waits for it.
///
/// # Errors
/// When the database fails: then nothing of it is written.
pub(super) async fn write(app: &App, submission: &Submission, ending: &Ending) -> Result<(), DbError> {
    let (now, outcome) = (app.clock.now(), &ending.outcome);
    let mut tx = app.db.write().await?;
    if let Some(used) = ending.used {
        turns::charge(&mut tx, submission, millis(used), now).await?;
    }
    if let Some(control) = &ending.control {
        latency::insert(&mut tx, control).await?;
    }
    let in_time = match outcome.write(&mut tx, submission, now).await {
        Err(DbError::StateChanged { .. }) => false,
        // There is a result already, and one is enough.
        Err(DbError::Sql(error)) if is_duplicate(&error) => return Ok(()),
        written => written.map(|()| true)?,
    };
    failpoints::commit(tx, outcome.change()).await?;
    match in_time {
        true => outcome.tell(app, submission),
        false => tracing::warn!(
            submission.id = %submission.id, attempt = submission.attempt, "a result came after its time and is dropped"
        ),
    }
    Ok(())
}

impl Outcome {
    fn change(&self) -> Change {
        match self {
            Self::Scored(_) => Change::Result,
            Self::Ended(..) | Self::TakenAway => Change::End,
            Self::Again { .. } | Self::ForOurs(_) => Change::Loss,
        }
    }

    async fn write(&self, tx: &mut Tx, submission: &Submission, now: u64) -> Result<(), DbError> {
        match self {
            Self::Scored(scored) => scored.write(tx, submission, now).await,
            Self::Ended(to, reason) => {
                attempts::leave_evaluation(tx, submission, *to, Some(reason), now).await?;
                workers::let_go(tx, &submission.id).await
            }
            Self::Again { reason, failed, wait_seconds } => {
                attempts::leave_evaluation(tx, submission, State::Queued, reason.as_ref(), now).await?;
                attempts::count_attempt(tx, &submission.id, *failed, now.saturating_add(*wait_seconds)).await
            }
            Self::ForOurs(theirs) => {
                attempts::leave_evaluation(tx, submission, State::Queued, None, now).await?;
                attempts::count_attempt(tx, &submission.id, false, now).await?;
                unconfirmed::put(tx, &submission.id, theirs, now).await
            }
            Self::TakenAway => Ok(()),
        }
    }

    fn tell(&self, app: &App, Submission { id, competition, .. }: &Submission) {
        match self {
            Self::Scored(scored) => {
                app.signals.log.notify_one();
                app.board.changed(competition);
                app.signals.scored.notify_one();
                app.signals.feed.notify_one();
                let (score_ppm, duration_ms) = (scored.row.score.composite.value_ppm, scored.row.duration_ms);
                tracing::info!(submission.id = %id, score_ppm, duration_ms, "scored submission {id}");
            }
            Self::Ended(to, reason) => {
                tracing::info!(submission.id = %id, code = %reason.code, "submission {id} is {to}: {reason}");
            }
            Self::Again { reason, .. } => {
                if let Some(reason) = reason {
                    tracing::warn!(submission.id = %id, "{id} returns to the queue: {reason}");
                }
                app.signals.queue.notify_one();
            }
            Self::ForOurs(_) => {
                tracing::info!(submission.id = %id, "{id} is measured again by a machine of ours");
                app.signals.queue.notify_one();
            }
            Self::TakenAway => {}
        }
    }
}

impl Scored {
    async fn write(&self, tx: &mut Tx, submission: &Submission, now: u64) -> Result<(), DbError> {
        attempts::leave_evaluation(tx, submission, State::Scored, None, now).await?;
        workers::let_go(tx, &submission.id).await?;
        evaluations::insert(tx, &self.row).await?;
        if let Some(replicates) = &self.replicates {
            replicates::put(tx, &submission.id, replicates).await?;
        }
        for (ObjectRef { sha256, size_bytes }, filename) in &self.public {
            let (sha256, size_bytes, filename) = (*sha256, *size_bytes, (*filename).to_owned());
            publish_object(tx, &PublicObject { sha256, size_bytes, filename }).await?;
        }
        // Its package, if nobody has to wait for it; and a latecomer's, whose round is over.
        weights::release(tx, &submission.competition, self.weights_public, false).await?;
        self.receipt.state(tx).await
    }
}
