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
/// What 1 is in [`Rows::strength_ppm`].
const ONE_PPM: u32 = 1_000_000;

/// The rows of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    /// The tensor that they are made of.
    pub(crate) name: String,
    /// Units.
    pub(crate) count: usize,
    /// `count` times the width of a row.
    pub(crate) values: Vec<i16>,
    /// How much it writes beside what its channels hold already, ppm: root mean square of its n over that of the layer
    /// that wrote them first; a million for that one. A residual block that does next to nothing shows here alone.
    pub(crate) strength_ppm: u32,
}

impl Rows {
    pub(crate) fn width(&self) -> usize {
        self.values.len() / self.count.max(1)
    }

    pub(crate) fn row(&self, index: usize) -> &[i16] {
        let width = self.width();
        &self.values[index * width..][..width]
    }

    /// The rows of which `source` names the places; zeros where it names none.
    pub(crate) fn with_rows(&self, source: &[Option<usize>]) -> Self {
        let nothing = vec![0; self.width()];
        let values = source.iter().flat_map(|from| from.map_or(&*nothing, |from| self.row(from)).to_vec()).collect();
        Self { name: self.name.clone(), count: source.len(), values, strength_ppm: self.strength_ppm }
    }

    /// The channels that rows read, of which there are `channels`, put where `source` names them; zeros where it doesn't.
    pub(crate) fn with_columns(&self, channels: usize, source: &[Option<usize>]) -> Self {
        let block = self.width() / channels.max(1);
        let mut values = Vec::with_capacity(self.count * source.len() * block);
        for row in 0..self.count {
            let row = self.row(row);
            for from in source {
                match from {
                    Some(from) => values.extend_from_slice(&row[from * block..][..block]),
                    None => values.extend(std::iter::repeat_n(0, block)),
                }
            }
        }
        Self { name: self.name.clone(), count: self.count, values, strength_ppm: self.strength_ppm }
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
    let mut channels = Channels { spaces: &spaces, known: vec![None; spaces.scale_pinned.len()] };
    spaces.layers.iter().map(|layer| channels.rows(layer, &folded)).collect()
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
            Ok(Rows { name, count, values: unit.collect(), strength_ppm: ONE_PPM })
        })
        .collect()
}

/// What is known of the channels of each scale, once a layer wrote them.
struct Channels<'a> {
    spaces: &'a Spaces,
    known: Vec<Option<Scale>>,
}

#[derive(Clone)]
struct Scale {
    /// n of each channel over the largest n; ones where factors are pinned.
    factors: Vec<f64>,
    /// What the factors are to be multiplied with.
    largest: f64,
    /// Root mean square of n as the first layer wrote it.
    first: f64,
}

impl Channels<'_> {
    fn rows(&mut self, layer: &Layer, weights: &Weights) -> Result<Rows, FingerprintError> {
        let name = format!("{}.weight", layer.name);
        let array = get(weights, &name)?;
        let count = self.spaces.groups[layer.rows.group].units;
        let width = array.values.len() / count.max(1);
        let channels = if layer.depthwise { 1 } else { self.spaces.groups[layer.columns.group].units };
        let block = (width / channels.max(1)).max(1);
        let (upstream, size) = self.read(layer.columns);

        let mut lengths = Vec::with_capacity(count);
        let mut values = Vec::with_capacity(array.values.len());
        for (index, row) in array.values.chunks(width.max(1)).enumerate() {
            let factor = |position: usize| upstream[if layer.depthwise { index } else { position / block }];
            let row: Vec<f64> = row.iter().enumerate().map(|(p, v)| f64::from(*v) * factor(p)).collect();
            let length = norm(&row);
            values.extend(row.into_iter().map(|v| quantised(v, length)));
            lengths.push(length);
        }
        let strength_ppm = self.write(layer.rows, lengths, size);
        Ok(Rows { name, count, values, strength_ppm })
    }

    /// The factors of the channels that a layer reads, and what they are to be multiplied with.
    fn read(&self, columns: Axis) -> (Vec<f64>, f64) {
        match &self.known[columns.scale] {
            Some(scale) => (scale.factors.clone(), scale.largest),
            None => (vec![1.0; self.spaces.groups[columns.group].units], 1.0),
        }
    }

    /// Takes up what a layer writes; `size` times `lengths` are its n. Gives its strength.
    fn write(&mut self, rows: Axis, lengths: Vec<f64>, size: f64) -> u32 {
        let count = lengths.len().max(1) as f64;
        let here = size * norm(&lengths) / count.sqrt();
        if let Some(scale) = &self.known[rows.scale] {
            let strength = here / scale.first * f64::from(ONE_PPM);
            // Where either is none, or beyond what a float holds, nothing is said against the layer.
            return if strength.is_finite() { strength.round() as u32 } else { ONE_PPM };
        }
        let (factors, largest) = if self.spaces.scale_pinned[rows.scale] {
            (vec![1.0; lengths.len()], 1.0)
        } else {
            let largest = lengths.iter().fold(0.0f64, |a, b| a.max(*b));
            (relative(lengths, largest), size * largest)
        };
        self.known[rows.scale] = Some(Scale { factors, largest, first: here });
        ONE_PPM
    }
}

/// Divides by the largest, since a factor common to all channels changes no direction: products over many layers stay
/// in range. A channel without incoming weights keeps the factor 1.
fn relative(lengths: Vec<f64>, largest: f64) -> Vec<f64> {
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
