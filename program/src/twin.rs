//! A graph's random twin: the same operations over random numbers, which costs what the graph costs unless its numbers
//! were chosen to cost more. It is never asked what it answers.

use crate::costs;
use crate::graph::Graph;
use crate::refusal::Result;
use crate::tensor::{Constant, Dtype};
use half::{bf16, f16};
use rand::{Rng, RngExt};
use std::borrow::Cow;
use weights::standard_normal;

/// What random numbers stay within, so that no layer's sum leaves a float's range.
const MAGNITUDE_MAX: f32 = 1e3;
/// And what their spread is at least, so that none is denormal.
const SPREAD_MIN: f32 = 1e-6;

impl Graph<'_> {
    /// The same graph with random numbers for what was learned, of about the same mean and spread and never of another sign
    /// where all are of one: variances and scales stay what they have to be. Single numbers, shapes, and whole numbers of 32
    /// and 64 bits stay, since nodes are built by them.
    ///
    /// # Errors
    /// When a constant can't be of its own type, which is a bug.
    pub fn random_twin(&self, rng: &mut impl Rng) -> Result<Graph<'static>> {
        let learned = costs::numbers(self);
        let twin = |(index, constant): (usize, &Constant<'_>)| {
            let is_learned = learned.contains(&self.inputs.len().saturating_add(index));
            let data = match is_learned && constant.ty().shape.elements() > 1 {
                true => random(constant, rng),
                false => constant.data().to_vec(),
            };
            Constant::new(constant.ty().clone(), Cow::Owned(data))
        };
        Ok(Graph {
            inputs: self.inputs.clone(),
            initialisers: self.initialisers.iter().enumerate().map(twin).collect::<Result<_>>()?,
            nodes: self.nodes.clone(),
            made: self.made.clone(),
            outputs: self.outputs.clone(),
        })
    }
}

fn random(constant: &Constant<'_>, rng: &mut impl Rng) -> Vec<u8> {
    let data = constant.data();
    let pairs = || data.as_chunks::<2>().0.iter().copied();
    match constant.ty().dtype {
        Dtype::F32 => {
            let values = data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            alike(values, rng).iter().flat_map(|value| value.to_le_bytes()).collect()
        }
        Dtype::F16 => {
            let values = pairs().map(|bytes| f16::from_le_bytes(bytes).to_f32()).collect();
            alike(values, rng).iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect()
        }
        Dtype::Bf16 => {
            let values = pairs().map(|bytes| bf16::from_le_bytes(bytes).to_f32()).collect();
            alike(values, rng).iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect()
        }
        // A matrix of them was learned; a row may be what zero is called.
        Dtype::I8 | Dtype::U8 if constant.ty().shape.rank() > 1 => data.iter().map(|_| rng.random()).collect(),
        Dtype::I8 | Dtype::U8 | Dtype::I64 | Dtype::I32 | Dtype::Bool => data.to_vec(),
    }
}

/// As many normal numbers of the same mean and spread.
fn alike(mut values: Vec<f32>, rng: &mut impl Rng) -> Vec<f32> {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let count = finite().count().max(1) as f64;
    let mean = finite().map(f64::from).sum::<f64>() / count;
    let variance = finite().map(|value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
    let sign = match (finite().all(|value| value >= 0.0), finite().all(|value| value <= 0.0)) {
        (true, false) => Some(1.0),
        (false, true) => Some(-1.0),
        _ => None,
    };
    let (mean, spread) = (mean as f32, (variance.sqrt() as f32).clamp(SPREAD_MIN, MAGNITUDE_MAX));
    for value in &mut values {
        let random = (mean + spread * standard_normal(rng)).clamp(-MAGNITUDE_MAX, MAGNITUDE_MAX);
        *value = sign.map_or(random, |sign: f32| sign * random.abs().max(SPREAD_MIN));
    }
    values
}
