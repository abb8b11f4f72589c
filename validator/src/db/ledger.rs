//! How far the ledger was when it was last looked at. It does not know the ledger.

use super::{Db, DbError, int, parse, uint};
use protocol::Digest;
use sqlx::Row;

/// A ledger's last entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerSeen {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: Digest,
}

impl Db {
    /// What was last seen of the ledger.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ledger_seen(&self) -> Result<Option<LedgerSeen>, DbError> {
        let row = sqlx::query("SELECT height, hash FROM ledger_seen").fetch_optional(self.pool()).await?;
        let seen = |row: sqlx::sqlite::SqliteRow| {
            Ok(LedgerSeen { height: uint(row.get("height")), hash: parse("hash", row.get("hash"))? })
        };
        row.map(seen).transpose()
    }

    /// Remembers what was seen of the ledger.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn see_ledger(&self, seen: LedgerSeen) -> Result<(), DbError> {
        let query = "INSERT INTO ledger_seen (one, height, hash) VALUES (1, ?1, ?2)
                     ON CONFLICT (one) DO UPDATE SET height = ?1, hash = ?2";
        sqlx::query(query).bind(int(seen.height)).bind(seen.hash.to_string()).execute(self.pool()).await?;
        Ok(())
    }
}
