//! Nonces of signed requests, kept longer than a request is fresh, across restarts.

use super::{Db, DbError, int, is_duplicate};
use protocol::auth::VerifiedRequest;

/// Seconds for which nonces are remembered: far longer than the 12 that a request is fresh. A clock that is set back makes
/// old requests fresh again, and by this much it may be set back: an hour, which is what wrong time zones amount to.
pub const RETENTION_SECONDS: u64 = 3_900;

impl Db {
    /// Whether a verified request was seen before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn knows_nonce(&self, request: &VerifiedRequest) -> Result<bool, DbError> {
        let query = "SELECT EXISTS (SELECT 1 FROM nonces WHERE hotkey = $1 AND nonce_ns = $2)";
        let known = sqlx::query_scalar(query).bind(request.hotkey.to_string()).bind(int(request.nonce_ns));
        Ok(known.fetch_one(self.pool()).await?)
    }

    /// Remembers a verified request; `false` when it was seen before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_nonce(&self, request: &VerifiedRequest, now: u64) -> Result<bool, DbError> {
        let inserted = sqlx::query("INSERT INTO nonces (hotkey, nonce_ns, seen_at) VALUES ($1, $2, $3)")
            .bind(request.hotkey.to_string())
            .bind(int(request.nonce_ns))
            .bind(int(now))
            .execute(self.pool())
            .await;
        match inserted {
            Ok(_) => Ok(true),
            Err(error) if is_duplicate(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets nonces seen before `horizon`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_nonces(&self, horizon: u64) -> Result<(), DbError> {
        sqlx::query("DELETE FROM nonces WHERE seen_at < $1").bind(int(horizon)).execute(self.pool()).await?;
        Ok(())
    }
}
