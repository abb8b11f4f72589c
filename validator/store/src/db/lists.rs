//! Lists of submissions: by competition, hotkey and state, page by page.
//!
//! It reads rows and ranks nothing.

use super::{Db, DbError, from_json, int, parse, uint};
use protocol::api::SubmissionSummary;
use protocol::package::ModelKind;
use protocol::submission::State;
use protocol::{CompetitionId, Hotkey, SubmissionId};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

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
        let rows = query.build().fetch_all(self.pool()).await?;
        rows.iter().map(summary).collect()
    }

    /// One submission as a list has it, without its rank.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn summary(&self, id: &SubmissionId) -> Result<Option<SubmissionSummary>, DbError> {
        let mut query = QueryBuilder::<Sqlite>::new(COLUMNS);
        query.push(" WHERE s.id = ").push_bind(id.to_string());
        let row = query.build().fetch_optional(self.pool()).await?;
        row.as_ref().map(summary).transpose()
    }

    /// A hotkey's submissions by state; states without any are absent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_of_hotkey(&self, hotkey: &Hotkey) -> Result<Vec<(State, u64)>, DbError> {
        let query = "SELECT state, count(*) AS count FROM submissions WHERE hotkey = ? GROUP BY state";
        let rows = sqlx::query(query).bind(hotkey.to_string()).fetch_all(self.pool()).await?;
        rows.iter().map(|row| Ok((parse("state", row.get("state"))?, uint(row.get("count"))))).collect()
    }
}

fn summary(row: &SqliteRow) -> Result<SubmissionSummary, DbError> {
    let text = |column: &str| row.get::<Option<&str>, _>(column);
    let architecture = text("architecture").map(|text| from_json::<ModelKind>("architecture", text)).transpose()?;
    Ok(SubmissionSummary {
        id: parse("submission id", row.get("id"))?,
        competition: parse("competition id", row.get("competition_id"))?,
        hotkey: parse("hotkey", row.get("hotkey"))?,
        name: row.get("name"),
        arrival: uint(row.get("arrival")),
        state: parse("state", row.get("state"))?,
        code: text("code").map(|code| parse("code", code)).transpose()?,
        created_at: uint(row.get("created_at")),
        changed_at: uint(row.get("changed_at")),
        architecture: architecture.map(|architecture| architecture.kind().to_owned()),
        score_ppm: row.get("score_ppm"),
        rank: None,
    })
}
