//! How many items a round draws, and from which family of changes.
//!
//! It does not know how a change is drawn (`draw`) or made (`render`), nor which families there are
//! ([`protocol::transforms`]).

use protocol::competition::HiddenPool;
use protocol::round::{FIXED_PPM_DEFAULT, RoundRules, fixed_items};
use protocol::transforms::{Family, SpecError};
use serde::{Deserialize, Serialize};

/// One whole in parts per million.
pub(super) const WHOLE_PPM: u32 = 1_000_000;

/// A round of more items is refused: beyond this the intervals don't get narrower by anything that matters.
const ITEMS_MAX: u32 = 1_000_000;

/// How many items a round draws, and from which family.
///
/// It stays the same for all rounds of a competition: the fixed part is drawn anew from its seed in each round, so
/// another family would change it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawSpec {
    /// Items of a round, at least 1 and at most as many as the pool has.
    pub items: u32,
    /// Share of them that stay from round to round; [`FIXED_PPM_DEFAULT`].
    pub fixed_ppm: u32,
    /// What is done to them.
    pub family: Family,
    /// Whether an image is fresh once only.
    #[serde(default, skip_serializing_if = "is_public")]
    pub hidden_pool: HiddenPool,
}

/// A public pool is what it is when nothing is said.
fn is_public(pool: &HiddenPool) -> bool {
    *pool == HiddenPool::Public
}

impl DrawSpec {
    /// What a manifest says of its rounds, for a pool of so many images.
    pub fn of(rules: &RoundRules, pool_count: u32, hidden_pool: HiddenPool) -> Self {
        let (items, fixed_ppm, family) = (rules.items_of(pool_count), rules.fixed_ppm, rules.transforms);
        DrawSpec { items, fixed_ppm, family, hidden_pool }
    }

    /// `items` of the default family from a public pool, 30 % of them fixed.
    pub fn of_items(items: u32) -> Self {
        let (fixed_ppm, family) = (FIXED_PPM_DEFAULT, Family::default());
        DrawSpec { items, fixed_ppm, family, hidden_pool: HiddenPool::Public }
    }

    /// So many items of a family that may change nothing, none of them fixed: what is learnt from and tried out.
    pub fn of_family(items: u32, family: Family) -> Self {
        let changes = family.check(HiddenPool::Public) != Err(SpecError::Unchanged);
        let hidden_pool = if changes { HiddenPool::Public } else { HiddenPool::Private };
        DrawSpec { items, fixed_ppm: 0, family, hidden_pool }
    }

    /// How many items stay from round to round: the share of the items, rounded down.
    pub fn fixed_items(&self) -> u32 {
        fixed_items(self.items, self.fixed_ppm)
    }

    /// Checks every range.
    pub fn check(&self) -> Result<(), SpecError> {
        SpecError::unless_within("items", self.items, (1, ITEMS_MAX))?;
        SpecError::unless_within("fixed_ppm", self.fixed_ppm, (0, WHOLE_PPM))?;
        self.family.check(self.hidden_pool)
    }
}
