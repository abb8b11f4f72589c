//! `mlp`: fully connected layers with ReLU, named as in
//! `nn.Sequential(nn.Flatten(), nn.Linear(..), nn.ReLU(), .., nn.Linear(..))`: `1.weight`, `3.weight`, ...

use super::{Activation, ArchitectureError, ImageShape, Op, block_count, dimension};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A multi-layer perceptron.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mlp {
    /// Width of each hidden layer.
    pub hidden: Vec<u32>,
    /// Whether layers have biases.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub bias: bool,
    /// The non-linearity, where it isn't ReLU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub activation: Option<Activation>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

impl Mlp {
    /// Layers of these widths, with ReLU.
    pub fn of(hidden: Vec<u32>) -> Self {
        Self { hidden, bias: true, activation: None }
    }

    pub(super) fn ops(&self, input: ImageShape, classes: u32) -> Result<Vec<Op>, ArchitectureError> {
        block_count("hidden", self.hidden.len())?;
        let mut inputs = u32::try_from(input.values()).map_err(|_| ArchitectureError::Overflow)?;
        let mut ops = vec![Op::Flatten];
        for &width in &self.hidden {
            dimension("hidden", width)?;
            ops.push(Op::Linear { name: ops.len().to_string(), inputs, outputs: width, bias: self.bias });
            ops.push(Op::Activation(Activation::Relu));
            inputs = width;
        }
        ops.push(Op::Linear { name: ops.len().to_string(), inputs, outputs: classes, bias: self.bias });
        Ok(ops)
    }
}
