//! How far the ledger was when it was last looked at, and whom its one writer is to register. It does not know the ledger.

use super::{Db, DbError, int, parse, uint};
use protocol::{Digest, Hotkey};
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

    /// Has a hotkey registered, with the owner that it has then, by whoever writes the ledger.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn want_registration(&self, hotkey: &Hotkey, owner: &Hotkey) -> Result<(), DbError> {
        let query = "INSERT INTO registrations_due (hotkey, owner) VALUES (?1, ?2)
                     ON CONFLICT (hotkey) DO UPDATE SET owner = ?2";
        sqlx::query(query).bind(hotkey.to_string()).bind(owner.to_string()).execute(self.pool()).await?;
        Ok(())
    }

    /// Who is to be registered, and their owners.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn registrations_due(&self) -> Result<Vec<(Hotkey, Hotkey)>, DbError> {
        let rows = sqlx::query("SELECT hotkey, owner FROM registrations_due").fetch_all(self.pool()).await?;
        rows.iter().map(|row| Ok((parse("hotkey", row.get("hotkey"))?, parse("hotkey", row.get("owner"))?))).collect()
    }

    /// Forgets that a hotkey is to be registered with this owner: it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn registered(&self, hotkey: &Hotkey, owner: &Hotkey) -> Result<(), DbError> {
        let query = "DELETE FROM registrations_due WHERE hotkey = ? AND owner = ?";
        sqlx::query(query).bind(hotkey.to_string()).bind(owner.to_string()).execute(self.pool()).await?;
        Ok(())
    }
}
