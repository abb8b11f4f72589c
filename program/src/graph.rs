//! A graph: nodes of the closed list over numbered values, in an order in which each comes after what it reads.

use crate::op::{Attribute, Attributes, Op};
use crate::tensor::{Constant, TensorType};
use std::collections::BTreeMap;

/// The number of a value: inputs first, then initialisers, then what nodes make.
pub type ValueId = usize;

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// How.
    pub attributes: Attributes,
    /// What it reads; `None` for an optional input that isn't given.
    pub inputs: Vec<Option<ValueId>>,
    /// What it makes; `None` for an output that nobody reads.
    pub outputs: Vec<Option<ValueId>>,
}

/// A graph at one length class: every shape is a number, what depends on no input's values is folded, every attribute
/// that may have more than one value is there, and the order follows from what is computed alone. Two files that differ
/// in names, order, documentation or left-overs of an exporter make the same graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph<'a> {
    /// Names and types of the inputs, which are the first values.
    pub inputs: Vec<(String, TensorType)>,
    /// The values that follow the inputs.
    pub initialisers: Vec<Constant<'a>>,
    /// The operations, each after those that it needs.
    pub nodes: Vec<Node>,
    /// Types of what the nodes make, by number from the last initialiser on.
    pub made: Vec<TensorType>,
    /// Names of the outputs and what they are.
    pub outputs: Vec<(String, ValueId)>,
}

impl Graph<'_> {
    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> Option<&TensorType> {
        let made = || value.checked_sub(self.inputs.len())?.checked_sub(self.initialisers.len());
        match self.inputs.get(value) {
            Some((_, ty)) => Some(ty),
            None => self.constant(value).map(Constant::ty).or_else(|| self.made.get(made()?)),
        }
    }

    /// A value that is an initialiser.
    pub fn constant(&self, value: ValueId) -> Option<&Constant<'_>> {
        self.initialisers.get(value.checked_sub(self.inputs.len())?)
    }
}

/// Who makes and who reads each value.
pub(crate) struct Links<'g> {
    makers: BTreeMap<ValueId, &'g Node>,
    readers: BTreeMap<ValueId, Vec<&'g Node>>,
}

impl<'g> Links<'g> {
    pub(crate) fn of(graph: &'g Graph<'_>) -> Self {
        let (mut makers, mut readers) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
        for node in &graph.nodes {
            makers.extend(node.outputs.iter().flatten().map(|value| (*value, node)));
            for value in node.inputs.iter().flatten() {
                readers.entry(*value).or_default().push(node);
            }
        }
        Self { makers, readers }
    }

    /// The node that makes it; `None` for inputs and initialisers.
    pub(crate) fn maker(&self, value: ValueId) -> Option<&'g Node> {
        self.makers.get(&value).copied()
    }

    /// The node that reads it, if it is one alone and reads it once.
    pub(crate) fn only_reader(&self, value: ValueId) -> Option<&'g Node> {
        match self.readers.get(&value).map(Vec::as_slice) {
            Some([reader]) => Some(reader),
            _ => None,
        }
    }
}

impl Node {
    /// The input of that number, if it is given.
    pub(crate) fn input(&self, index: usize) -> Option<ValueId> {
        self.inputs.get(index).copied().flatten()
    }

    /// What it makes, if that is one value.
    pub(crate) fn output(&self) -> Option<ValueId> {
        match self.outputs[..] {
            [output] => output,
            _ => None,
        }
    }
}

pub(crate) fn int(attributes: &Attributes, name: &str) -> Option<i64> {
    match attributes.get(name)? {
        Attribute::Int(int) => Some(*int),
        _ => None,
    }
}
