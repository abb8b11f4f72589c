//! A graph made by us, node by node: what a catalogue's plan becomes, and a graph in another form. What is built goes
//! through the same walk as a file, so it has the same shapes, the same attributes and the same order.

use crate::draft::{Draft, Step, Value};
use crate::graph::{Graph, Node, ValueId};
use crate::lower::lower;
use crate::op::{Attributes, Given, Op};
use crate::refusal::{Code, Result};
use crate::signature::{Dim, Port, Signature};
use crate::tensor::{Constant, Dtype, TensorType};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A graph that is being made. Values are numbers.
#[derive(Default)]
pub(crate) struct Builder<'a> {
    draft: Draft<'a>,
}

impl<'a> Builder<'a> {
    fn value(&mut self, constant: Option<Constant<'a>>) -> usize {
        self.draft.values.push(Value { name: "", constant, readers: 0 });
        self.draft.values.len().saturating_sub(1)
    }

    /// The next input.
    pub(crate) fn input(&mut self) -> usize {
        let value = self.value(None);
        self.draft.inputs.push(value);
        value
    }

    /// Numbers that are known.
    pub(crate) fn constant(&mut self, constant: Constant<'a>) -> usize {
        self.value(Some(constant))
    }

    /// A vector of int64: shapes and axes.
    pub(crate) fn ints(&mut self, ints: &[i64]) -> Result<usize> {
        Ok(self.constant(Constant::of_ints(ints)?))
    }

    /// One float32.
    pub(crate) fn float(&mut self, float: f32) -> Result<usize> {
        let ty = TensorType::new(Dtype::F32, vec![])?;
        Ok(self.constant(Constant::new(ty, Cow::Owned(float.to_le_bytes().to_vec()))?))
    }

    /// An operation of one output; attributes that aren't given have their defaults.
    pub(crate) fn node(
        &mut self,
        op: Op,
        inputs: impl IntoIterator<Item = usize>,
        attributes: &[(&str, Given<'_>)],
    ) -> Result<usize> {
        let given: BTreeMap<&str, Given<'_>> = attributes.iter().cloned().collect();
        let attributes = op.attributes(&given)?;
        Ok(self.one(op, attributes, inputs.into_iter().map(Some).collect()))
    }

    /// A node of one output as it is elsewhere, over other inputs.
    pub(crate) fn again(&mut self, node: &Node, inputs: Vec<Option<usize>>) -> usize {
        self.one(node.op, node.attributes.clone(), inputs)
    }

    fn one(&mut self, op: Op, attributes: Attributes, inputs: Vec<Option<usize>>) -> usize {
        let output = self.value(None);
        self.push(Step { op, attributes, inputs, outputs: vec![Some(output)] });
        output
    }

    fn push(&mut self, step: Step) {
        for input in step.inputs.iter().flatten() {
            if let Some(value) = self.draft.values.get_mut(*input) {
                value.readers = value.readers.saturating_add(1);
            }
        }
        self.draft.steps.push(step);
    }

    /// The value's numbers, where they are known.
    pub(crate) fn known(&self, value: usize) -> Option<&Constant<'a>> {
        self.draft.values.get(value)?.constant.as_ref()
    }

    /// Walks over all of it, with `outputs` as the signature's.
    pub(crate) fn finish(mut self, signature: &Signature, outputs: Vec<usize>) -> Result<Graph<'a>> {
        self.draft.outputs = outputs;
        lower(&self.draft, signature, 0, u64::MAX)
    }
}

/// A node of a graph that is being rewritten, with the numbers of its inputs in the new one.
pub(crate) struct Site<'n> {
    pub(crate) node: &'n Node,
    pub(crate) inputs: Vec<Option<usize>>,
}

