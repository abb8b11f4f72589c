//! The history of latency measurements as the operator needs it: what each said about the host.
//!
//! It judges nothing; verdicts come from `protocol::latency`.

use super::column::{Maybe, Text};
use super::{Db, DbError, Tx, int, to_json};
use protocol::latency::{LatencyVerdict, half_width_ppm};
use protocol::report::{Clock, Report};
use protocol::{Hotkey, SubmissionId};
use serde::Serialize;
use sqlx::FromRow;
use sqlx::types::Json;
use utoipa::ToSchema;

/// How many rows are kept.
const ROWS_MAX: i64 = 10_000;

/// One measurement, as far as it tells about the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, FromRow)]
pub struct LatencyControl {
    /// When, in Unix seconds.
    pub at: u64,
    /// What was measured.
    #[sqlx(rename = "submission_id", try_from = "Text<SubmissionId>")]
    pub submission: SubmissionId,
    /// Launches of the control; 0 where it was not made.
    pub control_launches: u32,
    /// The reference over itself.
    pub control_ppm: i64,
    /// The candidate over the reference.
    pub ratio_ppm: i64,
    /// Half of the interval's width over the ratio.
    pub half_width_ppm: i64,
    /// Pairs of fresh processes.
    pub launches: u32,
    /// By how much the parent's clock exceeded the reference worker's.
    pub overhead_ppm: u64,
    /// Whose stamps counted.
    #[sqlx(try_from = "Text<Clock>")]
    pub clock: Clock,
    /// The core that workers were kept to.
    pub pinned_core: Option<u32>,
    /// What the rules made of it.
    #[sqlx(json)]
    pub verdict: LatencyVerdict,
    /// The worker elsewhere that measured; `None` for the validator's own machine.
    #[sqlx(try_from = "Maybe<Hotkey>")]
    pub worker: Option<Hotkey>,
}

impl LatencyControl {
    /// What a report says about the host.
    pub fn of(submission: &SubmissionId, report: &Report, verdict: LatencyVerdict, at: u64) -> Self {
        let latency = &report.latency;
        Self {
            at,
            submission: submission.clone(),
            control_launches: latency.checks.control.launches,
            control_ppm: latency.checks.control.ratio.value_ppm,
            ratio_ppm: latency.ratio.value_ppm,
            half_width_ppm: half_width_ppm(latency.ratio),
            launches: latency.launches,
            overhead_ppm: latency.overhead_ppm,
            clock: latency.clock,
            pinned_core: report.host.pinned_core,
            verdict,
            worker: None,
        }
    }
}

/// Writes a measurement down, and forgets the oldest beyond `ROWS_MAX`.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, control: &LatencyControl) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO latency_controls (at, submission_id, control_launches, control_ppm, ratio_ppm, half_width_ppm,
         launches, overhead_ppm, clock, pinned_core, verdict, unstable, worker) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(int(control.at))
    .bind(control.submission.to_string())
    .bind(control.control_launches)
    .bind(control.control_ppm)
    .bind(control.ratio_ppm)
    .bind(control.half_width_ppm)
    .bind(control.launches)
    .bind(int(control.overhead_ppm))
    .bind(control.clock.as_str())
    .bind(control.pinned_core)
    .bind(to_json(&control.verdict))
    .bind(i64::from(control.verdict.is_unstable()))
    .bind(control.worker.map(|worker| worker.to_string()))
    .execute(&mut **tx)
    .await?;
    let query = "DELETE FROM latency_controls WHERE id <= (SELECT max(id) FROM latency_controls) - $1";
    sqlx::query(query).bind(ROWS_MAX).execute(&mut **tx).await?;
    Ok(())
}

impl Db {
    /// The last `count_max` measurements, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latency_controls(&self, count_max: u32) -> Result<Vec<LatencyControl>, DbError> {
        let query = "SELECT * FROM (SELECT * FROM latency_controls ORDER BY id DESC LIMIT $1) AS last ORDER BY id";
        Ok(sqlx::query_as(query).bind(count_max).fetch_all(self.pool()).await?)
    }

    /// Of a worker's last `count_max` measurements since `since` how many were spoiled, and how many there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn spoiled_by(&self, worker: &Hotkey, since: u64, count_max: u32) -> Result<(u64, u64), DbError> {
        let query = "SELECT CAST(coalesce(sum(unstable), 0) AS INTEGER), count(*) FROM
                     (SELECT unstable FROM latency_controls WHERE worker = $1 AND at >= $2 ORDER BY id DESC LIMIT $3) AS last";
        let query = sqlx::query_as(query).bind(worker.to_string()).bind(int(since)).bind(i64::from(count_max));
        Ok(query.fetch_one(self.pool()).await?)
    }

    /// What the rules made of a submission's measurements so far, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latency_verdicts(&self, id: &SubmissionId) -> Result<Vec<LatencyVerdict>, DbError> {
        let query = "SELECT verdict FROM latency_controls WHERE submission_id = $1 ORDER BY id";
        let verdicts = sqlx::query_scalar(query).bind(id.to_string()).fetch_all(self.pool()).await?;
        Ok(verdicts.into_iter().map(|Json(verdict)| verdict).collect())
    }
}
