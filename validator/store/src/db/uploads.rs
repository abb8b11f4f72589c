//! Upload tokens: which file of which submission may be sent with a token, and until when.
//!
//! Only digests of tokens are stored. It does not know what a token looks like.

use super::{Db, DbError, Tx, int, parse, uint};
use protocol::{Digest, SubmissionId};
use sqlx::Row;

/// What a token allows.
#[derive(Clone, Debug)]
pub struct UploadGrant {
    /// The submission.
    pub submission: SubmissionId,
    /// The file.
    pub path: String,
    /// Until when, in Unix seconds.
    pub expires_at: u64,
}

/// Stores a token's digest with what it allows; one that is there stays as it is.
///
/// # Errors
/// When the database fails.
pub async fn grant(tx: &mut Tx, token_sha256: &Digest, grant: &UploadGrant) -> Result<(), DbError> {
    let query = "INSERT INTO upload_tokens (token_sha256, submission_id, path, expires_at) VALUES (?, ?, ?, ?)
                 ON CONFLICT (token_sha256) DO NOTHING";
    sqlx::query(query)
        .bind(token_sha256.to_string())
        .bind(grant.submission.to_string())
        .bind(&grant.path)
        .bind(int(grant.expires_at))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

impl Db {
    /// What the token with this digest allows.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn upload_grant(&self, token_sha256: &Digest) -> Result<Option<UploadGrant>, DbError> {
        let row = sqlx::query("SELECT * FROM upload_tokens WHERE token_sha256 = ?")
            .bind(token_sha256.to_string())
            .fetch_optional(self.pool())
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(UploadGrant {
            submission: parse("submission id", row.get("submission_id"))?,
            path: row.get("path"),
            expires_at: uint(row.get("expires_at")),
        }))
    }

    /// Forgets tokens that ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_upload_grants(&self, now: u64) -> Result<(), DbError> {
        sqlx::query("DELETE FROM upload_tokens WHERE expires_at < ?").bind(int(now)).execute(self.pool()).await?;
        Ok(())
    }
}
