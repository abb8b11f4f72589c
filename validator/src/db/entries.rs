//! Who is or was measured in a round, and with what result.
//!
//! It knows no steps: which entries there are and when they are measured is decided above.

use super::rounds::Round;
use super::{Db, DbError, Tx, from_json, int, parse, to_json, uint};
use protocol::competition::ObjectRef;
use protocol::dethrone::Verdict;
use protocol::score::Score;
use protocol::{CompetitionId, Digest, Hotkey, Report, SubmissionId};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use utoipa::ToSchema;

/// Why a submission is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryRole {
    /// It holds the seat.
    Champion,
    /// It wants the seat, and is measured on hidden items.
    Challenger,
    /// It is not significantly better on public items, or there were more significant ones than a round takes.
    Outsider,
}

/// A submission that is measured in a round.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Which.
    pub submission: SubmissionId,
    /// Its order of arrival.
    pub arrival: u64,
    /// Why.
    pub role: EntryRole,
    /// Measurements that failed through our fault.
    pub attempts: u64,
    /// What was measured.
    pub result: Option<EntryResult>,
    /// Why nothing was.
    pub failure: Option<String>,
    /// What the rules make of it; `None` where no bout took place.
    pub verdict: Option<Verdict>,
}

/// What was measured on a submission in a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryResult {
    /// The measurements.
    pub report: Report,
    /// Their canonical JSON, an object.
    pub report_object: ObjectRef,
    /// The raw latency samples, an object.
    pub samples_object: ObjectRef,
    /// Item by item (`RTOUT1`), an object.
    pub outcomes_object: ObjectRef,
    /// Right answers on public items, all of them clean.
    pub clean_correct: u32,
    /// Public items.
    pub clean_items: u32,
    /// Right answers on hidden items, all of them changed.
    pub changed_correct: u32,
    /// Hidden items.
    pub changed_items: u32,
}

/// A scored submission that a round may take up.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Which.
    pub submission: SubmissionId,
    /// Whose.
    pub hotkey: Hotkey,
    /// Order of arrival.
    pub arrival: u64,
    /// What was measured at intake.
    pub report: Report,
    /// What the rules make of it.
    pub score: Score,
    /// Its answers to public items, an object.
    pub outcomes_sha256: Digest,
}

impl EntryRole {
    fn as_str(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Challenger => "challenger",
            Self::Outsider => "outsider",
        }
    }
}

