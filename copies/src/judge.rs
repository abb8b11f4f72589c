//! From evidence to a relation: what is automatic, and what is only shown to people.
//!
//! Thresholds come from a null: the pairs of independently trained students of one family (docs/COPIES.md). With m the
//! largest value of the null, a signal counts from m + (1 - m) / 2 on, halfway between it and a copy. Where units match
//! that well, errors need only correlate more than independent ones ever did, by a tenth: m + (1 - m) / 10. Noise and
//! pruning change what a deep network says of strange inputs much more than they change its weights. Where units match as
//! those of copies do, from m + .95 (1 - m) on, errors on either kind of items need only correlate at all.
//! Where errors are the same to within [`FUNCTION_PPM`], the function is, whatever the shape: that decides alone, on the
//! probes or on a round's fresh items.

use crate::Evidence;
use crate::calibration;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const ONE_PPM: i32 = 1_000_000;
/// From this rc on, two models are one function in whatever shape.
pub const FUNCTION_PPM: i32 = 970_000;
/// From this rc on, errors have something in common.
const CORRELATED_PPM: i32 = 250_000;

/// From which value on a signal counts, ppm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
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
    /// Thresholds from the largest values among independent pairs, ppm.
    pub fn from_null(weight_match_max_ppm: Option<i32>, residual_correlation_max_ppm: i32) -> Self {
        let beyond = |null: i32, parts: i32| {
            let null = null.clamp(0, ONE_PPM);
            null + (ONE_PPM - null) / parts
        };
        Self {
            weight_match_ppm: weight_match_max_ppm.map(|null| beyond(null, 2)),
            residual_correlation_ppm: beyond(residual_correlation_max_ppm, 2),
            residual_support_ppm: beyond(residual_correlation_max_ppm, 10),
            function_ppm: FUNCTION_PPM,
            fresh_function_ppm: calibration::FRESH_FUNCTION_PPM,
            entry_unexplained_ppm: calibration::ENTRY_UNEXPLAINED_PPM,
            entry_fresh_unexplained_ppm: calibration::ENTRY_FRESH_UNEXPLAINED_PPM,
        }
    }

    /// Whether units match as well as only those of copies do: of the way from independent ones to equal ones, nineteen
    /// twentieths, where half makes T3 count.
    fn units_are_its(&self, weight_match_ppm: Option<i32>) -> bool {
        let certain = |threshold: i32| ONE_PPM - (ONE_PPM - threshold) / 10;
        self.weight_match_ppm.zip(weight_match_ppm).is_some_and(|(threshold, found)| found >= certain(threshold))
    }

    /// The thresholds for two models of these families, as `config.json` spells them, from the committed null.
    pub fn between(family: &str, other: &str) -> Self {
        let (weight_match_max_ppm, residual_correlation_max_ppm) = calibration::null_of(family, other);
        Self::from_null(weight_match_max_ppm, residual_correlation_max_ppm)
    }
}

/// Why a later model counts as an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// T0: the same bytes.
    Bytes,
    /// T1: the same model unit by unit, in another encoding or with other factors.
    Canonical,
    /// T2: the same model with its hidden units in another order.
    Symmetric,
    /// T4 alone, beyond doubt: the same function in another shape.
    Function,
    /// Outputs that an entry 0 explains: the teacher or the reference in disguise.
    Outputs,
    /// T3 and T4 together: units match and errors correlate beyond what independent students reach.
    MatchedAndCorrelated,
}

/// A signal that is evidence alone, but not proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// T3 alone.
    WeightMatch,
    /// T4 alone.
    ResidualCorrelation,
}

/// What two models are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "relation", content = "because")]
pub enum Relation {
    /// Nothing beyond what independent students have in common.
    Independent,
    /// One signal: shown to people, without consequences.
    Suspicion(Signal),
    /// Both begin with a package that the competition lists as known, and are no closer to each other than to it: told,
    /// without consequences.
    KnownStart,
    /// The later one counts as the earlier one.
    Copy(Tier),
}

/// Judges evidence between two submissions.
pub fn relation(evidence: &Evidence, thresholds: &Thresholds) -> Relation {
    let exact = [
        (evidence.same_package, Tier::Bytes),
        (evidence.same_canonical, Tier::Canonical),
        (evidence.same_symmetric, Tier::Symmetric),
    ];
    if let Some((_, tier)) = exact.into_iter().find(|(same, _)| *same) {
        return Relation::Copy(tier);
    }
    let beyond = |value: Option<i32>, threshold: i32| value.is_some_and(|value| value >= threshold);
    if beyond(evidence.residual_correlation_ppm, thresholds.function_ppm)
        || beyond(evidence.fresh_residual_correlation_ppm, thresholds.fresh_function_ppm)
    {
        return Relation::Copy(Tier::Function);
    }
    let units = thresholds.weight_match_ppm.is_some_and(|threshold| beyond(evidence.weight_match_ppm, threshold));
    let errors = beyond(evidence.residual_correlation_ppm, thresholds.residual_correlation_ppm);
    let support = beyond(evidence.residual_correlation_ppm, thresholds.residual_support_ppm)
        || thresholds.units_are_its(evidence.weight_match_ppm)
            && [evidence.residual_correlation_ppm, evidence.fresh_residual_correlation_ppm]
                .into_iter()
                .any(|rc| beyond(rc, CORRELATED_PPM));
    match (units, errors) {
        (true, _) if support => Relation::Copy(Tier::MatchedAndCorrelated),
        (true, _) => Relation::Suspicion(Signal::WeightMatch),
        (false, true) => Relation::Suspicion(Signal::ResidualCorrelation),
        (false, false) => Relation::Independent,
    }
}

/// Judges evidence between a submission and an entry 0 of its competition: its teacher or its reference. The teacher has
/// no residual, so outputs are compared directly. Who keeps the least distance from the teacher isn't compared with it.
pub fn relation_to_entry(evidence: &Evidence, thresholds: &Thresholds) -> Relation {
    match relation(evidence, thresholds) {
        Relation::Copy(tier) => Relation::Copy(tier),
        _ if evidence.unexplained_ppm.is_some_and(|ppm| ppm < thresholds.entry_unexplained_ppm) => {
            Relation::Copy(Tier::Outputs)
        }
        other => other,
    }
}

/// What two submissions are to each other, where the competition lists `known` packages: `to_known` holds what both are
/// to each of them. A start that both have in common makes nobody a copy, as long as the two are no closer to each other
/// than each is to that start.
pub fn unless_known(between: Relation, to_known: &[(Relation, Relation)]) -> Relation {
    let explains = |tier: Tier| {
        let as_close = |to: &Relation| matches!(to, Relation::Copy(other) if *other <= tier);
        to_known.iter().any(|(first, second)| as_close(first) && as_close(second))
    };
    match between {
        Relation::Copy(tier) if explains(tier) => Relation::KnownStart,
        other => other,
    }
}
