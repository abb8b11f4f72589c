//! Two fingerprints side by side: what is the same, how well units match, how much residuals correlate.
//!
//! Pure and symmetric in what it claims: whoever recomputes it from the stored packages gets the same numbers, which is
//! what an appeal rests on. It does NOT judge; [`crate::Thresholds`] do.

use crate::Fingerprint;
use crate::matching::{LayerCosines, Matcher, mean_cosine};
use crate::residuals::correlation_ppm;
use crate::spaces::Spaces;
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
    /// in place to [`SAME_COSINE_PPM`] in each layer. Rows have unit length, so positive factors hide nothing.
    pub same_canonical: bool,
    /// T2: the same under another order of the hidden units too.
    pub same_symmetric: bool,
    /// T3, s_w: mean cosine of matched units' incoming weights, by weights; nothing for other architectures or families
    /// without known symmetries.
    pub weight_match_ppm: Option<i32>,
    /// T4, rc: correlation of the residuals on the probes; nothing without common probes.
    pub residual_correlation_ppm: Option<i32>,
    /// T3 by layer.
    pub layers: Vec<LayerEvidence>,
}

/// One layer of [`Evidence`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerEvidence {
    /// The weight's name in the `state_dict`.
    pub name: String,
    /// Its rows.
    pub units: u32,
    /// Mean cosine with each unit in its place, ppm.
    pub in_place_ppm: i32,
    /// Mean cosine of matched units, ppm.
    pub matched_ppm: Option<i32>,
}

/// Compares two fingerprints.
pub fn compare(a: &Fingerprint, b: &Fingerprint) -> Evidence {
    let comparable = a.head.architecture == b.head.architecture
        && (a.head.input, a.head.classes) == (b.head.input, b.head.classes)
        && a.layers.iter().map(|l| l.values.len()).eq(b.layers.iter().map(|l| l.values.len()));
    let layers = if comparable { layer_evidence(a, b) } else { Vec::new() };
    let all = |cosine: &dyn Fn(&LayerEvidence) -> Option<i32>| {
        !layers.is_empty() && layers.iter().all(|layer| cosine(layer).is_some_and(|ppm| ppm >= SAME_COSINE_PPM))
    };
    let same_canonical = a.head.canonical == b.head.canonical || all(&|layer| Some(layer.in_place_ppm));
    Evidence {
        same_package: a.head.package == b.head.package,
        same_canonical,
        same_symmetric: same_canonical || all(&|layer| layer.matched_ppm),
        weight_match_ppm: if comparable { weight_match(a, &layers) } else { None },
        residual_correlation_ppm: (a.head.probes.is_some() && a.head.probes == b.head.probes)
            .then(|| correlation_ppm(&a.residuals, &b.residuals))
            .flatten(),
        layers,
    }
}

fn layer_evidence(a: &Fingerprint, b: &Fingerprint) -> Vec<LayerEvidence> {
    let spaces = a.plan().ok().and_then(|plan| Spaces::of(&plan));
    let (in_place, matched): (LayerCosines, Option<LayerCosines>) = match &spaces {
        Some(spaces) => {
            let matcher = Matcher { spaces, first: &a.layers, second: &b.layers };
            (matcher.in_place(), matcher.is_affordable().then(|| matcher.matched()))
        }
        None => (a.layers.iter().zip(&b.layers).map(|(a, b)| mean_cosine_in_place(a, b)).collect(), None),
    };
    let layers = a.layers.iter().zip(in_place).enumerate();
    layers
        .map(|(index, (layer, in_place))| LayerEvidence {
            name: layer.name.clone(),
            units: layer.count as u32,
            in_place_ppm: in_place as i32,
            matched_ppm: matched.as_ref().map(|matched| matched[index] as i32),
        })
        .collect()
}

fn mean_cosine_in_place(a: &crate::rows::Rows, b: &crate::rows::Rows) -> i64 {
    mean_cosine((0..a.count).map(|row| (a.row(row), b.row(row))))
}

/// s_w: each layer counts by its weights, since a short row finds a near partner among strangers by chance.
fn weight_match(a: &Fingerprint, layers: &[LayerEvidence]) -> Option<i32> {
    let (mut sum, mut values) = (0i128, 0i128);
    for (rows, layer) in a.layers.iter().zip(layers) {
        sum += i128::from(layer.matched_ppm?) * rows.values.len() as i128;
        values += rows.values.len() as i128;
    }
    (values > 0).then(|| (sum / values) as i32)
}
