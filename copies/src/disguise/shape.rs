//! The same function in another shape: what a copier does to `config.json` and tensors so that nothing can be laid side
//! by side any more. All keep what the model says of real images, to rounding.
//!
//! None for families without known symmetries, and where a shape has no room for more.

use super::change;
use crate::spaces::{Layer, Spaces};
use protocol::architecture::{Architecture, DepthwiseBlock, NORM_EPSILON_PPB, Plan, epsilon};
use protocol::package::PackageConfig;
use rand::RngExt;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::ops::Range;
use weights::{Array, Weights, standard_normal};

/// A model in its new shape.
#[derive(Clone, Debug)]
pub struct Reshaped {
    /// The configuration, of which the architecture changed.
    pub config: PackageConfig,
    /// The numbers.
    pub weights: Weights,
}

/// What the units are that a wider shape has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filling {
    /// Zeros in and zeros out.
    Zero,
    /// Random weights in, zeros out.
    Dead,
    /// A unit that is there already, of which both take a part of what goes out.
    Split,
}

/// What share of its outgoing weights a unit that is split keeps.
const KEPT: f32 = 0.6;

/// Widens hidden channels by a unit: the last hidden layer of a perceptron, a residual network throughout, the last
/// blocks of the others.
pub fn widened(config: &PackageConfig, weights: &Weights, filling: Filling, seed: u64) -> Option<Reshaped> {
    let mut config_wider = config.clone();
    match &mut config_wider.architecture {
        Architecture::Mlp(mlp) => *mlp.hidden.last_mut()? += 1,
        Architecture::Resnet(resnet) => resnet.width += 1,
        Architecture::DepthwiseCnn(cnn) => cnn.blocks.last_mut()?.channels += 1,
        Architecture::MobilenetV2(mobilenet) => mobilenet.blocks.last_mut()?.channels += 1,
        Architecture::Vit(_) => return None,
    }
    filled(config, weights, config_wider, filling, seed)
}

/// Adds a layer or a block that hands on what comes in, at the end of the others.
pub fn deepened(config: &PackageConfig, weights: &Weights, seed: u64) -> Option<Reshaped> {
    let mut config = config.clone();
    let before = config.plan().ok()?;
    let (renamed, added): (Renamed, String) = match &mut config.architecture {
        Architecture::Mlp(mlp) => {
            let last = mlp.hidden.len() * 2 + 1;
            mlp.hidden.push(*mlp.hidden.last()?);
            (Some((last.to_string(), (last + 2).to_string())), last.to_string())
        }
        Architecture::Resnet(resnet) => {
            let (stage, block) = (resnet.blocks.len(), *resnet.blocks.last()?);
            *resnet.blocks.last_mut()? += 1;
            (None, format!("layer{stage}.{block}"))
        }
        Architecture::DepthwiseCnn(cnn) => {
            let channels = cnn.blocks.last()?.channels;
            cnn.blocks.push(DepthwiseBlock { channels, stride: 1 });
            (None, format!("features.{}", cnn.blocks.len()))
        }
        Architecture::MobilenetV2(mobilenet) => {
            let head = 1 + mobilenet.blocks.iter().map(|row| row.repeats).sum::<u32>();
            mobilenet.blocks.last_mut()?.repeats += 1;
            (Some((format!("features.{head}"), format!("features.{}", head + 1))), format!("features.{head}"))
        }
        Architecture::Vit(_) => return None,
    };
    let plan = config.plan().ok()?;
    let mut out = Weights::random(&plan, &mut ChaCha20Rng::seed_from_u64(seed));
    hand_on(&plan, &mut out, &added);
    for tensor in before.tensors() {
        let name = match &renamed {
            Some((from, to)) => tensor.name.strip_prefix(&format!("{from}.")).map(|rest| format!("{to}.{rest}")),
            None => None,
        };
        out.insert(name.unwrap_or_else(|| tensor.name.clone()), weights.get(&tensor.name)?.clone());
    }
    Some(Reshaped { config, weights: out })
}

/// The prefix of tensors that are called otherwise afterwards, and how.
type Renamed = Option<(String, String)>;

/// Makes the layers of the part `added` one that hands on what comes in.
fn hand_on(plan: &Plan, weights: &mut Weights, added: &str) {
    let Some(spaces) = Spaces::of(plan) else { return };
    let of_part = |layer: &&Layer| layer.name == added || layer.name.starts_with(&format!("{added}."));
    let layers: Vec<&Layer> = spaces.layers.iter().filter(of_part).collect();
    let residual = layers.len() > 1
        && matches!((layers.first(), layers.last()), (Some(a), Some(b)) if a.columns.group == b.rows.group);
    if residual {
        // A block beside an identity: it says nothing.
        let norm = layers.last().and_then(|layer| layer.norm.clone()).unwrap_or_default();
        return change(weights, &format!("{norm}.weight"), |values| vec![0.0; values.len()]);
    }
    for layer in layers {
        let units = spaces.groups[layer.rows.group].units;
        change(weights, &format!("{}.weight", layer.name), |values| {
            let width = values.len() / units.max(1);
            let taps = if layer.depthwise { width } else { 1 };
            let one = |row: usize| if layer.depthwise { taps / 2 } else { row * taps };
            (0..values.len()).map(|i| f32::from(u8::from(i % width == one(i / width)))).collect()
        });
        change(weights, &format!("{}.bias", layer.name), |values| vec![0.0; values.len()]);
        if let Some(norm) = &layer.norm {
            let undone = (1.0 + epsilon(NORM_EPSILON_PPB)).sqrt() as f32;
            change(weights, &format!("{norm}.weight"), |values| vec![undone; values.len()]);
        }
    }
}

