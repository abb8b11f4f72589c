//! What a round has measured: it asks by writing rows (`store::db::work`), and goes on when they are answered.
//!
//! What a member is asked and what is made of its answer is said here, too, from rows alone: whoever measures got only the order, and
//! whoever brings an answer need not have given it. It doesn't know who measures, when, or how often.

use super::{Advanced, RoundError, Turn, draw};
use crate::app::App;
use crate::materials;
use datasets::Logits;
use protocol::competition::ObjectRef;
use protocol::digest::canonical_json;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest, Items, Order, Scope, Screened};
use protocol::receipt::Subject;
use protocol::{CompetitionId, Digest, Receipt, Report, SubmissionId};
use std::sync::Arc;
use store::db::attempts::Begun;
use store::db::competitions::StoredCompetition;
use store::db::rounds::{EntryResult, Round};
use store::db::work::{self, Asked, Member, Stage, Told};
use store::failpoints::{self, Change};

/// What a member of a round is asked, and the truth that stays here; or why nothing can be, which is its package's.
///
/// # Errors
/// When what the round asks of everybody can't be had.
pub async fn request(
    app: &App,
    competition: &CompetitionId,
    Member { round, submission, stage }: &Member,
    begun: Option<Begun>,
) -> Result<Result<EvaluationRequest, EvaluationFailure>, RoundError> {
    let (stored, round) = under_way(app, competition, *round).await?;
    let turn = Turn { app, stored: &stored, round };
    let Items { inputs, truth } = turn.items(*stage).await?;
    let reference = app.materials.of(&app.objects, &stored).await?.reference.clone();
    let candidate = match materials::submitted(app, submission).await {
        Ok(candidate) => candidate,
        Err(error) => return Ok(Err(EvaluationFailure::Infrastructure(error.to_string()))),
    };
    let order = Order {
        candidate,
        reference,
        inputs,
        probes: Arc::from([]),
        expected: None,
        engine: turn.engine().engine,
        // Here a bit may matter.
        backends: Vec::new(),
        scope: match stage {
            Stage::Screening { .. } => Scope::OutputsOnly,
            Stage::Decision => Scope::Full,
        },
        // Outputs follow from the package and the items: no seed decides them.
        seed: begun.map_or(0, |begun| begun.seed),
        wall_seconds_max: stored.competition.manifest.limits.evaluation_seconds_max,
        memory_bytes_max: app.config.limits.evaluation_memory_bytes_max,
    };
    Ok(Ok(EvaluationRequest::new(order, truth)))
}

/// Stores a member's answers to fresh items.
///
/// # Errors
/// When the object store fails.
pub async fn screened(app: &App, evaluation: Evaluation) -> Result<Screened, RoundError> {
    let outcomes = app.objects.put(evaluation.outcomes.to_bytes().into()).await?;
    let outputs_sha256 = evaluation.report.outputs_sha256;
    let items = evaluation.report.data.items;
    let logits = Logits::of_items(items, evaluation.logits).to_bytes()?;
    let logits = app.objects.put(logits.into()).await?;
    Ok(Screened { outcomes, outputs_sha256, logits, items })
}

/// Stores what was measured on a member, with the validator's signature under it; it is the measurement of this number.
///
/// # Errors
/// When it can't be signed for, or the database or the object store fails.
pub async fn measured(
    app: &App,
    competition: &CompetitionId,
    (member, number): (&Member, u64),
    evaluation: Evaluation,
) -> Result<EntryResult, RoundError> {
    let (stored, round) = under_way(app, competition, member.round).await?;
    let turn = Turn { app, stored: &stored, round };
    let samples_object = app.objects.put(evaluation.latency_samples.into()).await?;
    let report_object = app.objects.put(canonical_json(&evaluation.report)?.into()).await?;
    let outcomes_object = app.objects.put(evaluation.outcomes.to_bytes().into()).await?;
    let numbered = (&member.submission, number);
    let receipt_object = signed(&turn, numbered, &evaluation.report, outcomes_object.sha256).await?;
    let right = &evaluation.outcomes.values().right;
    let clean = stored.competition.manifest.data.public_items as usize;
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
        worker: None,
        data_root: Digest::from(round.record.commitment.root),
        outcomes_sha256,
    };
    let signed = Receipt::issue(&app.keypair, subject, report, app.clock.now())?;
    Ok(app.objects.put(signed.to_json()?.into()).await?)
}

async fn under_way(
    app: &App,
    competition: &CompetitionId,
    number: u64,
) -> Result<(StoredCompetition, Round), RoundError> {
    let unknown = || RoundError::UnknownRound { competition: competition.clone(), round: number };
    let stored = app.db.competition(competition).await?.ok_or_else(unknown)?;
    let round = app.db.round(competition, number).await?.ok_or_else(unknown)?;
    Ok((stored, round))
}

impl Turn<'_> {
    /// Whether the round waits for answers.
    pub(super) async fn waits(&self) -> Result<Option<Advanced>, RoundError> {
        let left = self.app.db.unanswered(&self.round.competition, self.round.number).await?;
        Ok((left > 0).then_some(Advanced::Measuring(left)))
    }

    /// Asks all of it at once, but for what is asked already.
    pub(super) async fn ask(&self, questions: &[Asked]) -> Result<Advanced, RoundError> {
        let mut tx = self.app.db.write().await?;
        for asked in questions {
            work::ask(&mut tx, &self.round.competition, asked, None, self.app.clock.now()).await?;
        }
        failpoints::commit(tx, Change::Asked).await?;
        self.app.signals.queue.notify_one();
        Ok(Advanced::Measuring(questions.len() as u64))
    }

    /// Asks members the same, in this order.
    pub(super) async fn ask_members(
        &self,
        members: impl Iterator<Item = SubmissionId>,
        stage: Stage,
    ) -> Result<Advanced, RoundError> {
        let round = self.round.number;
        let asked = |submission| Asked::RoundEntry(Member { round, submission, stage });
        self.ask(&members.map(asked).collect::<Vec<_>>()).await
    }

    /// What was said to this very question; it is asked if it wasn't.
    pub(super) async fn answer_to(&self, asked: Asked) -> Result<Option<Told>, RoundError> {
        let piece = self.app.db.piece(&self.round.competition, &asked).await?;
        let answer = piece.filter(|piece| piece.asked == asked).and_then(|piece| piece.answer);
        if let Some(told @ Told::Said { .. }) = answer {
            return Ok(Some(told));
        }
        self.ask(&[asked]).await?;
        Ok(None)
    }

    /// The items of a stage. They are the same for all members, so the last ones are kept.
    async fn items(&self, stage: Stage) -> Result<Items, RoundError> {
        let (app, asked) = (self.app, (self.round.number, stage));
        if let Some(items) = app.asked.of(&self.round.competition, asked).await {
            return Ok(items);
        }
        let items = match stage {
            Stage::Screening { items } => draw::fresh_items(self, items).await?,
            Stage::Decision => {
                let materials = app.materials.of(&app.objects, self.stored).await?;
                draw::round_items(self, &materials).await?
            }
        };
        app.asked.keep(&self.round.competition, asked, items.clone()).await;
        Ok(items)
    }
}
