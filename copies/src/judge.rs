//! From evidence to a relation: what is automatic, and what is only shown to people.
//!
//! Noise and pruning change what a deep network says of strange inputs much more than they change its weights: where units
//! match beyond what independent ones ever did, errors need only correlate beyond that, too, and where units match as those of
//! copies do, they need only correlate at all. Where errors are the same, the function is, whatever the shape: that decides
//! alone, on the probes or on a round's fresh items. Where a competition has no null, units and errors decide nothing
//! together. It does NOT know where a threshold comes from.

use crate::{Evidence, Thresholds};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// From this rc on, errors have something in common.
const CORRELATED_PPM: i32 = 250_000;

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
        (true, _) if support && thresholds.are_measured => Relation::Copy(Tier::MatchedAndCorrelated),
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
