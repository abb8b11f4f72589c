//! Screening: everybody above the public gate answers some fresh items, the best answer more, and who is decided follows.
//!
//! Outputs alone are asked for; a latency is the submission's own. Each answer is stored before the next is asked for, so a
//! crash repeats one. Who gets a place is `referee::screening`'s.

use super::field::{self, Field};
use super::{Advanced, RoundError, Turn, draw};
use crate::breaker;
use crate::copies::{FreshAnswers, on_fresh_items};
use crate::evaluator::{self, package_of};
use crate::materials;
use crate::wanted::while_wanted;
use datasets::Logits;
use datasets::hidden::Seen;
use protocol::SubmissionId;
use protocol::dethrone::{Rule, Verdict};
use protocol::evaluation::Screened;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest, Items, Order, PackageBytes, Scope};
use protocol::latency::{self, LatencyVerdict};
use protocol::leaf::{LeftOut, LeftOutCode};
use protocol::round::{EntryRole, Step};
use protocol::submission::{Code, State};
use referee::screening::{finalists, select};
use referee::{Candidate, Contestant, Merit, Referee, Stage};
use std::collections::HashMap;
use std::sync::Arc;
use store::db::rounds::{self, Contender, Entry};
use store::db::submissions::Submission;
use store::failpoints::{self, Change, Moment};

/// A member of a round, and why it is asked nothing, if it isn't.
pub(super) struct Member {
    pub(super) submission: SubmissionId,
    pub(super) role: EntryRole,
    pub(super) verdict: Option<Verdict>,
}

/// The champion and everybody who is in time and was not put out for good.
pub(super) async fn members(
    turn: &Turn<'_>,
    champion: Option<&SubmissionId>,
    closes_at: u64,
) -> Result<Vec<Member>, RoundError> {
    let copies = turn.copies().await?;
    let referee = turn.referee(Default::default());
    let member = |contender: Contender| {
        let sits = Some(&contender.submission) == champion;
        let breach = matches!(latency::judge(&contender.report.latency), LatencyVerdict::Breach(_));
        let left_out = match (contender.score.gate, copies.contains_key(&contender.submission), breach) {
            _ if sits => None,
            (false, ..) => Some(Rule::BelowGate),
            (_, true, _) => Some(Rule::NearCopy),
            (.., true) => Some(Rule::LatencyBreach),
            _ => None,
        };
        Member {
            submission: contender.submission,
            role: if sits { EntryRole::Champion } else { EntryRole::Screened },
            verdict: left_out.map(|rule| referee.verdict_without_bout(rule, 0)),
        }
    };
    let contenders = turn.app.db.contenders(&turn.round.competition, closes_at).await?;
    Ok(contenders.into_iter().map(member).collect())
}

/// Who was announced before the close and is no member, which the public log states; an end has a leaf of its own.
pub(super) async fn left_out(turn: &Turn<'_>, members: &[Member], closes_at: u64) -> Result<Vec<LeftOut>, RoundError> {
    let announced = turn.app.db.announced_before(&turn.round.competition, closes_at).await?;
    let others = announced.into_iter().filter(|(id, _)| members.iter().all(|member| member.submission != *id));
    let stated = |(submission, in_time)| {
        let code = if in_time { LeftOutCode::NotMeasured } else { LeftOutCode::FilesLate };
        let (competition, round) = (turn.round.competition.clone(), turn.round.number);
        LeftOut { competition, round, submission, code, blame: code.blame(), at: turn.app.clock.now() }
    };
    Ok(others.map(stated).collect())
}

/// Screens whoever isn't screened yet, and settles who is decided.
pub(super) async fn screen(turn: &Turn<'_>) -> Result<Advanced, RoundError> {
    let cut = turn.needed("items", turn.round.record.drawn.as_ref())?.cut;
    let asked: Vec<SubmissionId> = entries(turn).await?.into_iter().filter(is_asked).map(|it| it.submission).collect();
    ask(turn, &asked, cut.first).await?;
    find_copies(turn).await?;
    let first = Pool::of(turn).await?;
    let rules = &turn.stored.competition.manifest.rounds;
    let best = finalists(first.candidates.clone(), rules, first.champion.as_ref());
    ask(turn, &best, cut.second).await?;

    let second = Pool::of(turn).await?;
    let selection = select(second.candidates, rules, second.champion.as_ref());
    let seen = second.seen.into_iter().map(|(member, seen)| (member, Seen { least_ppm: selection.least_ppm, ..seen }));
    let mut record = turn.round.record.clone();
    record.shared_by = selection.shared_by;
    let referee = turn.referee(Default::default());
    let mut tx = turn.app.db.write().await?;
    turn.moved_in(&mut tx, Step::Screened, &record).await?;
    for submission in &selection.decided {
        rounds::set_challenger(&mut tx, &turn.round, submission).await?;
    }
    let waiting = selection.waiting.iter().map(|submission| (submission, Rule::Screened));
    let out = second.out_of_reach.iter().map(|submission| (submission, Rule::BelowHiddenGate));
    let copies = second.copies.iter().map(|submission| (submission, Rule::NearCopy));
    for (submission, rule) in waiting.chain(out).chain(copies) {
        let verdict = referee.verdict_without_bout(rule, selection.shared_by);
        rounds::set_verdict(&mut tx, &turn.round, submission, &verdict).await?;
    }
    for (submission, seen) in seen {
        rounds::set_seen(&mut tx, &turn.round, &submission, &seen).await?;
    }
    failpoints::commit(tx, Change::Round(Step::Screened)).await?;
    Ok(turn.told(Step::Screened))
}

