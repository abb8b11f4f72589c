//! Judging: who meets the champion on hidden items, who takes the seat, and in which order the others stand.
//!
//! Everything is a pure function of stored outcomes and the manifest's rules, so anybody can do it again once the round
//! is revealed: `retort verify round`.

use super::{Advanced, RoundError, Turn, pay};
use crate::db::DbError;
use crate::db::rounds::{self, Contender, Entry, EntryResult, EntryRole, Step};
use protocol::dethrone::{Bout, HiddenStage, Incumbent, Successor, Verdict, crown, judge as judge_bout};
use protocol::latency::{self, LatencyVerdict};
use protocol::outcomes::Outcomes;
use protocol::score::{Ceiling, Scale, ScoreRules, share_ppm};
use protocol::significance::{Part, Replicates, Round as ResampleRound};
use protocol::{Digest, Report, SubmissionId};
use std::cmp::Reverse;
use std::num::NonZeroU32;

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
pub(super) async fn members(turn: &Turn<'_>, closes_at: u64) -> Result<Vec<Member>, RoundError> {
    let candidates = candidates(turn, closes_at).await?;
    let most = turn.stored.competition.manifest.rounds.challengers_max as usize;
    let champion = turn.round.record.champion_before.clone();
    let Some(champion) = champion else { return Ok(for_an_empty_seat(candidates, most)) };
    let judging = Judging::of(turn, turn.stored.sha256);
    let judged = tokio::task::spawn_blocking(move || judging.on_public_items(&champion, candidates, most)).await?;
    Ok(judged)
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
    let mut able: Vec<Contender> = candidates
        .into_iter()
        .filter(|candidate| candidate.contender.score.gate && !candidate.near_copy)
        .map(|candidate| candidate.contender)
        .filter(|contender| !in_breach(&contender.report))
        .collect();
    able.sort_by_key(|contender| (Reverse(contender.score.composite.value_ppm), contender.arrival));
    let member = |(place, contender): (usize, Contender)| Member {
        submission: contender.submission,
        role: if place < most { EntryRole::Challenger } else { EntryRole::Outsider },
        verdict: None,
    };
    able.into_iter().enumerate().map(member).collect()
}

/// The rules and what they are applied to.
struct Judging {
    score: ScoreRules,
    rules: protocol::dethrone::DethroneRules,
    public_ceiling: Ceiling,
    champion_age_seconds: u64,
    seed: Digest,
}

impl Judging {
    fn of(turn: &Turn<'_>, seed: Digest) -> Self {
        let (manifest, teacher) = (&turn.stored.competition.manifest, &turn.stored.competition.teacher);
        Self {
            score: manifest.score.clone(),
            rules: manifest.dethrone,
            public_ceiling: Ceiling { correct: teacher.correct, items: teacher.items },
            champion_age_seconds: turn.round.changed_at.saturating_sub(turn.round.record.crowned_at),
            seed,
        }
    }

    fn bout<'a>(
        &'a self,
        champion: Incumbent<'a>,
        report: Option<&Report>,
        outcomes: Option<&'a Outcomes>,
    ) -> Bout<'a> {
        let verdict = report.map(|report| latency::judge(&report.latency));
        Bout {
            champion,
            champion_age_seconds: self.champion_age_seconds,
            challenger: outcomes,
            latency_stable: verdict.is_some_and(|verdict| !matches!(verdict, LatencyVerdict::Unstable(_))),
            latency_compliant: verdict.is_some_and(|verdict| !matches!(verdict, LatencyVerdict::Breach(_))),
            near_copy: false,
            score: &self.score,
            rules: &self.rules,
            public_ceiling: self.public_ceiling,
            hidden: None,
            seed: self.seed,
        }
    }

    /// Everybody against the champion on public items; the most significant meet it on hidden ones.
    fn on_public_items(&self, champion: &SubmissionId, candidates: Vec<Candidate>, most: usize) -> Vec<Member> {
        let incumbent = candidates.iter().find(|candidate| candidate.contender.submission == *champion);
        let incumbent = incumbent.map(|candidate| candidate.outcomes.clone());
        let against = incumbent.as_ref().map_or(Incumbent::NotMeasured, Incumbent::Measured);
        let judged = |candidate: Candidate| {
            let bout = self.bout(against, Some(&candidate.contender.report), Some(&candidate.outcomes));
            let verdict = judge_bout(&Bout { near_copy: candidate.near_copy, ..bout });
            (candidate.contender, verdict)
        };
        let others = candidates.into_iter().filter(|candidate| candidate.contender.submission != *champion);
        let mut judged: Vec<(Contender, Verdict)> = others.map(judged).collect();
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
}

fn qualifies(verdict: &Verdict) -> bool {
    verdict.rule == protocol::dethrone::Rule::Qualified
}

fn in_breach(report: &Report) -> bool {
    matches!(latency::judge(&report.latency), LatencyVerdict::Breach(_))
}

