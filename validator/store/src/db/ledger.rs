//! How far the ledger was when it was last looked at, and whom its one writer is to register. It does not know the ledger.

use super::column::Text;
use super::{Db, DbError, int};
use protocol::{Digest, Hotkey};

/// A ledger's last entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct LedgerSeen {
    /// Its height.
    pub height: u64,
    /// Its hash.
    #[sqlx(try_from = "Text<Digest>")]
    pub hash: Digest,
}

impl Db {
    /// What was last seen of the ledger.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ledger_seen(&self) -> Result<Option<LedgerSeen>, DbError> {
        Ok(sqlx::query_as("SELECT height, hash FROM ledger_seen").fetch_optional(self.pool()).await?)
    }

    /// Remembers what was seen of the ledger.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn see_ledger(&self, seen: LedgerSeen) -> Result<(), DbError> {
        let query = "INSERT INTO ledger_seen (one, height, hash) VALUES (1, $1, $2)
                     ON CONFLICT (one) DO UPDATE SET height = $1, hash = $2";
        sqlx::query(query).bind(int(seen.height)).bind(seen.hash.to_string()).execute(self.pool()).await?;
        Ok(())
    }

    /// Has a hotkey registered, with the owner that it has then, by whoever writes the ledger.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn want_registration(&self, hotkey: &Hotkey, owner: &Hotkey) -> Result<(), DbError> {
        let query = "INSERT INTO registrations_due (hotkey, owner) VALUES ($1, $2)
                     ON CONFLICT (hotkey) DO UPDATE SET owner = $2";
        sqlx::query(query).bind(hotkey.to_string()).bind(owner.to_string()).execute(self.pool()).await?;
        Ok(())
    }

    /// Who is to be registered, and their owners.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn registrations_due(&self) -> Result<Vec<(Hotkey, Hotkey)>, DbError> {
        let rows = sqlx::query_as("SELECT hotkey, owner FROM registrations_due").fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|(Text(hotkey), Text(owner))| (hotkey, owner)).collect())
    }

    /// Forgets that a hotkey is to be registered with this owner: it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn registered(&self, hotkey: &Hotkey, owner: &Hotkey) -> Result<(), DbError> {
        let query = "DELETE FROM registrations_due WHERE hotkey = $1 AND owner = $2";
        sqlx::query(query).bind(hotkey.to_string()).bind(owner.to_string()).execute(self.pool()).await?;
        Ok(())
    }
}
