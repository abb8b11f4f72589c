//! What a manifest says about rounds: how long they last, how many items they draw, how many challengers they measure; and
//! how far a round is.
//!
//! It does NOT know how items are drawn and changed (`datasets::hidden`), who dethrones whom (`referee::bout`) or who is
//! paid ([`crate::reward`]).

use crate::pool::HiddenPool;
use crate::transforms::Family;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A round lasts a day unless the manifest says otherwise.
const SECONDS_DEFAULT: u64 = 24 * 60 * 60;
/// No round is longer than a year: a number beyond that is a slip.
const SECONDS_MAX: u64 = 366 * 24 * 60 * 60;
/// A beacon may be this late unless the manifest says otherwise: long enough to mend a network, short enough that miners
/// aren't kept from the next round.
const BEACON_SECONDS_DEFAULT: u64 = 6 * 60 * 60;
/// Each challenger costs a full evaluation.
const CHALLENGERS_MAX: u32 = 256;
/// Who waits longer than this waits for ever.
const WAIT_ROUNDS_MAX: u32 = 100;
/// Each finalist costs some outputs.
const FINALISTS_MAX: u32 = 4_096;
/// Share of a round's items that stay from round to round, so that history is comparable.
pub const FIXED_PPM_DEFAULT: u32 = 300_000;

/// How rounds go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RoundRules {
    /// How long a round takes submissions; 0: until the operator closes it.
    pub seconds: u64,
    /// Hidden items of a round; 0: as many as the pool has.
    pub items: u32,
    /// Share of them that stays from round to round, parts per million. Known once a round is revealed, so it decides
    /// nothing: history alone is compared by it.
    pub fixed_ppm: u32,
    /// How everybody is screened on fresh items, so that who is decided can't be bought.
    pub screening: Screening,
    /// Challengers that are decided in one round: the best of the screening. More, where otherwise somebody would wait
    /// longer than `wait_rounds_max`.
    pub challengers_max: u32,
    /// How many rounds a model above the gate waits at most until it is decided.
    pub wait_rounds_max: u32,
    /// Where the randomness comes from that nobody knows before the close. What is published always says it: a manifest
    /// that doesn't takes drand when it is published, if the validator reaches it, and is refused otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub beacon: Option<BeaconSource>,
    /// How many seconds late a round's beacon may be. A round never takes another one: after that time it is abandoned.
    pub beacon_seconds_max: u64,
    /// What is done to each item, so that nobody has seen it. It stays the same for all rounds, since the fixed part does.
    pub transforms: Family,
}

/// Successive halving on fresh items (Karnin, Koren & Somekh 2013): all on a few, the best on more, the last on the rest.
/// A screened item decides nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Screening {
    /// Fresh items that everybody above the public gate answers; at most a tenth of the fresh ones.
    pub items: u32,
    /// How many of them answer more.
    pub finalists: u32,
    /// Fresh items that those answer in all; at most three tenths of the fresh ones.
    pub finalist_items: u32,
}

/// Where a round's fresh items are cut, each counted from the first: the screening's two prefixes, and all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cut {
    /// Everybody's.
    pub first: u32,
    /// The finalists'; what lies behind decides.
    pub second: u32,
    /// All fresh items.
    pub all: u32,
}

impl Default for Screening {
    fn default() -> Self {
        Self { items: 300, finalists: 64, finalist_items: 1_000 }
    }
}

impl Screening {
    /// The cut of so many fresh items. Some always decide.
    pub fn cut(&self, fresh: u32) -> Cut {
        let first = self.items.min(fresh / 10);
        let second = self.finalist_items.min(fresh / 10 * 3).max(first);
        Cut { first, second, all: fresh }
    }
}

