//! What rounds made of submissions: verdicts, and right answers on hidden items.
//!
//! Whatever is written here is public at once: the board shows it. So a round's rows are written when the round is
//! revealed, after which its items are worth nothing to anybody. Whoever writes says so to the board (`Board::changed`).

use super::{Db, DbError, Tx, from_json, int, parse, to_json, uint};
use protocol::dethrone::Verdict;
use protocol::{CompetitionId, SubmissionId};
use sqlx::Row;
use std::collections::HashMap;

/// The teacher's name among results.
const TEACHER: &str = "teacher";

/// Right answers in a revealed round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundResult {
    /// Which round.
    pub round: u64,
    /// Right answers on the round's hidden items.
    pub hidden_correct: u32,
    /// How many those are.
    pub hidden_items: u32,
    /// Right answers on public items.
    pub public_correct: u32,
    /// How many those are.
    pub public_items: u32,
}

/// The results of a competition's rounds.
#[derive(Clone, Debug, Default)]
pub struct RoundResults {
    /// The latest of each submission.
    pub latest: HashMap<SubmissionId, RoundResult>,
    /// The teacher's, by round.
    pub teacher: HashMap<u64, RoundResult>,
}

/// Writes what became of an attempt; one a round and submission.
///
/// # Errors
/// When the database fails or has another one.
pub async fn insert(
    tx: &mut Tx,
    competition: &CompetitionId,
    round: u64,
    submission: &SubmissionId,
    verdict: &Verdict,
) -> Result<(), DbError> {
    sqlx::query("INSERT INTO verdicts (competition_id, round, submission_id, verdict) VALUES (?, ?, ?, ?)")
        .bind(competition.as_ref())
        .bind(int(round))
        .bind(submission.to_string())
        .bind(to_json(verdict))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes right answers of a submission, or of the teacher where none is named.
///
/// # Errors
/// When the database fails or has other ones.
pub async fn insert_result(
    tx: &mut Tx,
    competition: &CompetitionId,
    submission: Option<&SubmissionId>,
    result: &RoundResult,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO round_results (competition_id, round, submission_id, hidden_correct, hidden_items, public_correct,
         public_items) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(competition.as_ref())
    .bind(int(result.round))
    .bind(submission.map_or_else(|| TEACHER.to_owned(), ToString::to_string))
    .bind(result.hidden_correct)
    .bind(result.hidden_items)
    .bind(result.public_correct)
    .bind(result.public_items)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Db {
    /// The last verdict on each submission of a competition, with its round.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_verdicts(
        &self,
        competition: &CompetitionId,
    ) -> Result<HashMap<SubmissionId, (u64, Verdict)>, DbError> {
        // SQLite takes the other columns from the row that has the maximum.
        let rows = sqlx::query(
            "SELECT submission_id, max(round) AS round, verdict FROM verdicts WHERE competition_id = ?
             GROUP BY submission_id",
        )
        .bind(competition.as_ref())
        .fetch_all(self.pool())
        .await?;
        rows.iter()
            .map(|row| {
                let verdict = from_json("verdict", row.get("verdict"))?;
                Ok((parse("submission id", row.get("submission_id"))?, (uint(row.get("round")), verdict)))
            })
            .collect()
    }

    /// What the revealed rounds of a competition found, the latest of each submission.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn round_results(&self, competition: &CompetitionId) -> Result<RoundResults, DbError> {
        let rows = sqlx::query("SELECT * FROM round_results WHERE competition_id = ? ORDER BY round")
            .bind(competition.as_ref())
            .fetch_all(self.pool())
            .await?;
        let mut results = RoundResults::default();
        for row in &rows {
            let result = RoundResult {
                round: uint(row.get("round")),
                hidden_correct: row.get("hidden_correct"),
                hidden_items: row.get("hidden_items"),
                public_correct: row.get("public_correct"),
                public_items: row.get("public_items"),
            };
            match row.get("submission_id") {
                TEACHER => drop(results.teacher.insert(result.round, result)),
                id => drop(results.latest.insert(parse("submission id", id)?, result)),
            }
        }
        Ok(results)
    }
}
