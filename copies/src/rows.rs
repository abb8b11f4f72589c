//! Units as directions: each layer's incoming weights, freed of every positive factor, one unit vector per row.
//!
//! With batch normalisation folded, unit o of a layer has incoming weights w[o, i, k]. A factor of channel i upstream
//! is undone by multiplying with that channel's own norm: v[o, i, k] = w[o, i, k] n[i], n[o] = |v[o]|, row = v[o] / n[o].
//! Where several layers write one channel the first in plan order gives n. Rows are stored as i16 (32,767 = 1), so
//! that all comparing is done in integers. Biases are left out: a copy with other biases is a copy.

use crate::FingerprintError;
use crate::spaces::{Axis, Layer, Spaces};
use protocol::architecture::{Plan, Role};
use weights::{Array, Weights, WeightsError, fold_batch_norm};

/// What 1 is in [`Rows::values`].
pub(crate) const ONE: i64 = 32_767;

/// The rows of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    /// The tensor that they are made of.
    pub(crate) name: String,
    /// Units.
    pub(crate) count: usize,
    /// `count` times the width of a row.
    pub(crate) values: Vec<i16>,
}

impl Rows {
    pub(crate) fn width(&self) -> usize {
        self.values.len() / self.count.max(1)
    }

    pub(crate) fn row(&self, index: usize) -> &[i16] {
        let width = self.width();
        &self.values[index * width..][..width]
    }
}

/// The layers of a plan in the order of their rows, without numbers: name, rows and width.
pub(crate) fn layout(plan: &Plan) -> Vec<(String, u64, u64)> {
    let tensors = plan.tensors().into_iter().filter(|t| t.role == Role::Parameter && t.shape.len() > 1);
    tensors.map(|t| (t.name, t.shape[0], t.shape[1..].iter().product())).collect()
}

/// The rows of a model, layers in plan order.
pub(crate) fn of(plan: &Plan, weights: Weights) -> Result<Vec<Rows>, FingerprintError> {
    let (folded_plan, folded) = fold_batch_norm(plan, weights)?;
    let Some(spaces) = Spaces::of(&folded_plan) else { return as_they_are(&folded_plan, &folded) };
    let mut norms: Vec<Option<Vec<f64>>> = vec![None; spaces.scale_pinned.len()];
    spaces.layers.iter().map(|layer| layer_rows(layer, &spaces, &folded, &mut norms)).collect()
}

/// Rows of plans without known symmetries: each tensor's own, only made of unit length.
fn as_they_are(plan: &Plan, weights: &Weights) -> Result<Vec<Rows>, FingerprintError> {
    layout(plan)
        .into_iter()
        .map(|(name, count, _)| {
            let array = get(weights, &name)?;
            let count = count as usize;
            let width = array.values.len() / count.max(1);
            let unit = array.values.chunks(width.max(1)).flat_map(|row| {
                let row: Vec<f64> = row.iter().map(|v| f64::from(*v)).collect();
                let norm = norm(&row);
                row.into_iter().map(move |v| quantised(v, norm))
            });
            Ok(Rows { name, count, values: unit.collect() })
        })
        .collect()
}

fn layer_rows(
    layer: &Layer,
    spaces: &Spaces,
    weights: &Weights,
    norms: &mut [Option<Vec<f64>>],
) -> Result<Rows, FingerprintError> {
    let name = format!("{}.weight", layer.name);
    let array = get(weights, &name)?;
    let count = spaces.groups[layer.rows.group].units;
    let width = array.values.len() / count.max(1);
    let channels = if layer.depthwise { 1 } else { spaces.groups[layer.columns.group].units };
    let block = (width / channels.max(1)).max(1);
    let upstream = factors(layer.columns, spaces, norms);

    let mut lengths = Vec::with_capacity(count);
    let mut values = Vec::with_capacity(array.values.len());
    for (index, row) in array.values.chunks(width.max(1)).enumerate() {
        let factor = |position: usize| upstream[if layer.depthwise { index } else { position / block }];
        let row: Vec<f64> = row.iter().enumerate().map(|(p, v)| f64::from(*v) * factor(p)).collect();
        let length = norm(&row);
        values.extend(row.into_iter().map(|v| quantised(v, length)));
        lengths.push(length);
    }
    let scale = layer.rows.scale;
    if norms[scale].is_none() {
        norms[scale] = Some(if spaces.scale_pinned[scale] { vec![1.0; count] } else { relative(lengths) });
    }
    Ok(Rows { name, count, values })
}

/// The factors of the channels that a layer reads; a pinned scale has none.
fn factors(columns: Axis, spaces: &Spaces, norms: &[Option<Vec<f64>>]) -> Vec<f64> {
    norms[columns.scale].clone().unwrap_or_else(|| vec![1.0; spaces.groups[columns.group].units])
}

/// Divides by the largest, since a factor common to all channels changes no direction: products over many layers stay
/// in range. A channel without incoming weights keeps the factor 1.
fn relative(lengths: Vec<f64>) -> Vec<f64> {
    let largest = lengths.iter().fold(0.0f64, |a, b| a.max(*b));
    lengths.into_iter().map(|length| if length > 0.0 { length / largest } else { 1.0 }).collect()
}

fn norm(row: &[f64]) -> f64 {
    row.iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn quantised(value: f64, norm: f64) -> i16 {
    if norm > 0.0 { (value / norm * ONE as f64).round() as i16 } else { 0 }
}

fn get<'a>(weights: &'a Weights, name: &str) -> Result<&'a Array, WeightsError> {
    weights.get(name).ok_or_else(|| WeightsError::Missing(name.into()))
}
