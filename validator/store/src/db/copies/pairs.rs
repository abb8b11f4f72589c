//! Pairs of submissions that are not independent.

use super::super::column::Text;
use super::super::{Db, DbError, Tx, to_json};
use copies::{Evidence, Relation};
use protocol::{CompetitionId, Hotkey, SubmissionId};
use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use sqlx::{FromRow, Row};

/// Two submissions that are not independent.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Pair {
    /// The one that arrived later.
    #[sqlx(try_from = "Text<SubmissionId>")]
    pub later: SubmissionId,
    /// The one that arrived earlier.
    #[sqlx(try_from = "Text<SubmissionId>")]
    pub earlier: SubmissionId,
    /// What they are to each other.
    #[sqlx(json)]
    pub relation: Relation,
    /// Why.
    #[sqlx(json)]
    pub evidence: Evidence,
}

/// A stored pair with what decides on consequences.
#[derive(Clone, Debug)]
pub struct RankedPair {
    /// The pair.
    pub pair: Pair,
    /// Orders of arrival, later one first.
    pub arrivals: (u64, u64),
    /// Owners, later one first.
    pub hotkeys: (Hotkey, Hotkey),
}

/// One of two submissions of different owners that are not independent.
#[derive(Clone, Debug)]
pub struct Side {
    /// Which.
    pub submission: SubmissionId,
    /// Where.
    pub competition: CompetitionId,
    /// Order of arrival.
    pub arrival: u64,
    /// Its owner.
    pub hotkey: Hotkey,
}

/// Writes a pair, in the place of what was known of it. It belongs to the competition of the later one.
///
/// # Errors
/// When the database fails.
pub async fn put_pair(tx: &mut Tx, pair: &Pair) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO copy_pairs (competition_id, later, earlier, relation, evidence)
         SELECT competition_id, id, $2, $3, $4 FROM submissions WHERE id = $1
         ON CONFLICT (later, earlier) DO UPDATE SET relation = excluded.relation, evidence = excluded.evidence",
    )
    .bind(pair.later.to_string())
    .bind(pair.earlier.to_string())
    .bind(to_json(&pair.relation))
    .bind(to_json(&pair.evidence))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Db {
    /// What submissions of different owners are to each other where the later one is in one of the competitions, without
    /// the evidence: later, earlier.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn between_owners(&self, competitions: &[CompetitionId]) -> Result<Vec<(Relation, Side, Side)>, DbError> {
        let query = "SELECT p.relation, p.later, l.arrival AS later_arrival, l.hotkey AS later_hotkey,
                     l.competition_id AS later_in, p.earlier, e.arrival AS earlier_arrival,
                     e.hotkey AS earlier_hotkey, e.competition_id AS earlier_in
                     FROM json_each($1) c JOIN copy_pairs p ON p.competition_id = c.value
                     JOIN submissions l ON l.id = p.later JOIN submissions e ON e.id = p.earlier
                     WHERE l.hotkey <> e.hotkey";
        let rows = sqlx::query_as(query).bind(to_json(&competitions)).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|Between(relation, later, earlier)| (relation, later, earlier)).collect())
    }

    /// The pairs that a submission is part of, in order of arrival of the other one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pairs_of(&self, id: &SubmissionId) -> Result<Vec<RankedPair>, DbError> {
        let sql = format!("{PAIRS} WHERE p.later = $1 OR p.earlier = $1 ORDER BY e.arrival, l.arrival");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id.to_string()).fetch_all(self.pool()).await?)
    }
}

const PAIRS: &str = "SELECT p.*, l.arrival AS later_arrival, e.arrival AS earlier_arrival, l.hotkey AS later_hotkey,
     e.hotkey AS earlier_hotkey FROM copy_pairs p JOIN submissions l ON l.id = p.later
     JOIN submissions e ON e.id = p.earlier";

/// Two submissions of different owners: later, earlier.
struct Between(Relation, Side, Side);

impl FromRow<'_, SqliteRow> for Between {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let side = |[id, arrival, hotkey, competition]: [&str; 4]| -> sqlx::Result<Side> {
            let (Text(submission), Text(competition)) = (row.try_get(id)?, row.try_get(competition)?);
            let (arrival, Text(hotkey)) = (row.try_get(arrival)?, row.try_get(hotkey)?);
            Ok(Side { submission, competition, arrival, hotkey })
        };
        let later = side(["later", "later_arrival", "later_hotkey", "later_in"])?;
        let earlier = side(["earlier", "earlier_arrival", "earlier_hotkey", "earlier_in"])?;
        let Json(relation) = row.try_get("relation")?;
        Ok(Self(relation, later, earlier))
    }
}

impl FromRow<'_, SqliteRow> for RankedPair {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let (Text(later), Text(earlier)) = (row.try_get("later_hotkey")?, row.try_get("earlier_hotkey")?);
        let arrivals = (row.try_get("later_arrival")?, row.try_get("earlier_arrival")?);
        Ok(Self { pair: Pair::from_row(row)?, arrivals, hotkeys: (later, earlier) })
    }
}
