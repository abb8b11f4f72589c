//! What the operator wants to know of the database: workers, the queue as it stands, and what is stored.
//!
//! It only counts.

use super::column::{Maybe, Text};
use super::{Db, DbError};
use protocol::submission::State;
use protocol::{CompetitionId, Hotkey, SubmissionId};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

/// A worker of the job engine: in a serving process or in one of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, FromRow)]
pub struct WorkerSeen {
    /// Its name, which no other worker ever had.
    #[sqlx(rename = "id")]
    pub name: String,
    /// The class of hardware that it works for.
    #[sqlx(rename = "worker_type")]
    pub queue: String,
    /// When it began, in Unix seconds, where it said so.
    pub started_at: Option<u64>,
    /// When it was last alive, in Unix seconds by the machine's own clock; it says so twice a minute.
    #[sqlx(rename = "last_seen")]
    pub seen_at: u64,
    /// The submission that it works on, for itself or for a round; of several workers that do, the one that was begun first.
    #[sqlx(try_from = "Maybe<SubmissionId>")]
    pub submission: Option<SubmissionId>,
}

/// A submission that waits or is worked on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, FromRow)]
pub struct Waiting {
    /// Which.
    #[sqlx(rename = "id", try_from = "Text<SubmissionId>")]
    pub submission: SubmissionId,
    /// Where.
    #[sqlx(rename = "competition_id", try_from = "Text<CompetitionId>")]
    pub competition: CompetitionId,
    /// `queued` or `evaluating`.
    #[sqlx(try_from = "Text<State>")]
    pub state: State,
    /// Since when.
    #[sqlx(rename = "changed_at")]
    pub since: u64,
    /// Attempts that failed through our fault.
    pub failures: u64,
}

/// A hotkey with submissions under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, FromRow)]
pub struct QueueHolder {
    /// Whose.
    #[sqlx(try_from = "Text<Hotkey>")]
    pub hotkey: Hotkey,
    /// Announced, and files are missing.
    pub awaiting_upload: u64,
    /// Being checked, queued or measured.
    pub waiting: u64,
    /// Seconds that its evaluations took since yesterday at this time.
    pub seconds_today: u64,
}

/// A hotkey whose packages are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, FromRow)]
pub struct DiskHolder {
    /// Whose.
    #[sqlx(try_from = "Text<Hotkey>")]
    pub hotkey: Hotkey,
    /// Submissions whose files are stored.
    pub submissions: u64,
    /// Their bytes, as uploaded and as published; what is stored once for several counts for each.
    pub bytes: u64,
}

/// What is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Storage {
    /// Objects that anybody may download.
    pub public_objects: u64,
    /// Their bytes.
    pub public_bytes: u64,
    /// Bytes of the database.
    pub database_bytes: u64,
    /// Statements in the public log.
    pub log_leaves: u64,
    /// Statements on their way into it.
    pub log_pending: u64,
    /// The number of the last event.
    pub events: u64,
}

impl Db {
    /// Workers that were alive since `since`, the last one first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn workers(&self, since: u64, count_max: u32) -> Result<Vec<WorkerSeen>, DbError> {
        let query = "SELECT w.id, w.worker_type, w.started_at, w.last_seen,
                     (SELECT e.id FROM (SELECT id, changed_at FROM submissions WHERE state = 'evaluating' UNION ALL
                          SELECT submission_id, changed_at FROM work WHERE state = 'running') e, Jobs j
                      WHERE j.lock_by = w.id AND j.status = 'Running' ORDER BY e.changed_at LIMIT 1) AS submission
                     FROM Workers w WHERE w.last_seen >= $1 ORDER BY w.last_seen DESC, w.id LIMIT $2";
        Ok(sqlx::query_as(query).bind(super::int(since)).bind(count_max).fetch_all(self.pool()).await?)
    }

    /// What is worked on, and then what waits, in the order of `queued`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn queue(&self, queued: &[SubmissionId], count_max: u32) -> Result<Vec<Waiting>, DbError> {
        let query = "SELECT id, competition_id, state, changed_at, failures FROM submissions
                     WHERE state = 'evaluating' OR (state = 'queued' AND id IN (SELECT value FROM json_each($1)))
                     ORDER BY state, arrival";
        let ids: Vec<String> = queued.iter().take(count_max as usize).map(ToString::to_string).collect();
        let query = sqlx::query_as(query).bind(super::to_json(&ids));
        let mut found: Vec<Waiting> = query.fetch_all(self.pool()).await?;
        found.sort_by_key(|waiting| queued.iter().position(|id| *id == waiting.submission));
        found.truncate(count_max as usize);
        Ok(found)
    }

    /// The hotkeys with most submissions under way; evaluations since `since` are counted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn queue_holders(&self, since: u64, count_max: u32) -> Result<Vec<QueueHolder>, DbError> {
        let query = "SELECT hotkey, count(*) FILTER (WHERE state = 'awaiting_upload') AS awaiting_upload,
                     count(*) FILTER (WHERE state != 'awaiting_upload') AS waiting,
                     (SELECT coalesce(sum(e.duration_ms), 0) / 1000 FROM submissions o
                      JOIN evaluations e ON e.submission_id = o.id AND e.evaluated_at >= $1
                      WHERE o.hotkey = s.hotkey) AS seconds_today
                     FROM submissions s WHERE state IN ('awaiting_upload', 'checking', 'queued', 'evaluating')
                     GROUP BY hotkey ORDER BY waiting DESC, awaiting_upload DESC, hotkey LIMIT $2";
        Ok(sqlx::query_as(query).bind(super::int(since)).bind(count_max).fetch_all(self.pool()).await?)
    }

    /// The hotkeys whose packages take most space.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn disk_holders(&self, count_max: u32) -> Result<Vec<DiskHolder>, DbError> {
        let query = "SELECT s.hotkey, count(DISTINCT s.id) AS submissions, sum(f.size_bytes) AS bytes
                     FROM submissions s JOIN stored_files f ON f.submission_id = s.id
                     GROUP BY s.hotkey ORDER BY bytes DESC, s.hotkey LIMIT $1";
        Ok(sqlx::query_as(query).bind(count_max).fetch_all(self.pool()).await?)
    }

    /// What is stored.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn storage(&self) -> Result<Storage, DbError> {
        let query = "SELECT count(*) AS objects, coalesce(sum(size_bytes), 0) AS bytes,
                     (SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()) AS file
                     FROM public_objects";
        let (public_objects, public_bytes, database_bytes) = sqlx::query_as(query).fetch_one(self.pool()).await?;
        let (log_leaves, log_pending) = self.count_leaves().await?;
        Ok(Storage {
            public_objects,
            public_bytes,
            database_bytes,
            log_leaves,
            log_pending,
            events: self.feed_end().await?,
        })
    }
}