impl Db {
    /// Who is or was measured in a round, the champion first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn round_entries(&self, competition: &CompetitionId, number: u64) -> Result<Vec<Entry>, DbError> {
        let query = "SELECT e.*, s.arrival FROM round_entries e JOIN submissions s ON s.id = e.submission_id
                     WHERE e.competition_id = ? AND e.round = ? ORDER BY e.role != 'champion', s.arrival";
        let rows = sqlx::query(query).bind(competition.as_ref()).bind(int(number)).fetch_all(self.pool()).await?;
        rows.iter().map(entry).collect()
    }

    /// The last time that each submission of a competition was measured in a judged round, with the round's number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_attempts(&self, competition: &CompetitionId) -> Result<Vec<(u64, Entry)>, DbError> {
        let query =
            "SELECT e.*, s.arrival, max(e.round) FROM round_entries e JOIN submissions s ON s.id = e.submission_id
                     JOIN rounds r ON r.competition_id = e.competition_id AND r.round = e.round
                     WHERE e.competition_id = ? AND r.step IN ('judged', 'paid', 'revealed') GROUP BY e.submission_id";
        let rows = sqlx::query(query).bind(competition.as_ref()).fetch_all(self.pool()).await?;
        rows.iter().map(|row| Ok((uint(row.get("round")), entry(row)?))).collect()
    }

    /// Whether a submission that was complete by `before` waits for its score.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stragglers(&self, competition: &CompetitionId, before: u64) -> Result<bool, DbError> {
        let query = "SELECT EXISTS (SELECT 1 FROM submissions WHERE competition_id = ? AND created_at < ?
                     AND state IN ('checking', 'queued', 'evaluating'))";
        let waits: bool =
            sqlx::query_scalar(query).bind(competition.as_ref()).bind(int(before)).fetch_one(self.pool()).await?;
        Ok(waits)
    }

    /// Scored submissions, but for disqualified ones, that were announced before `before`, in order of arrival.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn contenders(&self, competition: &CompetitionId, before: u64) -> Result<Vec<Contender>, DbError> {
        let query = "SELECT s.id, s.hotkey, s.arrival, e.report, e.score, e.outcomes_sha256 FROM evaluations e
                     JOIN submissions s ON s.id = e.submission_id
                     WHERE e.competition_id = ? AND s.created_at < ? AND s.state = 'scored' ORDER BY s.arrival";
        let rows = sqlx::query(query).bind(competition.as_ref()).bind(int(before)).fetch_all(self.pool()).await?;
        rows.iter().map(contender).collect()
    }

    /// Writes what was measured, once: whoever comes second changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_result(
        &self,
        round: &Round,
        submission: &SubmissionId,
        result: Result<&EntryResult, &str>,
    ) -> Result<(), DbError> {
        let query = "UPDATE round_entries SET result = ?, failure = ? WHERE competition_id = ? AND round = ?
                     AND submission_id = ? AND result IS NULL AND failure IS NULL";
        sqlx::query(query)
            .bind(result.ok().map(to_json))
            .bind(result.err())
            .bind(round.competition.as_ref())
            .bind(int(round.number))
            .bind(submission.to_string())
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Counts a measurement that failed through our fault.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_round_attempt(&self, round: &Round, submission: &SubmissionId) -> Result<(), DbError> {
        let query = "UPDATE round_entries SET attempts = attempts + 1
                     WHERE competition_id = ? AND round = ? AND submission_id = ?";
        sqlx::query(query)
            .bind(round.competition.as_ref())
            .bind(int(round.number))
            .bind(submission.to_string())
            .execute(self.pool())
            .await?;
        Ok(())
    }
}

/// Says that a submission is to be measured in a round.
///
/// # Errors
/// When the database fails.
pub async fn insert_entry(
    tx: &mut Tx,
    round: &Round,
    submission: &SubmissionId,
    role: EntryRole,
) -> Result<(), DbError> {
    sqlx::query("INSERT INTO round_entries (competition_id, round, submission_id, role) VALUES (?, ?, ?, ?)")
        .bind(round.competition.as_ref())
        .bind(int(round.number))
        .bind(submission.to_string())
        .bind(role.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes a verdict.
///
/// # Errors
/// When the database fails.
pub async fn set_verdict(
    tx: &mut Tx,
    round: &Round,
    submission: &SubmissionId,
    verdict: &Verdict,
) -> Result<(), DbError> {
    let query = "UPDATE round_entries SET verdict = ? WHERE competition_id = ? AND round = ? AND submission_id = ?";
    sqlx::query(query)
        .bind(to_json(verdict))
        .bind(round.competition.as_ref())
        .bind(int(round.number))
        .bind(submission.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn contender(row: &SqliteRow) -> Result<Contender, DbError> {
    Ok(Contender {
        submission: parse("submission id", row.get("id"))?,
        hotkey: parse("hotkey", row.get("hotkey"))?,
        arrival: uint(row.get("arrival")),
        report: from_json("report", row.get("report"))?,
        score: from_json("score", row.get("score"))?,
        outcomes_sha256: parse("digest", row.get("outcomes_sha256"))?,
    })
}

fn entry(row: &SqliteRow) -> Result<Entry, DbError> {
    let json = |column: &str| row.get::<Option<&str>, _>(column);
    Ok(Entry {
        submission: parse("submission id", row.get("submission_id"))?,
        arrival: uint(row.get("arrival")),
        role: match row.get("role") {
            "champion" => EntryRole::Champion,
            "challenger" => EntryRole::Challenger,
            _ => EntryRole::Outsider,
        },
        attempts: uint(row.get("attempts")),
        result: json("result").map(|text| from_json("round's result", text)).transpose()?,
        failure: row.get("failure"),
        verdict: json("verdict").map(|text| from_json("verdict", text)).transpose()?,
    })
}