impl Site<'_> {
    /// Its inputs with others in place of some, each made once for all who read it: `make` is given a value's number in the old graph and
    /// in the new one, and makes another or leaves it.
    pub(crate) fn replaced(
        &self,
        made: &mut BTreeMap<ValueId, usize>,
        mut make: impl FnMut(ValueId, usize) -> Result<Option<usize>>,
    ) -> Result<Vec<Option<usize>>> {
        let mut inputs = self.inputs.clone();
        for (old, new) in self.node.inputs.iter().zip(&mut inputs) {
            let Some((value, number)) = (*old).zip(*new) else { continue };
            let other = match made.get(&value) {
                Some(other) => Some(*other),
                None => make(value, number)?,
            };
            if let Some(other) = other {
                made.insert(value, other);
                *new = Some(other);
            }
        }
        Ok(inputs)
    }

    /// The input of that number.
    pub(crate) fn input(&self, index: usize) -> Result<usize> {
        match self.inputs.get(index).copied().flatten() {
            Some(input) => Ok(input),
            None => Code::Arity.err(format!("{} has no input {index}", self.node.op)),
        }
    }
}

/// The same graph with some nodes written otherwise: `rewrite` makes the output of a node of one output anew, or says that
/// it stays as it is.
pub(crate) fn rewritten<'g>(
    graph: &'g Graph<'_>,
    rewrite: impl FnMut(&mut Builder<'g>, &Site<'_>) -> Result<Option<usize>>,
) -> Result<Graph<'g>> {
    let (builder, numbers) = copied(graph, rewrite)?;
    let outputs = graph.outputs.iter().filter_map(|(_, value)| numbers.get(value).copied()).collect();
    builder.finish(&signature(graph)?, outputs)
}

/// What [`rewritten`] makes before it says which values are outputs, and every value's number in it.
pub(crate) fn copied<'g>(
    graph: &'g Graph<'_>,
    mut rewrite: impl FnMut(&mut Builder<'g>, &Site<'_>) -> Result<Option<usize>>,
) -> Result<(Builder<'g>, BTreeMap<ValueId, usize>)> {
    let mut builder = Builder::default();
    let mut numbers: BTreeMap<ValueId, usize> = BTreeMap::new();
    for input in 0..graph.inputs.len() {
        numbers.insert(input, builder.input());
    }
    for (index, constant) in graph.initialisers.iter().enumerate() {
        let constant = Constant::new(constant.ty().clone(), Cow::Borrowed(constant.data()))?;
        numbers.insert(graph.inputs.len().saturating_add(index), builder.constant(constant));
    }
    for node in &graph.nodes {
        let inputs = node.inputs.iter().map(|input| input.and_then(|input| numbers.get(&input).copied())).collect();
        let site = Site { node, inputs };
        match (rewrite(&mut builder, &site)?, &node.outputs[..]) {
            (Some(made), [Some(output)]) => {
                numbers.insert(*output, made);
            }
            _ => {
                let outputs: Vec<Option<usize>> =
                    node.outputs.iter().map(|output| output.map(|_| builder.value(None))).collect();
                numbers.extend(node.outputs.iter().zip(&outputs).filter_map(|(old, new)| Some(((*old)?, (*new)?))));
                let Site { inputs, .. } = site;
                builder.push(Step { op: node.op, attributes: node.attributes.clone(), inputs, outputs });
            }
        }
    }
    Ok((builder, numbers))
}

/// The ports of a graph, whose sizes are numbers.
pub(crate) fn signature(graph: &Graph<'_>) -> Result<Signature> {
    let port = |name: &String, ty: &TensorType| {
        let dim = |dim: &u64| u32::try_from(*dim).map(Dim::Fixed);
        let dims = ty.shape.dims().iter().map(dim).collect::<std::result::Result<_, _>>();
        let dims = dims.map_err(|_| Code::Shape.because(format!("`{name}` is {ty}")))?;
        Ok(Port { name: name.clone(), dtype: ty.dtype, dims })
    };
    let output = |(name, value): &(String, ValueId)| match graph.ty(*value) {
        Some(ty) => port(name, ty),
        None => Code::Output.err(format!("`{name}` has no type")),
    };
    Ok(Signature {
        inputs: graph.inputs.iter().map(|(name, ty)| port(name, ty)).collect::<Result<_>>()?,
        outputs: graph.outputs.iter().map(output).collect::<Result<_>>()?,
    })
}
