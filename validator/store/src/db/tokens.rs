//! Tokens that submit for a hotkey, each until its time is over or its owner revokes it.
//!
//! Only digests of tokens are stored. It does not know what a token looks like.

use super::{Db, DbError, Tx, int, parse, uint};
use protocol::{Digest, Hotkey};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// A token, without what opens anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Its name, by which it is revoked.
    pub id: String,
    /// For whom it submits.
    pub hotkey: Hotkey,
    /// What its owner calls it.
    pub label: String,
    /// When it was made, in Unix seconds.
    pub created_at: u64,
    /// Until when it is good, in Unix seconds.
    pub expires_at: u64,
}

impl Db {
    /// The token with this digest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn api_token(&self, token_sha256: &Digest) -> Result<Option<ApiToken>, DbError> {
        let row = sqlx::query("SELECT * FROM api_tokens WHERE token_sha256 = ?")
            .bind(token_sha256.to_string())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(token).transpose()
    }

    /// A hotkey's tokens that are good at `now`, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn api_tokens(&self, hotkey: &Hotkey, now: u64) -> Result<Vec<ApiToken>, DbError> {
        let rows = sqlx::query("SELECT * FROM api_tokens WHERE hotkey = ? AND expires_at > ? ORDER BY created_at, id")
            .bind(hotkey.to_string())
            .bind(int(now))
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(token).collect()
    }

    /// Ends a hotkey's token; `false` when it has none of this name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_api_token(&self, hotkey: &Hotkey, id: &str) -> Result<bool, DbError> {
        let deleted = sqlx::query("DELETE FROM api_tokens WHERE hotkey = ? AND id = ?")
            .bind(hotkey.to_string())
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(deleted.rows_affected() > 0)
    }
}

/// Stores a token's digest, and forgets those of its owner whose time is over.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, token_sha256: &Digest, token: &ApiToken) -> Result<(), DbError> {
    sqlx::query("DELETE FROM api_tokens WHERE hotkey = ? AND expires_at <= ?")
        .bind(token.hotkey.to_string())
        .bind(int(token.created_at))
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "INSERT INTO api_tokens (id, token_sha256, hotkey, label, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(&token.id)
    .bind(token_sha256.to_string())
    .bind(token.hotkey.to_string())
    .bind(&token.label)
    .bind(int(token.created_at))
    .bind(int(token.expires_at))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How many tokens of a hotkey are good at `now`.
///
/// # Errors
/// When the database fails.
pub async fn count(tx: &mut Tx, hotkey: &Hotkey, now: u64) -> Result<u64, DbError> {
    let query = "SELECT count(*) FROM api_tokens WHERE hotkey = ? AND expires_at > ?";
    let count = sqlx::query_scalar(query).bind(hotkey.to_string()).bind(int(now)).fetch_one(&mut **tx).await?;
    Ok(uint(count))
}

fn token(row: &SqliteRow) -> Result<ApiToken, DbError> {
    Ok(ApiToken {
        id: row.get("id"),
        hotkey: parse("hotkey", row.get("hotkey"))?,
        label: row.get("label"),
        created_at: uint(row.get("created_at")),
        expires_at: uint(row.get("expires_at")),
    })
}
