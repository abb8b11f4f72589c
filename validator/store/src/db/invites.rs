//! Codes that let a hotkey in, each once. Only their digests are stored. It does not know whether one is needed.

use super::{Db, DbError, Tx, int};
use protocol::{Digest, Hotkey};

impl Db {
    /// Makes `count` codes that nobody has used; they can be read here and nowhere else.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn make_invites(&self, count: u32, now: u64) -> Result<Vec<String>, DbError> {
        let codes: Vec<String> = (0..count).map(|_| hex::encode(rand::random::<[u8; 16]>())).collect();
        let mut tx = self.write().await?;
        for code in &codes {
            sqlx::query("INSERT INTO invites (code_sha256, made_at) VALUES ($1, $2)")
                .bind(Digest::of(code.as_bytes()).to_string())
                .bind(int(now))
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(codes)
    }
}

/// Whether a hotkey was let in before.
///
/// # Errors
/// When the database fails.
pub async fn is_invited(tx: &mut Tx, hotkey: &Hotkey) -> Result<bool, DbError> {
    let query = "SELECT EXISTS (SELECT 1 FROM invites WHERE hotkey = $1)";
    Ok(sqlx::query_scalar(query).bind(hotkey.to_string()).fetch_one(&mut **tx).await?)
}

/// Lets a hotkey in with a code that nobody has used; whether it is one.
///
/// # Errors
/// When the database fails.
pub async fn redeem(tx: &mut Tx, code: &str, hotkey: &Hotkey, now: u64) -> Result<bool, DbError> {
    let query = "UPDATE invites SET hotkey = $1, used_at = $2 WHERE code_sha256 = $3 AND hotkey IS NULL";
    let used = sqlx::query(query)
        .bind(hotkey.to_string())
        .bind(int(now))
        .bind(Digest::of(code.as_bytes()).to_string())
        .execute(&mut **tx)
        .await?;
    Ok(used.rows_affected() == 1)
}
