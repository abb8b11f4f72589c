//! Attempts: a worker's hold on a submission, and the fencing token that tells a late worker that it is over.
//!
//! A worker claims an attempt and may record something only while the submission is still at it. Whoever takes the work
//! away counts the attempt, so a worker that was stopped for longer than its time changes nothing when it comes back.

use super::column::{Key, Text};
use super::submissions::{Submission, transition};
use super::{Db, DbError, Tx, int, leaves};
use protocol::leaf::{Attempt, Purpose};
use protocol::submission::{Rejection, State};
use protocol::{CompetitionId, Digest, SubmissionId};
use transparency::EntryKind;

/// A measurement that is stated in the public log and may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Which of its submission it is.
    pub number: u64,
    /// What decides the order of its items and of its latency pairs.
    pub seed: u64,
}

impl Db {
    /// The newest round when a submission's measurement of this number began; 0 before the first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begun_in(&self, id: &SubmissionId, number: u64) -> Result<u64, DbError> {
        let key = format!("{}/{number}", Attempt::prefix(id));
        let query = "SELECT body ->> 'round' FROM log_outbox WHERE key = $1";
        let round: Option<u64> = sqlx::query_scalar(query).bind(key).fetch_optional(self.pool()).await?;
        Ok(round.unwrap_or(0))
    }
}

/// The attempt that a submission waits for or is at.
///
/// # Errors
/// When the database fails.
pub async fn attempt(tx: &mut Tx, id: &SubmissionId) -> Result<Option<u64>, DbError> {
    let query = "SELECT attempt FROM submissions WHERE id = $1";
    Ok(sqlx::query_scalar(query).bind(id.to_string()).fetch_optional(&mut **tx).await?)
}

/// States in the public log that a measurement of a submission begins, with the next number and the seed that follows.
///
/// Commit before it begins: then the statement is durable, stands in the log before whatever is said of the result (the
/// log's order is that of transactions), and is read by everybody within about a second.
///
/// # Errors
/// When the database fails.
pub async fn begin(
    tx: &mut Tx,
    competition: &CompetitionId,
    submission: &SubmissionId,
    purpose: Purpose,
    now: u64,
) -> Result<Begun, DbError> {
    let (round, secret) = seed_secret(tx, competition).await?;
    let number = leaves::count_under(tx, &Attempt::prefix(submission)).await? + 1;
    let seed = protocol::attempt::seed(&secret, submission, number);
    let leaf = Attempt {
        competition: competition.clone(),
        submission: submission.clone(),
        number,
        purpose,
        round,
        seed_sha256: protocol::attempt::commitment(seed, submission, number),
        at: now,
    };
    leaves::enqueue(tx, &leaf.key(), EntryKind::Attempt, &leaf).await?;
    Ok(Begun { number, seed })
}

/// What seeds follow from: the secret of the newest round, or the competition's digest while there was none.
async fn seed_secret(tx: &mut Tx, competition: &CompetitionId) -> Result<(u64, [u8; 32]), DbError> {
    let query = "SELECT round, secret FROM rounds WHERE competition_id = $1 ORDER BY round DESC LIMIT 1";
    let newest = sqlx::query_as(query).bind(competition.as_ref()).fetch_optional(&mut **tx).await?;
    if let Some((round, Key(secret))) = newest {
        return Ok((round, secret));
    }
    let query = "SELECT sha256 FROM competitions WHERE id = $1";
    let Text::<Digest>(sha256) = sqlx::query_scalar(query).bind(competition.as_ref()).fetch_one(&mut **tx).await?;
    Ok((0, *sha256.as_bytes()))
}

/// Ends a worker's hold on a submission, if the hold is still its own: the attempt is the fencing token. A worker that
/// was away for longer than its time finds that the submission was given to another one, and changes nothing.
///
/// # Errors
/// [`DbError::StateChanged`] when the attempt is over, and the database's own.
pub async fn leave_evaluation(
    tx: &mut Tx,
    held: &Submission,
    to: State,
    reason: Option<&Rejection>,
    now: u64,
) -> Result<(), DbError> {
    if attempt(tx, &held.id).await? != Some(held.attempt) {
        return Err(DbError::StateChanged { expected: State::Evaluating });
    }
    transition(tx, &held.id, State::Evaluating, to, reason, now).await
}

/// Counts a lost attempt, whether it failed, and says when the next may begin.
///
/// # Errors
/// When the database fails.
pub async fn count_attempt(tx: &mut Tx, id: &SubmissionId, failed: bool, retry_at: u64) -> Result<(), DbError> {
    sqlx::query("UPDATE submissions SET attempt = attempt + 1, failures = failures + $1, retry_at = $2 WHERE id = $3")
        .bind(i64::from(failed))
        .bind(int(retry_at))
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Takes an attempt back whose worker couldn't record what came of it: the submission waits for the next one. Nothing
/// happens if the attempt is over.
///
/// # Errors
/// When the database fails.
pub async fn take_back(
    tx: &mut Tx,
    id: &SubmissionId,
    attempt_given: u64,
    failed: bool,
    now: u64,
) -> Result<(), DbError> {
    if attempt(tx, id).await? != Some(attempt_given) {
        return Ok(());
    }
    match transition(tx, id, State::Evaluating, State::Queued, None, now).await {
        // It may be queued still, since the claim is what failed.
        Err(DbError::StateChanged { .. }) => {}
        left => left?,
    }
    let sql =
        "UPDATE submissions SET attempt = attempt + 1, failures = failures + $1 WHERE id = $2 AND state = 'queued'";
    sqlx::query(sql).bind(i64::from(failed)).bind(id.to_string()).execute(&mut **tx).await?;
    Ok(())
}