async fn entries(turn: &Turn<'_>) -> Result<Vec<Entry>, RoundError> {
    Ok(turn.app.db.round_entries(&turn.round.competition, turn.round.number).await?)
}

fn is_screened(entry: &Entry) -> bool {
    entry.role == EntryRole::Screened && is_asked(entry)
}

/// The champion is asked, too: whoever says the same as it is its copy.
fn is_asked(entry: &Entry) -> bool {
    entry.verdict.is_none() && entry.failure.is_none()
}

/// Compares what everybody said of the first fresh items: a function that differs from another on nothing real is its copy,
/// whatever its shape.
async fn find_copies(turn: &Turn<'_>) -> Result<(), RoundError> {
    let drawn = turn.needed("items", turn.round.record.drawn.as_ref())?;
    if drawn.cut.first < ::copies::FRESH_ITEMS_MIN {
        return Ok(());
    }
    let objects = &turn.app.objects;
    let teacher = Logits::from_bytes(&objects.get(&drawn.teacher_logits.sha256).await?)?;
    let mut answers = Vec::new();
    for entry in entries(turn).await? {
        let Some(screened) = entry.screening else { continue };
        let logits = Logits::from_bytes(&objects.get(&screened.logits.sha256).await?)?.values;
        answers.push(FreshAnswers { submission: entry.submission, logits });
    }
    let fixed = drawn.fixed as usize * teacher.classes as usize;
    let fresh = teacher.values.get(fixed..).unwrap_or_default().to_vec();
    on_fresh_items(turn.app, &turn.round.competition, answers, fresh, teacher.classes).await?;
    Ok(())
}

/// Who may be decided, by what screening found so far.
struct Pool {
    candidates: Vec<Candidate<SubmissionId>>,
    /// Below the gate beyond doubt: out for good.
    out_of_reach: Vec<SubmissionId>,
    /// Found to be copies by what they said of fresh items.
    copies: Vec<SubmissionId>,
    /// The owner of the champion.
    champion: Option<protocol::Hotkey>,
    /// What everybody's answers came to.
    seen: Vec<(SubmissionId, Seen)>,
}

impl Pool {
    async fn of(turn: &Turn<'_>) -> Result<Self, RoundError> {
        let Field { contestants, drawn, .. } = field::of(turn).await?;
        let waited = turn.app.db.waited(&turn.round.competition, turn.round.number).await?;
        let sitting = turn.round.record.champion_before.as_ref();
        let champion = field::owner_of(turn.app, &turn.round.competition, sitting).await?;
        let left_out: Vec<SubmissionId> =
            entries(turn).await?.into_iter().filter(|entry| !is_screened(entry)).map(|it| it.submission).collect();
        let (candidates, out_of_reach, copies, seen) = Default::default();
        let mut pool = Self { candidates, out_of_reach, copies, champion, seen };
        let referee = turn.referee(drawn);
        for contestant in contestants.iter().filter(|it| !left_out.contains(&it.submission)) {
            pool.take(&referee, contestant, &waited);
        }
        Ok(pool)
    }

    fn take(&mut self, referee: &Referee, contestant: &Contestant, waited: &HashMap<SubmissionId, (u32, bool)>) {
        if contestant.copy_of.is_some() {
            return self.copies.push(contestant.submission.clone());
        }
        let Some(screened) = referee.merit(&contestant.evidence, Stage::Screening) else { return };
        let all = referee.merit(&contestant.evidence, Stage::All);
        if let Some(all) = all.filter(|all| all.out_of_reach) {
            self.see(referee, contestant, Stage::All, (all, None));
            return self.out_of_reach.push(contestant.submission.clone());
        }
        if !screened.above_gate {
            return self.see(referee, contestant, Stage::Screening, (screened, None));
        }
        let (waited_rounds, decided_before) = waited.get(&contestant.submission).copied().unwrap_or_default();
        let candidate = Candidate {
            key: contestant.submission.clone(),
            owner: contestant.owner,
            arrival: contestant.arrival,
            composite_ppm: screened.composite_ppm,
            waited_rounds,
            decided_before,
        };
        self.see(referee, contestant, Stage::Screening, (screened, Some(candidate.standing_ppm())));
        self.candidates.push(candidate);
    }

