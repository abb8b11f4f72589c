//! Webhooks: who wants to be told of events, and how far each is.
//!
//! It sends nothing.

use super::column::{Maybe, Text};
use super::origins::Origin;
use super::{Db, DbError, Tx, int};
use protocol::{CompetitionId, Hotkey};
use sqlx::FromRow;

/// Somebody who wants to be told.
#[derive(Clone, Debug, FromRow)]
pub struct Webhook {
    /// Its name.
    pub id: String,
    /// Who registered it.
    #[sqlx(try_from = "Text<Hotkey>")]
    pub hotkey: Hotkey,
    /// Where it was registered from.
    #[sqlx(flatten)]
    pub origin: Origin,
    /// Everything of this competition; `None` for the hotkey's own submissions, wherever they are.
    #[sqlx(rename = "competition_id", try_from = "Maybe<CompetitionId>")]
    pub competition: Option<CompetitionId>,
    /// Where to.
    pub url: String,
    /// What its key follows from, beside its name and the validator's own key: 64 hex digits.
    pub salt: String,
    /// The number of the last event that it was told or that wasn't for it.
    pub cursor: u64,
    /// Deliveries that failed since the last one that didn't.
    pub failures: u32,
    /// When it may be tried again.
    pub retry_at: u64,
    /// When it was registered.
    pub created_at: u64,
    /// When its address answered the challenge; it is told nothing before.
    pub confirmed_at: Option<u64>,
    /// Why it is told nothing any more.
    pub ended: Option<String>,
}

impl Db {
    /// A hotkey's webhooks, the first one first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn webhooks_of(&self, hotkey: &Hotkey) -> Result<Vec<Webhook>, DbError> {
        Ok(sqlx::query_as("SELECT * FROM webhooks WHERE hotkey = $1 ORDER BY created_at, id")
            .bind(hotkey.to_string())
            .fetch_all(self.pool())
            .await?)
    }

    /// The webhook of this name, unless it has ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn webhook(&self, id: &str) -> Result<Option<Webhook>, DbError> {
        let query = "SELECT * FROM webhooks WHERE id = $1 AND ended IS NULL";
        Ok(sqlx::query_as(query).bind(id).fetch_optional(self.pool()).await?)
    }

    /// Webhooks that have not heard of event `end` and may be tried at `now`, and whether each has answered its challenge;
    /// those that haven't may be asked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn webhooks_due(&self, end: u64, now: u64) -> Result<Vec<(String, bool)>, DbError> {
        let query = "SELECT id, confirmed_at IS NOT NULL AS confirmed FROM webhooks
                     WHERE ended IS NULL AND (cursor < $1 OR confirmed_at IS NULL) AND retry_at <= $2
                     ORDER BY retry_at, created_at";
        Ok(sqlx::query_as(query).bind(int(end)).bind(int(now)).fetch_all(self.pool()).await?)
    }

    /// A webhook's address answered the challenge.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn webhook_confirmed(&self, id: &str, now: u64) -> Result<(), DbError> {
        sqlx::query("UPDATE webhooks SET confirmed_at = $1, failures = 0, retry_at = 0 WHERE id = $2")
            .bind(int(now))
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Whether a hotkey has entered anything.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_entered(&self, hotkey: &Hotkey) -> Result<bool, DbError> {
        let query = "SELECT EXISTS (SELECT 1 FROM submissions WHERE hotkey = $1)";
        Ok(sqlx::query_scalar(query).bind(hotkey.to_string()).fetch_one(self.pool()).await?)
    }

    /// How far a webhook is: it heard of everything up to `cursor`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn webhook_told(&self, id: &str, cursor: u64) -> Result<(), DbError> {
        sqlx::query("UPDATE webhooks SET cursor = $1, failures = 0, retry_at = 0 WHERE id = $2")
            .bind(int(cursor))
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// A delivery failed: when it is tried again, or why it never is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn webhook_failed(&self, id: &str, retry_at: u64, ended: Option<&str>) -> Result<(), DbError> {
        sqlx::query("UPDATE webhooks SET failures = failures + 1, retry_at = $1, ended = $2 WHERE id = $3")
            .bind(int(retry_at))
            .bind(ended)
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Forgets the webhooks that ended before `horizon`, and why they did.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_ended_webhooks(&self, horizon: u64) -> Result<(), DbError> {
        let query = "DELETE FROM webhooks WHERE ended IS NOT NULL AND max(retry_at, created_at) < $1";
        sqlx::query(query).bind(int(horizon)).execute(self.pool()).await?;
        Ok(())
    }

    /// Forgets a hotkey's webhook; whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_webhook(&self, hotkey: &Hotkey, id: &str) -> Result<bool, DbError> {
        let removed = sqlx::query("DELETE FROM webhooks WHERE hotkey = $1 AND id = $2")
            .bind(hotkey.to_string())
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(removed.rows_affected() > 0)
    }
}

/// How many webhooks a hotkey has.
///
/// # Errors
/// When the database fails.
pub async fn count_of(tx: &mut Tx, hotkey: &Hotkey) -> Result<u64, DbError> {
    let query = "SELECT count(*) FROM webhooks WHERE hotkey = $1 AND ended IS NULL";
    Ok(sqlx::query_scalar(query).bind(hotkey.to_string()).fetch_one(&mut **tx).await?)
}

/// The webhooks that failed at least so often in a row, and whose they are.
///
/// # Errors
/// When the database fails.
pub async fn failing(tx: &mut Tx, failures_min: u32) -> Result<Vec<(String, Hotkey)>, DbError> {
    let query = "SELECT id, hotkey FROM webhooks WHERE ended IS NULL AND failures >= $1";
    let rows = sqlx::query_as(query).bind(failures_min).fetch_all(&mut **tx).await?;
    Ok(rows.into_iter().map(|(id, Text(hotkey))| (id, hotkey)).collect())
}

/// A webhook is told nothing any more, and why.
///
/// # Errors
/// When the database fails.
pub async fn end(tx: &mut Tx, id: &str, why: &str) -> Result<(), DbError> {
    sqlx::query("UPDATE webhooks SET ended = $1 WHERE id = $2").bind(why).bind(id).execute(&mut **tx).await?;
    Ok(())
}

/// Writes a new webhook.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, new: &Webhook) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO webhooks (id, hotkey, competition_id, url, salt, cursor, created_at, address, network_56, network_48)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&new.id)
    .bind(new.hotkey.to_string())
    .bind(new.competition.as_ref().map(ToString::to_string))
    .bind(&new.url)
    .bind(&new.salt)
    .bind(int(new.cursor))
    .bind(int(new.created_at))
    .bind(&new.origin.address)
    .bind(&new.origin.network_56)
    .bind(&new.origin.network_48)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
