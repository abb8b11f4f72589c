//! Submissions and the history of their states.
//!
//! [`transition`] is the one place where a state changes, and an end without a score becomes a leaf of the public log with
//! it. It does not decide which change is due.

mod write;

pub use write::{
    begun, count_failed_check, counted_since, give_name, insert, is_name_taken, is_waiting, living, overrule,
    set_admitted, transition, withdraw,
};

use super::origins::Origin;
use super::{Db, DbError, from_json, int, parse, uint};
use protocol::architecture::Costs;
use protocol::name::DisplayName;
use protocol::package::ModelKind;
use protocol::submission::{Rejection, State};
use protocol::{CompetitionId, Digest, Hotkey, SubmissionId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::collections::HashSet;

/// A row of the table of submissions.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Order of arrival.
    pub arrival: u64,
    /// Its name.
    pub id: SubmissionId,
    /// Where it was entered.
    pub competition: CompetitionId,
    /// By whom.
    pub hotkey: Hotkey,
    /// What its owner calls it.
    pub name: Option<DisplayName>,
    /// Where it was announced from; what it may use of the machine is shared there.
    pub origin: Origin,
    /// The digest over the announced files.
    pub package_sha256: Digest,
    /// Where it is.
    pub state: State,
    /// When it was announced.
    pub created_at: u64,
    /// When it came to its state.
    pub changed_at: u64,
    /// Until when its files must have come.
    pub upload_until: u64,
    /// Until when the first byte of them must have come; `None` once it did, and where files don't pass us.
    pub first_byte_until: Option<u64>,
    /// Evaluations handed to the job engine and lost, for whatever reason.
    pub attempt: u64,
    /// Those of them that failed through our fault.
    pub failures: u64,
    /// Why it ended without a score.
    pub reason: Option<Rejection>,
    /// Once admitted.
    pub architecture: Option<ModelKind>,
    /// Once admitted.
    pub costs: Option<Costs>,
}

/// A change of state.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, in Unix seconds.
    pub at: u64,
    /// From where; `None` for the first.
    pub from: Option<State>,
    /// To where.
    pub to: State,
    /// Why, for ends without a score.
    pub reason: Option<Rejection>,
}

impl Db {
    /// The submission of this name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn submission(&self, id: &SubmissionId) -> Result<Option<Submission>, DbError> {
        let row = sqlx::query("SELECT * FROM submissions WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(submission).transpose()
    }

