//! The judgement of a round: verdicts on its challengers, who takes the seat, how everybody stands and by what margin the
//! champion is paid.
//!
//! It does NOT know how anything was measured, who is registered, or the ledger.

use crate::bout::{Bout, Incumbent, Successor, crown, dethrones, judge};
use crate::evidence::{Drawn, Evidence, Pooled, Stage};
use crate::merit::Merit;
use protocol::dethrone::{DethroneRules, Rule, Verdict};
use protocol::latency::{self, LatencyVerdict};
use protocol::reward::{Axes, Entrant, History, Standing};
use protocol::round::EntryRole;
use protocol::score::{Ceiling, ScoreRules};
use protocol::significance::{Basis, Difference, Pair, Part, Replicates};
use protocol::{Digest, Hotkey, SubmissionId, report};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// A round as its rules see it.
#[derive(Clone, Debug)]
pub struct Referee {
    score: ScoreRules,
    rules: DethroneRules,
    number: u64,
    /// The first round that the champion defended its seat in; evidence against it is pooled from there.
    reign_began: u64,
    champion_age_seconds: u64,
    seed: Digest,
    drawn: BTreeMap<u64, Drawn>,
}

/// A living member of a round, with everything that fresh items say of it.
#[derive(Clone, Debug)]
pub struct Contestant {
    /// Which.
    pub submission: SubmissionId,
    /// Whose.
    pub hotkey: Hotkey,
    /// Who owns that hotkey; itself where nobody else does.
    pub owner: Hotkey,
    /// Order of commitment.
    pub arrival: u64,
    /// Why it was measured.
    pub role: EntryRole,
    /// Its answers, this round's among them.
    pub evidence: Evidence,
    /// Its full measurement in this round, if it was decided.
    pub latency: Option<report::Latency>,
    /// Whether it is above the gate on public items.
    pub above_public_gate: bool,
    /// The earlier model that it is a copy of.
    pub copy_of: Option<SubmissionId>,
}

/// What came of the bouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// On each challenger; empty where the seat was.
    pub verdicts: Vec<(SubmissionId, Verdict)>,
    /// Who takes the seat, if anybody does.
    pub successor: Option<SubmissionId>,
}

/// Everything that a round decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The bouts.
    pub decision: Decision,
    /// Who holds the seat after them.
    pub champion: Option<SubmissionId>,
    /// Everybody's place, the best first.
    pub stands: Vec<Stand>,
    /// The same as the reward rules see it. Who of the entrants can be paid is the ledger's to say.
    pub standing: Standing,
}

/// A model in its place by fresh items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    /// Which.
    pub submission: SubmissionId,
    /// One more than the models of better groups; shared by a group.
    pub rank: u32,
    /// The group's leader minus this one on the items that both answered.
    pub behind_leader: Option<report::Estimate>,
    /// What it is worth.
    pub merit: Merit,
}

impl Referee {
    /// Of round `number`, drawn from `seed`. `drawn` holds the rounds that evidence rests on, this one among them.
    pub fn new(
        (score, rules): (ScoreRules, DethroneRules),
        (number, seed): (u64, Digest),
        (reign_began, champion_age_seconds): (u64, u64),
        drawn: BTreeMap<u64, Drawn>,
    ) -> Self {
        Self { score, rules, number, reign_began, champion_age_seconds, seed, drawn }
    }

    /// What a model is worth on a stage's items; `None` where it answered none of them.
    pub fn merit(&self, evidence: &Evidence, stage: Stage) -> Option<Merit> {
        Merit::of(&evidence.pooled(0, &self.drawn, stage)?, &self.score)
    }

    /// The teacher on the items that [`Self::merit`] counts: the gate is a share of its right answers.
    pub fn ceiling(&self, evidence: &Evidence, stage: Stage) -> Option<Ceiling> {
        Some(evidence.pooled(0, &self.drawn, stage)?.ceiling)
    }

