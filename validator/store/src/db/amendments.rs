//! Amendments of competitions, as they were stated.

use super::{Db, DbError, Tx, to_json};
use protocol::CompetitionId;
use protocol::amendment::Amendment;
use sqlx::types::Json;

impl Db {
    /// What was changed about a competition, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn amendments(&self, competition: &CompetitionId) -> Result<Vec<Amendment>, DbError> {
        let query = "SELECT amendment FROM amendments WHERE competition_id = $1 ORDER BY number";
        let rows = sqlx::query_scalar(query).bind(competition.as_ref()).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|Json(amendment)| amendment).collect())
    }
}

/// Writes an amendment.
///
/// # Errors
/// When the database fails, or has one of this number.
pub async fn insert(tx: &mut Tx, competition: &CompetitionId, amendment: &Amendment) -> Result<(), DbError> {
    sqlx::query("INSERT INTO amendments (competition_id, number, amendment) VALUES ($1, $2, $3)")
        .bind(competition.as_ref())
        .bind(amendment.number)
        .bind(to_json(amendment))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
