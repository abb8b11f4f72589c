//! The files of submissions: what was announced and came, and what is published of it.
//!
//! It knows digests, never bytes.

use super::column::Text;
use super::{Db, DbError, Tx, int};
use protocol::api::FileDeclaration;
use protocol::{Digest, SubmissionId};
use sqlx::FromRow;
use std::collections::HashSet;

/// A file of a submission.
#[derive(Clone, Debug, FromRow)]
pub struct SubmissionFile {
    /// What was announced.
    #[sqlx(flatten, try_from = "Declared")]
    pub declared: FileDeclaration,
    /// Whether its bytes are stored under their digest.
    pub stored: bool,
}

/// A file as both tables have it.
#[derive(FromRow)]
struct Declared {
    path: String,
    #[sqlx(rename = "size_bytes")]
    size: u64,
    #[sqlx(try_from = "Text<Digest>")]
    sha256: Digest,
}

impl From<Declared> for FileDeclaration {
    fn from(Declared { path, size, sha256 }: Declared) -> Self {
        Self { path, size, sha256 }
    }
}

impl Db {
    /// A submission's files, by path.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn files(&self, id: &SubmissionId) -> Result<Vec<SubmissionFile>, DbError> {
        Ok(sqlx::query_as("SELECT * FROM submission_files WHERE submission_id = $1 ORDER BY path")
            .bind(id.to_string())
            .fetch_all(self.pool())
            .await?)
    }

    /// What is published of a submission, by path: nothing before it was admitted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn published_files(&self, id: &SubmissionId) -> Result<Vec<FileDeclaration>, DbError> {
        let query = "SELECT * FROM published_files WHERE submission_id = $1 ORDER BY path";
        let rows = sqlx::query_as(query).bind(id.to_string()).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|declared: Declared| declared.into()).collect())
    }
}

/// The files of submissions that were rejected until `horizon` and never scored, as far as they are still kept.
///
/// # Errors
/// When the database fails.
pub async fn of_rejected(db: &Db, horizon: u64) -> Result<HashSet<Digest>, DbError> {
    let query = "SELECT DISTINCT sha256 FROM rejected_files WHERE rejected_at <= $1";
    let rows = sqlx::query_scalar(query).bind(int(horizon)).fetch_all(db.pool()).await?;
    Ok(rows.into_iter().map(|Text(sha256)| sha256).collect())
}

/// Keeps those files no longer. Their digests stay known.
///
/// # Errors
/// When the database fails.
pub async fn give_up_rejected(db: &Db, horizon: u64) -> Result<(), DbError> {
    let mut tx = db.write().await?;
    for query in [
        "DELETE FROM published_files WHERE submission_id IN
         (SELECT submission_id FROM rejected_files WHERE rejected_at <= $1)",
        "UPDATE submission_files SET stored = 0 WHERE submission_id IN
         (SELECT submission_id FROM rejected_files WHERE rejected_at <= $1)",
    ] {
        sqlx::query(query).bind(int(horizon)).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}

/// Remembers that a file's bytes are stored.
///
/// # Errors
/// When the database fails.
pub async fn set_stored(db: &Db, id: &SubmissionId, path: &str) -> Result<(), DbError> {
    sqlx::query("UPDATE submission_files SET stored = 1 WHERE submission_id = $1 AND path = $2")
        .bind(id.to_string())
        .bind(path)
        .execute(db.pool())
        .await?;
    Ok(())
}

/// Remembers under which digests an admitted package is published. One that is admitted again is published already.
///
/// # Errors
/// When the database fails.
pub async fn set_published(tx: &mut Tx, id: &SubmissionId, files: &[FileDeclaration]) -> Result<(), DbError> {
    for file in files {
        sqlx::query(
            "INSERT INTO published_files (submission_id, path, size_bytes, sha256) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
        )
        .bind(id.to_string())
        .bind(&file.path)
        .bind(int(file.size))
        .bind(file.sha256.to_string())
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}
