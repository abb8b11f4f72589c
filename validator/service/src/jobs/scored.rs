//! What is kept of a measurement that counts: its objects, its score under the competition's rules, and a receipt for it. Nothing is
//! recorded yet; `ending` does that.

use super::ending::Scored;
use super::evaluate::AttemptError;
use super::{receipt, turns};
use crate::app::App;
use crate::board::resampled;
use protocol::digest::canonical_json;
use protocol::evaluation::{Evaluation, little_endian};
use protocol::receipt::MeasuredBy;
use protocol::score::{Score, score};
use std::time::Duration;
use store::db::attempts::Begun;
use store::db::competitions::StoredCompetition;
use store::db::evaluations::StoredEvaluation;
use store::db::submissions::Submission;
use store::failpoints::{self, Moment};

/// Stores all objects of a result, with a receipt for it.
pub(super) async fn scored(
    app: &App,
    submission: &Submission,
    (begun, used, worker): (Begun, Duration, Option<MeasuredBy>),
    stored: &StoredCompetition,
    evaluation: Evaluation,
) -> Result<Scored, AttemptError> {
    let report = app.objects.put(canonical_json(&evaluation.report)?.into()).await?;
    let samples = app.objects.put(evaluation.latency_samples.into()).await?;
    let logits = app.objects.put(little_endian(&evaluation.logits).into()).await?;
    let probe_logits = app.objects.put(little_endian(&evaluation.probe_logits).into()).await?;
    let outcomes = app.objects.put(evaluation.outcomes.to_bytes().into()).await?;
    let others = worker.as_ref().filter(|by| !by.trust.is_own()).map(|by| by.key);
    let by = (begun.number, worker);
    let receipt = receipt::issue(app, submission, by, stored, &evaluation.report, outcomes.sha256).await?;
    failpoints::at(Moment::ResultStored)?;
    let public = [
        (report, "report.json"),
        (samples, "latency-samples.json"),
        (outcomes, "outcomes.rtout"),
        (receipt.object, receipt::RECEIPT_FILE),
    ];
    let row = StoredEvaluation {
        submission: submission.id.clone(),
        competition: submission.competition.clone(),
        score: score_of(&evaluation.report, stored),
        report: evaluation.report,
        report_sha256: report.sha256,
        logits_sha256: logits.sha256,
        outcomes_sha256: outcomes.sha256,
        probe_logits_sha256: probe_logits.sha256,
        receipt_sha256: receipt.object.sha256,
        duration_ms: turns::millis(used),
        evaluated_at: app.clock.now(),
        worker: others,
    };
    let replicates = resampled::draw(stored, evaluation.outcomes).await;
    let weights_public = stored.competition.manifest.weights_public;
    Ok(Scored { row, replicates, public, receipt, weights_public })
}

/// A report's score under a competition's rules.
pub(super) fn score_of(report: &protocol::Report, stored: &StoredCompetition) -> Score {
    score(report, stored.competition.teacher.ceiling(), &stored.competition.manifest.score)
}
