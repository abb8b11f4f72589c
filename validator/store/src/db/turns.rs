//! Who waits for a turn, and for whom the machine worked lately. It does not decide whose turn it is.

use super::column::Text;
use super::submissions::Submission;
use super::{Db, DbError, Tx, int};
use protocol::submission::State;
use protocol::{Hotkey, SubmissionId};
use sqlx::FromRow;

/// A submission that waits for a turn.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Waiting {
    /// Which.
    #[sqlx(try_from = "Text<SubmissionId>")]
    pub id: SubmissionId,
    /// The attempt that it waits for.
    pub attempt: u64,
    /// Whose.
    #[sqlx(try_from = "Text<Hotkey>")]
    pub hotkey: Hotkey,
    /// The address that it was announced from, as a digest.
    pub address: String,
    /// The network that it lies in, where one owner has many: a /48 of IPv6. One of IPv4 stands for itself.
    #[sqlx(rename = "network_48")]
    pub network: String,
    /// Order of arrival.
    pub arrival: u64,
    /// Whether its next attempt may begin already.
    pub due: bool,
    /// Whether only a machine of ours may measure it, whatever another said of it.
    pub is_unconfirmed: bool,
}

/// What the machine did for a hotkey from an address.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Used {
    /// For whom.
    #[sqlx(try_from = "Text<Hotkey>")]
    pub hotkey: Hotkey,
    /// Where it was announced from, as digests.
    pub address: String,
    /// The network of that.
    #[sqlx(rename = "network_48")]
    pub network: String,
    /// For how long, in milliseconds.
    pub used_ms: u64,
}

/// Writes down that the machine worked for a submission.
///
/// # Errors
/// When the database fails.
pub async fn charge(tx: &mut Tx, submission: &Submission, used_ms: u64, now: u64) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO machine_time (hotkey, address, network_48, ended_at, used_ms) VALUES ($1, $2, $3, $4, $5)",
    )
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
        let query = "SELECT id, attempt, hotkey, address, network_48, arrival, retry_at <= $1 AS due,
                     EXISTS (SELECT 1 FROM unconfirmed WHERE submission_id = id) AS is_unconfirmed FROM submissions
                     WHERE state = $2 ORDER BY arrival";
        Ok(sqlx::query_as(query).bind(int(now)).bind(state.as_str()).fetch_all(self.pool()).await?)
    }

    /// What the machine did for each since `since`; what is under way counts until `now`, and as a second at least.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn machine_time(&self, since: u64, now: u64) -> Result<Vec<Used>, DbError> {
        let query = "SELECT hotkey, address, network_48, sum(used_ms) AS used_ms FROM (
                         SELECT hotkey, address, network_48, used_ms FROM machine_time WHERE ended_at > $1
                         UNION ALL
                         SELECT hotkey, address, network_48, 1000 * max(1, $2 - changed_at) FROM submissions
                         WHERE state = 'evaluating'
                     ) GROUP BY hotkey, address, network_48";
        Ok(sqlx::query_as(query).bind(int(since)).bind(int(now)).fetch_all(self.pool()).await?)
    }

    /// Forgets what was done before `horizon`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_machine_time(&self, horizon: u64) -> Result<(), DbError> {
        sqlx::query("DELETE FROM machine_time WHERE ended_at <= $1").bind(int(horizon)).execute(self.pool()).await?;
        Ok(())
    }
}