    /// What was paid for before round `since`, by the clock that goes on from there: whoever was timed on its engine is worth what it
    /// is worth now, and of what the frontier took its latency is. What can't be timed again stays as it was.
    #[must_use]
    pub fn retimed(&self, mut history: History, contestants: &[Contestant], since: u64) -> History {
        let worth = |submission: &SubmissionId| {
            let contestant = contestants.iter().find(|it| it.submission == *submission)?;
            self.merit(&contestant.evidence, Stage::All)
        };
        for past in history.rounds.iter_mut().filter(|past| past.round < since) {
            if let Some(champion) = &mut past.champion
                && let Some(now) = worth(&champion.submission)
            {
                champion.composite_ppm = now.composite_ppm;
            }
            for point in &mut past.accepted {
                if let Some(now) = worth(&point.submission) {
                    point.utilities_ppm.latency = now.utilities_ppm.latency;
                    point.half_widths_ppm.latency = now.half_widths_ppm.latency;
                }
            }
        }
        history
    }

    /// Judges the round: bouts, the seat, places and the margin that a new champion is paid by.
    pub fn judge(
        &self,
        contestants: &[Contestant],
        shared_by: u32,
        champion_before: Option<&SubmissionId>,
        reference: &Evidence,
        history: &History,
    ) -> Judgement {
        let decision = self.decide(contestants, shared_by, champion_before.is_some());
        self.conclude(decision, contestants, champion_before, reference, history)
    }

    /// What follows from the bouts: the seat, places and the margin that a new champion is paid by.
    pub fn conclude(
        &self,
        decision: Decision,
        contestants: &[Contestant],
        champion_before: Option<&SubmissionId>,
        reference: &Evidence,
        history: &History,
    ) -> Judgement {
        let of = |submission: &SubmissionId| contestants.iter().find(|it| it.submission == *submission);
        let margin_ppm = decision.successor.as_ref().and_then(|successor| {
            let sitting = champion_before.and_then(of).map(|before| {
                let paid = history.champions().find(|past| past.submission == before.submission);
                (before, paid.and_then(|past| past.margin_ppm))
            });
            self.margin_ppm(of(successor)?, sitting, reference, history)
        });
        let champion = decision.successor.clone().or(champion_before.cloned());
        let stands = self.standings(contestants);
        let standing = self.standing(contestants, &stands, champion.clone(), margin_ppm);
        Judgement { decision, champion, stands, standing }
    }

    /// The verdict on each challenger, the level shared by so many, and who takes the seat.
    pub fn decide(&self, contestants: &[Contestant], shared_by: u32, seat_is_taken: bool) -> Decision {
        let challengers = contestants.iter().filter(|it| it.role == EntryRole::Challenger);
        if !seat_is_taken {
            let able: Vec<&Contestant> = challengers.filter(|it| self.may_sit(it)).collect();
            return Decision { verdicts: Vec::new(), successor: self.successor(&able) };
        }
        let champion = contestants.iter().find(|it| it.role == EntryRole::Champion && it.latency.is_some());
        let (mut verdicts, mut winners) = (Vec::new(), Vec::new());
        for challenger in challengers {
            let verdict = self.bout(champion, challenger, shared_by);
            if verdict.rule.dethrones() {
                winners.push(challenger);
            }
            verdicts.push((challenger.submission.clone(), verdict));
        }
        Decision { verdicts, successor: self.successor(&winners) }
    }

    fn bout(&self, champion: Option<&Contestant>, challenger: &Contestant, shared_by: u32) -> Verdict {
        let verdict = self.meet(champion, challenger, shared_by, judge);
        verdict.unwrap_or_else(|| self.verdict_without_bout(Rule::NotComparable, shared_by))
    }

    /// Whether the verdict on a challenger would be [`Rule::Dethrones`], without its figures.
    pub fn dethrones(&self, champion: &Contestant, challenger: &Contestant, shared_by: u32) -> bool {
        self.meet(Some(champion), challenger, shared_by, dethrones).unwrap_or(false)
    }

