//! What a manifest says about rounds: how long they last, how many items they draw, how many challengers they measure.
//!
//! It does NOT know how items are drawn and changed (`datasets::hidden`), who dethrones whom ([`crate::dethrone`]) or who is
//! paid ([`crate::reward`]).

use crate::transforms::Family;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A round lasts a day unless the manifest says otherwise.
const SECONDS_DEFAULT: u64 = 24 * 60 * 60;
/// No round is longer than a year: a number beyond that is a slip.
const SECONDS_MAX: u64 = 366 * 24 * 60 * 60;
/// Each challenger costs a full evaluation.
const CHALLENGERS_MAX: u32 = 256;
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
    /// Share of them that stays from round to round, parts per million. Known once a round is revealed, so it counts
    /// with the public items.
    pub fixed_ppm: u32,
    /// Challengers that are measured on hidden items in one round: the most significant on public ones.
    pub challengers_max: u32,
    /// Where the randomness comes from that nobody knows before the close.
    pub beacon: BeaconSource,
    /// What is done to each item, so that nobody has seen it. It stays the same for all rounds, since the fixed part does.
    pub transforms: Family,
}

/// Where a round's randomness comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BeaconSource {
    /// The hash of the ledger's entry that marks the close.
    #[default]
    Ledger,
    /// The round of drand's quicknet that follows the close; needs `seconds`.
    Drand,
}

impl Default for RoundRules {
    fn default() -> Self {
        Self {
            seconds: SECONDS_DEFAULT,
            items: 0,
            fixed_ppm: FIXED_PPM_DEFAULT,
            challengers_max: 8,
            beacon: BeaconSource::Ledger,
            transforms: Family::default(),
        }
    }
}

impl RoundRules {
    /// Says what is wrong with the numbers, if anything; `pool` is how many hidden images there are.
    ///
    /// # Errors
    /// A sentence for the manifest's author.
    pub fn check(&self, pool: u32) -> Result<(), String> {
        let drand_needs_a_time = self.beacon == BeaconSource::Drand && self.seconds == 0;
        let rules = [
            (self.seconds <= SECONDS_MAX, format!("seconds is {}, more than a year", self.seconds)),
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
                !drand_needs_a_time,
                "beacon `drand` needs `seconds`: the close decides which of its rounds counts".into(),
            ),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, problem)| Err(problem))?;
        self.transforms.check().map_err(|problem| format!("transforms: {problem}"))
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
        assert_eq!(rules.check(100), Ok(()));
        assert_eq!((rules.items_of(100), RoundRules { items: 7, ..rules.clone() }.items_of(100)), (100, 7));
        let wrong = [
            (RoundRules { seconds: u64::MAX, ..rules.clone() }, "more than a year"),
            (RoundRules { items: 101, ..rules.clone() }, "more than the 100"),
            (RoundRules { fixed_ppm: 1_000_000, ..rules.clone() }, "no item would be fresh"),
            (RoundRules { challengers_max: 0, ..rules.clone() }, "not 1 to"),
            (RoundRules { beacon: BeaconSource::Drand, seconds: 0, ..rules.clone() }, "needs `seconds`"),
            (
                RoundRules { transforms: Family { shift_px_max: 65, ..Family::default() }, ..rules.clone() },
                "transforms: shift_px_max is 65, expected 0 to 64",
            ),
            (RoundRules { transforms: Family::identity(), ..rules }, "transforms: the family changes nothing"),
        ];
        for (rules, expected) in wrong {
            let problem = rules.check(100).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
