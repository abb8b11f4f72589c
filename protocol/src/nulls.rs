//! What honest students of a competition have in common, as its manifest states it: the scale that likeness is judged on.
//!
//! How alike two models are that were trained independently depends on the data, the teacher and the architecture, so the
//! figures belong to a competition and not to this program (docs/COPIES.md). This file does NOT know how a threshold follows
//! from them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

const ONE_PPM: u32 = 1_000_000;
/// Fewer pairs say too little about the largest value that luck brings.
const PAIRS_MIN: u32 = 10;
/// A source longer than this is no reference.
const SOURCE_BYTES_MAX: usize = 200;

/// The largest and smallest values among independently trained students.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nulls {
    /// How many pairs of students were compared.
    pub pairs: u32,
    /// Where the figures come from, for people: a page, or the command that printed them.
    pub source: String,
    /// The largest rc of any pair on the competition's probes, ppm.
    pub residual_correlation_max_ppm: u32,
    /// The largest rc of any pair on real items, ppm.
    pub fresh_residual_correlation_max_ppm: u32,
    /// The least share of a student's outputs on probes that the teacher doesn't explain, ppm.
    pub unexplained_min_ppm: u32,
    /// The same on real items.
    pub fresh_unexplained_min_ppm: u32,
    /// Architectures whose units are matched, as `config.json` spells them.
    #[serde(default)]
    #[schema(required)]
    pub families: BTreeMap<String, FamilyNull>,
}

/// The largest values among students of one architecture, whatever their widths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FamilyNull {
    /// s_w, how well units match, ppm.
    pub weight_match_max_ppm: u32,
    /// rc on the competition's probes, ppm.
    pub residual_correlation_max_ppm: u32,
}

impl Nulls {
    /// What a competition without them doesn't keep miners from, to be said wherever it is shown.
    pub const WITHOUT: &str = "it doesn't state what honest students have in common (`retort bench nulls` measures that), so only equal \
                               weights and equal functions make a copy: whoever damages one a little passes for a stranger";

    /// What figures of 0 come to that are the largest of something.
    const ALL_ALIKE: &str = "its [nulls] state 0, as if honest students had nothing in common: by that scale they count as copies of each \
                             other (`retort bench nulls` measures what they have)";
    /// The same of figures that are the least of something.
    const ALL_EXPLAINED: &str = "its [nulls] state that the teacher explains some honest student wholly (0), so no copy of the teacher is \
                                 recognised by its outputs";

    /// What keeps figures that can be read from being a scale, to be said as [`Nulls::WITHOUT`] is.
    pub(crate) fn weaknesses(&self) -> Vec<&'static str> {
        let of_families =
            self.families.values().flat_map(|it| [it.weight_match_max_ppm, it.residual_correlation_max_ppm]);
        let of_all = [self.residual_correlation_max_ppm, self.fresh_residual_correlation_max_ppm];
        let alike = of_all.into_iter().chain(of_families).any(|most| most == 0);
        let explained = [self.unexplained_min_ppm, self.fresh_unexplained_min_ppm].contains(&0);
        alike.then_some(Self::ALL_ALIKE).into_iter().chain(explained.then_some(Self::ALL_EXPLAINED)).collect()
    }

    /// What makes no sense about them, and what would.
    pub(crate) fn problems(&self) -> Vec<String> {
        let shares = [
            ("residual_correlation_max_ppm", self.residual_correlation_max_ppm),
            ("fresh_residual_correlation_max_ppm", self.fresh_residual_correlation_max_ppm),
            ("unexplained_min_ppm", self.unexplained_min_ppm),
            ("fresh_unexplained_min_ppm", self.fresh_unexplained_min_ppm),
        ];
        let families = self.families.iter().flat_map(|(family, null)| {
            [
                (format!("families.{family}.weight_match_max_ppm"), null.weight_match_max_ppm),
                (format!("families.{family}.residual_correlation_max_ppm"), null.residual_correlation_max_ppm),
            ]
        });
        let all = shares.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(families);
        let beyond = all.filter(|(_, value)| *value >= ONE_PPM).map(|(name, value)| {
            format!("{name} = {value}: independent students stay below 1000000, which is all alike")
        });
        let few = (self.pairs < PAIRS_MIN)
            .then(|| format!("pairs = {}: fewer than {PAIRS_MIN} say nothing; leave the section out", self.pairs));
        let unsourced = !(1..=SOURCE_BYTES_MAX).contains(&self.source.trim().len());
        let unsourced =
            unsourced.then(|| format!("source: say in 1 to {SOURCE_BYTES_MAX} bytes where the figures come from"));
        beyond.chain(few).chain(unsourced).collect()
    }
}