    /// Lets two meet on the deciding items that both answered in this reign. `None` where those are none.
    fn meet<T>(
        &self,
        champion: Option<&Contestant>,
        challenger: &Contestant,
        shared_by: u32,
        judged: impl FnOnce(&Bout<'_>) -> T,
    ) -> Option<T> {
        let common = champion.and_then(|champion| {
            challenger.evidence.common(&champion.evidence, self.reign_began, &self.drawn, Stage::Deciding)
        });
        let models = common.as_ref().map(|common| &common.models);
        let measured = challenger.latency.as_ref().map(latency::judge);
        Some(judged(&Bout {
            champion: match (champion, models) {
                (None, _) => Incumbent::NotMeasured,
                (Some(_), Some([_, champion])) => Incumbent::Measured(champion),
                (Some(_), None) => return None,
            },
            champion_age_seconds: self.champion_age_seconds,
            challenger: models.filter(|_| measured.is_some()).map(|[challenger, _]| challenger),
            latency_stable: measured.is_some_and(|verdict| !verdict.is_unstable()),
            latency_compliant: measured.is_some_and(|verdict| !matches!(verdict, LatencyVerdict::Breach(_))),
            near_copy: challenger.copy_of.is_some(),
            above_public_gate: challenger.above_public_gate,
            score: &self.score,
            rules: &self.rules,
            ceiling: common.as_ref().map(|common| common.ceiling).unwrap_or_default(),
            shared_by: NonZeroU32::new(shared_by).unwrap_or(NonZeroU32::MIN),
            rounds: common.as_ref().map_or(0, |common| common.rounds),
            seed: self.seed,
        }))
    }

    /// What is said of a member that met nobody.
    pub fn verdict_without_bout(&self, rule: Rule, shared_by: u32) -> Verdict {
        Verdict {
            rule,
            epsilon_ppm: self.rules.epsilon_ppm_at(self.champion_age_seconds),
            alpha_hidden_ppm: self.rules.alpha_hidden_ppm,
            shared_by,
            rounds: 0,
            hidden: None,
        }
    }

    /// Whether a model may take an empty seat: above both gates, nobody's copy, timed as it behaves by a host that was at rest.
    fn may_sit(&self, contestant: &Contestant) -> bool {
        let timed = contestant.latency.as_ref().map(latency::judge);
        let above = self.merit(&contestant.evidence, Stage::All).is_some_and(|merit| merit.above_gate);
        timed.is_some_and(|verdict| !verdict.is_unstable() && !matches!(verdict, LatencyVerdict::Breach(_)))
            && contestant.above_public_gate
            && contestant.copy_of.is_none()
            && above
    }

    /// The earliest among those that can't be told from the best on the round's deciding items.
    pub fn successor(&self, winners: &[&Contestant]) -> Option<SubmissionId> {
        let drawn = winners.iter().filter_map(|winner| {
            let own = winner.evidence.pooled(self.number, &self.drawn, Stage::Deciding)?;
            let [model] = &own.models;
            Some((*winner, Replicates::draw(model, &self.part(&own))?))
        });
        let drawn: Vec<(&Contestant, Replicates)> = drawn.collect();
        let successors = drawn.iter().map(|(winner, hidden)| Successor {
            key: winner.submission.clone(),
            arrival: winner.arrival,
            hidden,
        });
        crown(successors.collect())
    }

    fn part<const N: usize>(&self, pooled: &Pooled<N>) -> Basis<'_> {
        Basis { part: Part::Hidden, seed: self.seed, ceiling: pooled.ceiling, rules: &self.score }
    }

    /// The paired difference of two models on all fresh items that both answered.
    pub fn difference(&self, first: &Evidence, second: &Evidence) -> Option<Difference> {
        let common = first.common(second, 0, &self.drawn, Stage::All)?;
        let [own, its] = &common.models;
        Some(Pair::new(own, its, &self.part(&common))?.difference())
    }

