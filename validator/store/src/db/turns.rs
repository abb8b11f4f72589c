//! Who waits for a turn, and for whom the machine worked lately. It does not decide whose turn it is.

use super::submissions::Submission;
use super::{Db, DbError, Tx, int, parse, uint};
use protocol::submission::State;
use protocol::{Hotkey, SubmissionId};
use sqlx::Row;

/// A submission that waits for a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub id: SubmissionId,
    /// The attempt that it waits for.
    pub attempt: u64,
    /// Whose.
    pub hotkey: Hotkey,
    /// The address that it was announced from, as a digest.
    pub address: String,
    /// The network that it lies in, where one owner has many: a /48 of IPv6. One of IPv4 stands for itself.
    pub network: String,
    /// Order of arrival.
    pub arrival: u64,
    /// Whether its next attempt may begin already.
    pub due: bool,
}

/// What the machine did for a hotkey from an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// For whom.
    pub hotkey: Hotkey,
    /// Where it was announced from, as digests.
    pub address: String,
    /// The network of that.
    pub network: String,
    /// For how long, in milliseconds.
    pub used_ms: u64,
}

/// Writes down that the machine worked for a submission.
///
/// # Errors
/// When the database fails.
pub async fn charge(tx: &mut Tx, submission: &Submission, used_ms: u64, now: u64) -> Result<(), DbError> {
    sqlx::query("INSERT INTO machine_time (hotkey, address, network_48, ended_at, used_ms) VALUES (?, ?, ?, ?, ?)")
        .bind(submission.hotkey.to_string())
        .bind(&submission.origin.address)
        .bind(&submission.origin.network_48)
        .bind(int(now))
        .bind(int(used_ms))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

impl Db {
    /// All submissions in `state`, in order of arrival.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting(&self, state: State, now: u64) -> Result<Vec<Waiting>, DbError> {
        let query = "SELECT id, attempt, hotkey, address, network_48, arrival, retry_at FROM submissions
                     WHERE state = ? ORDER BY arrival";
        let rows = sqlx::query(query).bind(state.as_str()).fetch_all(self.pool()).await?;
        let waiting = rows.iter().map(|row| {
            Ok(Waiting {
                id: parse("submission id", row.get("id"))?,
                attempt: uint(row.get("attempt")),
                hotkey: parse("hotkey", row.get("hotkey"))?,
                address: row.get("address"),
                network: row.get("network_48"),
                arrival: uint(row.get("arrival")),
                due: uint(row.get("retry_at")) <= now,
            })
        });
        waiting.collect()
    }

    /// What the machine did for each since `since`; what is under way counts until `now`, and as a second at least.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn machine_time(&self, since: u64, now: u64) -> Result<Vec<Used>, DbError> {
        let query = "SELECT hotkey, address, network_48, sum(used_ms) AS used_ms FROM (
                         SELECT hotkey, address, network_48, used_ms FROM machine_time WHERE ended_at > ?
                         UNION ALL
                         SELECT hotkey, address, network_48, 1000 * max(1, ? - changed_at) FROM submissions
                         WHERE state = 'evaluating'
                     ) GROUP BY hotkey, address, network_48";
        let rows = sqlx::query(query).bind(int(since)).bind(int(now)).fetch_all(self.pool()).await?;
        let used = rows.iter().map(|row| {
            Ok(Used {
                hotkey: parse("hotkey", row.get("hotkey"))?,
                address: row.get("address"),
                network: row.get("network_48"),
                used_ms: uint(row.get("used_ms")),
            })
        });
        used.collect()
    }

    /// Forgets what was done before `horizon`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_machine_time(&self, horizon: u64) -> Result<(), DbError> {
        sqlx::query("DELETE FROM machine_time WHERE ended_at <= ?").bind(int(horizon)).execute(self.pool()).await?;
        Ok(())
    }
}
