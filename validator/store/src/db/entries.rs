//! Who is or was measured in a round, and with what result.
//!
//! It knows no steps: which entries there are and when they are measured is decided above.

use super::column::Text;
use super::rounds::Round;
use super::{Db, DbError, Tx, int, to_json};
use datasets::hidden::Seen;
use protocol::competition::ObjectRef;
use protocol::dethrone::{Rule, Verdict};
use protocol::evaluation::Screened;
use protocol::round::EntryRole;
use protocol::score::Score;
use protocol::{CompetitionId, Digest, Hotkey, Report, SubmissionId};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use std::collections::{BTreeMap, HashMap};

/// Seconds after its announcement in which a package of no bytes must be complete to be in time for a round.
pub(super) const GRACE_SECONDS: u64 = 60;
/// Bytes a second that the rest is allowed at.
pub(super) const PACE_BYTES: u64 = 16 << 10;

/// A submission that is measured in a round.
#[derive(Clone, Debug, FromRow)]
pub struct RoundEntry {
    /// In which round.
    pub round: u64,
    /// Which.
    #[sqlx(rename = "submission_id", try_from = "Text<SubmissionId>")]
    pub submission: SubmissionId,
    /// Its order of arrival.
    pub arrival: u64,
    /// Why.
    #[sqlx(try_from = "Text<EntryRole>")]
    pub role: EntryRole,
    /// Measurements that failed or were spoiled through our fault.
    pub attempts: u64,
    /// Its answers to the first fresh items (`RTOUT1`), an object, once it is screened.
    #[sqlx(json(nullable))]
    pub screening: Option<Screened>,
    /// What those came to, once all are screened; `None` of whom nothing was asked, and of copies.
    #[sqlx(json(nullable))]
    pub seen: Option<Seen>,
    /// What was measured.
    #[sqlx(json(nullable))]
    pub result: Option<EntryResult>,
    /// Why nothing was.
    pub failure: Option<String>,
    /// What the rules make of it; `None` where no bout took place.
    #[sqlx(json(nullable))]
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
    /// The signed receipt, an object: the public log binds it with the round's record.
    pub receipt_object: ObjectRef,
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
#[derive(Clone, Debug, FromRow)]
pub struct Contender {
    /// Which.
    #[sqlx(rename = "id", try_from = "Text<SubmissionId>")]
    pub submission: SubmissionId,
    /// Whose.
    #[sqlx(try_from = "Text<Hotkey>")]
    pub hotkey: Hotkey,
    /// Order of arrival.
    pub arrival: u64,
    /// What was measured at intake.
    #[sqlx(json)]
    pub report: Report,
    /// What the rules make of it.
    #[sqlx(json)]
    pub score: Score,
    /// Its answers to public items, an object.
    #[sqlx(try_from = "Text<Digest>")]
    pub outcomes_sha256: Digest,
}

/// When the last byte of the package of `s` had arrived, in SQL: its upload ends in the admission check.
const COMPLETE_AT: &str = "(SELECT min(v.at) FROM events v WHERE v.submission_id = s.id AND v.to_state = 'checking')";

/// Until when the package of `s` may be complete, in SQL.
fn allowed_until() -> String {
    format!(
        "(s.created_at + {GRACE_SECONDS} + (SELECT coalesce(sum(f.size_bytes), 0) FROM submission_files f
         WHERE f.submission_id = s.id) / {PACE_BYTES})"
    )
}

