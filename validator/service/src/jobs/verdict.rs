//! What becomes of a measurement: it is scored, done again at our cost, or shows that the model cheats the clock.
//!
//! The rules are `protocol::latency`'s: `judge` says what a measurement is worth and `follow_up` what is done then. This
//! file only follows them, and says what is to be written down of each measurement.

use crate::app::App;
use protocol::Report;
use protocol::latency::{Breach, FollowUp, LatencyVerdict, follow_up, judge, repeated_gain_ppm};
use protocol::report::Latency;
use protocol::submission::{Code, Rejection};
use store::db::DbError;
use store::db::latency::LatencyControl;
use store::db::submissions::Submission;

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

/// Judges a report's latency; also gives what it says about the host, which is to be remembered.
pub(super) async fn next(
    app: &App,
    submission: &Submission,
    report: &Report,
) -> Result<(Next, Option<LatencyControl>), DbError> {
    let (id, latency) = (&submission.id, &report.latency);
    let verdict = judge(latency);
    if verdict == LatencyVerdict::Skipped {
        // It says nothing about the host.
        return Ok((Next::Score, None));
    }
    let before = app.db.latency_verdicts(id).await?;
    let control = LatencyControl::of(id, report, verdict, app.clock.now());
    let repeats = before.len() as u64 + 1;
    let again = |code: Code, detail: String| Next::Again { reason: code.because(detail), repeats };
    let next = match (follow_up(&before, verdict, app.config.limits.evaluation_unstable_max), verdict) {
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
    };
    Ok((next, Some(control)))
}

/// How long a submission waits that one measurement didn't settle. It is no failure of the engine, and uses no quota.
pub(super) fn wait_seconds(app: &App, repeats: u64) -> u64 {
    let doublings = u32::try_from(repeats.saturating_sub(1)).unwrap_or(DOUBLINGS_MAX).min(DOUBLINGS_MAX);
    app.config.limits.evaluation_retry_seconds.saturating_mul(1 << doublings)
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
