//! Resampled composites, kept so that a board needs no resampling. Derived: what is missing or unreadable is drawn again.

use super::column::Text;
use super::{Db, DbError, Tx};
use protocol::significance::Replicates;
use protocol::{CompetitionId, SubmissionId};
use std::collections::HashMap;

/// Writes the replicates of an evaluation, in place of earlier ones.
///
/// # Errors
/// When the database fails or there is no such evaluation.
pub async fn put(tx: &mut Tx, submission: &SubmissionId, replicates: &Replicates) -> Result<(), DbError> {
    let query = "INSERT INTO replicates (submission_id, bytes) VALUES ($1, $2)
                 ON CONFLICT (submission_id) DO UPDATE SET bytes = excluded.bytes";
    sqlx::query(query).bind(submission.to_string()).bind(replicates.to_bytes()).execute(&mut **tx).await?;
    Ok(())
}

impl Db {
    /// The replicates that are kept of a competition's submissions. Unreadable ones are left out: they can be drawn again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replicates(&self, competition: &CompetitionId) -> Result<HashMap<SubmissionId, Replicates>, DbError> {
        let rows: Vec<(Text<SubmissionId>, Vec<u8>)> = sqlx::query_as(
            "SELECT r.submission_id, r.bytes FROM evaluations e JOIN replicates r ON r.submission_id = e.submission_id
             WHERE e.competition_id = $1",
        )
        .bind(competition.as_ref())
        .fetch_all(self.pool())
        .await?;
        let mut kept = HashMap::with_capacity(rows.len());
        for (Text(id), bytes) in rows {
            match Replicates::from_bytes(&bytes) {
                Ok(replicates) => drop(kept.insert(id, replicates)),
                Err(error) => tracing::warn!(submission.id = %id, %error, "kept replicates can't be read"),
            }
        }
        Ok(kept)
    }
}
