//! Whom the operator blocked. It does not know what follows from it.

use super::{Db, DbError, Tx, int};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

/// A hotkey or a network that is blocked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, FromRow)]
pub struct BlockRow {
    /// A hotkey, or a network in CIDR notation.
    pub who: String,
    /// Why, in the operator's words.
    pub reason: String,
    /// Since when, in Unix seconds.
    pub since: u64,
}

/// Adds somebody; `false` where they were there before.
///
/// # Errors
/// When the database fails.
pub async fn add(tx: &mut Tx, row: &BlockRow) -> Result<bool, DbError> {
    let query = "INSERT INTO blocks (who, reason, since) VALUES ($1, $2, $3) ON CONFLICT (who) DO NOTHING";
    let added = sqlx::query(query).bind(&row.who).bind(&row.reason).bind(int(row.since)).execute(&mut **tx).await?;
    Ok(added.rows_affected() == 1)
}

/// Removes somebody; `false` where they weren't there.
///
/// # Errors
/// When the database fails.
pub async fn remove(tx: &mut Tx, who: &str) -> Result<bool, DbError> {
    let removed = sqlx::query("DELETE FROM blocks WHERE who = $1").bind(who).execute(&mut **tx).await?;
    Ok(removed.rows_affected() == 1)
}

/// How many there are.
///
/// # Errors
/// When the database fails.
pub async fn count(tx: &mut Tx) -> Result<u64, DbError> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM blocks").fetch_one(&mut **tx).await?)
}

impl Db {
    /// All who are blocked, the last one first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn blocks(&self) -> Result<Vec<BlockRow>, DbError> {
        let query = "SELECT who, reason, since FROM blocks ORDER BY since DESC, who";
        Ok(sqlx::query_as(query).fetch_all(self.pool()).await?)
    }
}
