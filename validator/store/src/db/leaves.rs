//! Leaves of the public log: written with whatever they state, appended later.
//!
//! [`enqueue`] is for everyone who changes state; the rest is for the task that appends. It does not know the log.

use super::column::Text;
use super::{Db, DbError, Tx, int, to_json};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::FromRow;
use sqlx::types::Json;
use std::ops::Range;
use transparency::{Entry, EntryError, EntryKind, Envelope};

/// A leaf, in the log or on its way there.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct Leaf {
    /// Its place in the order of what happened.
    pub id: i64,
    /// Its name.
    pub key: String,
    /// What it states.
    #[sqlx(try_from = "Text<EntryKind>")]
    pub kind: EntryKind,
    /// The statement.
    #[sqlx(json)]
    pub body: serde_json::Value,
    /// Its place in the log, once it is there.
    pub index_in_log: Option<u64>,
}

impl Leaf {
    /// The bytes that are hashed.
    ///
    /// # Errors
    /// None for a leaf that was enqueued.
    pub fn entry(&self) -> Result<Entry, EntryError> {
        Entry::new(self.kind, &self.key, &self.body)
    }
}

/// States `body` in the public log, once `tx` is committed: under the name `key`, once however often this is called.
///
/// Call it in the very transaction that makes the statement true. The log's order is the order of these transactions.
/// `app.signals` need not be told: the leaf is appended within a second.
///
/// # Errors
/// [`DbError::LeafTaken`] when something else was stated under this name, [`DbError::Leaf`] when `body` is too large for
/// an entry, and the database's own.
pub async fn enqueue(tx: &mut Tx, key: &str, kind: EntryKind, body: &impl Serialize) -> Result<(), DbError> {
    // What can't be an entry must not block the ones behind it.
    Entry::new(kind, key, body).map_err(|source| DbError::Leaf { key: key.to_owned(), source })?;
    let body = to_json(body);
    let written =
        sqlx::query("INSERT INTO log_outbox (key, kind, body) VALUES ($1, $2, $3) ON CONFLICT (key) DO NOTHING")
            .bind(key)
            .bind(kind.as_str())
            .bind(&body)
            .execute(&mut **tx)
            .await?;
    if written.rows_affected() == 1 {
        return Ok(());
    }
    let query = "SELECT kind = $1 AND body = $2 FROM log_outbox WHERE key = $3";
    let same = sqlx::query_scalar(query).bind(kind.as_str()).bind(&body).bind(key).fetch_one(&mut **tx).await?;
    if same { Ok(()) } else { Err(DbError::LeafTaken { key: key.to_owned() }) }
}

/// How many leaves have names that begin with `prefix/`: those that are numbered from 1 upwards under it. Asked of the
/// leaves themselves, so a database that was put back from an older copy goes on where the log is.
///
/// # Errors
/// When the database fails.
pub async fn count_under(tx: &mut Tx, prefix: &str) -> Result<u64, DbError> {
    // The character after the slash is a zero.
    let query = "SELECT count(*) FROM log_outbox WHERE key >= $1 || '/' AND key < $1 || '0'";
    Ok(sqlx::query_scalar(query).bind(prefix).fetch_one(&mut **tx).await?)
}

/// Writes down where leaves are in the log.
///
/// # Errors
/// When the database fails, or another leaf has that place.
pub async fn record(tx: &mut Tx, places: &[(i64, u64)]) -> Result<(), DbError> {
    for (id, index) in places {
        sqlx::query("UPDATE log_outbox SET index_in_log = $1 WHERE id = $2")
            .bind(int(*index))
            .bind(*id)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Takes over a leaf that the log has and the database hasn't: the database was put back from an older copy.
///
/// # Errors
/// When the database fails, or has a leaf of this name or place.
pub async fn adopt(tx: &mut Tx, envelope: &Envelope, index: u64) -> Result<(), DbError> {
    sqlx::query("INSERT INTO log_outbox (key, kind, body, index_in_log) VALUES ($1, $2, $3, $4)")
        .bind(&envelope.key)
        .bind(envelope.kind.as_str())
        .bind(to_json(&envelope.body))
        .bind(int(index))
        .execute(&mut **tx)
        .await?;
    if envelope.kind == EntryKind::Commitment
        && let Some(arrival) = envelope.body.get("arrival").and_then(serde_json::Value::as_i64)
    {
        // Whoever comes next arrives after it; where nobody came yet there is no row.
        for sql in [
            "INSERT INTO sqlite_sequence (name, seq) SELECT 'submissions', 0
             WHERE $1 > 0 AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'submissions')",
            "UPDATE sqlite_sequence SET seq = max(seq, $1) WHERE name = 'submissions'",
        ] {
            sqlx::query(sql).bind(arrival).execute(&mut **tx).await?;
        }
    }
    Ok(())
}

impl Db {
    /// Leaves that aren't in the log, as far as is known, in the order of what happened.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pending_leaves(&self, count_max: u32) -> Result<Vec<Leaf>, DbError> {
        Ok(sqlx::query_as("SELECT * FROM log_outbox WHERE index_in_log IS NULL ORDER BY id LIMIT $1")
            .bind(count_max)
            .fetch_all(self.pool())
            .await?)
    }

    /// The leaf of this name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn leaf(&self, key: &str) -> Result<Option<Leaf>, DbError> {
        Ok(sqlx::query_as("SELECT * FROM log_outbox WHERE key = $1").bind(key).fetch_optional(self.pool()).await?)
    }

    /// The statements whose names begin with `prefix/`, in the order in which they were made.
    ///
    /// # Errors
    /// When the database fails, or one is no `T`.
    pub async fn leaves_under<T: DeserializeOwned + Send + Unpin + 'static>(
        &self,
        prefix: &str,
    ) -> Result<Vec<T>, DbError> {
        let query = "SELECT body FROM log_outbox WHERE key >= $1 || '/' AND key < $1 || '0' ORDER BY id";
        let bodies = sqlx::query_scalar(query).bind(prefix).fetch_all(self.pool()).await?;
        Ok(bodies.into_iter().map(|Json(body)| body).collect())
    }

    /// The leaves that have these places in the log, in its order; fewer where not all of them are known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn leaves_at(&self, places: Range<u64>) -> Result<Vec<Leaf>, DbError> {
        let query = "SELECT * FROM log_outbox WHERE index_in_log >= $1 AND index_in_log < $2 ORDER BY index_in_log";
        Ok(sqlx::query_as(query).bind(int(places.start)).bind(int(places.end)).fetch_all(self.pool()).await?)
    }

    /// How long the log is at least, as far as the database knows.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn log_end(&self) -> Result<u64, DbError> {
        let query = "SELECT coalesce(max(index_in_log) + 1, 0) FROM log_outbox";
        Ok(sqlx::query_scalar(query).fetch_one(self.pool()).await?)
    }

    /// How many leaves are known to be in the log, and how many are on their way.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_leaves(&self) -> Result<(u64, u64), DbError> {
        let query = "SELECT count(index_in_log) AS logged, count(*) - count(index_in_log) AS pending FROM log_outbox";
        Ok(sqlx::query_as(query).fetch_one(self.pool()).await?)
    }
}
