//! What a copier does to a model so that it looks like his own: calibration and tests measure the recall on these.
//!
//! All are deterministic in their seed. The first three keep the function (to rounding), the others damage it; what
//! changes the shape and keeps the function is in [`shape`].

pub mod shape;

use crate::FingerprintError;
use crate::spaces::{Layer, Spaces};
use half::{bf16, f16};
use protocol::architecture::{Plan, Role};
use rand::{Rng, RngExt, seq::SliceRandom};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use safetensors::{Dtype, tensor::TensorView};
use std::collections::HashMap;
use weights::{Weights, standard_normal};

/// A way to write the same numbers in half the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// IEEE half precision.
    F16,
    /// The upper half of f32.
    Bf16,
}

/// Writes weights as safetensors in 16 bits.
///
/// # Errors
/// When the crate refuses, which for finite sizes it does not.
pub fn encoded(weights: &Weights, encoding: Encoding) -> Result<Vec<u8>, FingerprintError> {
    let bytes_of = |value: &f32| match encoding {
        Encoding::F16 => f16::from_f32(*value).to_le_bytes(),
        Encoding::Bf16 => bf16::from_f32(*value).to_le_bytes(),
    };
    let dtype = if encoding == Encoding::F16 { Dtype::F16 } else { Dtype::BF16 };
    let arrays: Vec<_> = weights
        .iter()
        .map(|(name, array)| (name, array.shape.clone(), array.values.iter().flat_map(bytes_of).collect::<Vec<u8>>()))
        .collect();
    let write = || {
        let views = arrays
            .iter()
            .map(|(name, shape, data)| Ok((*name, TensorView::new(dtype, shape.clone(), data)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
        safetensors::serialize(views, None::<HashMap<String, String>>)
    };
    write().map_err(|error| FingerprintError::Format(error.to_string()))
}

/// Shuffles the hidden units of every layer; the function stays. Plans without known symmetries stay as they are.
pub fn permuted(plan: &Plan, weights: &Weights, seed: u64) -> Weights {
    let Some(spaces) = Spaces::of(plan) else { return weights.clone() };
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let orders: Vec<Vec<usize>> = spaces
        .groups
        .iter()
        .map(|group| {
            let mut order: Vec<usize> = (0..group.units).collect();
            if !group.pinned {
                order.shuffle(&mut rng);
            }
            order
        })
        .collect();
    let mut out = weights.clone();
    for layer in &spaces.layers {
        let rows = &orders[layer.rows.group];
        let columns: &[usize] = if layer.depthwise { &[0] } else { &orders[layer.columns.group] };
        for name in vectors(layer) {
            change(&mut out, &name, |values| rows.iter().map(|from| values[*from]).collect());
        }
        change(&mut out, &format!("{}.weight", layer.name), |values| {
            let width = values.len() / rows.len().max(1);
            let block = width / columns.len().max(1);
            let cells = rows.iter().flat_map(|row| columns.iter().map(move |column| row * width + column * block));
            cells.flat_map(|start| values[start..start + block].to_vec()).collect()
        });
    }
    out
}

/// Multiplies every hidden unit by a factor between 1/4 and 4 and divides it out again downstream, and multiplies what
/// goes into each batch normalisation, which doesn't mind; the function stays, to rounding and to the normalisation's
/// epsilon.
pub fn rescaled(plan: &Plan, weights: &Weights, seed: u64) -> Weights {
    let Some(spaces) = Spaces::of(plan) else { return weights.clone() };
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut factors: Vec<Option<Vec<f32>>> = vec![None; spaces.scale_pinned.len()];
    let mut out = weights.clone();
    for layer in &spaces.layers {
        let units = spaces.groups[layer.rows.group].units;
        if !spaces.scale_pinned[layer.rows.scale] && factors[layer.rows.scale].is_none() {
            factors[layer.rows.scale] = Some((0..units).map(|_| factor(&mut rng)).collect());
        }
        let ones = vec![1.0; units];
        let upstream = factors[layer.columns.scale].clone();
        let downstream = factors[layer.rows.scale].clone().unwrap_or_else(|| ones.clone());
        let before_norm: Vec<f32> = match layer.norm {
            Some(_) => (0..units).map(|_| factor(&mut rng)).collect(),
            None => downstream.clone(),
        };
        scale_weight(&mut out, layer, &before_norm, upstream.as_deref());
        let mut scale = |name: String, by: &dyn Fn(usize) -> f32| {
            change(&mut out, &name, |values| values.iter().enumerate().map(|(i, v)| v * by(i)).collect());
        };
        if layer.has_bias {
            scale(format!("{}.bias", layer.name), &|i| before_norm[i]);
        }
        if let Some(norm) = &layer.norm {
            scale(format!("{norm}.running_mean"), &|i| before_norm[i]);
            scale(format!("{norm}.running_var"), &|i| before_norm[i] * before_norm[i]);
            scale(format!("{norm}.weight"), &|i| downstream[i]);
            scale(format!("{norm}.bias"), &|i| downstream[i]);
        }
    }
    out
}

fn factor(rng: &mut impl Rng) -> f32 {
    2f32.powf(rng.random_range(-2.0..2.0))
}

fn scale_weight(weights: &mut Weights, layer: &Layer, rows: &[f32], upstream: Option<&[f32]>) {
    change(weights, &format!("{}.weight", layer.name), |values| {
        let width = values.len() / rows.len().max(1);
        let block = upstream.map_or(1, |upstream| (width / upstream.len().max(1)).max(1));
        let column = |row: usize, position: usize| match upstream {
            None => 1.0,
            Some(upstream) if layer.depthwise => upstream[row],
            Some(upstream) => upstream[position / block],
        };
        let scaled = values.iter().enumerate().map(|(i, v)| v * rows[i / width] / column(i / width, i % width));
        scaled.collect()
    });
}

/// Adds normal noise to every learned tensor, with `share` of the tensor's standard deviation.
pub fn noisy(plan: &Plan, weights: &Weights, share: f32, seed: u64) -> Weights {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    learned(plan, weights, |values| {
        let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / values.len().max(1) as f32;
        let amount = share * variance.sqrt();
        values.iter().map(|v| v + amount * standard_normal(&mut rng)).collect()
    })
}

/// Sets the given share of each matrix's smallest weights to zero.
pub fn pruned(plan: &Plan, weights: &Weights, share: f64) -> Weights {
    matrices(plan, weights, |values| {
        let mut sizes: Vec<f32> = values.iter().map(|v| v.abs()).collect();
        sizes.sort_unstable_by(f32::total_cmp);
        let limit = sizes.get((share * sizes.len() as f64) as usize).copied().unwrap_or(0.0);
        values.iter().map(|v| if v.abs() < limit { 0.0 } else { *v }).collect()
    })
}

/// Rounds each matrix to 8-bit integers with one factor for the tensor, and back.
pub fn through_int8(plan: &Plan, weights: &Weights) -> Weights {
    matrices(plan, weights, |values| {
        let step = values.iter().fold(0f32, |largest, v| largest.max(v.abs())) / 127.0;
        values.iter().map(|v| if step > 0.0 { (v / step).round() * step } else { 0.0 }).collect()
    })
}

/// `share` of the first model's numbers and the rest of the second's.
pub fn averaged(first: &Weights, second: &Weights, share: f32) -> Weights {
    let mut out = first.clone();
    for (name, other) in second.iter() {
        change(&mut out, name, |values| {
            values.iter().zip(&other.values).map(|(a, b)| share * a + (1.0 - share) * b).collect()
        });
    }
    out
}

fn learned(plan: &Plan, weights: &Weights, change_values: impl FnMut(&[f32]) -> Vec<f32>) -> Weights {
    each(plan, weights, 1, change_values)
}

fn matrices(plan: &Plan, weights: &Weights, change_values: impl FnMut(&[f32]) -> Vec<f32>) -> Weights {
    each(plan, weights, 2, change_values)
}

fn each(plan: &Plan, weights: &Weights, rank_min: usize, mut change_values: impl FnMut(&[f32]) -> Vec<f32>) -> Weights {
    let mut out = weights.clone();
    for tensor in plan.tensors().iter().filter(|t| t.role == Role::Parameter && t.shape.len() >= rank_min) {
        change(&mut out, &tensor.name, &mut change_values);
    }
    out
}

fn change(weights: &mut Weights, name: &str, change_values: impl FnOnce(&[f32]) -> Vec<f32>) {
    if let Some(mut array) = weights.get(name).cloned() {
        array.values = change_values(&array.values);
        weights.insert(name.to_owned(), array);
    }
}

/// The tensors of a layer that have one value a unit.
fn vectors(layer: &Layer) -> Vec<String> {
    let bias = layer.has_bias.then(|| format!("{}.bias", layer.name));
    let norm = layer
        .norm
        .iter()
        .flat_map(|norm| ["weight", "bias", "running_mean", "running_var"].map(|part| format!("{norm}.{part}")));
    bias.into_iter().chain(norm).collect()
}
