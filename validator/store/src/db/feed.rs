//! The feed: what happened and everybody may know, numbered. Triggers write it (`migrations/0010_feed.sql`); this reads.
//!
//! It does not know who listens.

use super::column::{Maybe, Text};
use super::{Db, DbError, int};
use protocol::round::Step;
use protocol::submission::{Code, State};
use protocol::{CompetitionId, Hotkey, SubmissionId};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row, Sqlite};
use utoipa::ToSchema;

/// Something that happened. In JSON its kind is a field of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Event)]
pub struct FeedEvent {
    /// Its number: a later event has a larger one, for ever.
    pub id: u64,
    /// When, in Unix seconds.
    pub at: u64,
    /// Where.
    pub competition: CompetitionId,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::IntoStaticStr)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Happening {
    /// A competition was published, or amended.
    Competition {
        /// The amendment's number; absent where it was published.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        amendment: Option<u64>,
    },
    /// A submission changed its state.
    Submission {
        /// Which.
        submission: SubmissionId,
        /// Whose.
        hotkey: Hotkey,
        /// From where; absent for a new one.
        from: Option<State>,
        /// To where.
        state: State,
        /// Why, where there is a reason.
        code: Option<Code>,
        /// Its composite score in parts per million, once scored.
        score_ppm: Option<i64>,
    },
    /// A round opened or moved on.
    Round {
        /// Which.
        round: u64,
        /// How far it is now.
        step: Step,
    },
    /// Other rewards were announced.
    Reward {
        /// From which round on they count.
        from_round: u64,
    },
}

impl Happening {
    /// Its name in JSON and in streams.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

/// Which events somebody wants: those that agree with all that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FeedFilter {
    /// Of this competition.
    pub competition: Option<CompetitionId>,
    /// Of this submission.
    pub submission: Option<SubmissionId>,
    /// Of this hotkey's submissions.
    pub hotkey: Option<Hotkey>,
}

impl FeedFilter {
    /// Whether an event is wanted.
    pub fn admits(&self, event: &FeedEvent) -> bool {
        let (submission, hotkey) = match &event.what {
            Happening::Submission { submission, hotkey, .. } => (Some(submission), Some(hotkey)),
            _ => (None, None),
        };
        self.competition.as_ref().is_none_or(|wanted| *wanted == event.competition)
            && self.submission.as_ref().is_none_or(|wanted| Some(wanted) == submission)
            && self.hotkey.as_ref().is_none_or(|wanted| Some(wanted) == hotkey)
    }
}

impl Db {
    /// The number of the last event; 0 while nothing has happened.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn feed_end(&self) -> Result<u64, DbError> {
        Ok(sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM feed").fetch_one(self.pool()).await?)
    }

    /// The last events that a visitor cares for, the newest first: scores, rounds that opened or were judged, and
    /// competitions.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest(&self, count_max: u32) -> Result<Vec<FeedEvent>, DbError> {
        let query = "SELECT f.*, e.score_ppm FROM feed f LEFT JOIN evaluations e ON e.submission_id = f.submission_id
                     WHERE f.state = 'scored' OR f.step IN ('open', 'judged') OR f.kind IN ('competition', 'reward')
                     ORDER BY f.id DESC LIMIT $1";
        Ok(sqlx::query_as(query).bind(count_max).fetch_all(self.pool()).await?)
    }

    /// At most `count_max` wanted events after number `after`, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn feed(&self, after: u64, filter: &FeedFilter, count_max: u32) -> Result<Vec<FeedEvent>, DbError> {
        // Each combination of filters is a statement of its own, so that each finds its index.
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT f.*, e.score_ppm FROM feed f LEFT JOIN evaluations e
             ON f.state = 'scored' AND e.submission_id = f.submission_id WHERE f.id > ",
        );
        query.push_bind(int(after));
        if let Some(competition) = &filter.competition {
            query.push(" AND f.competition_id = ").push_bind(competition.to_string());
        }
        if let Some(submission) = &filter.submission {
            query.push(" AND f.submission_id = ").push_bind(submission.to_string());
        }
        if let Some(hotkey) = &filter.hotkey {
            query.push(" AND f.hotkey = ").push_bind(hotkey.to_string());
        }
        query.push(" ORDER BY f.id LIMIT ").push_bind(count_max);
        Ok(query.build_query_as().fetch_all(self.pool()).await?)
    }
}

impl FromRow<'_, SqliteRow> for FeedEvent {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let Text(competition) = row.try_get("competition_id")?;
        Ok(Self { id: row.try_get("id")?, at: row.try_get("at")?, competition, what: Happening::from_row(row)? })
    }
}

impl FromRow<'_, SqliteRow> for Happening {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(match row.try_get("kind")? {
            "competition" => Self::Competition { amendment: row.try_get("round")? },
            "submission" => {
                let Text(submission) = row.try_get("submission_id")?;
                let (Text(hotkey), Text(state)) = (row.try_get("hotkey")?, row.try_get("state")?);
                let (Maybe(from), Maybe(code)) = (row.try_get("from_state")?, row.try_get("code")?);
                Self::Submission { submission, hotkey, from, state, code, score_ppm: row.try_get("score_ppm")? }
            }
            "round" => Self::Round { round: row.try_get("round")?, step: row.try_get::<Text<_>, _>("step")?.0 },
            "reward" => Self::Reward { from_round: row.try_get("round")? },
            other => {
                let source = format!("{other:?} is no kind of event").into();
                return Err(sqlx::Error::ColumnDecode { index: "kind".to_owned(), source });
            }
        })
    }
}
