//! Resampled composites, kept so that a board needs no resampling. Derived: what is missing or unreadable is drawn again.

use super::{Db, DbError, Tx, parse};
use protocol::significance::Replicates;
use protocol::{CompetitionId, SubmissionId};
use sqlx::Row;
use std::collections::HashMap;

/// Writes the replicates of an evaluation, in place of earlier ones.
///
/// # Errors
/// When the database fails or there is no such evaluation.
pub async fn put(tx: &mut Tx, submission: &SubmissionId, replicates: &Replicates) -> Result<(), DbError> {
    sqlx::query("INSERT OR REPLACE INTO replicates (submission_id, bytes) VALUES (?, ?)")
        .bind(submission.to_string())
        .bind(replicates.to_bytes())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

impl Db {
    /// The replicates that are kept of a competition's submissions. Unreadable ones are left out: they can be drawn again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replicates(&self, competition: &CompetitionId) -> Result<HashMap<SubmissionId, Replicates>, DbError> {
        let rows = sqlx::query(
            "SELECT r.submission_id, r.bytes FROM evaluations e JOIN replicates r ON r.submission_id = e.submission_id
             WHERE e.competition_id = ?",
        )
        .bind(competition.as_ref())
        .fetch_all(self.pool())
        .await?;
        let mut kept = HashMap::with_capacity(rows.len());
        for row in rows {
            let id: SubmissionId = parse("submission id", row.get("submission_id"))?;
            match Replicates::from_bytes(row.get("bytes")) {
                Ok(replicates) => drop(kept.insert(id, replicates)),
                Err(error) => tracing::warn!(submission.id = %id, %error, "kept replicates can't be read"),
            }
        }
        Ok(kept)
    }
}
