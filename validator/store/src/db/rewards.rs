//! Announced changes of the reward.
//!
//! It does not know which round runs; whoever writes has asked `protocol::reward::Schedule`.

use super::{Db, DbError, Tx, int, to_json};
use protocol::CompetitionId;
use protocol::reward::PolicyChange;
use sqlx::types::Json;

impl Db {
    /// A competition's announced changes, by rising round.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reward_changes(&self, competition: &CompetitionId) -> Result<Vec<PolicyChange>, DbError> {
        let query = "SELECT from_round, reward FROM reward_changes WHERE competition_id = $1 ORDER BY from_round";
        let rows = sqlx::query_as(query).bind(competition.as_ref()).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|(from_round, Json(reward))| PolicyChange { from_round, reward }).collect())
    }
}

/// Writes an announced change.
///
/// # Errors
/// When the database fails or has a change for that round.
pub async fn insert(tx: &mut Tx, competition: &CompetitionId, change: &PolicyChange, now: u64) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO reward_changes (competition_id, from_round, reward, announced_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(competition.as_ref())
    .bind(int(change.from_round))
    .bind(to_json(&change.reward))
    .bind(int(now))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
