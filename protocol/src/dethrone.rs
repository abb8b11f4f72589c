//! Who dethrones the champion: the rules of a manifest, and a verdict that shows every figure it rests on.
//!
//! Only fresh hidden items decide: public ones, which everybody may have learnt by heart, end what is below the gate and
//! say nothing else. Every doubt keeps the incumbent: a tie, a missing measurement, other items, a champion that fails to
//! load. Pure: it does NOT know the clock, who is who, which items are fresh, or how copies are recognised.

use crate::Digest;
use crate::outcomes::Outcomes;
use crate::report::Estimate;
use crate::score::{Ceiling, Scale, ScoreRules, share_ppm};
use crate::significance::{AccuracyTest, Basis, Disputed, Level, Pair, Part, Replicates, SequentialP};
use crate::standing;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU32;
use utoipa::ToSchema;

const DAY_SECONDS: u64 = 86_400;
/// The least level: shared by a hundred, a p-value that meets it takes millions of draws.
const ALPHA_PPM_MIN: u32 = 200;
/// Above this a coin would dethrone.
const ALPHA_PPM_MAX: u32 = 500_000;

/// How a challenger dethrones the champion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DethroneRules {
    /// Level of the test on fresh hidden items, parts per million: what a round spends, shared by the challengers that
    /// it decides. False crowns in n rounds are at most n times as frequent, however evidence is pooled.
    pub alpha_hidden_ppm: u32,
    /// By how much of the composite a challenger must be better, parts per million.
    pub epsilon_ppm: u32,
    /// Lets the margin shrink as the champion ages; then it stands in for `epsilon_ppm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub epsilon_decay: Option<EpsilonDecay>,
}

/// A margin that falls on a straight line and then stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EpsilonDecay {
    /// Against a champion of this moment.
    pub from_ppm: u32,
    /// Against a champion of `days` or more.
    pub to_ppm: u32,
    /// How long the fall takes.
    pub days: u32,
}

impl Default for DethroneRules {
    /// Level and margin of `docs/RULES.md`: 30 rounds give the seat to an equal with a chance of at most 30 x .0016 = 4.8 %.
    fn default() -> Self {
        Self { alpha_hidden_ppm: 1_600, epsilon_ppm: 1_000, epsilon_decay: None }
    }
}

impl DethroneRules {
    /// Says what is wrong with the numbers, if anything: sentences for the manifest's author.
    pub fn problems(&self) -> Vec<String> {
        let alpha = |name: &str, ppm: u32| {
            let holds = (ALPHA_PPM_MIN..=ALPHA_PPM_MAX).contains(&ppm);
            (holds, format!("{name} is {ppm}, not {ALPHA_PPM_MIN} to {ALPHA_PPM_MAX}"))
        };
        let decay = self.epsilon_decay.unwrap_or(EpsilonDecay { from_ppm: 0, to_ppm: 0, days: 1 });
        let rules = [
            alpha("alpha_hidden_ppm", self.alpha_hidden_ppm),
            (self.epsilon_ppm < 1_000_000, format!("epsilon_ppm is {}, not below 1000000", self.epsilon_ppm)),
            (decay.from_ppm < 1_000_000, format!("epsilon_decay.from_ppm is {}, not below 1000000", decay.from_ppm)),
            (decay.to_ppm <= decay.from_ppm, "epsilon_decay.to_ppm must not be above from_ppm".into()),
            ((1..=3_650).contains(&decay.days), format!("epsilon_decay.days is {}, not 1 to 3650", decay.days)),
        ];
        rules.into_iter().filter(|(holds, _)| !holds).map(|(_, problem)| problem).collect()
    }

    /// The margin against a champion that has reigned this long.
    pub fn epsilon_ppm_at(&self, champion_age_seconds: u64) -> u32 {
        let Some(EpsilonDecay { from_ppm, to_ppm, days }) = self.epsilon_decay else { return self.epsilon_ppm };
        let span = u64::from(days.max(1)) * DAY_SECONDS;
        let fallen = u64::from(from_ppm.saturating_sub(to_ppm)) * champion_age_seconds.min(span) / span;
        from_ppm.saturating_sub(u32::try_from(fallen).unwrap_or(u32::MAX))
    }

    /// Whether a p-value dethrones, with the level shared by so many.
    pub fn passes(&self, p: SequentialP, shared_by: NonZeroU32) -> bool {
        p.at_most(self.alpha_hidden_ppm, shared_by.get())
    }
}

/// The standing champion, measured again on the challenger's items.
#[derive(Clone, Copy, Debug)]
pub enum Incumbent<'a> {
    /// It ran.
    Measured(&'a Outcomes),
    /// It failed to load or to run: it keeps its seat until a person removes it. Whoever can break the champion's
    /// measurement gains nothing.
    NotMeasured,
}

