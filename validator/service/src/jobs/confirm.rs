//! How far a worker's word goes whose machine isn't ours. It may gain by a lie: praise a friend's model, or put out a rival's.
//!
//! So whatever would end a submission or keep it out is measured again by a machine of our own, which alone counts then; so is a
//! share of the rest, chosen by chance after the report is in. Whoever said something else there than our machine finds is
//! quarantined at once. What is believed meanwhile decides nothing: rounds measure on our machine, and whoever is named first
//! on the board before was measured there, too.

use super::verdict::Next;
use crate::app::App;
use crate::fleet;
use protocol::evaluation::{Evaluation, EvaluationFailure};
use protocol::receipt::MeasuredBy;
use protocol::submission::Blame;
use protocol::{Digest, Hotkey, Report, SubmissionId};
use store::db::DbError;
use store::db::unconfirmed::{self, Said, Unconfirmed};
use store::failpoints::{self, Change};

/// By how much a model may be slower on our machine than a worker said before that was a lie: machines of one class differ, and
/// other items may take longer.
const SLOWER_PPM_MAX: i64 = 250_000;

/// What is to be remembered of a worker's word, if our own machine has to measure the submission before anything counts.
pub(super) fn of_measured(
    by: &MeasuredBy,
    next: &Next,
    evaluation: &Evaluation,
    is_above_gate: bool,
) -> Option<Unconfirmed> {
    let is_chosen = || rand::random_range(0..1_000) < by.trust.again_per_mille();
    let counts_alone = match next {
        Next::Score => is_above_gate && !is_chosen(),
        // Its clock says that the model cheats, or once more and for good.
        Next::Reject(_) => false,
        Next::Again { .. } => protocol::latency::judge(&evaluation.report.latency).is_unstable(),
    };
    let outputs = comparable(&evaluation.report);
    (!counts_alone).then_some(Unconfirmed { worker: by.key, said: Said::Measured, outputs })
}

/// The same where there is no measurement. Only our own machine's failures count as such.
pub(super) fn of_failed(worker: &Hotkey, failure: &EvaluationFailure) -> Unconfirmed {
    let said = if is_answer(failure) { Said::Rejected } else { Said::Nothing };
    Unconfirmed { worker: *worker, said, outputs: None }
}

/// The outputs as each machine of one class has them, bit for bit; nothing where another backend answered.
fn comparable(report: &Report) -> Option<Digest> {
    report.on_backend.is_none().then_some(report.outputs_sha256)
}

/// Holds what a worker said of a submission against what our machine found: outputs, or that the package can't be measured.
pub(super) async fn hold_against(app: &App, id: &SubmissionId, ours: Option<&Report>) -> Result<(), DbError> {
    let Some(theirs) = app.db.unconfirmed(id).await? else { return Ok(()) };
    let differs = match (theirs.said, ours) {
        (Said::Nothing, _) => None,
        (Said::Rejected, None) => Some(false),
        (Said::Measured, None) => Some(true),
        (Said::Rejected, Some(_)) => Some(true),
        (Said::Measured, Some(ours)) => theirs.outputs.zip(comparable(ours)).map(|(theirs, ours)| theirs != ours),
    };
    let mut tx = app.db.write().await?;
    unconfirmed::settle(&mut tx, id, (differs == Some(false)).then_some(&theirs.worker)).await?;
    failpoints::commit(tx, Change::Attempt).await?;
    match (differs, theirs.said) {
        (Some(true), Said::Rejected) => {
            fleet::distrust(app, &theirs.worker, format!("it rejected {id}, which our machine measures")).await
        }
        (Some(true), _) => {
            let reason = format!("its outputs of {id} aren't those of our machine, bit for bit");
            fleet::distrust(app, &theirs.worker, reason).await
        }
        _ => Ok(()),
    }
}

/// Holds a worker's clock against ours, which timed the same model in a round: a rented machine's decides nothing, but it puts
/// its model before others that wait to be decided.
pub(super) async fn hold_clock_against(app: &App, id: &SubmissionId, ours: &Report) -> Result<(), DbError> {
    let Some(theirs) = app.db.evaluation(id).await? else { return Ok(()) };
    let Some(worker) = theirs.worker.filter(|_| theirs.report.engine == ours.engine) else { return Ok(()) };
    let (said, found) = (theirs.report.latency.ratio, ours.latency.ratio);
    let slowest = said.high_ppm.saturating_add(said.value_ppm.saturating_mul(SLOWER_PPM_MAX) / 1_000_000);
    if !ours.latency.is_timed() || found.low_ppm <= slowest {
        return Ok(());
    }
    let times = |ppm: i64| ppm as f64 / 1e6;
    let (said, found) = (times(said.value_ppm), times(found.value_ppm));
    let reason = format!("by its clock {id} took {said:.3} of the reference's time, by ours {found:.3}");
    fleet::distrust(app, &worker, reason).await
}

/// Whether a failure says something of the package.
pub(super) fn is_answer(failure: &EvaluationFailure) -> bool {
    matches!(failure, EvaluationFailure::Package(rejection) if rejection.code.blame() == Blame::Miner)
}