    /// How everybody stands by fresh items, the best first. The first leads a group, and each next one joins it while its
    /// distance from the leader, on all items that both answered, could be luck; as `protocol::standing::groups`, whose
    /// models all answered the same. Whoever is below the gate, was asked nothing, or behaved otherwise while it was timed in
    /// this round has no place.
    pub fn standings(&self, contestants: &[Contestant]) -> Vec<Stand> {
        let mut order: Vec<(&Contestant, Merit)> = contestants
            .iter()
            .filter(|it| it.copy_of.is_none() && it.above_public_gate && !is_breach(it))
            .filter_map(|it| Some((it, self.merit(&it.evidence, Stage::All)?)))
            .filter(|(_, merit)| merit.above_gate)
            .collect();
        order.sort_by_key(|(it, merit)| (std::cmp::Reverse(merit.composite_ppm), it.arrival));
        let mut leader: Option<(&Contestant, u32)> = None;
        let mut stands = Vec::with_capacity(order.len());
        for (place, (contestant, merit)) in (1..).zip(order) {
            let behind = leader.and_then(|(first, _)| self.difference(&first.evidence, &contestant.evidence));
            let rank = match (leader, behind) {
                (Some((_, rank)), Some(behind)) if behind.may_be_nothing_among(place - rank + 1) => rank,
                _ => place,
            };
            let leads = rank == place;
            if leads {
                leader = Some((contestant, place));
            }
            let behind_leader =
                if leads { Some(report::Estimate::default()) } else { behind.map(|behind| behind.estimate) };
            stands.push(Stand { submission: contestant.submission.clone(), rank, behind_leader, merit });
        }
        stands
    }

    /// By how much a new champion passed the best hidden result that was paid before it: over the one that it dethroned and
    /// over the reference, on the items that both answered; and over every earlier champion of another owner, by what each was
    /// worth at last. Steps of one owner add up, so that nobody is paid less for improving their own; the way up to the
    /// reference is nobody's, whoever sat below it.
    pub fn margin_ppm(
        &self,
        champion: &Contestant,
        dethroned: Option<(&Contestant, Option<i64>)>,
        reference: &Evidence,
        history: &History,
    ) -> Option<i64> {
        let own = self.merit(&champion.evidence, Stage::All)?.composite_ppm;
        let over = |other: &Evidence| {
            self.difference(&champion.evidence, other).map(|difference| difference.estimate.value_ppm)
        };
        let over_reference = over(reference);
        let step = match dethroned {
            Some((before, margin)) if before.owner == champion.owner => {
                over(&before.evidence)?.saturating_add(margin.unwrap_or(0))
            }
            Some((before, _)) => over(&before.evidence)?,
            None => over_reference?,
        };
        let step = over_reference.map_or(step, |most| step.min(most));
        let sitting = dethroned.map(|(before, _)| &before.submission);
        let high_water = history.champions().filter(|past| past.owner != champion.owner);
        let high_water =
            high_water.filter(|past| Some(&past.submission) != sitting).map(|past| past.composite_ppm).max();
        Some(high_water.map_or(step, |best| step.min(own.saturating_sub(best))))
    }

    /// The standing as the reward rules see it.
    pub fn standing(
        &self,
        contestants: &[Contestant],
        stands: &[Stand],
        champion: Option<SubmissionId>,
        margin_ppm: Option<i64>,
    ) -> Standing {
        let entrant = |contestant: &Contestant| {
            let stand = stands.iter().find(|stand| stand.submission == contestant.submission);
            let merit = stand.map(|stand| stand.merit).or_else(|| self.merit(&contestant.evidence, Stage::All))?;
            Some(Entrant {
                submission: contestant.submission.clone(),
                hotkey: contestant.hotkey,
                owner: contestant.owner,
                arrival: contestant.arrival,
                rank: stand.map_or(u32::MAX, |stand| stand.rank),
                score_ppm: if stand.is_some() { merit.composite_ppm } else { 0 },
                utilities_ppm: merit.utilities_ppm,
                half_widths_ppm: merit.half_widths_ppm,
                copy_of: contestant.copy_of.clone(),
                decided: contestant.latency.is_some(),
            })
        };
        let axes = Axes::scored(&self.score.weights);
        let entrants = contestants.iter().filter_map(entrant).collect();
        Standing { round: self.number, axes, entrants, champion, margin_ppm }
    }
}

/// Whether a full measurement showed that it behaves otherwise while it is timed.
fn is_breach(contestant: &Contestant) -> bool {
    let verdict = contestant.latency.as_ref().map(latency::judge);
    verdict.is_some_and(|verdict| matches!(verdict, LatencyVerdict::Breach(_)))
}
