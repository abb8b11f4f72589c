//! Cosignatures of the log's checkpoints, and how asking for them goes.
//!
//! What is here was verified before it came. It knows no log and no HTTP.

use super::{Db, DbError, int};
use std::collections::BTreeMap;

/// A checkpoint of the public log, cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// The witness's verifier key.
    pub witness: String,
    /// Entries in the checkpoint.
    pub size: u64,
    /// When, by the witness's clock, in Unix seconds.
    pub time: u64,
    /// The checkpoint as the log signed it.
    pub checkpoint: String,
    /// The line under it.
    pub line: String,
}

/// How it goes with a witness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WitnessState {
    /// Entries in the largest checkpoint that it cosigned, and when it did; `None` if it never did.
    pub last: Option<(u64, u64)>,
    /// What is wrong, and since when in Unix seconds.
    pub problem: Option<(String, u64)>,
}

impl Db {
    /// Keeps a cosignature; the first of a witness for a size stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_cosignature(&self, cosignature: &Cosignature) -> Result<(), DbError> {
        let Cosignature { witness, size, time, checkpoint, line } = cosignature;
        let mut tx = self.write().await?;
        let row = "INSERT INTO cosignatures (witness, size, time, checkpoint, line) VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (witness, size) DO NOTHING";
        let row = sqlx::query(row).bind(witness).bind(int(*size)).bind(int(*time)).bind(checkpoint).bind(line);
        row.execute(&mut *tx).await?;
        let state = "INSERT INTO witnesses (key) VALUES ($1)
                     ON CONFLICT (key) DO UPDATE SET problem = NULL, failing_since = NULL";
        sqlx::query(state).bind(witness).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Writes down that a witness gave nothing at `now`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn witness_failed(&self, witness: &str, problem: &str, now: u64) -> Result<(), DbError> {
        let query = "INSERT INTO witnesses (key, problem, failing_since) VALUES ($1, $2, $3)
                     ON CONFLICT (key) DO UPDATE SET problem = $2, failing_since = coalesce(failing_since, $3)";
        sqlx::query(query).bind(witness).bind(problem).bind(int(now)).execute(self.pool()).await?;
        Ok(())
    }

    /// How it goes with a witness.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn witness_state(&self, witness: &str) -> Result<WitnessState, DbError> {
        let query = "SELECT size, time FROM cosignatures WHERE witness = $1 ORDER BY size DESC LIMIT 1";
        let last = sqlx::query_as(query).bind(witness).fetch_optional(self.pool()).await?;
        let query = "SELECT problem, failing_since FROM witnesses WHERE key = $1 AND problem IS NOT NULL";
        let problem = sqlx::query_as(query).bind(witness).fetch_optional(self.pool()).await?;
        Ok(WitnessState { last, problem })
    }

    /// The lines under a checkpoint of `size` entries that the log signed so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cosignature_lines(&self, size: u64, checkpoint: &str) -> Result<Vec<String>, DbError> {
        let query = "SELECT line FROM cosignatures WHERE size = $1 AND checkpoint = $2 ORDER BY witness";
        Ok(sqlx::query_scalar(query).bind(int(size)).bind(checkpoint).fetch_all(self.pool()).await?)
    }

    /// For each witness its first cosigned checkpoint of more than `index` and at most `size_max` entries, by size: the
    /// notes as the log signed them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn first_cosigned(&self, index: u64, size_max: u64) -> Result<BTreeMap<u64, String>, DbError> {
        let query = "SELECT c.size, c.checkpoint FROM witnesses w JOIN cosignatures c
                     ON c.witness = w.key AND c.size = (SELECT min(f.size) FROM cosignatures f
                                                        WHERE f.witness = w.key AND f.size > $1 AND f.size <= $2)";
        let rows = sqlx::query_as(query).bind(int(index)).bind(int(size_max)).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().collect())
    }

    /// For each witness its last cosigned checkpoint of at most `size_max` entries, by size.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_cosigned(&self, size_max: u64) -> Result<BTreeMap<u64, String>, DbError> {
        let query = "SELECT c.size, c.checkpoint FROM witnesses w JOIN cosignatures c
                     ON c.witness = w.key AND c.size = (SELECT max(f.size) FROM cosignatures f
                                                        WHERE f.witness = w.key AND f.size <= $1)";
        let rows = sqlx::query_as(query).bind(int(size_max)).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().collect())
    }
}
