//! What becomes of a measurement: it is scored, done again at our cost, or shows that the model cheats the clock.
//!
//! The rules are `protocol::latency`'s: `judge` says what a measurement is worth and `follow_up` what is done then. This
//! file only follows them and writes down what each measurement said.

use super::evaluate;
use crate::app::App;
use protocol::Report;
use protocol::latency::{Breach, FollowUp, LatencyVerdict, follow_up, judge, repeated_gain_ppm};
use protocol::report::Latency;
use protocol::submission::{Code, Rejection, State};
use store::db::latency::{self, LatencyControl};
use store::db::submissions::Submission;
use store::db::{Db, DbError, attempts};
use store::failpoints::{self, Change};

/// The longest wait between attempts on an unstable host doubles no further than this often.
const DOUBLINGS_MAX: u32 = 6;

/// What is to be done with an evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Score it; on a host that stayed unstable its latency is provisional.
    Score,
    /// Measure again later.
    Again {
        /// Why, for the submission's page.
        reason: Rejection,
        /// How many measurements came to nothing by now, this one included.
        repeats: u64,
    },
    /// The miner's fault.
    Reject(Rejection),
}

/// Judges a report's latency and remembers what it says about the host.
pub(super) async fn next(app: &App, submission: &Submission, report: &Report) -> Result<Next, DbError> {
    let (id, latency) = (&submission.id, &report.latency);
    let verdict = judge(latency);
    if verdict == LatencyVerdict::Skipped {
        // It says nothing about the host.
        return Ok(Next::Score);
    }
    let before = app.db.latency_verdicts(id).await?;
    remember(&app.db, &LatencyControl::of(id, report, verdict, app.clock.now())).await?;
    let repeats = before.len() as u64 + 1;
    let again = |code: Code, detail: String| Next::Again { reason: code.because(detail), repeats };
    Ok(match (follow_up(&before, verdict, app.config.limits.evaluation_unstable_max), verdict) {
        (FollowUp::Reject(breach), _) => Next::Reject(Code::LatencyBreach.because(breach_detail(breach, latency))),
        (FollowUp::Repeat, LatencyVerdict::Breach(breach)) => {
            again(Code::LatencyUnconfirmed, breach_detail(breach, latency))
        }
        (FollowUp::Repeat, _) => {
            let spoiled = before.iter().filter(|verdict| verdict.is_unstable()).count() + 1;
            again(Code::HostUnstable, format!("{verdict}; spoiled {spoiled} times so far"))
        }
        (FollowUp::Count, LatencyVerdict::Unstable(_)) => {
            tracing::warn!(submission.id = %id, repeats, "the latency of {id} is provisional: {verdict}");
            Next::Score
        }
        (FollowUp::Count, _) => Next::Score,
    })
}

/// Returns a submission to the queue because one measurement didn't settle it: no failure of the engine, and no quota used.
pub(super) async fn again(app: &App, submission: &Submission, reason: &Rejection, repeats: u64) -> Result<(), DbError> {
    let mut tx = app.db.write().await?;
    let now = app.clock.now();
    let doublings = u32::try_from(repeats.saturating_sub(1)).unwrap_or(DOUBLINGS_MAX).min(DOUBLINGS_MAX);
    let wait = app.config.limits.evaluation_retry_seconds.saturating_mul(1 << doublings);
    let retry_at = now.saturating_add(wait);
    match attempts::leave_evaluation(&mut tx, submission, State::Queued, Some(reason), now).await {
        Err(DbError::StateChanged { .. }) => return evaluate::too_late(submission),
        changed => changed?,
    }
    attempts::count_attempt(&mut tx, &submission.id, false, retry_at).await?;
    failpoints::commit(tx, Change::Loss).await?;
    tracing::warn!(submission.id = %submission.id, repeats, "{} returns to the queue: {reason}", submission.id);
    app.signals.queue.notify_one();
    Ok(())
}

async fn remember(db: &Db, control: &LatencyControl) -> Result<(), DbError> {
    let mut tx = db.write().await?;
    latency::insert(&mut tx, control).await?;
    failpoints::commit(tx, Change::Control).await
}

/// Which check failed, by how much, and what to do.
fn breach_detail(breach: Breach, latency: &Latency) -> String {
    let checks = &latency.checks;
    let ratio = |ppm: i64| format!("{}.{:03}", ppm / 1_000_000, ppm % 1_000_000 / 1_000);
    let measured = match breach {
        Breach::Outputs => format!("largest difference {} millionths", checks.output_delta_micro_max),
        Breach::OtherItems => {
            format!("{} instead of {}", ratio(checks.other_items.ratio.value_ppm), ratio(latency.ratio.value_ppm))
        }
        Breach::RepeatedItem => format!("its gain over theirs {}", ratio(repeated_gain_ppm(checks))),
        Breach::RandomTwin => format!("over random weights {}", ratio(checks.random_twin.ratio.value_ppm)),
    };
    format!("{} ({measured}): {}", LatencyVerdict::Breach(breach), breach.advice())
}