/// How far a round is. In this order, and never back.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", parse_err_ty = String, parse_err_fn = no_step)]
#[schema(as = RoundStep)]
pub enum Step {
    /// Takes submissions; committed to.
    Open,
    /// Takes none any more; waits for its beacon.
    Closed,
    /// Over: its beacon never came. Nothing was drawn, measured or paid, and the seat is whose it was.
    Abandoned,
    /// Its items exist, teacher and reference have answered them, and its members are known.
    Drawn,
    /// Everybody answered some fresh items; who is decided is known.
    Screened,
    /// Champion and challengers are measured.
    Measured,
    /// There are verdicts, and the seat is given.
    Judged,
    /// The ledger has the weights.
    Paid,
    /// Everything about it is public.
    Revealed,
}

impl Step {
    /// Whether nothing follows: the next round opens.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Abandoned | Self::Revealed)
    }

    /// Whether a round may come to `to` from here.
    pub fn may_become(self, to: Self) -> bool {
        !self.is_over() && self < to && (to != Self::Abandoned || self == Self::Closed)
    }

    /// The name, as in JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

fn no_step(text: &str) -> String {
    format!("no step is called {text}")
}

/// Why a submission is measured in a round.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::EnumString, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EntryRole {
    /// It holds the seat.
    Champion,
    /// It is decided: it wants the seat, and is measured in full.
    Challenger,
    /// It is screened alone: outputs on some fresh items.
    Screened,
}

impl EntryRole {
    /// The name, as in JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Where a round's randomness comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BeaconSource {
    /// The hash of the ledger's entry that marks the close.
    Ledger,
    /// The round of drand's quicknet that follows the close; needs `seconds`.
    Drand,
}

impl BeaconSource {
    /// What this beacon doesn't keep its owner from, to be said wherever the competition is shown; `None` where there is
    /// nothing to say.
    pub fn weakness(self) -> Option<&'static str> {
        match self {
            Self::Ledger => Some(
                "the beacon of its rounds is the validator's own ledger: who writes that ledger can try entries until \
                 the draw suits",
            ),
            Self::Drand => None,
        }
    }
}

/// How many of a round's items stay from round to round: the share of the items, rounded down.
pub fn fixed_items(items: u32, fixed_ppm: u32) -> u32 {
    let fixed = u64::from(items) * u64::from(fixed_ppm) / 1_000_000;
    u32::try_from(fixed).unwrap_or(items).min(items)
}

impl Default for RoundRules {
    fn default() -> Self {
        Self {
            seconds: SECONDS_DEFAULT,
            items: 0,
            fixed_ppm: FIXED_PPM_DEFAULT,
            screening: Screening::default(),
            challengers_max: 8,
            wait_rounds_max: 3,
            beacon: None,
            beacon_seconds_max: BEACON_SECONDS_DEFAULT,
            transforms: Family::default(),
        }
    }
}

impl RoundRules {
    /// Says what is wrong with the numbers, if anything, in sentences for the manifest's author; `pool` is how many hidden images
    /// there are, and `known` who has them.
    pub fn problems(&self, pool: u32, known: HiddenPool) -> Vec<String> {
        let drand_needs_a_time = self.beacon == Some(BeaconSource::Drand) && self.seconds == 0;
        let rules = [
            (self.seconds <= SECONDS_MAX, format!("seconds is {}, more than a year", self.seconds)),
            (
                (1..=SECONDS_MAX).contains(&self.beacon_seconds_max),
                format!("beacon_seconds_max is {}, not 1 to {SECONDS_MAX}", self.beacon_seconds_max),
            ),
            (self.items <= pool, format!("items is {}, more than the {pool} of data.hidden_items", self.items)),
            (
                self.fixed_ppm < 1_000_000,
                format!("fixed_ppm is {}, not below 1000000: no item would be fresh", self.fixed_ppm),
            ),
            (
                (1..=CHALLENGERS_MAX).contains(&self.challengers_max),
                format!("challengers_max is {}, not 1 to {CHALLENGERS_MAX}", self.challengers_max),
            ),
            (
                (1..=WAIT_ROUNDS_MAX).contains(&self.wait_rounds_max),
                format!("wait_rounds_max is {}, not 1 to {WAIT_ROUNDS_MAX}", self.wait_rounds_max),
            ),
            (
                self.screening.items <= self.screening.finalist_items,
                "screening.finalist_items must not be below screening.items: finalists answer those, too".into(),
            ),
            (
                (1..=FINALISTS_MAX).contains(&self.screening.finalists),
                format!("screening.finalists is {}, not 1 to {FINALISTS_MAX}", self.screening.finalists),
            ),
            (
                !drand_needs_a_time,
                "beacon `drand` needs `seconds`: the close decides which of its rounds counts".into(),
            ),
        ];
        let transforms = self.transforms.check(known).err().map(|problem| format!("transforms: {problem}"));
        rules.into_iter().filter(|(holds, _)| !holds).map(|(_, problem)| problem).chain(transforms).collect()
    }

