//! What a session takes and gives: the same checks for every engine, so that none meets what its graph doesn't say.

use crate::failure::{Refused, RunError};
use crate::tensor::{Tensor, Values};
use program::{Graph, TensorType};

/// Names and types of a graph's inputs and outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    /// What goes in.
    pub inputs: Vec<(String, TensorType)>,
    /// What comes out.
    pub outputs: Vec<(String, TensorType)>,
}

impl Ports {
    /// Those of a graph.
    ///
    /// # Errors
    /// When one is of a type that isn't handed over.
    pub fn of(graph: &Graph<'_>) -> Result<Self, Refused> {
        let output = |(name, value): &(String, usize)| Some((name.clone(), graph.ty(*value)?.clone()));
        let outputs: Option<Vec<_>> = graph.outputs.iter().map(output).collect();
        let outputs = outputs.ok_or_else(|| Refused::Engine("an output has no type; this is a bug".to_owned()))?;
        let ports = Self { inputs: graph.inputs.clone(), outputs };
        match ports.inputs.iter().chain(&ports.outputs).find(|(_, ty)| Values::none(ty.dtype).is_none()) {
            Some((_, ty)) => Err(Refused::Dtype(ty.dtype)),
            None => Ok(ports),
        }
    }

    /// Checks what is to go in.
    ///
    /// # Errors
    /// When there are more or fewer inputs, or one is of another type or shape.
    pub fn check_inputs(&self, inputs: &[Tensor]) -> Result<(), RunError> {
        check(&self.inputs, inputs).map_err(RunError::Inputs)
    }

    /// Checks what came out.
    ///
    /// # Errors
    /// When there are more or fewer outputs, or one is of another type or shape.
    pub fn check_outputs(&self, outputs: &[Tensor]) -> Result<(), RunError> {
        check(&self.outputs, outputs).map_err(RunError::Outputs)
    }
}

fn check(ports: &[(String, TensorType)], tensors: &[Tensor]) -> Result<(), String> {
    if ports.len() != tensors.len() {
        return Err(format!("{} tensors, not {}", tensors.len(), ports.len()));
    }
    match ports.iter().zip(tensors).find(|((_, ty), tensor)| !tensor.is(ty)) {
        Some(((name, ty), tensor)) => Err(format!("`{name}` is {}, not {ty}", tensor.ty())),
        None => Ok(()),
    }
}
