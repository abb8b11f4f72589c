//! Idempotency keys: which submission a request came to, for a day.
//!
//! It does not decide what the same key with another request means.

use super::column::Text;
use super::{DbError, Tx, int};
use protocol::{Digest, Hotkey, SubmissionId};
use sqlx::FromRow;

/// For how long a key is remembered.
pub const RETENTION_SECONDS: u64 = 24 * 3_600;

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Remembered {
    /// The digest of the request's body.
    #[sqlx(try_from = "Text<Digest>")]
    pub request_sha256: Digest,
    /// What it came to.
    #[sqlx(rename = "submission_id", try_from = "Text<SubmissionId>")]
    pub submission: SubmissionId,
}

/// What a hotkey's key stands for, if it was used within the last day.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Tx, hotkey: &Hotkey, key: &str, now: u64) -> Result<Option<Remembered>, DbError> {
    let query = "SELECT request_sha256, submission_id FROM idempotency_keys WHERE hotkey = $1 AND key = $2 AND at > $3";
    let since = int(now.saturating_sub(RETENTION_SECONDS));
    let query = sqlx::query_as(query).bind(hotkey.to_string()).bind(key).bind(since);
    Ok(query.fetch_optional(&mut **tx).await?)
}

/// Remembers what a request came to, and forgets what is older than a day.
///
/// # Errors
/// When the database fails.
pub async fn remember(tx: &mut Tx, hotkey: &Hotkey, key: &str, of: &Remembered, now: u64) -> Result<(), DbError> {
    sqlx::query("DELETE FROM idempotency_keys WHERE at <= $1")
        .bind(int(now.saturating_sub(RETENTION_SECONDS)))
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "INSERT INTO idempotency_keys (hotkey, key, request_sha256, submission_id, at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(hotkey.to_string())
    .bind(key)
    .bind(of.request_sha256.to_string())
    .bind(of.submission.to_string())
    .bind(int(now))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
