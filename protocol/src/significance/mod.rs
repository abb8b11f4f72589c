//! Is it a difference, or luck? Exact and resampled tests on the same items, pure and recomputable bit by bit.
//!
//! - [`mcnemar`]: the exact test of paired answers;
//! - [`tango`]: the interval of a paired difference of accuracies;
//! - [`resample`]: what the composite would have been on other items and other latency launches;
//! - [`sequential`]: a p-value from resampling that stops early where there is nothing to find.
//!
//! Nothing here knows a level, a champion's seat or a round: `referee::bout` and [`crate::standing`] do. Floats live
//! inside functions; what is stored and compared is counts, parts per million and billionths.

pub mod mcnemar;
pub mod resample;
pub mod sequential;
pub mod tango;

use crate::outcomes::{OutcomeValues, Outcomes};
use crate::report::Estimate;
use crate::score::PPM;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use utoipa::ToSchema;

pub use resample::{Basis, Difference, Pair, Replicates, ReplicatesError};
pub use sequential::{Level, SequentialP};

/// The items of an evaluation that a test looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The items that everybody has.
    Public,
    /// The items that were drawn for this round.
    Hidden,
}

impl Part {
    /// Which items of `values` are in this part.
    pub fn range(self, values: &OutcomeValues) -> Range<usize> {
        let public = values.public_items as usize;
        match self {
            Self::Public => 0..public,
            Self::Hidden => public..values.right.len(),
        }
    }
}

/// How two models' answers to the same items differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Disputed {
    /// Items compared.
    pub items: u64,
    /// Only the challenger is right (b).
    pub challenger_only: u64,
    /// Only the champion is right (c).
    pub champion_only: u64,
}

impl Disputed {
    /// Counts over one part. Nothing where the two were not measured on the same items.
    pub fn count(challenger: &Outcomes, champion: &Outcomes, part: Part) -> Option<Self> {
        let (challenger, champion) = (challenger.values(), champion.values());
        let range = comparable(challenger, champion, part)?;
        let answers = challenger.right.get(range.clone())?.iter().zip(champion.right.get(range)?);
        let mut disputed = Self::default();
        for (challenger, champion) in answers {
            disputed.items += 1;
            disputed.challenger_only += u64::from(*challenger && !champion);
            disputed.champion_only += u64::from(*champion && !challenger);
        }
        Some(disputed)
    }

    /// The difference of accuracies, challenger minus champion, in parts per million, rounded to nearest.
    pub fn difference_ppm(&self) -> i64 {
        // Counts are limited to 2^20 items, so products stay far below 2^63.
        let difference = (self.challenger_only as i64 - self.champion_only as i64) * PPM;
        let half = self.items as i64 / 2 * difference.signum();
        (difference + half).checked_div(self.items as i64).unwrap_or(0)
    }

    /// The test and the interval, as integers.
    pub fn test(&self) -> AccuracyTest {
        let p = mcnemar::mid_p(self.challenger_only, self.champion_only);
        AccuracyTest { disputed: *self, p_ppb: libm::round(p * 1e9) as u64, difference: tango::tango_95(self) }
    }
}

/// The accuracy test of a challenger against a champion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccuracyTest {
    /// The counts it rests on.
    pub disputed: Disputed,
    /// Exact one-sided mid-p McNemar in billionths.
    pub p_ppb: u64,
    /// Challenger minus champion with Tango's 95 % interval, parts per million of the items.
    pub difference: Estimate,
}

/// The part's items, if both were measured on the same ones and there are any.
fn comparable(a: &OutcomeValues, b: &OutcomeValues, part: Part) -> Option<Range<usize>> {
    let same = a.images_sha256 == b.images_sha256 && a.public_items == b.public_items && a.right.len() == b.right.len();
    let range = part.range(a);
    (same && !range.is_empty()).then_some(range)
}
