//! Tokens that submit for a hotkey, each until its time is over or its owner revokes it.
//!
//! Only digests of tokens are stored. It does not know what a token looks like.

use super::column::Text;
use super::{Db, DbError, Tx, int};
use protocol::{Digest, Hotkey};
use sqlx::FromRow;

/// A token, without what opens anything.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct ApiToken {
    /// Its name, by which it is revoked.
    pub id: String,
    /// For whom it submits.
    #[sqlx(try_from = "Text<Hotkey>")]
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
        Ok(sqlx::query_as("SELECT * FROM api_tokens WHERE token_sha256 = $1")
            .bind(token_sha256.to_string())
            .fetch_optional(self.pool())
            .await?)
    }

    /// A hotkey's tokens that are good at `now`, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn api_tokens(&self, hotkey: &Hotkey, now: u64) -> Result<Vec<ApiToken>, DbError> {
        Ok(sqlx::query_as("SELECT * FROM api_tokens WHERE hotkey = $1 AND expires_at > $2 ORDER BY created_at, id")
            .bind(hotkey.to_string())
            .bind(int(now))
            .fetch_all(self.pool())
            .await?)
    }

    /// Ends a hotkey's token; `false` when it has none of this name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_api_token(&self, hotkey: &Hotkey, id: &str) -> Result<bool, DbError> {
        let deleted = sqlx::query("DELETE FROM api_tokens WHERE hotkey = $1 AND id = $2")
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
    sqlx::query("DELETE FROM api_tokens WHERE hotkey = $1 AND expires_at <= $2")
        .bind(token.hotkey.to_string())
        .bind(int(token.created_at))
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "INSERT INTO api_tokens (id, token_sha256, hotkey, label, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
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
    let query = "SELECT count(*) FROM api_tokens WHERE hotkey = $1 AND expires_at > $2";
    Ok(sqlx::query_scalar(query).bind(hotkey.to_string()).bind(int(now)).fetch_one(&mut **tx).await?)
}
