//! Screening: everybody above the public gate answers some fresh items, the best answer more, and who is decided follows.
//!
//! Outputs alone are asked for; a latency is the submission's own. They are asked, and the round goes on when all have answered. Who
//! gets a place is `referee::screening`'s.

use super::field::{self, Field};
use super::{Advanced, RoundError, Turn};
use crate::copies::{FreshAnswers, on_fresh_items};
use datasets::Logits;
use datasets::hidden::Seen;
use protocol::SubmissionId;
use protocol::dethrone::{Rule, Verdict};
use protocol::latency::{self, LatencyVerdict};
use protocol::leaf::{LeftOut, LeftOutCode};
use protocol::round::{EntryRole, Step};
use referee::screening::{finalists, select};
use referee::{Candidate, Contestant, Merit, Referee, Stage};
use std::collections::HashMap;
use store::db::rounds::{self, Contender, RoundEntry};
use store::db::work;
use store::failpoints::{self, Change};

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

/// Has whoever isn't screened yet screened, and settles who is decided once all have answered.
pub(super) async fn screen(turn: &Turn<'_>) -> Result<Advanced, RoundError> {
    if let Some(waits) = turn.waits().await? {
        return Ok(waits);
    }
    let cut = turn.needed("items", turn.round.record.drawn.as_ref())?.cut;
    if let Some(waits) = ask(turn, None, cut.first).await? {
        return Ok(waits);
    }
    find_copies(turn).await?;
    let first = Pool::of(turn, cut.first).await?;
    let rules = &turn.stored.competition.manifest.rounds;
    let best = finalists(first.candidates.clone(), rules, first.champion.as_ref());
    if let Some(waits) = ask(turn, Some(&best), cut.second).await? {
        return Ok(waits);
    }
    settle(turn, cut.second).await
}

/// Settles who is decided, by all answers.
async fn settle(turn: &Turn<'_>, answered: u32) -> Result<Advanced, RoundError> {
    let rules = &turn.stored.competition.manifest.rounds;
    let second = Pool::of(turn, answered).await?;
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

async fn entries(turn: &Turn<'_>) -> Result<Vec<RoundEntry>, RoundError> {
    Ok(turn.app.db.round_entries(&turn.round.competition, turn.round.number).await?)
}

fn is_screened(entry: &RoundEntry) -> bool {
    entry.role == EntryRole::Screened && is_asked(entry)
}

/// The champion is asked, too: whoever says the same as it is its copy.
fn is_asked(entry: &RoundEntry) -> bool {
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
    /// By everybody's answers to the first `items` of the round: who was asked for more is looked at by no more while others weren't,
    /// whenever this step is taken again.
    async fn of(turn: &Turn<'_>, items: u32) -> Result<Self, RoundError> {
        let Field { mut contestants, drawn, .. } = field::of(turn).await?;
        for contestant in &mut contestants {
            contestant.evidence = std::mem::take(&mut contestant.evidence).to_screen();
            if let Some(sheet) = contestant.evidence.sheets.get_mut(&turn.round.number) {
                *sheet = sheet.first(items);
            }
        }
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

/// Asks everybody, or these, for outputs on the first `count` fresh items, but for those that answered as many; `None` when all
/// did.
async fn ask(turn: &Turn<'_>, of: Option<&[SubmissionId]>, count: u32) -> Result<Option<Advanced>, RoundError> {
    let is_due = |entry: &RoundEntry| {
        let answered = entry.screening.is_some_and(|screened| screened.items >= count);
        is_asked(entry) && !answered && of.is_none_or(|of| of.contains(&entry.submission))
    };
    let due: Vec<_> = entries(turn).await?.into_iter().filter(is_due).map(|entry| entry.submission).collect();
    if count == 0 || due.is_empty() {
        return Ok(None);
    }
    Ok(Some(turn.ask_members(due.into_iter(), work::Stage::Screening { items: count }).await?))
}
