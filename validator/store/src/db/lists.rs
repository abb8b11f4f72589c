//! Lists of submissions: by competition, hotkey and state, page by page.
//!
//! It reads rows and ranks nothing.

use super::column::{Maybe, Text};
use super::{Db, DbError, int};
use protocol::api::SubmissionSummary;
use protocol::package::ModelKind;
use protocol::submission::State;
use protocol::{CompetitionId, Hotkey, SubmissionId};
use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use sqlx::{FromRow, QueryBuilder, Row, Sqlite};

/// What every row of a list is made of.
const COLUMNS: &str = "SELECT s.id, s.competition_id, s.hotkey, s.arrival, s.state, s.code, s.created_at, s.changed_at,
    s.architecture, s.name, e.score_ppm FROM submissions s LEFT JOIN evaluations e ON e.submission_id = s.id";

/// Which submissions somebody wants: those that agree with all that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// In this competition.
    pub competition: Option<CompetitionId>,
    /// Of this hotkey.
    pub hotkey: Option<Hotkey>,
    /// In this state.
    pub state: Option<State>,
}

impl Db {
    /// At most `count_max` submissions that arrived before number `before`, the last one first. Ranks are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(
        &self,
        filter: &ListFilter,
        before: Option<u64>,
        count_max: u32,
    ) -> Result<Vec<SubmissionSummary>, DbError> {
        // Each combination of filters is a statement of its own, so that each finds its index.
        let mut query = QueryBuilder::<Sqlite>::new(COLUMNS);
        query.push(" WHERE s.arrival < ").push_bind(int(before.unwrap_or(u64::MAX)));
        if let Some(competition) = &filter.competition {
            query.push(" AND s.competition_id = ").push_bind(competition.to_string());
        }
        if let Some(hotkey) = &filter.hotkey {
            query.push(" AND s.hotkey = ").push_bind(hotkey.to_string());
        }
        if let Some(state) = filter.state {
            query.push(" AND s.state = ").push_bind(state.as_str());
        }
        query.push(" ORDER BY s.arrival DESC LIMIT ").push_bind(count_max);
        let rows = query.build_query_as().fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|Listed(summary)| summary).collect())
    }

    /// One submission as a list has it, without its rank.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn summary(&self, id: &SubmissionId) -> Result<Option<SubmissionSummary>, DbError> {
        let mut query = QueryBuilder::<Sqlite>::new(COLUMNS);
        query.push(" WHERE s.id = ").push_bind(id.to_string());
        let row = query.build_query_as().fetch_optional(self.pool()).await?;
        Ok(row.map(|Listed(summary)| summary))
    }

    /// A hotkey's submissions by state; states without any are absent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_of_hotkey(&self, hotkey: &Hotkey) -> Result<Vec<(State, u64)>, DbError> {
        let query = "SELECT state, count(*) AS count FROM submissions WHERE hotkey = $1 GROUP BY state";
        let rows = sqlx::query_as(query).bind(hotkey.to_string()).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|(Text(state), count)| (state, count)).collect())
    }
}

/// A row of a list.
struct Listed(SubmissionSummary);

impl FromRow<'_, SqliteRow> for Listed {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let architecture: Option<Json<ModelKind>> = row.try_get("architecture")?;
        Ok(Self(SubmissionSummary {
            id: row.try_get::<Text<_>, _>("id")?.0,
            competition: row.try_get::<Text<_>, _>("competition_id")?.0,
            hotkey: row.try_get::<Text<_>, _>("hotkey")?.0,
            name: row.try_get("name")?,
            arrival: row.try_get("arrival")?,
            state: row.try_get::<Text<_>, _>("state")?.0,
            code: row.try_get::<Maybe<_>, _>("code")?.0,
            created_at: row.try_get("created_at")?,
            changed_at: row.try_get("changed_at")?,
            architecture: architecture.map(|architecture| architecture.kind().to_owned()),
            score_ppm: row.try_get("score_ppm")?,
            rank: None,
        }))
    }
}