/// One challenger against the champion, on the fresh items that decide.
#[derive(Clone, Copy, Debug)]
pub struct Bout<'a> {
    /// The champion.
    pub champion: Incumbent<'a>,
    /// How long it has reigned.
    pub champion_age_seconds: u64,
    /// The challenger on the champion's items, if it could be measured.
    pub challenger: Option<&'a Outcomes>,
    /// Whether both latencies were measured on a quiet host.
    pub latency_stable: bool,
    /// Whether the challenger behaved while timed as otherwise.
    pub latency_compliant: bool,
    /// Whether the challenger was recognised as a copy of an earlier model.
    pub near_copy: bool,
    /// Whether it is above the gate on public items.
    pub above_public_gate: bool,
    /// How the composite is made.
    pub score: &'a ScoreRules,
    /// How a challenger dethrones.
    pub rules: &'a DethroneRules,
    /// The teacher on these items.
    pub ceiling: Ceiling,
    /// How many challengers share the round's level, this one included.
    pub shared_by: NonZeroU32,
    /// From how many rounds the items are.
    pub rounds: u32,
    /// The round's seed.
    pub seed: Digest,
}

/// What became of a bout, with everything that it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verdict {
    /// Which rule decided.
    pub rule: Rule,
    /// The margin that applied.
    pub epsilon_ppm: u32,
    /// The level before sharing.
    pub alpha_hidden_ppm: u32,
    /// By how many that was shared.
    pub shared_by: u32,
    /// From how many rounds the items are: evidence against one champion is pooled.
    pub rounds: u32,
    /// The fresh items that decide, where both were measured on them.
    pub hidden: Option<Comparison>,
}

/// Challenger against champion on the same items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    /// Answers: shown, not decisive.
    pub accuracy: AccuracyTest,
    /// Composite, challenger minus champion, with its 95 % interval.
    pub composite: Estimate,
    /// P(difference of composites <= epsilon): decisive.
    pub p: SequentialP,
}

/// The rule that decided a bout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DethroneRule)]
pub enum Rule {
    /// The champion could not be measured.
    ChampionNotMeasured,
    /// The challenger could not be measured.
    ChallengerNotMeasured,
    /// The two were measured on different items, or one has no latency.
    NotComparable,
    /// A copy of an earlier model.
    NearCopy,
    /// Timed inferences differed from others.
    LatencyBreach,
    /// The host was too restless.
    LatencyUnstable,
    /// Below the quality gate on public items.
    BelowGate,
    /// Below the quality gate on fresh hidden items: beyond doubt, so for good, if it was screened only.
    BelowHiddenGate,
    /// Screened on fresh items and not decided in this round: others were ahead, or waited longer.
    Screened,
    /// Not significantly better on fresh hidden items.
    HiddenNotBetter,
    /// Significantly better on fresh hidden items.
    Dethrones,
}

