//! How old what is under way is, by a clock that somebody sets: times that mean "so long ago" or "so long from now" move
//! with the clock. Times that tell when something happened stay as they were told.

use super::{DbError, Tx, int};

/// Moves by so many seconds since when submissions are in a state that isn't an end, until when their files must have
/// come, when they, webhooks and what rounds ask are tried again, and how long upload tokens, enrolments and claims hold.
///
/// # Errors
/// When the database fails.
pub async fn shift(tx: &mut Tx, seconds: i64) -> Result<(), DbError> {
    for sql in [
        "UPDATE submissions SET changed_at = max(changed_at + $1, 0), upload_until = max(upload_until + $1, 0),
         first_byte_until = max(first_byte_until + $1, 0),
         retry_at = CASE WHEN retry_at > 0 THEN max(retry_at + $1, 0) ELSE 0 END
         WHERE state IN ('awaiting_upload', 'checking', 'queued', 'evaluating')",
        "UPDATE upload_tokens SET expires_at = max(expires_at + $1, 0)",
        "UPDATE machine_time SET ended_at = max(ended_at + $1, 0)",
        "UPDATE webhooks SET retry_at = max(retry_at + $1, 0) WHERE retry_at > 0",
        "UPDATE work SET changed_at = max(changed_at + $1, 0), wanted_until = max(wanted_until + $1, 0),
         retry_at = CASE WHEN retry_at > 0 THEN max(retry_at + $1, 0) ELSE 0 END",
        "UPDATE work_time SET ended_at = max(ended_at + $1, 0)",
        "UPDATE enrolments SET expires_at = max(expires_at + $1, 0)",
        "UPDATE holds SET begun_at = max(begun_at + $1, 0), held_until = max(held_until + $1, 0)",
    ] {
        sqlx::query(sql).bind(seconds).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Takes up what an earlier process left, whose clock may have been ahead: nothing is younger than now, and what is queued
/// waits for nothing.
///
/// # Errors
/// When the database fails.
pub async fn take_up(tx: &mut Tx, now: u64) -> Result<(), DbError> {
    let sql = "UPDATE submissions SET changed_at = min(changed_at, $1), retry_at = min(retry_at, $1)
               WHERE state IN ('awaiting_upload', 'checking', 'queued', 'evaluating')";
    sqlx::query(sql).bind(int(now)).execute(&mut **tx).await?;
    for sql in [
        "UPDATE machine_time SET ended_at = min(ended_at, $1)",
        "UPDATE work_time SET ended_at = min(ended_at, $1)",
        "UPDATE work SET changed_at = min(changed_at, $1), retry_at = min(retry_at, $1)",
    ] {
        sqlx::query(sql).bind(int(now)).execute(&mut **tx).await?;
    }
    Ok(())
}
