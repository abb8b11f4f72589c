//! Who dethrones the champion: the rules of a manifest, and a verdict that shows every figure it rests on.
//!
//! It does NOT judge: the referee does (`referee::bout`).

use crate::report::Estimate;
use crate::significance::{AccuracyTest, SequentialP};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use strum::{Display, IntoStaticStr};
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
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema, Display, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
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
        self.into()
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