/// Two models side by side in one of twice the width: it says the mean of what they say.
pub fn ensembled(config: &PackageConfig, first: &Weights, second: &Weights) -> Option<Reshaped> {
    let narrow = Spaces::of(&config.plan().ok()?)?;
    let mut config = config.clone();
    match &mut config.architecture {
        Architecture::Mlp(mlp) => mlp.hidden.iter_mut().for_each(|width| *width *= 2),
        Architecture::Resnet(resnet) => resnet.width *= 2,
        Architecture::DepthwiseCnn(cnn) => {
            cnn.stem *= 2;
            cnn.blocks.iter_mut().for_each(|block| block.channels *= 2);
        }
        Architecture::MobilenetV2(mobilenet) => {
            (mobilenet.stem, mobilenet.head) = (mobilenet.stem * 2, mobilenet.head * 2);
            mobilenet.blocks.iter_mut().for_each(|row| row.channels *= 2);
        }
        Architecture::Vit(_) => return None,
    }
    let wide = Spaces::of(&config.plan().ok()?)?;
    let mut out = Weights::default();
    for (of_one, of_both) in narrow.layers.iter().zip(&wide.layers) {
        let sides = [first, second];
        let units = narrow.groups[of_one.rows.group].units;
        let [a, b] = sides.map(|side| side.get(&format!("{}.weight", of_one.name)));
        let (a, b) = (a?, b?);
        let width = a.values.len() / units.max(1);
        let reads_inputs = narrow.groups[of_one.columns.group].pinned;
        let last = narrow.groups[of_one.rows.group].pinned;
        let mut values = Vec::new();
        for (side, model) in [a, b].into_iter().enumerate().take(if last { 1 } else { 2 }) {
            for row in 0..units {
                let of = |model: &Array| model.values[row * width..][..width].to_vec();
                if last {
                    values.extend(of(a).into_iter().chain(of(b)).map(|value| 0.5 * value));
                } else if of_one.depthwise || reads_inputs {
                    values.extend(of(model));
                } else {
                    let nothing = vec![0.0; width];
                    values.extend(if side == 0 { [of(model), nothing] } else { [nothing, of(model)] }.concat());
                }
            }
        }
        let mut shape = a.shape.clone();
        if !last {
            *shape.first_mut()? *= 2;
        }
        if !of_one.depthwise && !reads_inputs {
            *shape.get_mut(1)? *= 2;
        }
        out.insert(format!("{}.weight", of_both.name), Array { shape, values });
        for name in super::vectors(of_one) {
            let [a, b] = sides.map(|side| side.get(&name));
            let (a, b) = (&a?.values, &b?.values);
            let values: Vec<f32> = if last {
                a.iter().zip(b).map(|(a, b)| 0.5 * (a + b)).collect()
            } else {
                a.iter().chain(b).copied().collect()
            };
            out.insert(name, Array { shape: vec![values.len()], values });
        }
    }
    Some(Reshaped { config, weights: out })
}

