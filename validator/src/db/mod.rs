//! The database: SQLite with a write-ahead log, synced at every commit.
//!
//! It is the truth; everything derived from it can be rebuilt. Each table's statements lie in a file of their own.
//! Nothing here knows HTTP, objects or evaluation.

pub mod ages;
pub mod amendments;
pub mod attempts;
pub mod blocks;
pub mod competitions;
pub mod copies;
mod copy;
mod entries;
pub mod evaluations;
pub mod feed;
pub mod files;
pub mod hub;
pub mod idempotency;
pub mod invites;
pub mod latency;
pub mod ledger;
pub mod lists;
pub mod log;
pub mod names;
pub mod nonces;
pub mod origins;
pub mod quotas;
mod references;
pub mod replicates;
pub mod rewards;
pub mod rounds;
pub mod submissions;
pub mod tokens;
pub mod turns;
pub mod uploads;
pub mod watch;
pub mod webhooks;
pub mod weights;
pub mod witnesses;

use crate::disk;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqlitePool, Transaction};
use std::path::Path;
use std::time::Duration;

/// A transaction that may write from its first statement on.
pub type Tx = Transaction<'static, sqlx::Sqlite>;

/// How long a statement waits for another writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Readers at once; there is one writer at most, as SQLite has it.
const CONNECTIONS_MAX: u32 = 8;
/// Pages that a connection keeps for itself. The system keeps them once for all connections: with SQLite's own 2 MiB each, a
/// soak of 9,000 submissions spent 20 MB on the same pages several times.
const PAGE_CACHE_KIB: u32 = 512;

/// What went wrong in the database.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database itself refused.
    #[error("the database: {0}")]
    Sql(#[from] sqlx::Error),
    /// The schema can't be brought up to date.
    #[error("the database's schema: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A stored value isn't what we store: the file was changed by somebody else, or this is a bug.
    #[error("the database holds an unreadable {what}: {problem}")]
    Corrupt {
        /// What can't be read.
        what: &'static str,
        /// Why.
        problem: String,
    },
    /// The database's file, or the folder that it lies in, may not be written.
    #[error("the database {} can't be written{}", path.display(), disk::owner(path))]
    Unwritable {
        /// The file.
        path: std::path::PathBuf,
    },
    /// The round is no longer at the step that the change begins with.
    #[error("the round is not {expected} any more")]
    RoundMoved {
        /// The step that was expected.
        expected: rounds::Step,
    },
    /// Something else stands in the public log under this name, or will.
    #[error("the public log states something else as {key}, and what it states doesn't change")]
    LeafTaken {
        /// The name.
        key: String,
    },
    /// A statement that the public log can't hold.
    #[error("the public log can't hold {key}: {source}")]
    Leaf {
        /// The name.
        key: String,
        /// Why.
        source: transparency::EntryError,
    },
    /// The submission is no longer in the state that the change begins with.
    #[error("the submission is not {expected} any more")]
    StateChanged {
        /// The state that was expected.
        expected: protocol::submission::State,
    },
}

impl DbError {
    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        // SQLITE_FULL, and SQLITE_IOERR_SHMSIZE: no room for the index of the write-ahead log.
        const FULL: [&str; 2] = ["13", "4874"];
        match self {
            Self::Sql(sqlx::Error::Database(error)) => error.code().is_some_and(|code| FULL.contains(&code.as_ref())),
            error => disk::is_full(error),
        }
    }

    /// Whether another writer held the database, or every connection was taken, for as long as we wait.
    pub fn is_busy(&self) -> bool {
        match self {
            // The lowest byte is SQLITE_BUSY, whatever more is known.
            Self::Sql(sqlx::Error::Database(error)) => {
                error.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 5)
            }
            Self::Sql(error) => matches!(error, sqlx::Error::PoolTimedOut),
            _ => false,
        }
    }
}

/// Whether `error`, or what caused it, says that the file may be read at most: the lowest byte of the code is
/// SQLITE_READONLY or SQLITE_CANTOPEN, whatever more is known.
fn is_unwritable(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(sqlx::Error::Database(error)) = error.downcast_ref()
            && let Some(code) = error.code().and_then(|code| code.parse::<u32>().ok())
        {
            return matches!(code & 0xff, 8 | 14);
        }
        cause = error.source();
    }
    false
}

/// Whether `error` says that a row with this key exists.
pub(crate) fn is_duplicate(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.is_unique_violation())
}

/// The open database.
#[derive(Clone, Debug)]
pub struct Db {
    pool: SqlitePool,
}

impl Db {
    /// Opens or creates the database at `path` and brings its schema up to date.
    ///
    /// # Errors
    /// When the file can't be opened, or was written by a newer version.
    pub async fn open(path: &Path) -> Result<Self, DbError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("cache_size", format!("-{PAGE_CACHE_KIB}"))
            .busy_timeout(BUSY_TIMEOUT);
        // A transaction that SQLite itself took back, as it does when the disk is full, leaves a connection that begins
        // none any more. The ping comes after whatever the transaction left to do.
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).after_release(|connection, _| {
            Box::pin(async move { Ok(connection.ping().await.is_ok() && !connection.is_in_transaction()) })
        });
        let opened = async {
            let pool = pool.connect_with(options).await?;
            sqlx::migrate!("./migrations").run(&pool).await?;
            let db = Self { pool };
            match db.write().await {
                Ok(tx) => tx.rollback().await?,
                Err(error) if is_unwritable(&error) => return Err(error),
                // Somebody else holds it, or the disk is full: what is there can be shown.
                Err(_) => {}
            }
            Ok(db)
        };
        opened.await.map_err(|error| match is_unwritable(&error) {
            true => DbError::Unwritable { path: path.into() },
            false => error,
        })
    }

    /// The connections, for statements and for the job engine.
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Begins a transaction that holds the write lock, so that it can't fail half way for another writer.
    ///
    /// # Errors
    /// When the lock isn't free in time.
    pub async fn write(&self) -> Result<Tx, DbError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Answers whether the database does.
    ///
    /// # Errors
    /// When it doesn't.
    pub async fn ping(&self) -> Result<(), DbError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Closes the connections; a write-ahead log is then folded into the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Parses stored text.
pub(crate) fn parse<T: std::str::FromStr>(what: &'static str, text: &str) -> Result<T, DbError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| DbError::Corrupt { what, problem: error.to_string() })
}

/// Parses stored JSON.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T, DbError> {
    serde_json::from_str(text).map_err(|error| DbError::Corrupt { what, problem: error.to_string() })
}

/// Canonical JSON as text.
pub(crate) fn to_json(value: &impl serde::Serialize) -> String {
    let bytes = protocol::digest::canonical_json(value).expect("JSON, because our types have string keys only");
    String::from_utf8(bytes).expect("UTF-8, because JSON is")
}

/// A count or a time as SQLite has it.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A count or a time from SQLite.
pub(crate) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
