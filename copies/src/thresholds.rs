//! From where on a signal counts, by the null that a competition states: the largest values that independently trained
//! students reached (docs/COPIES.md).
//!
//! With m that value, a signal counts from m + (1 - m) / 2 on, halfway between it and a copy. Where units match that well,
//! errors need only correlate by a tenth of the way more than independent ones ever did. A model that the teacher explains
//! three times as well as the honest student that it explains best is the teacher.
//! Where nothing is stated, what two independent students reach isn't known: then only what no training repeats makes a
//! copy, outputs that are equal to rounding, and all else is shown to people on a scale that is no more than a usual one.

use protocol::nulls::Nulls;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const ONE_PPM: i32 = 1_000_000;
/// From this rc on, two models are one function in whatever shape, or from halfway between the null and 1, if that is more.
pub const FUNCTION_PPM: i32 = 970_000;
/// The same where no null is stated.
const SAME_TO_ROUNDING_PPM: i32 = 999_000;
/// Less unexplained than this is the teacher, where no null is stated.
const UNEXPLAINED_ROUNDING_PPM: i32 = 1_000;
/// The largest s_w and rc of Fashion-MNIST's students, by which people are shown what is worth a look elsewhere.
const USUAL_MAX_PPM: i32 = 850_000;

/// From which value on a signal counts, ppm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Whether they follow from the competition's own null; otherwise T3 and T4 together are evidence for people.
    pub are_measured: bool,
    /// T3; nothing for families whose units can't be matched.
    pub weight_match_ppm: Option<i32>,
    /// T4 alone.
    pub residual_correlation_ppm: i32,
    /// T4 where T3 is beyond its threshold.
    pub residual_support_ppm: i32,
    /// T4 that decides alone: the same function.
    pub function_ppm: i32,
    /// The same on a round's fresh items, which have a null of their own.
    pub fresh_function_ppm: i32,
    /// Against the teacher and the reference: outputs of which less than this isn't explained are theirs.
    pub entry_unexplained_ppm: i32,
    /// The same on fresh or public items, where models say more alike.
    pub entry_fresh_unexplained_ppm: i32,
}

impl Thresholds {
    /// For two models of these families, as `config.json` spells them, in a competition that states `nulls`.
    pub fn between(nulls: Option<&Nulls>, family: &str, other: &str) -> Self {
        let Some(nulls) = nulls else { return Self::unmeasured() };
        let null = nulls.families.get(family).filter(|_| family == other);
        let residuals = null.map_or(nulls.residual_correlation_max_ppm, |null| null.residual_correlation_max_ppm);
        let third = |least: u32| least.min(ONE_PPM as u32) as i32 / 3;
        Self {
            are_measured: true,
            weight_match_ppm: null.map(|null| beyond(null.weight_match_max_ppm, 2)),
            residual_correlation_ppm: beyond(residuals, 2),
            residual_support_ppm: beyond(residuals, 10),
            function_ppm: beyond(nulls.residual_correlation_max_ppm, 2).max(FUNCTION_PPM),
            fresh_function_ppm: beyond(nulls.fresh_residual_correlation_max_ppm, 2).max(FUNCTION_PPM),
            entry_unexplained_ppm: third(nulls.unexplained_min_ppm),
            entry_fresh_unexplained_ppm: third(nulls.fresh_unexplained_min_ppm),
        }
    }

    /// For what no family has a part in: what two say of the same items.
    pub fn of_outputs(nulls: Option<&Nulls>) -> Self {
        Self::between(nulls, "", "")
    }

    fn unmeasured() -> Self {
        Self {
            are_measured: false,
            weight_match_ppm: Some(beyond(USUAL_MAX_PPM as u32, 2)),
            residual_correlation_ppm: beyond(USUAL_MAX_PPM as u32, 2),
            residual_support_ppm: beyond(USUAL_MAX_PPM as u32, 10),
            function_ppm: SAME_TO_ROUNDING_PPM,
            fresh_function_ppm: SAME_TO_ROUNDING_PPM,
            entry_unexplained_ppm: UNEXPLAINED_ROUNDING_PPM,
            entry_fresh_unexplained_ppm: UNEXPLAINED_ROUNDING_PPM,
        }
    }

    /// Whether units match as well as only those of copies do: of the way from independent ones to equal ones, nineteen
    /// twentieths, where half makes T3 count.
    pub(crate) fn units_are_its(&self, weight_match_ppm: Option<i32>) -> bool {
        let certain = |threshold: i32| ONE_PPM - (ONE_PPM - threshold) / 10;
        self.weight_match_ppm.zip(weight_match_ppm).is_some_and(|(threshold, found)| found >= certain(threshold))
    }
}

/// So many parts of the way from a null to 1.
fn beyond(null_ppm: u32, parts: i32) -> i32 {
    let null = null_ppm.min(ONE_PPM as u32) as i32;
    null + (ONE_PPM - null) / parts
}
