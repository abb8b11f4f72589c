//! Copies of the database: one that is whole is made while the original is in use.

use super::{Db, DbError, int};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use std::path::Path;

impl Db {
    /// Writes the database as it is at one moment to the new file `path`. Leaves from `log_size` on are on their way
    /// into the public log there, as they were when it had that size.
    ///
    /// # Errors
    /// When the database fails or the file exists.
    pub async fn copy_to(&self, path: &Path, log_size: u64) -> Result<(), DbError> {
        sqlx::query("VACUUM INTO $1").bind(path.to_string_lossy().as_ref()).execute(self.pool()).await?;
        let copy = Self::open_copy(path).await?;
        sqlx::query("UPDATE log_outbox SET index_in_log = NULL WHERE index_in_log >= $1")
            .bind(int(log_size))
            .execute(copy.pool())
            .await?;
        copy.close().await;
        Ok(())
    }

    /// Opens a copy as it is: one connection, one file, no change of the schema.
    ///
    /// # Errors
    /// When it is no database.
    pub async fn open_copy(path: &Path) -> Result<Self, DbError> {
        let options = SqliteConnectOptions::new().filename(path).foreign_keys(true);
        let pool: SqlitePool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        Ok(Self { pool })
    }

    /// What SQLite finds wrong with the file or its references, if anything.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn problems(&self) -> Result<Option<String>, DbError> {
        let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_all(self.pool()).await?;
        if let Some(problem) = found.into_iter().find(|line| line != "ok") {
            return Ok(Some(problem));
        }
        let dangling = sqlx::query("PRAGMA foreign_key_check").fetch_all(self.pool()).await?;
        Ok((!dangling.is_empty()).then(|| format!("{} rows without the rows that they belong to", dangling.len())))
    }
}