/// Gives the seat and writes every verdict.
pub(super) async fn judge(turn: &Turn<'_>) -> Result<Advanced, RoundError> {
    let drawn = turn.needed("items", turn.round.record.drawn.clone())?;
    let entries = turn.app.db.round_entries(&turn.round.competition, turn.round.number).await?;
    let mut fighters = Vec::new();
    for entry in entries.into_iter().filter(|entry| entry.role != EntryRole::Outsider) {
        let outcomes = match &entry.result {
            Some(result) => Some(Outcomes::from_bytes(&turn.app.objects.get(&result.outcomes_object.sha256).await?)?),
            None => None,
        };
        let arrival = turn.app.db.submission(&entry.submission).await?.map_or(u64::MAX, |found| found.arrival);
        fighters.push(Fighter { entry, outcomes, arrival });
    }
    let judging = Judging { public_ceiling: drawn.known_ceiling, ..Judging::of(turn, drawn.seed) };
    let incumbent = turn.round.record.champion_before.clone();
    let fresh = drawn.fresh_ceiling;
    let (verdicts, successor) =
        tokio::task::spawn_blocking(move || judging.decide(&fighters, fresh, incumbent.is_some())).await?;

    let mut record = turn.round.record.clone();
    if successor.is_some() {
        record.crowned_at = turn.app.clock.now();
    }
    record.champion = successor.or(record.champion_before.clone());
    record.weights = pay::weights(turn, record.champion.as_ref()).await?;
    let mut tx = turn.app.db.write().await?;
    turn.moved_in(&mut tx, Step::Judged, &record).await?;
    for (submission, verdict) in &verdicts {
        rounds::set_verdict(&mut tx, &turn.round, submission, verdict).await?;
    }
    tx.commit().await.map_err(DbError::from)?;
    turn.app.board.changed(&turn.round.competition);
    Ok(turn.told(Step::Judged))
}

/// A measured member of the round.
struct Fighter {
    entry: Entry,
    outcomes: Option<Outcomes>,
    arrival: u64,
}

impl Fighter {
    fn report(&self) -> Option<&Report> {
        self.entry.result.as_ref().map(|EntryResult { report, .. }| report)
    }
}

impl Judging {
    /// The verdict on each challenger, and who takes the seat if anybody does.
    fn decide(
        &self,
        fighters: &[Fighter],
        fresh: Ceiling,
        seat_is_taken: bool,
    ) -> (Vec<(SubmissionId, Verdict)>, Option<SubmissionId>) {
        let challengers: Vec<&Fighter> =
            fighters.iter().filter(|fighter| fighter.entry.role == EntryRole::Challenger).collect();
        let mut verdicts = Vec::new();
        let mut winners = Vec::new();
        if seat_is_taken {
            let champion = fighters.iter().find(|fighter| fighter.entry.role == EntryRole::Champion);
            let champion = champion.and_then(|champion| champion.outcomes.as_ref());
            let against = champion.map_or(Incumbent::NotMeasured, Incumbent::Measured);
            let shared_by = NonZeroU32::new(challengers.len() as u32).unwrap_or(NonZeroU32::MIN);
            for fighter in &challengers {
                let bout = self.bout(against, fighter.report(), fighter.outcomes.as_ref());
                let verdict = judge_bout(&Bout { hidden: Some(HiddenStage { ceiling: fresh, shared_by }), ..bout });
                if verdict.rule.dethrones() {
                    winners.push(*fighter);
                }
                verdicts.push((fighter.entry.submission.clone(), verdict));
            }
        } else {
            winners.extend(challengers.iter().filter(|fighter| self.may_sit(fighter, fresh)));
        }
        (verdicts, self.successor(&winners, fresh))
    }

    /// Whether a model may take an empty seat: above the gate on everything, and no other while it is timed.
    fn may_sit(&self, fighter: &Fighter, fresh: Ceiling) -> bool {
        let (Some(outcomes), Some(report)) = (&fighter.outcomes, fighter.report()) else { return false };
        let values = outcomes.values();
        let above = |part: Part, ceiling: Ceiling| {
            let right = values.right.get(part.range(values)).unwrap_or_default();
            let correct = right.iter().filter(|right| **right).count() as u64;
            Scale::new(&self.score, ceiling).gate(share_ppm(correct, right.len() as u64))
        };
        above(Part::Public, self.public_ceiling) && above(Part::Hidden, fresh) && !in_breach(report)
    }

    /// The earliest among those that can't be told from the best on fresh items.
    fn successor(&self, winners: &[&Fighter], fresh: Ceiling) -> Option<SubmissionId> {
        let round = ResampleRound { part: Part::Hidden, seed: self.seed, ceiling: fresh, rules: &self.score };
        let drawn: Vec<(&Fighter, Replicates)> = winners
            .iter()
            .filter_map(|winner| Some((*winner, Replicates::draw(winner.outcomes.as_ref()?, &round)?)))
            .collect();
        let successors = drawn.iter().map(|(winner, hidden)| Successor {
            key: winner.entry.submission.clone(),
            arrival: winner.arrival,
            hidden,
        });
        crown(successors.collect())
    }
}
