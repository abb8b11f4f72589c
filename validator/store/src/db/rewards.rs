//! Announced changes of the reward.
//!
//! It does not know which round runs; whoever writes has asked `protocol::reward::Schedule`.

use super::{Db, DbError, Tx, from_json, int, to_json, uint};
use protocol::CompetitionId;
use protocol::reward::PolicyChange;
use sqlx::Row;

impl Db {
    /// A competition's announced changes, by rising round.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reward_changes(&self, competition: &CompetitionId) -> Result<Vec<PolicyChange>, DbError> {
        let query = "SELECT from_round, reward FROM reward_changes WHERE competition_id = ? ORDER BY from_round";
        let rows = sqlx::query(query).bind(competition.as_ref()).fetch_all(self.pool()).await?;
        rows.iter()
            .map(|row| {
                Ok(PolicyChange {
                    from_round: uint(row.get("from_round")),
                    reward: from_json("reward", row.get("reward"))?,
                })
            })
            .collect()
    }
}

/// Writes an announced change.
///
/// # Errors
/// When the database fails or has a change for that round.
pub async fn insert(tx: &mut Tx, competition: &CompetitionId, change: &PolicyChange, now: u64) -> Result<(), DbError> {
    sqlx::query("INSERT INTO reward_changes (competition_id, from_round, reward, announced_at) VALUES (?, ?, ?, ?)")
        .bind(competition.as_ref())
        .bind(int(change.from_round))
        .bind(to_json(&change.reward))
        .bind(int(now))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
