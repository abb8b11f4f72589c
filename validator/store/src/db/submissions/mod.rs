//! Submissions and the history of their states.
//!
//! [`transition`] is the one place where a state changes, and an end without a score becomes a leaf of the public log with
//! it. It does not decide which change is due.

mod write;

pub use write::{
    begun, count_failed_check, counted_since, give_name, insert, is_name_taken, is_waiting, living, overrule,
    set_admitted, transition, withdraw,
};

use super::column::{Maybe, Text};
use super::origins::Origin;
use super::{Db, DbError, int};
use protocol::architecture::Costs;
use protocol::name::DisplayName;
use protocol::package::ModelKind;
use protocol::submission::{Code, Rejection, State};
use protocol::{CompetitionId, Digest, Hotkey, SubmissionId};
use sqlx::FromRow;
use std::collections::HashSet;

/// A row of the table of submissions.
#[derive(Clone, Debug, FromRow)]
pub struct Submission {
    /// Order of arrival.
    pub arrival: u64,
    /// Its name.
    #[sqlx(try_from = "Text<SubmissionId>")]
    pub id: SubmissionId,
    /// Where it was entered.
    #[sqlx(rename = "competition_id", try_from = "Text<CompetitionId>")]
    pub competition: CompetitionId,
    /// By whom.
    #[sqlx(try_from = "Text<Hotkey>")]
    pub hotkey: Hotkey,
    /// What its owner calls it.
    #[sqlx(try_from = "Maybe<DisplayName>")]
    pub name: Option<DisplayName>,
    /// Where it was announced from; what it may use of the machine is shared there.
    #[sqlx(flatten)]
    pub origin: Origin,
    /// The digest over the announced files.
    #[sqlx(try_from = "Text<Digest>")]
    pub package_sha256: Digest,
    /// Where it is.
    #[sqlx(try_from = "Text<State>")]
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
    #[sqlx(flatten, try_from = "Reason")]
    pub reason: Option<Rejection>,
    /// Once admitted.
    #[sqlx(json(nullable))]
    pub architecture: Option<ModelKind>,
    /// Once admitted.
    #[sqlx(json(nullable))]
    pub costs: Option<Costs>,
}

/// A change of state.
#[derive(Clone, Debug, FromRow)]
pub struct Event {
    /// When, in Unix seconds.
    pub at: u64,
    /// From where; `None` for the first.
    #[sqlx(rename = "from_state", try_from = "Maybe<State>")]
    pub from: Option<State>,
    /// To where.
    #[sqlx(rename = "to_state", try_from = "Text<State>")]
    pub to: State,
    /// Why, for ends without a score.
    #[sqlx(flatten, try_from = "Reason")]
    pub reason: Option<Rejection>,
}

/// Why something ended, if it did without a score.
#[derive(FromRow)]
struct Reason {
    #[sqlx(try_from = "Maybe<Code>")]
    code: Option<Code>,
    detail: Option<String>,
}

impl From<Reason> for Option<Rejection> {
    fn from(Reason { code, detail }: Reason) -> Self {
        Some(Rejection { code: code?, detail: detail.unwrap_or_default() })
    }
}

impl Db {
    /// The submission of this name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn submission(&self, id: &SubmissionId) -> Result<Option<Submission>, DbError> {
        Ok(sqlx::query_as("SELECT * FROM submissions WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?)
    }

    /// A submission's history, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events(&self, id: &SubmissionId) -> Result<Vec<Event>, DbError> {
        Ok(sqlx::query_as("SELECT * FROM events WHERE submission_id = $1 ORDER BY id")
            .bind(id.to_string())
            .fetch_all(self.pool())
            .await?)
    }

    /// Submissions in a state, earliest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn in_state(&self, state: State, count_max: u32) -> Result<Vec<Submission>, DbError> {
        Ok(sqlx::query_as("SELECT * FROM submissions WHERE state = $1 ORDER BY arrival LIMIT $2")
            .bind(state.as_str())
            .bind(count_max)
            .fetch_all(self.pool())
            .await?)
    }

    /// Gives whatever is still to be uploaded so many seconds more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn postpone_uploads(&self, seconds: u64) -> Result<(), DbError> {
        for query in [
            "UPDATE submissions SET upload_until = upload_until + $1 WHERE state = 'awaiting_upload'",
            "UPDATE upload_tokens SET expires_at = expires_at + $1",
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
        let ids = sqlx::query_scalar(query).fetch_all(self.pool()).await?;
        Ok(ids.into_iter().map(|Text(id)| id).collect())
    }

    /// How many submissions are in each state; states without any are absent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_by_state(&self) -> Result<Vec<(State, u64)>, DbError> {
        let query = "SELECT state, count(*) FROM submissions GROUP BY state";
        let rows = sqlx::query_as(query).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|(Text(state), count)| (state, count)).collect())
    }

    /// Since when the longest waiting submission is in its state, for each state that isn't an end and has any.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn oldest_by_state(&self) -> Result<Vec<(State, u64)>, DbError> {
        let query = "SELECT state, min(changed_at) AS since FROM submissions
                     WHERE state IN ('awaiting_upload', 'checking', 'queued', 'evaluating') GROUP BY state";
        let rows = sqlx::query_as(query).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|(Text(state), since)| (state, since)).collect())
    }

    /// Since when the longest waiting submission is queued.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn queued_since(&self) -> Result<Option<u64>, DbError> {
        let query = "SELECT min(changed_at) FROM submissions WHERE state = 'queued'";
        Ok(sqlx::query_scalar(query).fetch_one(self.pool()).await?)
    }

    /// Submissions that are in `state` since `since` or longer; for uploads, whose time ended by then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn overdue(&self, state: State, since: u64) -> Result<Vec<Submission>, DbError> {
        let query = match state {
            State::AwaitingUpload => {
                "SELECT * FROM submissions WHERE state = $1 AND (upload_until <= $2 OR first_byte_until <= $2) LIMIT 256"
            }
            _ => "SELECT * FROM submissions WHERE state = $1 AND changed_at <= $2 LIMIT 256",
        };
        Ok(sqlx::query_as(query).bind(state.as_str()).bind(int(since)).fetch_all(self.pool()).await?)
    }

    /// How many queued submissions there are whose next attempt may begin, and since when the first of them waits.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due(&self, now: u64) -> Result<(u64, Option<u64>), DbError> {
        let query = "SELECT count(*) AS count, min(changed_at) AS since FROM submissions
                     WHERE state = 'queued' AND retry_at <= $1";
        Ok(sqlx::query_as(query).bind(int(now)).fetch_one(self.pool()).await?)
    }
}

impl Db {
    /// Whether a hotkey has ever entered something in a competition.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_entered_in(&self, competition: &CompetitionId, hotkey: &Hotkey) -> Result<bool, DbError> {
        let query = "SELECT EXISTS (SELECT 1 FROM submissions WHERE competition_id = $1 AND hotkey = $2)";
        let asked = sqlx::query_scalar(query).bind(competition.as_ref()).bind(hotkey.to_string());
        Ok(asked.fetch_one(self.pool()).await?)
    }
}
