//! The files of submissions: what was announced and came, and what is published of it.
//!
//! It knows digests, never bytes.

use super::{Db, DbError, Tx, int, parse, uint};
use protocol::api::FileDeclaration;
use protocol::{Digest, SubmissionId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::collections::HashSet;

/// A file of a submission.
#[derive(Clone, Debug)]
pub struct SubmissionFile {
    /// What was announced.
    pub declared: FileDeclaration,
    /// Whether its bytes are stored under their digest.
    pub stored: bool,
}

impl Db {
    /// A submission's files, by path.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn files(&self, id: &SubmissionId) -> Result<Vec<SubmissionFile>, DbError> {
        let rows = sqlx::query("SELECT * FROM submission_files WHERE submission_id = ? ORDER BY path")
            .bind(id.to_string())
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(file).collect()
    }

    /// What is published of a submission, by path: nothing before it was admitted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn published_files(&self, id: &SubmissionId) -> Result<Vec<FileDeclaration>, DbError> {
        let rows = sqlx::query("SELECT * FROM published_files WHERE submission_id = ? ORDER BY path")
            .bind(id.to_string())
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(declaration).collect()
    }
}

/// The files of submissions that were rejected until `horizon` and never scored, as far as they are still kept.
///
/// # Errors
/// When the database fails.
pub async fn of_rejected(db: &Db, horizon: u64) -> Result<HashSet<Digest>, DbError> {
    let query = "SELECT DISTINCT sha256 FROM rejected_files WHERE rejected_at <= ?";
    let rows: Vec<String> = sqlx::query_scalar(query).bind(int(horizon)).fetch_all(db.pool()).await?;
    rows.iter().map(|sha256| parse("digest", sha256)).collect()
}

/// Keeps those files no longer. Their digests stay known.
///
/// # Errors
/// When the database fails.
pub async fn give_up_rejected(db: &Db, horizon: u64) -> Result<(), DbError> {
    let mut tx = db.write().await?;
    for query in [
        "DELETE FROM published_files WHERE submission_id IN
         (SELECT submission_id FROM rejected_files WHERE rejected_at <= ?)",
        "UPDATE submission_files SET stored = 0 WHERE submission_id IN
         (SELECT submission_id FROM rejected_files WHERE rejected_at <= ?)",
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
    sqlx::query("UPDATE submission_files SET stored = 1 WHERE submission_id = ? AND path = ?")
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
            "INSERT INTO published_files (submission_id, path, size_bytes, sha256) VALUES (?, ?, ?, ?)
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

fn file(row: &SqliteRow) -> Result<SubmissionFile, DbError> {
    Ok(SubmissionFile { declared: declaration(row)?, stored: row.get::<i64, _>("stored") != 0 })
}

fn declaration(row: &SqliteRow) -> Result<FileDeclaration, DbError> {
    let sha256 = parse("digest", row.get("sha256"))?;
    Ok(FileDeclaration { path: row.get("path"), size: uint(row.get("size_bytes")), sha256 })
}
