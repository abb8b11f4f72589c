//! The decisions of a round as pure functions: the very same for the validator and for whoever checks it.
//!
//! It knows no database, no store and no clock: outcomes and reports come in, verdicts and a champion go out.

use crate::db::rounds::EntryRole;
use protocol::competition::Competition;
use protocol::dethrone::{Bout, DethroneRules, HiddenStage, Incumbent, Successor, Verdict, crown, judge};
use protocol::latency::{self, LatencyVerdict};
use protocol::outcomes::Outcomes;
use protocol::score::{Ceiling, Scale, ScoreRules, share_ppm};
use protocol::significance::{Part, Replicates, Round};
use protocol::{Digest, Report, SubmissionId};
use std::num::NonZeroU32;

/// The rules of a competition and what they are applied to.
#[derive(Clone, Debug)]
pub struct Referee {
    score: ScoreRules,
    rules: DethroneRules,
    /// The teacher on everything that is known: public items, and fixed ones once they are drawn.
    known_ceiling: Ceiling,
    champion_age_seconds: u64,
    seed: Digest,
}

/// A member of a round, measured if it could be.
#[derive(Clone, Debug)]
pub struct Fighter {
    /// Which.
    pub submission: SubmissionId,
    /// Why it was measured.
    pub role: EntryRole,
    /// Order of arrival.
    pub arrival: u64,
    /// What was measured.
    pub measured: Option<(Report, Outcomes)>,
}

/// What came of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// On each challenger; empty where the seat was.
    pub verdicts: Vec<(SubmissionId, Verdict)>,
    /// Who takes the seat, if anybody does.
    pub successor: Option<SubmissionId>,
}

impl Referee {
    /// For bouts on public items between rounds: the seed is the competition's digest.
    pub fn on_public_items(competition: &Competition, sha256: Digest, champion_age_seconds: u64) -> Self {
        Self::new(competition, competition.teacher.ceiling(), champion_age_seconds, sha256)
    }

    /// For a round with its own seed.
    pub fn new(competition: &Competition, known_ceiling: Ceiling, champion_age_seconds: u64, seed: Digest) -> Self {
        let manifest = &competition.manifest;
        Self { score: manifest.score.clone(), rules: manifest.dethrone, known_ceiling, champion_age_seconds, seed }
    }

    /// A bout on what is known alone.
    pub fn bout<'a>(&'a self, champion: Incumbent<'a>, measured: Option<(&Report, &'a Outcomes)>) -> Bout<'a> {
        let verdict = measured.map(|(report, _)| latency::judge(&report.latency));
        Bout {
            champion,
            champion_age_seconds: self.champion_age_seconds,
            challenger: measured.map(|(_, outcomes)| outcomes),
            latency_stable: verdict.is_some_and(|verdict| !matches!(verdict, LatencyVerdict::Unstable(_))),
            latency_compliant: verdict.is_some_and(|verdict| !matches!(verdict, LatencyVerdict::Breach(_))),
            near_copy: false,
            score: &self.score,
            rules: &self.rules,
            public_ceiling: self.known_ceiling,
            hidden: None,
            seed: self.seed,
        }
    }

    /// The verdict on each challenger, and who takes the seat. `fresh` is the teacher on fresh items.
    pub fn decide(&self, fighters: &[Fighter], fresh: Ceiling, seat_is_taken: bool) -> Decision {
        let challengers: Vec<&Fighter> = fighters.iter().filter(|f| f.role == EntryRole::Challenger).collect();
        if !seat_is_taken {
            let able: Vec<&Fighter> = challengers.into_iter().filter(|fighter| self.may_sit(fighter, fresh)).collect();
            return Decision { verdicts: Vec::new(), successor: self.successor(&able, fresh) };
        }
        let champion = fighters.iter().find(|fighter| fighter.role == EntryRole::Champion);
        let champion = champion.and_then(|champion| champion.measured.as_ref());
        let against = champion.map_or(Incumbent::NotMeasured, |(_, outcomes)| Incumbent::Measured(outcomes));
        let shared_by = NonZeroU32::new(challengers.len() as u32).unwrap_or(NonZeroU32::MIN);
        let (mut verdicts, mut winners) = (Vec::new(), Vec::new());
        for fighter in challengers {
            let bout = self.bout(against, fighter.measured.as_ref().map(|(report, outcomes)| (report, outcomes)));
            let verdict = judge(&Bout { hidden: Some(HiddenStage { ceiling: fresh, shared_by }), ..bout });
            if verdict.rule.dethrones() {
                winners.push(fighter);
            }
            verdicts.push((fighter.submission.clone(), verdict));
        }
        Decision { verdicts, successor: self.successor(&winners, fresh) }
    }

    /// Whether a model may take an empty seat: above the gate on everything, and no other while it is timed.
    fn may_sit(&self, fighter: &Fighter, fresh: Ceiling) -> bool {
        let Some((report, outcomes)) = &fighter.measured else { return false };
        let values = outcomes.values();
        let above = |part: Part, ceiling: Ceiling| {
            let right = values.right.get(part.range(values)).unwrap_or_default();
            let correct = right.iter().filter(|right| **right).count() as u64;
            Scale::new(&self.score, ceiling).gate(share_ppm(correct, right.len() as u64))
        };
        above(Part::Public, self.known_ceiling) && above(Part::Hidden, fresh) && !in_breach(report)
    }

    /// The earliest among those that can't be told from the best on fresh items.
    fn successor(&self, winners: &[&Fighter], fresh: Ceiling) -> Option<SubmissionId> {
        let round = Round { part: Part::Hidden, seed: self.seed, ceiling: fresh, rules: &self.score };
        let drawn = winners.iter().filter_map(|winner| {
            let (_, outcomes) = winner.measured.as_ref()?;
            Some((*winner, Replicates::draw(outcomes, &round)?))
        });
        let drawn: Vec<(&Fighter, Replicates)> = drawn.collect();
        let successors = drawn.iter().map(|(winner, hidden)| Successor {
            key: winner.submission.clone(),
            arrival: winner.arrival,
            hidden,
        });
        crown(successors.collect())
    }
}

/// Whether a model behaved differently while it was timed.
pub(super) fn in_breach(report: &Report) -> bool {
    matches!(latency::judge(&report.latency), LatencyVerdict::Breach(_))
}