impl Rule {
    /// The stable code, as in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Self::ChampionNotMeasured => "champion_not_measured",
            Self::ChallengerNotMeasured => "challenger_not_measured",
            Self::NotComparable => "not_comparable",
            Self::NearCopy => "near_copy",
            Self::LatencyBreach => "latency_breach",
            Self::LatencyUnstable => "latency_unstable",
            Self::BelowGate => "below_gate",
            Self::BelowHiddenGate => "below_hidden_gate",
            Self::Screened => "screened",
            Self::HiddenNotBetter => "hidden_not_better",
            Self::Dethrones => "dethrones",
        }
    }

    /// A sentence for the miner.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::ChampionNotMeasured => "The champion could not be measured, so it keeps its seat.",
            Self::ChallengerNotMeasured => "The challenger could not be measured.",
            Self::NotComparable => "Champion and challenger were not measured on the same items, latency included.",
            Self::NearCopy => "The challenger is a near copy of an earlier model, which keeps what it earned.",
            Self::LatencyBreach => "The challenger behaves differently while it is timed.",
            Self::LatencyUnstable => "The host was too restless to compare latencies; both are measured again.",
            Self::BelowGate => "The challenger is below the quality gate on public items.",
            Self::BelowHiddenGate => "The challenger is below the quality gate on fresh hidden items.",
            Self::Screened => "Screened on fresh items; others took this round's places, and waiting gains priority.",
            Self::HiddenNotBetter => {
                "The challenger is not significantly better on fresh hidden items; its evidence is kept."
            }
            Self::Dethrones => "The challenger is significantly better on fresh hidden items.",
        }
    }

    /// Whether the seat may change hands.
    pub fn dethrones(self) -> bool {
        self == Self::Dethrones
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Judges one challenger. The figures are given wherever they exist, whatever rule decides.
pub fn judge(bout: &Bout<'_>) -> Verdict {
    let epsilon_ppm = bout.rules.epsilon_ppm_at(bout.champion_age_seconds);
    let hidden = compare(bout, epsilon_ppm);
    Verdict {
        rule: decide(bout, hidden.is_some(), || {
            hidden.is_some_and(|hidden| bout.rules.passes(hidden.p, bout.shared_by))
        }),
        epsilon_ppm,
        alpha_hidden_ppm: bout.rules.alpha_hidden_ppm,
        shared_by: bout.shared_by.get(),
        rounds: bout.rounds,
        hidden,
    }
}

/// Whether [`judge`] would say [`Rule::Dethrones`], without the figures: for simulations of many bouts ([`Pair::is_better`]).
pub fn dethrones(bout: &Bout<'_>) -> bool {
    let pair = pair(bout);
    let epsilon_ppm = bout.rules.epsilon_ppm_at(bout.champion_age_seconds);
    let better = || pair.as_ref().is_some_and(|pair| pair.is_better(epsilon_ppm, level(bout)));
    decide(bout, pair.is_some(), better).dethrones()
}

/// The rules in their order: the first that stops the challenger decides. The costly one is asked last.
fn decide(bout: &Bout<'_>, comparable: bool, better: impl FnOnce() -> bool) -> Rule {
    if matches!(bout.champion, Incumbent::NotMeasured) {
        return Rule::ChampionNotMeasured;
    }
    let Some(challenger) = bout.challenger else { return Rule::ChallengerNotMeasured };
    let rules = [
        (!comparable, Rule::NotComparable),
        (bout.near_copy, Rule::NearCopy),
        (!bout.latency_compliant, Rule::LatencyBreach),
        (!bout.latency_stable, Rule::LatencyUnstable),
        (!bout.above_public_gate, Rule::BelowGate),
        (!passes_gate(bout, challenger), Rule::BelowHiddenGate),
    ];
    match rules.into_iter().find(|(stops, _)| *stops) {
        Some((_, rule)) => rule,
        None if better() => Rule::Dethrones,
        None => Rule::HiddenNotBetter,
    }
}

fn passes_gate(bout: &Bout<'_>, challenger: &Outcomes) -> bool {
    let values = challenger.values();
    let right = values.right.get(Part::Hidden.range(values)).unwrap_or_default();
    let correct = right.iter().filter(|right| **right).count() as u64;
    Scale::new(bout.score, bout.ceiling).gate(share_ppm(correct, right.len() as u64))
}

fn compare(bout: &Bout<'_>, epsilon_ppm: u32) -> Option<Comparison> {
    let (Incumbent::Measured(champion), Some(challenger)) = (bout.champion, bout.challenger) else { return None };
    let accuracy = Disputed::count(challenger, champion, Part::Hidden)?.test();
    let pair = pair(bout)?;
    Some(Comparison { accuracy, composite: pair.difference().estimate, p: pair.p_value(epsilon_ppm, level(bout)) })
}

fn pair<'a>(bout: &Bout<'a>) -> Option<Pair<'a>> {
    let (Incumbent::Measured(champion), Some(challenger)) = (bout.champion, bout.challenger) else { return None };
    let round = Basis { part: Part::Hidden, seed: bout.seed, ceiling: bout.ceiling, rules: bout.score };
    Pair::new(challenger, champion, &round)
}

fn level(bout: &Bout<'_>) -> Level {
    Level { ppm: bout.rules.alpha_hidden_ppm, shared_by: bout.shared_by }
}

/// A challenger whose verdict is [`Rule::Dethrones`].
#[derive(Clone, Copy, Debug)]
pub struct Successor<'a, K> {
    /// Who.
    pub key: K,
    /// Order of commitment: the earlier wins a tie.
    pub arrival: u64,
    /// Its composite on the round's hidden items.
    pub hidden: &'a Replicates,
}

/// Who is crowned where several succeed in a round: the earliest commitment among those that can't be told from the best
/// on the hidden items (the first rank group of [`standing::groups`]). So a rival that takes a successful package and
/// adds luck or a hair gains nothing over the one that committed before it. `None` of nobody.
pub fn crown<K>(successors: Vec<Successor<'_, K>>) -> Option<K> {
    let entries = successors.into_iter().map(|successor| standing::RankEntry {
        key: successor.key,
        arrival: successor.arrival,
        replicates: successor.hidden,
    });
    let placed = standing::groups(entries.collect());
    placed.into_iter().take_while(|place| place.rank == 1).min_by_key(|place| place.sort_key.arrival).map(|p| p.key)
}
