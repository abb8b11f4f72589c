//! A graph as a file has it: operators and attributes are known, sizes are not. Lowering it makes a [`crate::Graph`].

use crate::op::{Attributes, Op};
use crate::tensor::Constant;

/// A value: its name in the file, and what it holds where that is known.
#[derive(Clone, Debug)]
pub(crate) struct Value<'a> {
    pub(crate) name: &'a str,
    pub(crate) constant: Option<Constant<'a>>,
    /// How many inputs of nodes it is.
    pub(crate) readers: usize,
}

/// A node over the draft's values.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) op: Op,
    pub(crate) attributes: Attributes,
    pub(crate) inputs: Vec<Option<usize>>,
    pub(crate) outputs: Vec<Option<usize>>,
}

/// Nodes that each come after those that they need; inputs and outputs in the signature's order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft<'a> {
    pub(crate) values: Vec<Value<'a>>,
    pub(crate) steps: Vec<Step>,
    pub(crate) inputs: Vec<usize>,
    pub(crate) outputs: Vec<usize>,
}

impl Draft<'_> {
    /// The name of a value in the file.
    pub(crate) fn name(&self, value: usize) -> &str {
        self.values.get(value).map_or("", |value| value.name)
    }
}