    /// How many rounds a private pool of so many images lasts: each takes fresh ones that none before it took, and the
    /// fixed ones are taken once.
    pub fn rounds_of(&self, pool: u32) -> u32 {
        let fresh = self.fresh_of(pool);
        pool.saturating_sub(self.items_of(pool).saturating_sub(fresh)) / fresh.max(1)
    }

    /// Fresh items of a round: those that don't stay.
    pub fn fresh_of(&self, pool: u32) -> u32 {
        let items = self.items_of(pool);
        items.saturating_sub(fixed_items(items, self.fixed_ppm))
    }

    /// Hidden items of a round.
    pub fn items_of(&self, pool: u32) -> u32 {
        if self.items == 0 { pool } else { self.items }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_cannot_be_kept_are_named() {
        let rules = RoundRules::default();
        assert_eq!(rules.problems(100, HiddenPool::Public), Vec::<String>::new());
        assert_eq!((rules.items_of(100), RoundRules { items: 7, ..rules.clone() }.items_of(100)), (100, 7));
        let screened = |change: fn(&mut Screening)| {
            let mut rules = RoundRules::default();
            change(&mut rules.screening);
            rules
        };
        let wrong = [
            (RoundRules { seconds: u64::MAX, ..rules.clone() }, "more than a year"),
            (RoundRules { items: 101, ..rules.clone() }, "more than the 100"),
            (RoundRules { fixed_ppm: 1_000_000, ..rules.clone() }, "no item would be fresh"),
            (RoundRules { challengers_max: 0, ..rules.clone() }, "not 1 to"),
            (RoundRules { wait_rounds_max: 0, ..rules.clone() }, "wait_rounds_max is 0"),
            (screened(|s| s.finalists = 0), "screening.finalists is 0"),
            (screened(|s| s.finalist_items = 10), "screening.finalist_items must not be below"),
            (RoundRules { beacon_seconds_max: 0, ..rules.clone() }, "beacon_seconds_max is 0"),
            (RoundRules { beacon: Some(BeaconSource::Drand), seconds: 0, ..rules.clone() }, "needs `seconds`"),
            (
                RoundRules { transforms: Family { shift_px_max: 65, ..Family::default() }, ..rules.clone() },
                "transforms: shift_px_max is 65, expected 0 to 64",
            ),
            (RoundRules { transforms: Family::identity(), ..rules.clone() }, "transforms: the family changes nothing"),
        ];
        let as_they_are = RoundRules { transforms: Family::identity(), ..rules };
        assert!(as_they_are.problems(100, HiddenPool::Private).is_empty(), "nobody has seen them");
        for (rules, expected) in wrong {
            let problem = rules.problems(100, HiddenPool::Public).join("; ");
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn screened_items_are_few_of_the_fresh_ones_and_some_always_decide() {
        let screening = Screening::default();
        assert_eq!(screening.cut(3_500), Cut { first: 300, second: 1_000, all: 3_500 });
        assert_eq!(screening.cut(1_000), Cut { first: 100, second: 300, all: 1_000 });
        assert_eq!(screening.cut(70), Cut { first: 7, second: 21, all: 70 });
        assert_eq!(screening.cut(1), Cut { first: 0, second: 0, all: 1 });
        assert_eq!(screening.cut(0), Cut { first: 0, second: 0, all: 0 });
    }
}
