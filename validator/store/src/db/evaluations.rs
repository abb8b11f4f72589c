//! Evaluations: one a submission, as the primary key guarantees.

use super::column::{Maybe, Text};
use super::{Db, DbError, Tx, int, to_json};
use protocol::package::ModelKind;
use protocol::score::Score;
use protocol::{CompetitionId, Digest, Hotkey, Report, SubmissionId};
use sqlx::FromRow;

/// What was measured on a submission, and what the rules make of it.
#[derive(Clone, Debug, FromRow)]
pub struct StoredEvaluation {
    /// What was measured.
    #[sqlx(rename = "submission_id", try_from = "Text<SubmissionId>")]
    pub submission: SubmissionId,
    /// Where.
    #[sqlx(rename = "competition_id", try_from = "Text<CompetitionId>")]
    pub competition: CompetitionId,
    /// The measurements.
    #[sqlx(json)]
    pub report: Report,
    /// The digest of their canonical JSON, an object.
    #[sqlx(try_from = "Text<Digest>")]
    pub report_sha256: Digest,
    /// The logits, a private object.
    #[sqlx(try_from = "Text<Digest>")]
    pub logits_sha256: Digest,
    /// What paired tests need, item by item: an object.
    #[sqlx(try_from = "Text<Digest>")]
    pub outcomes_sha256: Digest,
    /// The logits on the probes that copies are recognised by, a private object.
    #[sqlx(try_from = "Text<Digest>")]
    pub probe_logits_sha256: Digest,
    /// The signed receipt, an object.
    #[sqlx(try_from = "Text<Digest>")]
    pub receipt_sha256: Digest,
    /// The score.
    #[sqlx(json)]
    pub score: Score,
    /// How long the evaluation took.
    pub duration_ms: u64,
    /// When it was done.
    pub evaluated_at: u64,
    /// The worker whose word it is, where that isn't a machine of our own.
    #[sqlx(try_from = "Maybe<Hotkey>")]
    pub worker: Option<Hotkey>,
}

/// A scored submission as the board needs it.
#[derive(Clone, Debug, FromRow)]
pub struct ScoredSubmission {
    /// Its name.
    #[sqlx(try_from = "Text<SubmissionId>")]
    pub id: SubmissionId,
    /// Its owner.
    #[sqlx(try_from = "Text<Hotkey>")]
    pub hotkey: Hotkey,
    /// Order of arrival.
    pub arrival: u64,
    /// What it is.
    #[sqlx(json)]
    pub architecture: ModelKind,
    /// The measurements.
    #[sqlx(json)]
    pub report: Report,
    /// What paired tests need, item by item: an object.
    #[sqlx(try_from = "Text<Digest>")]
    pub outcomes_sha256: Digest,
    /// The score.
    #[sqlx(json)]
    pub score: Score,
    /// When it was scored.
    pub evaluated_at: u64,
    /// The worker whose word it is, where that isn't a machine of our own.
    #[sqlx(try_from = "Maybe<Hotkey>")]
    pub worker: Option<Hotkey>,
    /// Whether its package brings answers that the engine's were held against.
    pub brings_answers: bool,
    /// What its owner calls itself.
    pub owner_name: Option<String>,
    /// What its owner calls it.
    pub model_name: Option<String>,
}

/// Writes an evaluation, once: a second one of the same submission is refused by the primary key.
///
/// # Errors
/// When the database fails or there is one.
pub async fn insert(tx: &mut Tx, evaluation: &StoredEvaluation) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO evaluations (submission_id, competition_id, report, report_sha256, logits_sha256, outcomes_sha256,
         probe_logits_sha256, receipt_sha256, score, score_ppm, duration_ms, evaluated_at, worker)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(evaluation.submission.to_string())
    .bind(evaluation.competition.as_ref())
    .bind(to_json(&evaluation.report))
    .bind(evaluation.report_sha256.to_string())
    .bind(evaluation.logits_sha256.to_string())
    .bind(evaluation.outcomes_sha256.to_string())
    .bind(evaluation.probe_logits_sha256.to_string())
    .bind(evaluation.receipt_sha256.to_string())
    .bind(to_json(&evaluation.score))
    .bind(evaluation.score.composite.value_ppm)
    .bind(int(evaluation.duration_ms))
    .bind(int(evaluation.evaluated_at))
    .bind(evaluation.worker.map(|worker| worker.to_string()))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Db {
    /// The evaluation of a submission.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn evaluation(&self, id: &SubmissionId) -> Result<Option<StoredEvaluation>, DbError> {
        Ok(sqlx::query_as("SELECT * FROM evaluations WHERE submission_id = $1")
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?)
    }

    /// All scored submissions of a competition that weren't disqualified, in order of arrival.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn scored(&self, competition: &CompetitionId) -> Result<Vec<ScoredSubmission>, DbError> {
        Ok(sqlx::query_as(
            "SELECT s.id, s.hotkey, s.arrival, s.architecture, s.name AS model_name, e.report, e.outcomes_sha256, e.score, e.evaluated_at, e.worker,
             EXISTS (SELECT 1 FROM submission_files f WHERE f.submission_id = s.id AND f.path = 'expected.safetensors')
             AS brings_answers,
             (SELECT name FROM names n WHERE n.hotkey = s.hotkey ORDER BY n.at DESC LIMIT 1) AS owner_name
             FROM evaluations e JOIN submissions s ON s.id = e.submission_id
             WHERE e.competition_id = $1 AND s.state = 'scored' ORDER BY s.arrival",
        )
        .bind(competition.as_ref())
        .fetch_all(self.pool())
        .await?)
    }

    /// How many submissions of a competition are scored.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_scored(&self, competition: &CompetitionId) -> Result<u64, DbError> {
        let query = "SELECT count(*) FROM evaluations WHERE competition_id = $1";
        Ok(sqlx::query_scalar(query).bind(competition.as_ref()).fetch_one(self.pool()).await?)
    }

    /// How many evaluations there are, and how long the last twenty took on average, in milliseconds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn evaluation_pace(&self) -> Result<(u64, Option<u64>), DbError> {
        let query = "SELECT (SELECT count(*) FROM evaluations), (SELECT CAST(avg(duration_ms) AS INTEGER) FROM
                     (SELECT duration_ms FROM evaluations ORDER BY evaluated_at DESC LIMIT 20) AS last)";
        Ok(sqlx::query_as(query).fetch_one(self.pool()).await?)
    }
}