    /// A submission's history, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events(&self, id: &SubmissionId) -> Result<Vec<Event>, DbError> {
        let rows = sqlx::query("SELECT * FROM events WHERE submission_id = ? ORDER BY id")
            .bind(id.to_string())
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(event).collect()
    }

    /// Submissions in a state, earliest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn in_state(&self, state: State, count_max: u32) -> Result<Vec<Submission>, DbError> {
        let rows = sqlx::query("SELECT * FROM submissions WHERE state = ? ORDER BY arrival LIMIT ?")
            .bind(state.as_str())
            .bind(count_max)
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(submission).collect()
    }

    /// Gives whatever is still to be uploaded so many seconds more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn postpone_uploads(&self, seconds: u64) -> Result<(), DbError> {
        for query in [
            "UPDATE submissions SET upload_until = upload_until + ? WHERE state = 'awaiting_upload'",
            "UPDATE upload_tokens SET expires_at = expires_at + ?",
        ] {
            sqlx::query(query).bind(int(seconds)).execute(self.pool()).await?;
        }
        Ok(())
    }

    /// The submissions whose files are still to come.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn awaiting_upload(&self) -> Result<HashSet<SubmissionId>, DbError> {
        let query = "SELECT id FROM submissions WHERE state = 'awaiting_upload'";
        let ids: Vec<String> = sqlx::query_scalar(query).fetch_all(self.pool()).await?;
        ids.iter().map(|id| parse("submission", id)).collect()
    }

    /// How many submissions are in each state; states without any are absent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_by_state(&self) -> Result<Vec<(State, u64)>, DbError> {
        let rows = sqlx::query("SELECT state, count(*) AS count FROM submissions GROUP BY state")
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(|row| Ok((parse("state", row.get("state"))?, uint(row.get("count"))))).collect()
    }

    /// Since when the longest waiting submission is in its state, for each state that isn't an end and has any.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn oldest_by_state(&self) -> Result<Vec<(State, u64)>, DbError> {
        let query = "SELECT state, min(changed_at) AS since FROM submissions
                     WHERE state IN ('awaiting_upload', 'checking', 'queued', 'evaluating') GROUP BY state";
        let rows = sqlx::query(query).fetch_all(self.pool()).await?;
        rows.iter().map(|row| Ok((parse("state", row.get("state"))?, uint(row.get("since"))))).collect()
    }

    /// Since when the longest waiting submission is queued.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn queued_since(&self) -> Result<Option<u64>, DbError> {
        let query = "SELECT min(changed_at) FROM submissions WHERE state = 'queued'";
        let since: Option<i64> = sqlx::query_scalar(query).fetch_one(self.pool()).await?;
        Ok(since.map(uint))
    }

    /// Submissions that are in `state` since `since` or longer; for uploads, whose time ended by then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn overdue(&self, state: State, since: u64) -> Result<Vec<Submission>, DbError> {
        let query = match state {
            State::AwaitingUpload => {
                "SELECT * FROM submissions WHERE state = ?1 AND (upload_until <= ?2 OR first_byte_until <= ?2) LIMIT 256"
            }
            _ => "SELECT * FROM submissions WHERE state = ?1 AND changed_at <= ?2 LIMIT 256",
        };
        let rows = sqlx::query(query).bind(state.as_str()).bind(int(since)).fetch_all(self.pool()).await?;
        rows.iter().map(submission).collect()
    }

    /// How many queued submissions there are whose next attempt may begin, and since when the first of them waits.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due(&self, now: u64) -> Result<(u64, Option<u64>), DbError> {
        let query = "SELECT count(*) AS count, min(changed_at) AS since FROM submissions
                     WHERE state = 'queued' AND retry_at <= ?";
        let row = sqlx::query(query).bind(int(now)).fetch_one(self.pool()).await?;
        Ok((uint(row.get("count")), row.get::<Option<i64>, _>("since").map(uint)))
    }
}

impl Db {
    /// Whether a hotkey has ever entered something in a competition.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_entered_in(&self, competition: &CompetitionId, hotkey: &Hotkey) -> Result<bool, DbError> {
        let query = "SELECT EXISTS (SELECT 1 FROM submissions WHERE competition_id = ? AND hotkey = ?)";
        let asked = sqlx::query_scalar(query).bind(competition.as_ref()).bind(hotkey.to_string());
        Ok(asked.fetch_one(self.pool()).await?)
    }
}

fn submission(row: &SqliteRow) -> Result<Submission, DbError> {
    let text = |column: &str| row.get::<Option<&str>, _>(column);
    Ok(Submission {
        arrival: uint(row.get("arrival")),
        id: parse("submission id", row.get("id"))?,
        competition: parse("competition id", row.get("competition_id"))?,
        hotkey: parse("hotkey", row.get("hotkey"))?,
        name: text("name").map(|name| parse("model name", name)).transpose()?,
        origin: Origin::of_row(row),
        package_sha256: parse("digest", row.get("package_sha256"))?,
        state: parse("state", row.get("state"))?,
        created_at: uint(row.get("created_at")),
        changed_at: uint(row.get("changed_at")),
        upload_until: uint(row.get("upload_until")),
        first_byte_until: row.get::<Option<i64>, _>("first_byte_until").map(uint),
        attempt: uint(row.get("attempt")),
        failures: uint(row.get("failures")),
        reason: reason(row)?,
        architecture: text("architecture").map(|json| from_json("architecture", json)).transpose()?,
        costs: text("costs").map(|json| from_json("costs", json)).transpose()?,
    })
}

fn reason(row: &SqliteRow) -> Result<Option<Rejection>, DbError> {
    let Some(code) = row.get::<Option<&str>, _>("code") else { return Ok(None) };
    let detail = row.get::<Option<String>, _>("detail").unwrap_or_default();
    Ok(Some(Rejection { code: parse("code", code)?, detail }))
}

fn event(row: &SqliteRow) -> Result<Event, DbError> {
    let from = row.get::<Option<&str>, _>("from_state").map(|state| parse("state", state)).transpose()?;
    Ok(Event { at: uint(row.get("at")), from, to: parse("state", row.get("to_state"))?, reason: reason(row)? })
}
