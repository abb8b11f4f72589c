//! Rounds whose weights were given to the ledger.

use super::{Db, DbError, from_json, int, parse, to_json, uint};
use protocol::CompetitionId;
use protocol::reward::Weight;
use sqlx::Row;

/// The weights of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightRound {
    /// Its number.
    pub round: u64,
    /// Whose ranking paid.
    pub competition: CompetitionId,
    /// Who got what.
    pub weights: Vec<Weight>,
    /// When, in Unix seconds.
    pub set_at: u64,
}

impl Db {
    /// Writes the weights of a round; a round that is there stays as it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_round(&self, round: &WeightRound) -> Result<(), DbError> {
        sqlx::query(
            "INSERT INTO weight_rounds (round, competition_id, weights, set_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(int(round.round))
        .bind(round.competition.as_ref())
        .bind(to_json(&round.weights))
        .bind(int(round.set_at))
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// All rounds, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rounds(&self) -> Result<Vec<WeightRound>, DbError> {
        let rows = sqlx::query("SELECT * FROM weight_rounds ORDER BY round DESC").fetch_all(self.pool()).await?;
        rows.iter()
            .map(|row| {
                Ok(WeightRound {
                    round: uint(row.get("round")),
                    competition: parse("competition id", row.get("competition_id"))?,
                    weights: from_json("weights", row.get("weights"))?,
                    set_at: uint(row.get("set_at")),
                })
            })
            .collect()
    }
}
