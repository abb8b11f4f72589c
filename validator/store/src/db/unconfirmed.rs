//! What workers said whose machines aren't ours, until a machine of ours measured the same. It does not judge who was right.

use super::column::{Maybe, Text};
use super::{Db, DbError, Tx, int};
use protocol::{Digest, Hotkey, SubmissionId};
use sqlx::FromRow;

/// What a worker came back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Said {
    /// That the model was measured.
    Measured,
    /// That the package can't be measured.
    Rejected,
    /// Nothing: it failed, or was never heard of again.
    Nothing,
}

/// What a worker said of a submission.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Unconfirmed {
    /// Who.
    #[sqlx(try_from = "Text<Hotkey>")]
    pub worker: Hotkey,
    /// What.
    #[sqlx(try_from = "Text<Said>")]
    pub said: Said,
    /// Where it was measured: the outputs, as the report names them.
    #[sqlx(rename = "outputs_sha256", try_from = "Maybe<Digest>")]
    pub outputs: Option<Digest>,
}

/// Remembers what a worker said, in place of what another one did.
///
/// # Errors
/// When the database fails.
pub async fn put(tx: &mut Tx, submission: &SubmissionId, it: &Unconfirmed, now: u64) -> Result<(), DbError> {
    let query = "INSERT INTO unconfirmed (submission_id, worker, said, outputs_sha256, at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (submission_id) DO UPDATE SET worker = $2, said = $3, outputs_sha256 = $4, at = $5";
    let said: &str = it.said.into();
    sqlx::query(query)
        .bind(submission.to_string())
        .bind(it.worker.to_string())
        .bind(said)
        .bind(it.outputs.map(|outputs| outputs.to_string()))
        .bind(int(now))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets what was said of a submission, once a machine of ours has measured it; `confirmed` counts for whoever said it.
///
/// # Errors
/// When the database fails.
pub async fn settle(tx: &mut Tx, submission: &SubmissionId, confirmed: Option<&Hotkey>) -> Result<(), DbError> {
    let query = "DELETE FROM unconfirmed WHERE submission_id = $1";
    sqlx::query(query).bind(submission.to_string()).execute(&mut **tx).await?;
    if let Some(worker) = confirmed {
        let query = "UPDATE fleet_workers SET confirmed = confirmed + 1 WHERE key = $1";
        sqlx::query(query).bind(worker.to_string()).execute(&mut **tx).await?;
    }
    Ok(())
}

impl Db {
    /// What a worker said of a submission that a machine of ours is to measure.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unconfirmed(&self, submission: &SubmissionId) -> Result<Option<Unconfirmed>, DbError> {
        let query = "SELECT worker, said, outputs_sha256 FROM unconfirmed WHERE submission_id = $1";
        Ok(sqlx::query_as(query).bind(submission.to_string()).fetch_optional(self.pool()).await?)
    }

    /// How many of those that may be measured now wait for a machine of ours.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unconfirmed_due(&self, now: u64) -> Result<u64, DbError> {
        let query = "SELECT count(*) FROM unconfirmed u JOIN submissions s ON s.id = u.submission_id
                     WHERE s.state = 'queued' AND s.retry_at <= $1";
        Ok(sqlx::query_scalar(query).bind(int(now)).fetch_one(self.pool()).await?)
    }
}
