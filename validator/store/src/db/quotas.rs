//! What a hotkey has under way, and what it announced lately. It does not know how much is allowed.

use super::{Db, DbError, Tx, int};
use protocol::Hotkey;
use sqlx::FromRow;

/// What a hotkey has under way, over all competitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Pending {
    /// Submissions that aren't done.
    pub submissions: u64,
    /// Bytes announced in them, whether or not they have come.
    pub bytes: u64,
    /// When the next of them that waits for its files ends, if one does.
    pub upload_until: Option<u64>,
}

/// What a hotkey has under way.
///
/// # Errors
/// When the database fails.
pub async fn pending_of(tx: &mut Tx, hotkey: &Hotkey) -> Result<Pending, DbError> {
    let query = "WITH mine AS (SELECT id, state, coalesce(min(upload_until, first_byte_until), upload_until) AS until
                 FROM submissions
                 WHERE hotkey = $1 AND state IN ('awaiting_upload', 'checking', 'queued', 'evaluating'))
                 SELECT (SELECT count(*) FROM mine) AS submissions,
                 (SELECT coalesce(sum(size_bytes), 0) FROM submission_files
                  WHERE submission_id IN (SELECT id FROM mine)) AS bytes,
                 (SELECT min(until) FROM mine WHERE state = 'awaiting_upload') AS upload_until";
    Ok(sqlx::query_as(query).bind(hotkey.to_string()).fetch_one(&mut **tx).await?)
}

/// When a hotkey made the announcement that `count` have followed since, itself included, if that was after `since`;
/// failures of ours are none.
///
/// # Errors
/// When the database fails.
pub async fn announced_before_last(
    tx: &mut Tx,
    hotkey: &Hotkey,
    count: u64,
    since: u64,
) -> Result<Option<u64>, DbError> {
    let query = "SELECT created_at FROM submissions WHERE hotkey = $1 AND created_at > $2 AND state != 'failed'
                 ORDER BY created_at DESC LIMIT 1 OFFSET $3";
    let query = sqlx::query_scalar(query).bind(hotkey.to_string()).bind(int(since));
    Ok(query.bind(int(count.saturating_sub(1))).fetch_optional(&mut **tx).await?)
}

/// What an address announced since `since`, and when it announced the first of it.
///
/// # Errors
/// When the database fails.
pub async fn announced_from(tx: &mut Tx, address: &str, since: u64) -> Result<(u64, Option<u64>), DbError> {
    let query =
        "SELECT coalesce(sum(bytes), 0) AS bytes, min(at) AS first FROM address_bytes WHERE address = $1 AND at > $2";
    Ok(sqlx::query_as(query).bind(address).bind(int(since)).fetch_one(&mut **tx).await?)
}

/// Counts what an address announces.
///
/// # Errors
/// When the database fails.
pub async fn count_from(tx: &mut Tx, address: &str, at: u64, bytes: u64) -> Result<(), DbError> {
    let query = "INSERT INTO address_bytes (address, at, bytes) VALUES ($1, $2, $3)";
    sqlx::query(query).bind(address).bind(int(at)).bind(int(bytes)).execute(&mut **tx).await?;
    Ok(())
}

impl Db {
    /// Forgets what addresses announced until `horizon`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_address_bytes(&self, horizon: u64) -> Result<(), DbError> {
        sqlx::query("DELETE FROM address_bytes WHERE at <= $1").bind(int(horizon)).execute(self.pool()).await?;
        Ok(())
    }

    /// What a hotkey has under way.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pending_of(&self, hotkey: &Hotkey) -> Result<Pending, DbError> {
        let mut tx = self.write().await?;
        pending_of(&mut tx, hotkey).await
    }
}
