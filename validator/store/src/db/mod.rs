//! The database: SQLite with a write-ahead log, synced at every commit.
//!
//! It is the truth; everything derived from it can be rebuilt. Each table's statements lie in a file of their own.
//! Nothing here knows HTTP, objects or evaluation.

pub mod ages;
pub mod amendments;
pub mod attempts;
pub mod blocks;
mod column;
pub mod competitions;
pub mod copies;
mod copy;
mod entries;
pub mod evaluations;
pub mod feed;
pub mod files;
pub mod forms;
pub mod hub;
pub mod idempotency;
pub mod invites;
pub mod latency;
pub mod leaves;
pub mod ledger;
pub mod lists;
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
pub mod unconfirmed;
pub mod uploads;
pub mod watch;
pub mod webhooks;
pub mod weights;
pub mod witnesses;
pub mod work;
pub mod workers;

use crate::causes::Chain;
use crate::disk;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqlitePool, Transaction};
use std::path::{Path, PathBuf};
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

/// What lies beside a database and is only made after it: the ledger, and how far the public log is.
const MADE_AFTER_IT: [&str; 2] = ["ledger.jsonl", "objects/log/checkpoint"];

/// What went wrong in the database.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database itself refused.
    #[error("the database: {0}")]
    Sql(#[source] sqlx::Error),
    /// The schema can't be brought up to date.
    #[error("the database's schema: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A stored value isn't what we store: the file was changed by somebody else, or this is a bug.
    #[error("the database holds an unreadable `{column}`: {problem}")]
    Corrupt {
        /// The column that can't be read, or its number where only that is known.
        column: String,
        /// Why.
        problem: String,
    },
    /// The database's file, one beside it, or the folder that they lie in, may not be written.
    #[error("the database can't be written: {}{}", path.display(), disk::owner(path))]
    Unwritable {
        /// Which of them.
        path: PathBuf,
    },
    /// There is no room for what SQLite writes before it can read.
    #[error(
        "the disk is full: the database {} can't be opened with {} bytes free; make room, {} bytes at least, and start again",
        path.display(), disk::free_bytes(folder(path)).unwrap_or(0), disk::NEEDED
    )]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// There is no database, or an empty one, where there was one.
    #[error(
        "the database {} is missing or empty, and {found} shows that there was one: put it back from a backup (`retort validator \
         restore`). Where it is lost for good, this validator must begin in a new directory, with an object store of its own",
        path.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// What shows it.
        found: String,
    },
    /// The file holds no database, or a damaged one.
    #[error(
        "the database {} is damaged, or no database: put it back from a backup (`retort validator restore`); keep the file, \
         `sqlite3 FILE .recover` may read what is left", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The disk doesn't do what it should.
    #[error("the database {} can't be read or written: does its disk work? {code}{}", path.display(), disk::owner(path))]
    Failing {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        code: String,
    },
    /// The round is no longer at the step that the change begins with.
    #[error("the round is not {expected} any more")]
    RoundMoved {
        /// The step that was expected.
        expected: protocol::round::Step,
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

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { index, source } => {
                Self::Corrupt { column: index.trim_matches('"').to_owned(), problem: source.to_string() }
            }
            other => Self::Sql(other),
        }
    }
}

impl DbError {
    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. }) || code_of(self).is_some_and(is_full) || disk::is_full(self)
    }

    /// Whether another writer held the database, or every connection was taken, for as long as we wait.
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::PoolTimedOut) => true,
            Self::Sql(_) => code_of(self).is_some_and(|code| code & 0xff == SQLITE_BUSY),
            _ => false,
        }
    }

    /// The same of the database at `path`, which couldn't be opened.
    fn of_opening(self, path: &Path) -> Self {
        let path = path.to_owned();
        match code_of(&self) {
            Some(code) if is_full(code) => Self::Full { path },
            Some(code) => match code & 0xff {
                SQLITE_READONLY | SQLITE_CANTOPEN => Self::Unwritable { path: unwritable(&path) },
                SQLITE_CORRUPT | SQLITE_NOTADB => Self::Damaged { path },
                SQLITE_IOERR => Self::Failing { path, code: Chain(&self).to_string() },
                _ => self,
            },
            None => self,
        }
    }
}

