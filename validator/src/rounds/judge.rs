//! Judging: who meets the champion on hidden items, who takes the seat, and in which order the others stand.
//!
//! What is decided is a pure function of stored outcomes and the manifest's rules (`referee`), so anybody can do it
//! again once the round is revealed.

use super::referee::{Fighter, Referee, in_breach};
use super::{Advanced, RoundError, Turn, pay};
use crate::db::rounds::{self, Contender, EntryRole, Step};
use crate::failpoints::{self, Change};
use protocol::SubmissionId;
use protocol::dethrone::{Bout, Incumbent, Rule, Verdict, judge as judge_bout};
use protocol::outcomes::Outcomes;
use std::cmp::Reverse;

/// Who is to be measured in the round, or why not.
pub(super) struct Member {
    pub(super) submission: SubmissionId,
    pub(super) role: EntryRole,
    /// On public items.
    pub(super) verdict: Option<Verdict>,
}

/// A contender with its answers to public items.
struct Candidate {
    contender: Contender,
    outcomes: Outcomes,
    near_copy: bool,
}

/// The champion and whoever may challenge it. With the seat empty, the best on public items compete for it.
pub(super) async fn members(
    turn: &Turn<'_>,
    champion: Option<SubmissionId>,
    closes_at: u64,
) -> Result<Vec<Member>, RoundError> {
    let candidates = candidates(turn, closes_at).await?;
    let most = turn.stored.competition.manifest.rounds.challengers_max as usize;
    let Some(champion) = champion else {
        return Ok(for_an_empty_seat(candidates, most));
    };
    let referee = Referee::on_public_items(&turn.stored.competition, turn.stored.sha256, turn.champion_age_seconds());
    Ok(tokio::task::spawn_blocking(move || on_public_items(&referee, &champion, candidates, most)).await?)
}

async fn candidates(turn: &Turn<'_>, closes_at: u64) -> Result<Vec<Candidate>, RoundError> {
    let copies = super::copies(turn.app, &turn.round.competition).await?;
    let mut candidates = Vec::new();
    for contender in turn.app.db.contenders(&turn.round.competition, closes_at).await? {
        let outcomes = Outcomes::from_bytes(&turn.app.objects.get(&contender.outcomes_sha256).await?)?;
        let near_copy = copies.contains_key(&contender.submission);
        candidates.push(Candidate { contender, outcomes, near_copy });
    }
    Ok(candidates)
}

fn for_an_empty_seat(candidates: Vec<Candidate>, most: usize) -> Vec<Member> {
    let able = |candidate: &Candidate| {
        candidate.contender.score.gate && !candidate.near_copy && !in_breach(&candidate.contender.report)
    };
    let mut able: Vec<Contender> = candidates.into_iter().filter(able).map(|candidate| candidate.contender).collect();
    able.sort_by_key(|contender| (Reverse(contender.score.composite.value_ppm), contender.arrival));
    let member = |(place, contender): (usize, Contender)| Member {
        submission: contender.submission,
        role: if place < most { EntryRole::Challenger } else { EntryRole::Outsider },
        verdict: None,
    };
    able.into_iter().enumerate().map(member).collect()
}

/// Everybody against the champion on public items; the most significant meet it on hidden ones.
fn on_public_items(referee: &Referee, champion: &SubmissionId, candidates: Vec<Candidate>, most: usize) -> Vec<Member> {
    let incumbent = candidates.iter().find(|candidate| candidate.contender.submission == *champion);
    let incumbent = incumbent.map(|candidate| candidate.outcomes.clone());
    let against = incumbent.as_ref().map_or(Incumbent::NotMeasured, Incumbent::Measured);
    let judged = |candidate: Candidate| {
        let bout = referee.bout(against, Some((&candidate.contender.report, &candidate.outcomes)));
        let verdict = judge_bout(&Bout { near_copy: candidate.near_copy, ..bout });
        (candidate.contender, verdict)
    };
    let others = candidates.into_iter().filter(|candidate| candidate.contender.submission != *champion);
    let mut judged: Vec<(Contender, Verdict)> = others.map(judged).collect();
    let qualifies = |verdict: &Verdict| verdict.rule == Rule::Qualified;
    let p_ppb = |verdict: &Verdict| verdict.public.map_or(u64::MAX, |public| public.p.ppb());
    judged.sort_by_key(|(contender, verdict)| (!qualifies(verdict), p_ppb(verdict), contender.arrival));
    let member = |(place, (contender, verdict)): (usize, (Contender, Verdict))| Member {
        submission: contender.submission,
        role: if place < most && qualifies(&verdict) { EntryRole::Challenger } else { EntryRole::Outsider },
        verdict: Some(verdict),
    };
    let champion = Member { submission: champion.clone(), role: EntryRole::Champion, verdict: None };
    std::iter::once(champion).chain(judged.into_iter().enumerate().map(member)).collect()
}

/// Gives the seat and writes every verdict.
pub(super) async fn judge(turn: &Turn<'_>) -> Result<Advanced, RoundError> {
    let drawn = turn.needed("items", turn.round.record.drawn.clone())?;
    let fighters = fighters(turn).await?;
    let age = turn.champion_age_seconds();
    let referee = Referee::new(&turn.stored.competition, drawn.known_ceiling, age, drawn.seed);
    let (fresh, seat_is_taken) = (drawn.fresh_ceiling, turn.round.record.champion_before.is_some());
    let decision = tokio::task::spawn_blocking(move || referee.decide(&fighters, fresh, seat_is_taken)).await?;

    let mut record = turn.round.record.clone();
    record.champion_age_seconds = age;
    if decision.successor.is_some() {
        record.crowned_at = turn.closed_at();
    }
    let won = |submission: &SubmissionId| decision.verdicts.iter().find(|(challenger, _)| challenger == submission);
    let verdict = decision.successor.as_ref().and_then(won).map(|(_, verdict)| verdict);
    let margin_ppm = verdict.and_then(|verdict| Some(verdict.hidden?.composite.value_ppm));
    record.champion = decision.successor.clone().or(record.champion_before.clone());
    // The judgement is what it is, since everybody can repeat it; but who was disqualified since the draw isn't paid.
    let paid = match record.champion.clone() {
        Some(champion) => super::still_competes(turn.app, champion).await?,
        None => None,
    };
    let (weights, settled) = pay::settle(turn, paid, margin_ppm).await?;
    (record.weights, record.settled) = (weights, Some(settled));
    let mut tx = turn.app.db.write().await?;
    turn.moved_in(&mut tx, Step::Judged, &record).await?;
    for (submission, verdict) in &decision.verdicts {
        rounds::set_verdict(&mut tx, &turn.round, submission, verdict).await?;
    }
    failpoints::commit(tx, Change::Round(Step::Judged)).await?;
    turn.app.board.changed(&turn.round.competition);
    Ok(turn.told(Step::Judged))
}

/// Everybody who was to be measured, with what was.
async fn fighters(turn: &Turn<'_>) -> Result<Vec<Fighter>, RoundError> {
    let entries = turn.app.db.round_entries(&turn.round.competition, turn.round.number).await?;
    let mut fighters = Vec::new();
    for entry in entries.into_iter().filter(|entry| entry.role != EntryRole::Outsider) {
        let measured = match entry.result {
            Some(result) => {
                let outcomes = turn.app.objects.get(&result.outcomes_object.sha256).await?;
                Some((result.report, Outcomes::from_bytes(&outcomes)?))
            }
            None => None,
        };
        fighters.push(Fighter { submission: entry.submission, role: entry.role, arrival: entry.arrival, measured });
    }
    Ok(fighters)
}
