//! Two fingerprints side by side: what is the same, how well units match, how much residuals correlate.
//!
//! Pure and symmetric in what it claims: whoever recomputes it from the stored packages gets the same numbers, which is
//! what an appeal rests on. It does NOT judge; [`crate::Thresholds`] do.

use crate::Fingerprint;
use crate::matching::{Compared, mean_cosine};
use crate::residuals::{correlation_ppm, unexplained_ppm};
use crate::shapes::Pairing;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Rows with at least this cosine, ppm, in every layer are the same to within an encoding: a relative distance of 2 %
/// (cos = 1 - d^2 / 2). bf16 moves a weight by 0.2 % at most.
pub const SAME_COSINE_PPM: i32 = 999_800;

/// What two packages have in common. All figures are integers, ppm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// T0: the same bytes.
    pub same_package: bool,
    /// T1: the same model unit by unit to within an encoding: equal digests of the decoded numbers, or rows that agree
    /// in place to [`SAME_COSINE_PPM`] in each layer. Rows have unit length, so positive factors hide nothing. Of two graphs:
    /// equal canonical bytes, or the same numbers in whatever order and layout.
    pub same_canonical: bool,
    /// T2: the same under another order of the hidden units too.
    pub same_symmetric: bool,
    /// T3, s_w: mean cosine of matched units' incoming weights, by weights. Widths may differ, and parts near the
    /// identity are skipped; nothing for models whose parts don't correspond, or of families without known symmetries.
    pub weight_match_ppm: Option<i32>,
    /// T4, rc: correlation of the residuals on the probes; nothing without common probes.
    pub residual_correlation_ppm: Option<i32>,
    /// Share of one's standardised outputs on the probes that the other's don't explain; nothing without common probes.
    pub unexplained_ppm: Option<i32>,
    /// rc on a round's fresh items, if the pair met on some; fingerprints don't hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub fresh_residual_correlation_ppm: Option<i32>,
    /// One of them is a graph: its units are matched with nobody's, so that T2 and T3 say nothing and outputs decide.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub of_graph: bool,
    /// T3 by layer.
    pub layers: Vec<LayerEvidence>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// One layer of [`Evidence`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerEvidence {
    /// The weight's name in the `state_dict` of the first.
    pub name: String,
    /// The rows that have a partner: all, or as many as the narrower model has.
    pub units: u32,
    /// Mean cosine with each unit in its place, ppm.
    pub in_place_ppm: i32,
    /// Mean cosine of matched units, ppm.
    pub matched_ppm: Option<i32>,
}

impl Evidence {
    /// What outputs alone say beside a model that is known by nothing else: the share of them that it doesn't explain.
    pub fn of_outputs(unexplained_ppm: i32) -> Self {
        Self {
            same_package: false,
            same_canonical: false,
            same_symmetric: false,
            weight_match_ppm: None,
            residual_correlation_ppm: None,
            unexplained_ppm: Some(unexplained_ppm),
            fresh_residual_correlation_ppm: None,
            of_graph: false,
            layers: Vec::new(),
        }
    }
}

/// Compares two fingerprints.
pub fn compare(a: &Fingerprint, b: &Fingerprint) -> Evidence {
    let comparable = a.family() == b.family() && (a.head.input, a.head.classes) == (b.head.input, b.head.classes);
    let same_shape = comparable && a.head.architecture == b.head.architecture;
    let (layers, weight_match_ppm) = if comparable { weights(a, b, same_shape) } else { (Vec::new(), None) };
    let all = |cosine: &dyn Fn(&LayerEvidence) -> Option<i32>| {
        same_shape && !layers.is_empty() && layers.iter().all(|l| cosine(l).is_some_and(|ppm| ppm >= SAME_COSINE_PPM))
    };
    let same_numbers = a.head.numbers.is_some() && a.head.numbers == b.head.numbers;
    let same_canonical = a.head.canonical == b.head.canonical || same_numbers || all(&|layer| Some(layer.in_place_ppm));
    let same_probes = a.head.probes.is_some() && a.head.probes == b.head.probes;
    Evidence {
        same_package: a.head.package == b.head.package,
        same_canonical,
        same_symmetric: same_canonical || all(&|layer| layer.matched_ppm),
        weight_match_ppm,
        residual_correlation_ppm: same_probes
            .then(|| correlation_ppm(&a.answers.residuals, &b.answers.residuals))
            .flatten(),
        unexplained_ppm: same_probes.then(|| unexplained_ppm(&a.answers.outputs, &b.answers.outputs)).flatten(),
        fresh_residual_correlation_ppm: None,
        of_graph: a.is_graph() || b.is_graph(),
        layers,
    }
}

/// All layers side by side, and s_w.
fn weights(a: &Fingerprint, b: &Fingerprint, same_shape: bool) -> (Vec<LayerEvidence>, Option<i32>) {
    let Some(pairing) = Pairing::of(a, b) else {
        return (if same_shape { rows_in_place(a, b) } else { Vec::new() }, None);
    };
    let in_place = pairing.in_place();
    let matched = pairing.is_affordable().then(|| pairing.matched());
    let layer = |index: usize| LayerEvidence {
        name: pairing.layers[index].first.name.clone(),
        units: in_place[index].units as u32,
        in_place_ppm: in_place[index].cosine_ppm as i32,
        matched_ppm: matched.as_ref().map(|matched| matched[index].cosine_ppm as i32),
    };
    ((0..pairing.layers.len()).map(layer).collect(), matched.as_deref().and_then(weight_match))
}

/// For families without known symmetries.
fn rows_in_place(a: &Fingerprint, b: &Fingerprint) -> Vec<LayerEvidence> {
    let layer = |(a, b): (&crate::rows::Rows, &crate::rows::Rows)| LayerEvidence {
        name: a.name.clone(),
        units: a.count as u32,
        in_place_ppm: mean_cosine((0..a.count).map(|row| (a.row(row), b.row(row)))) as i32,
        matched_ppm: None,
    };
    a.layers.iter().zip(&b.layers).map(layer).collect()
}

/// s_w: each layer counts by its weights, since a short row finds a near partner among strangers by chance.
fn weight_match(layers: &[Compared]) -> Option<i32> {
    let sum: i128 = layers.iter().map(|layer| i128::from(layer.cosine_ppm) * i128::from(layer.values)).sum();
    let values: i128 = layers.iter().map(|layer| i128::from(layer.values)).sum();
    (values > 0).then(|| (sum / values) as i32)
}
