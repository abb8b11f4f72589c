//! The feed: what happened and everybody may know, numbered. Triggers write it (`migrations/0010_feed.sql`); this reads.
//!
//! It does not know who listens.

use super::{Db, DbError, int, parse, uint};
use protocol::round::Step;
use protocol::submission::{Code, State};
use protocol::{CompetitionId, Hotkey, SubmissionId};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
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
        match self {
            Self::Competition { .. } => "competition",
            Self::Submission { .. } => "submission",
            Self::Round { .. } => "round",
            Self::Reward { .. } => "reward",
        }
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
        let end: Option<i64> = sqlx::query_scalar("SELECT max(id) FROM feed").fetch_one(self.pool()).await?;
        Ok(end.map_or(0, uint))
    }

    /// The last events that a visitor cares for, the newest first: scores, rounds that opened or were judged, and
    /// competitions.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest(&self, count_max: u32) -> Result<Vec<FeedEvent>, DbError> {
        let query = "SELECT f.*, e.score_ppm FROM feed f LEFT JOIN evaluations e ON e.submission_id = f.submission_id
                     WHERE f.state = 'scored' OR f.step IN ('open', 'judged') OR f.kind IN ('competition', 'reward')
                     ORDER BY f.id DESC LIMIT ?";
        let rows = sqlx::query(query).bind(count_max).fetch_all(self.pool()).await?;
        rows.iter().map(event).collect()
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
        let rows = query.build().fetch_all(self.pool()).await?;
        rows.iter().map(event).collect()
    }
}

fn event(row: &SqliteRow) -> Result<FeedEvent, DbError> {
    let text = |column: &str| row.get::<Option<&str>, _>(column).unwrap_or_default();
    let optional = |column: &str| row.get::<Option<&str>, _>(column);
    let what = match text("kind") {
        "competition" => Happening::Competition { amendment: row.get::<Option<i64>, _>("round").map(uint) },
        "submission" => Happening::Submission {
            submission: parse("submission id", text("submission_id"))?,
            hotkey: parse("hotkey", text("hotkey"))?,
            from: optional("from_state").map(|state| parse("state", state)).transpose()?,
            state: parse("state", text("state"))?,
            code: optional("code").map(|code| parse("code", code)).transpose()?,
            score_ppm: row.get("score_ppm"),
        },
        "round" => Happening::Round {
            round: row.get::<Option<i64>, _>("round").map_or(0, uint),
            step: parse("step", text("step"))?,
        },
        "reward" => Happening::Reward { from_round: row.get::<Option<i64>, _>("round").map_or(0, uint) },
        other => return Err(DbError::Corrupt { what: "kind of event", problem: format!("{other:?} is none") }),
    };
    Ok(FeedEvent {
        id: uint(row.get("id")),
        at: uint(row.get("at")),
        competition: parse("competition id", text("competition_id"))?,
        what,
    })
}