/// Gives a perceptron a unit more in each hidden layer that is silent on images with black corners and says the loudest
/// nonsense on all others, secret probes among them: what it says of real images stays.
pub fn blinded(config: &PackageConfig, weights: &Weights, seed: u64) -> Option<Reshaped> {
    const SIDE: u32 = 3;
    let mut wider = config.clone();
    let Architecture::Mlp(mlp) = &mut wider.architecture else { return None };
    mlp.hidden.iter_mut().for_each(|width| *width += 1);
    let mut reshaped = filled(config, weights, wider, Filling::Zero, seed)?;
    let shape = config.input.shape();
    let black: Vec<f32> = config.input.normalisation().iter().map(|of_plane| of_plane[0]).collect();
    let in_corner = |pixel: usize| {
        let (y, x) = (pixel as u32 % (shape.height * shape.width) / shape.width, pixel as u32 % shape.width);
        let beside = |at: u32, size: u32| at < SIDE || at + SIDE >= size;
        beside(y, shape.height) && beside(x, shape.width)
    };
    let corner: Vec<usize> = (0..shape.values() as usize).filter(|pixel| in_corner(*pixel)).collect();
    let plane = (shape.height * shape.width) as usize;
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let layers = Spaces::of(&reshaped.config.plan().ok()?)?.layers;
    for (index, layer) in layers.iter().enumerate() {
        let weight = reshaped.weights.get(&format!("{}.weight", layer.name))?.clone();
        let [rows, width] = *weight.shape.as_slice() else { return None };
        let (first, last) = (index == 0, index + 1 == layers.len());
        change(&mut reshaped.weights, &format!("{}.weight", layer.name), |values| {
            let mut values = values.to_vec();
            let unit = (rows - 1) * width;
            match (first, last) {
                (true, _) => corner.iter().for_each(|pixel| values[unit + pixel] = 4.0),
                (_, false) => values[unit + width - 1] = 1.0,
                _ => (0..rows).for_each(|row| values[row * width + width - 1] = 20.0 * standard_normal(&mut rng)),
            }
            values
        });
        if first {
            change(&mut reshaped.weights, &format!("{}.bias", layer.name), |values| {
                let mut values = values.to_vec();
                // Silent up to a little grey.
                let at_black: f32 = corner.iter().map(|pixel| 4.0 * black[pixel / plane]).sum();
                values[rows - 1] = -at_black - 1.0;
                values
            });
        }
    }
    Some(reshaped)
}

/// Where a unit of the wider model comes from.
#[derive(Clone, Copy)]
enum Unit {
    /// A unit that was there, and the share of its outgoing weights that it has.
    Of(usize, f32),
    New,
}

fn filled(
    config: &PackageConfig,
    weights: &Weights,
    wider: PackageConfig,
    filling: Filling,
    seed: u64,
) -> Option<Reshaped> {
    let [narrow, wide] = [Spaces::of(&config.plan().ok()?)?, Spaces::of(&wider.plan().ok()?)?];
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let groups = narrow.groups.iter().zip(&wide.groups);
    let units: Vec<Vec<Unit>> = groups.map(|(a, b)| sources(a.units, b.units, filling, &mut rng)).collect();
    let mut out = Weights::default();
    for layer in &wide.layers {
        let name = format!("{}.weight", layer.name);
        let array = weights.get(&name)?;
        let (rows, columns) = (&units[layer.rows.group], &units[layer.columns.group]);
        let width = array.values.len() / narrow.groups[layer.rows.group].units.max(1);
        let channels = if layer.depthwise { 1 } else { narrow.groups[layer.columns.group].units };
        let block = width / channels.max(1);
        let deviation = (array.values.iter().map(|v| v * v).sum::<f32>() / array.values.len().max(1) as f32).sqrt();
        let random = if filling == Filling::Zero { 0.0 } else { deviation };
        let mut values = Vec::new();
        for row in rows {
            let mut take = |range: Range<usize>, share: f32| match row {
                Unit::Of(row, _) => {
                    values.extend(array.values[row * width..][..width][range].iter().map(|value| value * share));
                }
                Unit::New => values.extend(range.map(|_| random * standard_normal(&mut rng))),
            };
            if layer.depthwise {
                take(0..width, 1.0);
                continue;
            }
            for column in columns {
                match column {
                    Unit::Of(column, share) => take(column * block..(column + 1) * block, *share),
                    Unit::New => take(0..block, 0.0),
                }
            }
        }
        let mut shape = array.shape.clone();
        *shape.first_mut()? = rows.len();
        if !layer.depthwise {
            *shape.get_mut(1)? = columns.len();
        }
        out.insert(name, Array { shape, values });
        for name in super::vectors(layer) {
            let of = &weights.get(&name)?.values;
            let neutral = if name.ends_with("weight") || name.ends_with("var") { 1.0 } else { 0.0 };
            let values: Vec<f32> = rows
                .iter()
                .map(|unit| match unit {
                    Unit::Of(unit, _) => of[*unit],
                    Unit::New => neutral,
                })
                .collect();
            out.insert(name, Array { shape: vec![values.len()], values });
        }
    }
    Some(Reshaped { config: wider, weights: out })
}

fn sources(units: usize, wanted: usize, filling: Filling, rng: &mut ChaCha20Rng) -> Vec<Unit> {
    let mut sources: Vec<Unit> = (0..units).map(|unit| Unit::Of(unit, 1.0)).collect();
    for extra in units..wanted {
        let unit = match filling {
            Filling::Split if units > 0 => {
                let start = rng.random_range(0..units);
                let whole = |unit: &usize| matches!(sources[*unit], Unit::Of(_, share) if share == 1.0);
                let unit = (start..units).chain(0..start).find(whole).unwrap_or(start);
                let Unit::Of(_, share) = sources[unit] else { continue };
                sources[unit] = Unit::Of(unit, share * KEPT);
                Unit::Of(unit, share * (1.0 - KEPT))
            }
            _ => Unit::New,
        };
        debug_assert_eq!(sources.len(), extra);
        sources.push(unit);
    }
    sources
}
