//! Folding batch normalisation into the convolution before it (Jacob et al. 2018, section 3.2):
//! w' = w γ/σ, b' = β - μ γ/σ with σ = sqrt(var + ε). The function stays the same and the normalisation costs nothing.

use crate::arrays::{Array, Weights, WeightsError};
use protocol::architecture::{ArchitectureError, Op, Plan, epsilon};

/// Rewrites `plan` and `weights` so that no batch normalisation follows a convolution.
///
/// # Errors
/// When `weights` lack a tensor of the plan.
pub fn fold_batch_norm(plan: &Plan, mut weights: Weights) -> Result<(Plan, Weights), WeightsError> {
    let mut folded = Weights::default();
    let ops = fold_ops(plan.ops(), &mut weights, &mut folded)?;
    let plan = Plan::new(plan.input(), plan.classes(), ops)
        .unwrap_or_else(|error: ArchitectureError| panic!("folding keeps every shape, this is a bug: {error}"));
    Ok((plan, folded))
}

fn fold_ops(ops: &[Op], weights: &mut Weights, folded: &mut Weights) -> Result<Vec<Op>, WeightsError> {
    let mut out = Vec::with_capacity(ops.len());
    let mut rest = ops;
    while let Some((op, tail)) = rest.split_first() {
        rest = tail;
        match (op, tail.first()) {
            (Op::Conv2d(conv), Some(Op::BatchNorm { name: norm, epsilon_ppb, .. })) => {
                let (weight, bias) = fold_pair(&conv.name, (norm, epsilon(*epsilon_ppb)), conv.bias, weights)?;
                folded.insert(format!("{}.weight", conv.name), weight);
                folded.insert(format!("{}.bias", conv.name), bias);
                out.push(Op::Conv2d(protocol::architecture::Conv2d { bias: true, ..conv.clone() }));
                rest = &tail[1..];
            }
            (Op::Residual { body, shortcut }, _) => {
                let body = fold_ops(body, weights, folded)?;
                let shortcut = fold_ops(shortcut, weights, folded)?;
                out.push(Op::Residual { body, shortcut });
            }
            _ => {
                for tensor in op.tensors() {
                    let array = take(weights, &tensor.name)?;
                    folded.insert(tensor.name, array);
                }
                out.push(op.clone());
            }
        }
    }
    Ok(out)
}

fn fold_pair(
    conv: &str,
    (norm, epsilon): (&str, f64),
    has_bias: bool,
    weights: &mut Weights,
) -> Result<(Array, Array), WeightsError> {
    let mut part = |name: &str| take(weights, &format!("{norm}.{name}"));
    let (gamma, beta) = (part("weight")?, part("bias")?);
    let (mean, variance) = (part("running_mean")?, part("running_var")?);
    let mut weight = take(weights, &format!("{conv}.weight"))?;
    let bias_before = if has_bias { Some(take(weights, &format!("{conv}.bias"))?) } else { None };

    let channels = gamma.values.len();
    let per_channel = weight.values.len() / channels;
    let mut bias = Vec::with_capacity(channels);
    for (channel, block) in weight.values.chunks_mut(per_channel).enumerate() {
        // In f64: a tiny variance would lose digits here and nowhere else.
        let sigma = (f64::from(variance.values[channel]) + epsilon).sqrt();
        let scale = f64::from(gamma.values[channel]) / sigma;
        let before = bias_before.as_ref().map_or(0.0, |bias| f64::from(bias.values[channel]));
        bias.push((f64::from(beta.values[channel]) + (before - f64::from(mean.values[channel])) * scale) as f32);
        for value in block {
            *value = (f64::from(*value) * scale) as f32;
        }
    }
    Ok((weight, Array { shape: vec![channels], values: bias }))
}

fn take(weights: &mut Weights, name: &str) -> Result<Array, WeightsError> {
    weights.take(name).ok_or_else(|| WeightsError::Missing(name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::architecture::{Architecture, ImageShape};

    #[test]
    fn the_scored_size_is_of_the_values_that_folding_leaves() {
        let image = ImageShape { channels: 1, height: 28, width: 28 };
        let families = [
            r#"{"kind":"mlp","hidden":[16]}"#,
            r#"{"kind":"resnet","width":8,"blocks":[2,1],"stem_stride":2}"#,
            r#"{"kind":"depthwise_cnn","stem":8,"stem_stride":1,"blocks":[{"channels":12,"stride":2}]}"#,
            r#"{"kind":"mobilenet_v2","stem":8,"stem_stride":2,"head":16,"blocks":[{"expansion":4,"channels":8,"repeats":2,"stride":2}]}"#,
            r#"{"kind":"vit","patch":7,"width":8,"depth":1,"heads":2,"mlp_width":16}"#,
        ];
        for json in families {
            let architecture: Architecture = serde_json::from_str(json).expect("a test's own description");
            let plan = architecture.plan(image, 10).expect("a family of the catalogue");
            let (folded_plan, folded) =
                fold_batch_norm(&plan, Weights::random(&plan, &mut rand::rng())).expect("its own weights");
            let values: usize = folded_plan
                .tensors()
                .iter()
                .map(|tensor| folded.get(&tensor.name).expect("a tensor of the plan").values.len())
                .sum();
            assert_eq!(plan.costs().expect("small").size_bytes, 2 * values as u64, "{json}");
            assert_eq!(folded_plan.costs().expect("small").size_bytes, 2 * values as u64, "{json}, folded");
        }
    }
}