/// What SQLite says with the lowest byte of a code, whatever more is known.
const SQLITE_BUSY: u32 = 5;
const SQLITE_READONLY: u32 = 8;
const SQLITE_IOERR: u32 = 10;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;
const SQLITE_NOTADB: u32 = 26;
/// No room for the index of the write-ahead log.
const SQLITE_IOERR_SHMSIZE: u32 = 4874;

fn is_full(code: u32) -> bool {
    code & 0xff == SQLITE_FULL || code == SQLITE_IOERR_SHMSIZE
}

/// SQLite's code in `error`, or in what caused it.
fn code_of(error: &(dyn std::error::Error + 'static)) -> Option<u32> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(sqlx::Error::Database(error)) = error.downcast_ref() {
            return error.code()?.parse().ok();
        }
        cause = error.source();
    }
    None
}

/// Which of a database's files can't be written, or their folder.
fn unwritable(path: &Path) -> PathBuf {
    let beside = |ending| PathBuf::from(format!("{}{ending}", path.display()));
    let mut all = [path.to_owned(), beside("-wal"), beside("-shm"), folder(path).to_owned()].into_iter();
    all.find(|it| disk::is_denied(it)).unwrap_or_else(|| path.to_owned())
}

/// Refuses to begin a database beside files that are only made after it.
fn check_there(path: &Path) -> Result<(), DbError> {
    let holds_something = |path: &Path| path.metadata().is_ok_and(|found| found.len() > 0);
    if holds_something(path) {
        return Ok(());
    }
    match MADE_AFTER_IT.map(|name| folder(path).join(name)).into_iter().find(|found| holds_something(found)) {
        Some(found) => Err(DbError::Lost { path: path.to_owned(), found: found.display().to_string() }),
        None => Ok(()),
    }
}

/// Where a file lies.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether `error` says that a row with this key exists.
pub fn is_duplicate(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.is_unique_violation())
}

/// The open database.
#[derive(Clone, Debug)]
pub struct Db {
    pool: SqlitePool,
}

/// Holds the folder of a database until it is dropped: of two processes that find a new one, one makes its schema, and the other
/// finds it made. SQLite's own locks hold for one migration only. What is wrong with a folder that can't be opened is SQLite's to
/// say, by the file's name.
async fn one_at_a_time(path: &Path) -> Result<Option<std::fs::File>, DbError> {
    let folder = folder(path).to_owned();
    let held = tokio::task::spawn_blocking(move || {
        let Ok(folder) = std::fs::File::open(folder) else { return Ok(None) };
        folder.lock()?;
        Ok(Some(folder))
    });
    let held = held.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    held.map_err(|error| DbError::Sql(sqlx::Error::Io(error)))
}

impl Db {
    /// Opens or creates the database at `path` and brings its schema up to date.
    ///
    /// # Errors
    /// When the file can't be opened, was written by a newer version, or is gone.
    pub async fn open(path: &Path) -> Result<Self, DbError> {
        check_there(path)?;
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
            // Before the first connection: of two that put a new file into its write-ahead mode SQLite refuses one at once,
            // whatever time it was given to wait.
            let _alone = one_at_a_time(path).await?;
            let pool = pool.connect_with(options).await?;
            sqlx::migrate!("./migrations").run(&pool).await?;
            let db = Self { pool };
            match db.try_to_write().await {
                // Somebody else holds it, or the disk is full: what is there can be shown.
                Err(error) if !error.is_busy() && !error.is_full() => Err(error),
                _ => Ok(db),
            }
        };
        opened.await.map_err(|error: DbError| error.of_opening(path))
    }

    /// Writes nothing, in a transaction that may. To begin one isn't enough: SQLite grants it for a file that it may only read.
    async fn try_to_write(&self) -> Result<(), DbError> {
        let mut tx = self.write().await?;
        sqlx::query("DELETE FROM ledger_seen WHERE one < 0").execute(&mut *tx).await?;
        Ok(tx.rollback().await?)
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

/// Canonical JSON as text.
pub fn to_json(value: &impl serde::Serialize) -> String {
    let bytes = protocol::digest::canonical_json(value).expect("JSON, because our types have string keys only");
    String::from_utf8(bytes).expect("UTF-8, because JSON is")
}

/// A count or a time as SQLite has it.
pub fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
