//! Upload tokens: which file of which submission may be sent with a token, and until when.
//!
//! Only digests of tokens are stored. It does not know what a token looks like.

use super::column::Text;
use super::{Db, DbError, Tx, int};
use protocol::{Digest, SubmissionId};
use sqlx::FromRow;

/// What a token allows.
#[derive(Clone, Debug, FromRow)]
pub struct UploadGrant {
    /// The submission.
    #[sqlx(rename = "submission_id", try_from = "Text<SubmissionId>")]
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
    let query = "INSERT INTO upload_tokens (token_sha256, submission_id, path, expires_at) VALUES ($1, $2, $3, $4)
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
        let query = "SELECT * FROM upload_tokens WHERE token_sha256 = $1";
        Ok(sqlx::query_as(query).bind(token_sha256.to_string()).fetch_optional(self.pool()).await?)
    }

    /// Forgets tokens that ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_upload_grants(&self, now: u64) -> Result<(), DbError> {
        sqlx::query("DELETE FROM upload_tokens WHERE expires_at < $1").bind(int(now)).execute(self.pool()).await?;
        Ok(())
    }
}
