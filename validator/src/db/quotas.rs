//! What a hotkey has under way, and what it announced lately. It does not know how much is allowed.

use super::{Db, DbError, Tx, int, uint};
use protocol::Hotkey;
use sqlx::Row;

/// What a hotkey has under way, over all competitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    let query = "WITH mine AS (SELECT id, state, upload_until FROM submissions
                 WHERE hotkey = ? AND state IN ('awaiting_upload', 'checking', 'queued', 'evaluating'))
                 SELECT (SELECT count(*) FROM mine) AS submissions,
                 (SELECT coalesce(sum(size_bytes), 0) FROM submission_files
                  WHERE submission_id IN (SELECT id FROM mine)) AS bytes,
                 (SELECT min(upload_until) FROM mine WHERE state = 'awaiting_upload') AS upload_until";
    let row = sqlx::query(query).bind(hotkey.to_string()).fetch_one(&mut **tx).await?;
    Ok(Pending {
        submissions: uint(row.get("submissions")),
        bytes: uint(row.get("bytes")),
        upload_until: row.get::<Option<i64>, _>("upload_until").map(uint),
    })
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
    let query = "SELECT created_at FROM submissions WHERE hotkey = ? AND created_at > ? AND state != 'failed'
                 ORDER BY created_at DESC LIMIT 1 OFFSET ?";
    let at: Option<i64> = sqlx::query_scalar(query)
        .bind(hotkey.to_string())
        .bind(int(since))
        .bind(int(count.saturating_sub(1)))
        .fetch_optional(&mut **tx)
        .await?;
    Ok(at.map(uint))
}

impl Db {
    /// What a hotkey has under way.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pending_of(&self, hotkey: &Hotkey) -> Result<Pending, DbError> {
        let mut tx = self.write().await?;
        pending_of(&mut tx, hotkey).await
    }
}