impl Db {
    /// Who is or was measured in a round, the champion first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn round_entries(&self, competition: &CompetitionId, number: u64) -> Result<Vec<RoundEntry>, DbError> {
        let query = "SELECT e.*, s.arrival FROM round_entries e JOIN submissions s ON s.id = e.submission_id
                     WHERE e.competition_id = $1 AND e.round = $2 ORDER BY e.role != 'champion', s.arrival";
        Ok(sqlx::query_as(query).bind(competition.as_ref()).bind(int(number)).fetch_all(self.pool()).await?)
    }

    /// A submission's entries in rounds, by their numbers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn entries_of(&self, submission: &SubmissionId) -> Result<BTreeMap<u64, RoundEntry>, DbError> {
        let query = "SELECT e.*, s.arrival FROM round_entries e JOIN submissions s ON s.id = e.submission_id
                     WHERE e.submission_id = $1";
        let entries = sqlx::query_as(query).bind(submission.to_string()).fetch_all(self.pool()).await?;
        Ok(entries.into_iter().map(|entry: RoundEntry| (entry.round, entry)).collect())
    }

    /// The last time that each submission of a competition was measured in a judged round.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_attempts(&self, competition: &CompetitionId) -> Result<Vec<RoundEntry>, DbError> {
        let query =
            "SELECT e.*, s.arrival, max(e.round) FROM round_entries e JOIN submissions s ON s.id = e.submission_id
                     JOIN rounds r ON r.competition_id = e.competition_id AND r.round = e.round
                     WHERE e.competition_id = $1 AND r.step IN ('judged', 'paid', 'revealed') GROUP BY e.submission_id";
        Ok(sqlx::query_as(query).bind(competition.as_ref()).fetch_all(self.pool()).await?)
    }

    /// Whether a submission that is in time for a round that closed at `closed_at` waits for its score, or may still arrive
    /// in time at `now`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stragglers(&self, competition: &CompetitionId, closed_at: u64, now: u64) -> Result<bool, DbError> {
        let query = format!(
            "SELECT EXISTS (SELECT 1 FROM submissions s WHERE competition_id = $1 AND created_at < $2
             AND (state IN ('checking', 'queued', 'evaluating') AND {COMPLETE_AT} <= {allowed}
                  OR state = 'awaiting_upload' AND {allowed} >= $3))",
            allowed = allowed_until()
        );
        let waits: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .bind(competition.as_ref())
            .bind(int(closed_at))
            .bind(int(now))
            .fetch_one(self.pool())
            .await?;
        Ok(waits)
    }

    /// Scored submissions, but for disqualified ones, that are in time for a round that closed at `closed_at`: announced
    /// before it, and scored before it, too, or complete within `GRACE_SECONDS` and what their bytes take at `PACE_BYTES` a
    /// second. In order of arrival, without those that an earlier round put out for good.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn contenders(&self, competition: &CompetitionId, closed_at: u64) -> Result<Vec<Contender>, DbError> {
        let query = format!(
            "SELECT s.id, s.hotkey, s.arrival, e.report, e.score, e.outcomes_sha256 FROM evaluations e
             JOIN submissions s ON s.id = e.submission_id
             WHERE e.competition_id = $1 AND s.created_at < $2 AND s.state = 'scored'
             AND ({COMPLETE_AT} <= {} OR e.evaluated_at < $2)
             AND NOT EXISTS (SELECT 1 FROM round_entries r WHERE r.submission_id = s.id
                             AND r.verdict ->> 'rule' = '{}' AND r.role = 'screened')
             ORDER BY s.arrival",
            allowed_until(),
            Rule::BelowHiddenGate.code()
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(competition.as_ref()).bind(int(closed_at));
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Submissions that were announced before a round closed at `closed_at`, have come to no end and were not put out by an
    /// earlier one; and whether each was complete in time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn announced_before(
        &self,
        competition: &CompetitionId,
        closed_at: u64,
    ) -> Result<Vec<(SubmissionId, bool)>, DbError> {
        let query = format!(
            "SELECT s.id, coalesce({COMPLETE_AT} <= {}, 0) AS in_time FROM submissions s
             WHERE s.competition_id = $1 AND s.created_at < $2
             AND s.state IN ('awaiting_upload', 'checking', 'queued', 'evaluating', 'scored')
             AND NOT EXISTS (SELECT 1 FROM round_entries r WHERE r.submission_id = s.id
                             AND r.verdict ->> 'rule' = '{}' AND r.role = 'screened')",
            allowed_until(),
            Rule::BelowHiddenGate.code()
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(competition.as_ref()).bind(int(closed_at));
        let rows = query.fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|(Text(id), in_time)| (id, in_time)).collect())
    }

    /// For each submission, in how many rounds before `round` it was screened without a verdict of its own, and whether one
    /// decided it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waited(
        &self,
        competition: &CompetitionId,
        round: u64,
    ) -> Result<HashMap<SubmissionId, (u32, bool)>, DbError> {
        let query =
            "SELECT submission_id, count(*) FILTER (WHERE role = 'screened' AND verdict ->> 'rule' = 'screened'),
                     count(*) FILTER (WHERE role != 'screened') > 0 FROM round_entries
                     WHERE competition_id = $1 AND round < $2 GROUP BY submission_id";
        let rows = sqlx::query_as(query).bind(competition.as_ref()).bind(int(round)).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|(Text(id), waited, decided)| (id, (waited, decided))).collect())
    }
}

