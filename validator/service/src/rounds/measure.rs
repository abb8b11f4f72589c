//! Measuring: the champion and its challengers in full on the same items, each once, the champion first.
//!
//! A package that fails has failed: its own fault stays its own. What a clock says against a model it must say twice. A failure of ours, and a measurement that the host spoiled,
//! is tried again as a submission's is; after too many the submission counts as not measured, or as measured so, which never
//! crowns anybody.

use super::{Advanced, RoundError, Turn, draw};
use crate::materials;
use protocol::competition::ObjectRef;
use protocol::digest::canonical_json;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest, Items, Order, PackageBytes, Scope};
use protocol::latency::{self, FollowUp};
use protocol::leaf::Purpose;
use protocol::receipt::Subject;
use protocol::round::{EntryRole, Step};
use protocol::{Digest, Receipt, Report, SubmissionId};
use std::sync::Arc;
use store::db::rounds::{Entry, EntryResult};
use store::failpoints::{self, Moment};

/// Measures whoever isn't measured yet.
pub(super) async fn measure(turn: &Turn<'_>) -> Result<Advanced, RoundError> {
    let entries = turn.app.db.round_entries(&turn.round.competition, turn.round.number).await?;
    let due = |entry: &&Entry| entry.role != EntryRole::Screened && entry.result.is_none() && entry.failure.is_none();
    let due: Vec<&Entry> = entries.iter().filter(due).collect();
    if !due.is_empty() {
        let materials = turn.app.materials.of(&turn.app.objects, turn.stored).await?;
        let items = draw::round_items(turn, &materials).await?;
        for entry in due {
            measure_one(turn, entry, &items, &materials.reference).await?;
        }
    }
    turn.moved(Step::Measured, &turn.round.record).await
}

async fn measure_one(
    turn: &Turn<'_>,
    entry: &Entry,
    items: &Items,
    reference: &PackageBytes,
) -> Result<(), RoundError> {
    let (app, id) = (turn.app, &entry.submission);
    let (attempt, evaluation) = match evaluated(turn, entry, items, reference).await? {
        Ok(measured) => measured,
        Err(failure) => return turn.not_measured(entry, failure).await,
    };
    if latency::judge(&evaluation.report.latency).is_unstable() {
        app.db.count_round_attempt(&turn.round, id).await?;
        failpoints::at(Moment::RoundAttempt)?;
        if entry.attempts < app.config.limits.evaluation_unstable_max {
            return Err(RoundError::Unstable { who: id.clone() });
        }
    }
    failpoints::at(Moment::RoundMeasured)?;
    let result = kept(turn, (id, attempt), evaluation).await?;
    app.db.set_result(&turn.round, id, Ok(&result)).await?;
    Ok(failpoints::at(Moment::RoundResult)?)
}

/// Evaluates a member, with the number of that measurement, and once more where a clock said something against it: that counts only if it is said twice.
async fn evaluated(
    turn: &Turn<'_>,
    entry: &Entry,
    items: &Items,
    reference: &PackageBytes,
) -> Result<Result<(u64, Evaluation), EvaluationFailure>, RoundError> {
    let mut before = Vec::new();
    loop {
        let (attempt, request) = request(turn, entry, items, reference).await?;
        let evaluation = match turn.measured(entry, request).await {
            Ok(evaluation) => evaluation,
            Err(failure) => return Ok(Err(failure)),
        };
        let verdict = latency::judge(&evaluation.report.latency);
        // A restless host is tried again in another turn, so that the round can be seen to wait.
        if latency::follow_up(&before, verdict, 0) != FollowUp::Repeat {
            return Ok(Ok((attempt, evaluation)));
        }
        tracing::warn!(submission.id = %entry.submission, round = turn.round.number, "measured once more: {verdict}");
        turn.app.db.count_round_attempt(&turn.round, &entry.submission).await?;
        failpoints::at(Moment::RoundAttempt)?;
        before.push(verdict);
    }
}

/// What a measurement asks for, and its number: it is one from here on, in the log.
async fn request(
    turn: &Turn<'_>,
    entry: &Entry,
    items: &Items,
    reference: &PackageBytes,
) -> Result<(u64, EvaluationRequest), RoundError> {
    let (app, id) = (turn.app, &entry.submission);
    let begun = turn.attempt(id, Purpose::Round).await?;
    let Items { inputs, truth } = items.clone();
    let order = Order {
        candidate: materials::submitted(app, id).await?,
        reference: reference.clone(),
        inputs,
        probes: Arc::from([]),
        expected: None,
        engine: turn.stored.competition.manifest.engine,
        backends: Vec::new(),
        scope: Scope::Full,
        seed: begun.seed,
        wall_seconds_max: turn.stored.competition.manifest.limits.evaluation_seconds_max,
        memory_bytes_max: app.config.limits.evaluation_memory_bytes_max,
    };
    Ok((begun.number, EvaluationRequest::new(order, truth)))
}

/// Stores what was measured, with the validator's signature under it.
async fn kept(
    turn: &Turn<'_>,
    measured: (&SubmissionId, u64),
    evaluation: Evaluation,
) -> Result<EntryResult, RoundError> {
    let objects = &turn.app.objects;
    let samples_object = objects.put(evaluation.latency_samples.into()).await?;
    let report_object = objects.put(canonical_json(&evaluation.report)?.into()).await?;
    let outcomes_object = objects.put(evaluation.outcomes.to_bytes().into()).await?;
    let receipt_object = signed(turn, measured, &evaluation.report, outcomes_object.sha256).await?;
    let right = &evaluation.outcomes.values().right;
    let clean = turn.stored.competition.manifest.data.public_items as usize;
    let count = |answers: &[bool]| answers.iter().filter(|right| **right).count() as u32;
    let (public, hidden) = right.split_at(clean.min(right.len()));
    Ok(EntryResult {
        report: evaluation.report,
        report_object,
        samples_object,
        outcomes_object,
        receipt_object,
        clean_correct: count(public),
        clean_items: public.len() as u32,
        changed_correct: count(hidden),
        changed_items: hidden.len() as u32,
    })
}

/// The receipt of a submission's measurement of this number, in this round.
async fn signed(
    turn: &Turn<'_>,
    (id, attempt): (&SubmissionId, u64),
    report: &Report,
    outcomes_sha256: Digest,
) -> Result<ObjectRef, RoundError> {
    let (app, round) = (turn.app, &turn.round);
    let subject = Subject {
        competition: round.competition.clone(),
        competition_sha256: turn.stored.sha256,
        submission: id.clone(),
        hotkey: turn.needed("submission", app.db.submission(id).await?)?.hotkey,
        attempt,
        round: Some(round.number),
        data_root: Digest::from(round.record.commitment.root),
        outcomes_sha256,
    };
    let signed = Receipt::issue(&app.keypair, subject, report, app.clock.now())?;
    Ok(app.objects.put(signed.to_json()?.into()).await?)
}
