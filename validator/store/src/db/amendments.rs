//! Amendments of competitions, as they were stated.

use super::{Db, DbError, Tx, from_json, to_json};
use protocol::CompetitionId;
use protocol::amendment::Amendment;
use sqlx::Row;

impl Db {
    /// What was changed about a competition, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn amendments(&self, competition: &CompetitionId) -> Result<Vec<Amendment>, DbError> {
        let query = "SELECT amendment FROM amendments WHERE competition_id = ? ORDER BY number";
        let rows = sqlx::query(query).bind(competition.as_ref()).fetch_all(self.pool()).await?;
        rows.iter().map(|row| from_json("amendment", row.get("amendment"))).collect()
    }
}

/// Writes an amendment.
///
/// # Errors
/// When the database fails, or has one of this number.
pub async fn insert(tx: &mut Tx, competition: &CompetitionId, amendment: &Amendment) -> Result<(), DbError> {
    sqlx::query("INSERT INTO amendments (competition_id, number, amendment) VALUES (?, ?, ?)")
        .bind(competition.as_ref())
        .bind(amendment.number)
        .bind(to_json(amendment))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