/// Writes what screening measured: the longer of two.
///
/// # Errors
/// When the database fails.
pub async fn set_screening(
    tx: &mut Tx,
    (competition, round): (&CompetitionId, u64),
    submission: &SubmissionId,
    screened: &Screened,
) -> Result<(), DbError> {
    let query = "UPDATE round_entries SET screening = $1 WHERE competition_id = $2 AND round = $3
                 AND submission_id = $4 AND coalesce(screening ->> 'items', 0) < $5";
    sqlx::query(query)
        .bind(to_json(screened))
        .bind(competition.as_ref())
        .bind(int(round))
        .bind(submission.to_string())
        .bind(i64::from(screened.items))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes what was measured, once: whoever comes second changes nothing.
///
/// # Errors
/// When the database fails.
pub async fn set_result(
    tx: &mut Tx,
    (competition, round): (&CompetitionId, u64),
    submission: &SubmissionId,
    result: Result<&EntryResult, &str>,
) -> Result<(), DbError> {
    let query = "UPDATE round_entries SET result = $1, failure = $2 WHERE competition_id = $3 AND round = $4
                 AND submission_id = $5 AND result IS NULL AND failure IS NULL";
    sqlx::query(query)
        .bind(result.ok().map(to_json))
        .bind(result.err())
        .bind(competition.as_ref())
        .bind(int(round))
        .bind(submission.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Counts a measurement that failed through our fault.
///
/// # Errors
/// When the database fails.
pub async fn count_round_attempt(
    tx: &mut Tx,
    (competition, round): (&CompetitionId, u64),
    submission: &SubmissionId,
) -> Result<(), DbError> {
    let query = "UPDATE round_entries SET attempts = attempts + 1
                 WHERE competition_id = $1 AND round = $2 AND submission_id = $3";
    sqlx::query(query)
        .bind(competition.as_ref())
        .bind(int(round))
        .bind(submission.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
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
    sqlx::query("INSERT INTO round_entries (competition_id, round, submission_id, role) VALUES ($1, $2, $3, $4)")
        .bind(round.competition.as_ref())
        .bind(int(round.number))
        .bind(submission.to_string())
        .bind(role.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Lets a screened submission be decided.
///
/// # Errors
/// When the database fails.
pub async fn set_challenger(tx: &mut Tx, round: &Round, submission: &SubmissionId) -> Result<(), DbError> {
    let query = "UPDATE round_entries SET role = 'challenger' WHERE competition_id = $1 AND round = $2
                 AND submission_id = $3 AND role = 'screened'";
    sqlx::query(query)
        .bind(round.competition.as_ref())
        .bind(int(round.number))
        .bind(submission.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes what screening saw of a submission.
///
/// # Errors
/// When the database fails.
pub async fn set_seen(tx: &mut Tx, round: &Round, submission: &SubmissionId, seen: &Seen) -> Result<(), DbError> {
    let query = "UPDATE round_entries SET seen = $1 WHERE competition_id = $2 AND round = $3 AND submission_id = $4";
    set(tx, query, to_json(seen), round, submission).await
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
    let query = "UPDATE round_entries SET verdict = $1 WHERE competition_id = $2 AND round = $3 AND submission_id = $4";
    set(tx, query, to_json(verdict), round, submission).await
}

/// Writes a value of one entry: `query` takes it before the round and the submission.
async fn set(
    tx: &mut Tx,
    query: &'static str,
    value: String,
    round: &Round,
    submission: &SubmissionId,
) -> Result<(), DbError> {
    sqlx::query(query)
        .bind(value)
        .bind(round.competition.as_ref())
        .bind(int(round.number))
        .bind(submission.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
