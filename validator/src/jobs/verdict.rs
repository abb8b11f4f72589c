//! What becomes of a measurement: it is scored, done again at our cost, or shows that the model cheats the clock.
//!
//! The rules are `protocol::latency::judge`'s; this file only follows them, writes down what each measurement said about
//! the host, and sees to it that a host which never calms down keeps nobody waiting for ever.

use crate::app::App;
use crate::db::latency::{self, LatencyControl};
use crate::db::submissions::Submission;
use crate::db::{Db, DbError, attempts};
use crate::failpoints::{self, Change};
use protocol::Report;
use protocol::latency::{Breach, LatencyVerdict, judge};
use protocol::report::Latency;
use protocol::submission::{Code, Rejection, State};

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
        /// How often the host has spoiled it by now, this time included.
        spoiled: u64,
    },
    /// The miner's fault.
    Reject(Rejection),
}

/// Judges a report's latency and remembers what it says about the host.
pub(super) async fn next(app: &App, submission: &Submission, report: &Report) -> Result<Next, DbError> {
    let verdict = judge(&report.latency);
    remember(&app.db, &LatencyControl::of(&submission.id, report, verdict, app.clock.now())).await?;
    Ok(match verdict {
        LatencyVerdict::Sound => Next::Score,
        LatencyVerdict::Breach(breach) => {
            Next::Reject(Code::LatencyBreach.because(breach_detail(breach, &report.latency)))
        }
        LatencyVerdict::Unstable(_) => {
            let spoiled = app.db.unstable_measurements(&submission.id).await?;
            if spoiled > app.config.limits.evaluation_unstable_max {
                let id = &submission.id;
                tracing::warn!(submission.id = %id, spoiled, "the latency of {id} is provisional: {verdict}");
                Next::Score
            } else {
                let detail = format!("{verdict}; spoiled {spoiled} times so far");
                Next::Again { reason: Code::HostUnstable.because(detail), spoiled }
            }
        }
    })
}

/// Returns a submission to the queue because the host was unstable: no failure of the engine, and no quota used.
pub(super) async fn again(app: &App, submission: &Submission, reason: &Rejection, spoiled: u64) -> Result<(), DbError> {
    let now = app.clock.now();
    let doublings = u32::try_from(spoiled.saturating_sub(1)).unwrap_or(DOUBLINGS_MAX).min(DOUBLINGS_MAX);
    let wait = app.config.limits.evaluation_retry_seconds.saturating_mul(1 << doublings);
    let retry_at = now.saturating_add(wait);
    let mut tx = app.db.write().await?;
    match attempts::leave_evaluation(&mut tx, submission, State::Queued, Some(reason), now).await {
        Err(DbError::StateChanged { .. }) => return Ok(()),
        changed => changed?,
    }
    attempts::count_attempt(&mut tx, &submission.id, false, retry_at).await?;
    failpoints::commit(tx, Change::Loss).await?;
    tracing::warn!(submission.id = %submission.id, spoiled, "{} returns to the queue: {reason}", submission.id);
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
        Breach::RepeatedItem => format!("distinct over repeated {}", ratio(checks.repeated_item.ratio.value_ppm)),
        Breach::RandomTwin => format!("over random weights {}", ratio(checks.random_twin.ratio.value_ppm)),
    };
    format!("{} ({measured}): {}", LatencyVerdict::Breach(breach), breach.advice())
}