    fn see(&mut self, referee: &Referee, of: &Contestant, stage: Stage, (merit, standing_ppm): (Merit, Option<i64>)) {
        let teacher_correct = referee.ceiling(&of.evidence, stage).unwrap_or_default().correct;
        let Merit { items, correct, .. } = merit;
        self.seen
            .push((of.submission.clone(), Seen { items, correct, teacher_correct, standing_ppm, least_ppm: None }));
    }
}

/// Asks everybody for outputs on the first `count` fresh items, but for those that answered as many.
async fn ask(turn: &Turn<'_>, submissions: &[SubmissionId], count: u32) -> Result<(), RoundError> {
    if count == 0 || submissions.is_empty() {
        return Ok(());
    }
    let materials = turn.app.materials.of(&turn.app.objects, turn.stored).await?;
    let items = draw::fresh_items(turn, count).await?;
    for entry in entries(turn).await?.into_iter().filter(|entry| submissions.contains(&entry.submission)) {
        let answered = entry.screening.is_some_and(|screened| screened.items >= count);
        if is_asked(&entry) && !answered {
            ask_one(turn, &entry, &items, &materials.reference).await?;
        }
    }
    Ok(())
}

async fn ask_one(turn: &Turn<'_>, entry: &Entry, items: &Items, reference: &PackageBytes) -> Result<(), RoundError> {
    let (app, id) = (turn.app, &entry.submission);
    let Items { inputs, truth } = items.clone();
    let order = Order {
        candidate: materials::submitted(app, id).await?,
        reference: reference.clone(),
        inputs,
        probes: Arc::from([]),
        expected: None,
        engine: turn.stored.competition.manifest.engine,
        backends: Vec::new(),
        scope: Scope::OutputsOnly,
        // Outputs follow from the package and the items: no seed decides them.
        seed: 0,
        wall_seconds_max: turn.stored.competition.manifest.limits.evaluation_seconds_max,
        memory_bytes_max: app.config.limits.evaluation_memory_bytes_max,
    };
    match turn.measured(entry, EvaluationRequest::new(order, truth)).await {
        Ok(evaluation) => {
            let outcomes = app.objects.put(evaluation.outcomes.to_bytes().into()).await?;
            let outputs_sha256 = evaluation.report.outputs_sha256;
            let count = evaluation.report.data.items;
            let classes = u32::try_from(turn.stored.competition.manifest.labels.len()).unwrap_or(u32::MAX);
            let logits = Logits { count, classes, values: evaluation.logits }.to_bytes()?;
            let logits = app.objects.put(logits.into()).await?;
            let screened = Screened { outcomes, outputs_sha256, logits, items: count };
            app.db.set_screening(&turn.round, id, &screened).await?;
        }
        Err(failure) => turn.not_measured(entry, failure).await?,
    }
    Ok(failpoints::at(Moment::RoundScreened)?)
}

impl Turn<'_> {
    /// Measures a member once the machine is free, unless it is taken out of the competition before that is over.
    pub(super) async fn measured(
        &self,
        entry: &Entry,
        request: EvaluationRequest,
    ) -> Result<Evaluation, EvaluationFailure> {
        let (app, package) = (self.app, package_of(&request));
        let measuring = async {
            let _place = app.measuring_a_round.lock().await;
            evaluator::measured(app.evaluator.as_ref(), request, package).await
        };
        let competes = |now: &Submission| now.state == State::Scored;
        let measured = while_wanted(&app.db, &entry.submission, competes, measuring).await;
        measured.unwrap_or_else(|| Err(Code::Disqualified.because("taken out before it was measured".into()).into()))
    }

    /// Says why a member has no measurement: its own fault at once, ours after so many attempts.
    ///
    /// # Errors
    /// While a failure of ours is worth another try.
    pub(super) async fn not_measured(&self, entry: &Entry, failure: EvaluationFailure) -> Result<(), RoundError> {
        let (app, id) = (self.app, &entry.submission);
        let failure = match failure {
            EvaluationFailure::Package(rejection) => rejection.to_string(),
            failure @ EvaluationFailure::Infrastructure(_) => {
                if breaker::is_everybodys(app, &self.round.competition).await {
                    return Err(RoundError::Evaluation { who: id.to_string(), failure });
                }
                app.db.count_round_attempt(&self.round, id).await?;
                failpoints::at(Moment::RoundAttempt)?;
                if entry.attempts + 1 < app.config.limits.evaluation_attempts_max {
                    return Err(RoundError::Evaluation { who: id.to_string(), failure });
                }
                // Everybody will see the entry; what happened inside is the operator's alone.
                tracing::error!(submission.id = %id, round = self.round.number, "the engine failed: {failure}");
                "infrastructure: the measurement failed on the validator's side".to_owned()
            }
        };
        tracing::warn!(submission.id = %id, round = self.round.number, "{id} can't be measured: {failure}");
        app.db.set_result(&self.round, id, Err(&failure)).await?;
        Ok(failpoints::at(Moment::RoundResult)?)
    }
}
