//! From a draft to a graph at one length class: one walk in which every shape becomes a number, what is known is
//! computed, and each node takes the form in which it is written; then an order and numbers that follow from what is
//! computed.

use crate::draft::{Draft, Step as Drafted};
use crate::fold;
use crate::graph::{Graph, Node, ValueId};
use crate::op::{Attributes, Op};
use crate::order;
use crate::refusal::{Code, Refusal, Result};
use crate::rules::{self, Input, Operand, Run, Site, Step};
use crate::signature::Signature;
use crate::tensor::{Constant, FOLDED_ELEMENTS_MAX, TensorType};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

/// What folding may make, all together: constants that are computed are of sizes and scalars.
const FOLDED_BYTES_MAX: u64 = 4 << 20;
/// What computing one element is counted as, so that many nodes of small types take no time either.
const ELEMENT_BYTES: u64 = 8;

/// What is known of a draft's value.
#[derive(Clone)]
enum State<'a> {
    /// Not reached yet.
    Unknown,
    Made(TensorType),
    Known(Constant<'a>),
    /// It is that other value.
    Same(usize),
}

/// Where an input comes from.
#[derive(Clone)]
enum Source<'a> {
    Value(usize),
    Constant(Constant<'a>),
}

/// A node in the form in which it is written, over the draft's values.
struct Emitted<'a> {
    op: Op,
    attributes: Attributes,
    inputs: Vec<Option<Source<'a>>>,
    outputs: Vec<Option<usize>>,
}

struct Walk<'d, 'a> {
    draft: &'d Draft<'a>,
    states: Vec<State<'a>>,
    emitted: Vec<Emitted<'a>>,
    folded_bytes: Cell<u64>,
    activation_bytes_max: u64,
}

/// Lowers a draft.
pub(crate) fn lower<'a>(
    draft: &Draft<'a>,
    signature: &Signature,
    class: usize,
    activation_bytes_max: u64,
) -> Result<Graph<'a>> {
    let (walk, inputs) = walked(draft, signature, class, activation_bytes_max)?;
    for (port, value) in signature.outputs.iter().zip(&draft.outputs) {
        let (expected, name) = (port.at(class)?, draft.name(*value));
        match walk.state(walk.root(*value)) {
            State::Made(ty) if *ty == expected => {}
            State::Made(ty) => return Code::Output.err(format!("`{name}` is {ty}, not {expected}")),
            _ => return Code::Output.err(format!("`{name}` depends on no input")),
        }
    }
    walk.finish(inputs, signature)
}

/// The walk over all nodes, and the inputs' names and types.
fn walked<'d, 'a>(
    draft: &'d Draft<'a>,
    signature: &Signature,
    class: usize,
    activation_bytes_max: u64,
) -> Result<(Walk<'d, 'a>, Vec<(String, TensorType)>)> {
    let constants = draft.values.iter().map(|value| match &value.constant {
        Some(constant) => State::Known(constant.clone()),
        None => State::Unknown,
    });
    let states = constants.collect();
    let mut walk = Walk { draft, states, emitted: Vec::new(), folded_bytes: Cell::new(0), activation_bytes_max };
    let mut inputs = Vec::new();
    for (port, value) in signature.inputs.iter().zip(&draft.inputs) {
        let ty = port.at(class)?;
        walk.set(*value, State::Made(ty.clone()));
        inputs.push((port.name.clone(), ty));
    }
    for step in &draft.steps {
        walk.step(step).map_err(|refusal| placed(draft, step, &refusal))?;
    }
    Ok((walk, inputs))
}

/// A refusal that says where.
fn placed(draft: &Draft<'_>, step: &Drafted, refusal: &Refusal) -> Refusal {
    let made = step.outputs.iter().flatten().next().map_or("", |value| draft.name(*value));
    refusal.code.because(format!("{} that makes `{made}`: {}", step.op, refusal.detail))
}

impl<'a> Walk<'_, 'a> {
    fn set(&mut self, value: usize, state: State<'a>) {
        if let Some(place) = self.states.get_mut(value) {
            *place = state;
        }
    }

    fn state(&self, value: usize) -> &State<'a> {
        self.states.get(value).unwrap_or(&State::Unknown)
    }

    /// The value that another one is; chains are of one link, since links point to roots.
    fn root(&self, value: usize) -> usize {
        match self.state(value) {
            State::Same(root) => *root,
            _ => value,
        }
    }

    fn operand(&self, value: usize) -> Result<Operand<'_>> {
        match self.state(self.root(value)) {
            State::Made(ty) => Ok(Operand { ty, constant: None }),
            State::Known(constant) => Ok(Operand { ty: constant.ty(), constant: Some(constant) }),
            _ => Code::Undefined.err(format!("`{}` has no value yet", self.draft.name(value))),
        }
    }

    fn step(&mut self, step: &Drafted) -> Result<()> {
        let operand = |input: &Option<usize>| input.map(|value| self.operand(value)).transpose();
        let operands = step.inputs.iter().map(operand).collect::<Result<Vec<_>>>()?;
        let site = Site { op: step.op, attributes: &step.attributes, operands, outputs: step.outputs.len() };
        match rules::apply(&site)? {
            Step::Same(index) => {
                let root = step.inputs.get(index).copied().flatten().map(|value| self.root(value));
                let Some(root) = root else { return Code::Arity.err(format!("input {index} isn't given")) };
                self.name(step, State::Same(root));
                Ok(())
            }
            Step::Known(constant) => self.known(step, constant),
            Step::Run(run) => match self.reshaped(step, &run) {
                Some(constant) => self.known(step, constant),
                None => match self.computed(&site, &run)? {
                    Some(constant) => {
                        self.name(step, State::Known(constant));
                        Ok(())
                    }
                    None => self.emit(step, run),
                },
            },
        }
    }

    /// Gives the first output its state.
    fn name(&mut self, step: &Drafted, state: State<'a>) {
        if let Some(output) = step.outputs.first().copied().flatten() {
            self.set(output, state);
        }
    }

    /// Counts bytes that folding makes.
    fn fold(&self, bytes: u64) -> Result<()> {
        self.folded_bytes.set(self.folded_bytes.get().saturating_add(bytes));
        if self.folded_bytes.get() > FOLDED_BYTES_MAX {
            return Code::TooMany.err(format!("constants fold to more than {FOLDED_BYTES_MAX} bytes"));
        }
        Ok(())
    }

    fn known(&mut self, step: &Drafted, constant: Constant<'a>) -> Result<()> {
        if !constant.is_borrowed() {
            self.fold(constant.ty().bytes())?;
        }
        self.name(step, State::Known(constant));
        Ok(())
    }

    /// Weights in another shape, which stay the file's own bytes. Where others read them, too, they would be written
    /// twice.
    fn reshaped(&self, step: &Drafted, run: &Run) -> Option<Constant<'a>> {
        let value = step.inputs.first().copied().flatten().filter(|_| run.op == Op::Reshape)?;
        let State::Known(constant) = self.state(self.root(value)) else { return None };
        let is_read_once = self.draft.values.get(value).is_some_and(|value| value.readers == 1);
        is_read_once.then(|| constant.clone().reshaped(run.outputs.first()?.shape.clone()).ok())?
    }

    /// The output of a node whose inputs are known and small, where it is computed.
    fn computed(&self, site: &Site<'_>, run: &Run) -> Result<Option<Constant<'a>>> {
        let input = |input: &Input| match input {
            Input::Given(index) if is_small(site, *index) => {
                Some(site.operands.get(*index)?.and_then(|given| given.constant.cloned()))
            }
            Input::Given(_) => None,
            Input::Made(constant) => Some(Some(constant.clone())),
            Input::Missing => Some(None),
        };
        let Some(inputs) = run.inputs.iter().map(input).collect::<Option<Vec<_>>>() else { return Ok(None) };
        let elements = run.outputs.first().map_or(0, |ty| ty.shape.elements().min(FOLDED_ELEMENTS_MAX));
        self.fold(elements.saturating_mul(ELEMENT_BYTES))?;
        let inputs = inputs.iter().map(Option::as_ref).collect();
        let known = fold::Known { op: run.op, attributes: &run.attributes, inputs, outputs: &run.outputs };
        Ok(known.evaluate())
    }

    fn emit(&mut self, step: &Drafted, run: Run) -> Result<()> {
        if step.outputs.len() > run.outputs.len() {
            return Code::Arity.err(format!("{} outputs, not {}", step.outputs.len(), run.outputs.len()));
        }
        for (output, ty) in step.outputs.iter().zip(&run.outputs) {
            if ty.shape.elements() == 0 {
                return Code::Shape.err(format!("{ty} is empty"));
            }
            if ty.bytes() > self.activation_bytes_max {
                let limit = self.activation_bytes_max;
                return Code::OverLimit.err(format!("{ty} takes {} activation bytes, limit {limit}", ty.bytes()));
            }
            if let Some(output) = output {
                self.set(*output, State::Made(ty.clone()));
            }
        }
        let source = |input| match input {
            Input::Given(index) => {
                let value: usize = self.root(step.inputs.get(index).copied().flatten()?);
                Some(match self.state(value) {
                    State::Known(constant) => Source::Constant(constant.clone()),
                    _ => Source::Value(value),
                })
            }
            Input::Made(constant) => Some(Source::Constant(constant)),
            Input::Missing => None,
        };
        let inputs = run.inputs.into_iter().map(source).collect();
        self.emitted.push(Emitted { op: run.op, attributes: run.attributes, inputs, outputs: step.outputs.clone() });
        Ok(())
    }

    /// Numbers what the outputs need.
    fn finish(self, inputs: Vec<(String, TensorType)>, signature: &Signature) -> Result<Graph<'a>> {
        let roots: Vec<usize> = self.draft.outputs.iter().map(|value| self.root(*value)).collect();
        let producers: HashMap<usize, usize> = self.emitted.iter().enumerate().flat_map(produced).collect();
        let producer = |value: &usize| producers.get(value).copied();
        for (value, name) in roots.iter().zip(&signature.outputs) {
            if producer(value).is_none() || roots.iter().filter(|other| *other == value).count() > 1 {
                return Code::Output.err(format!("`{}` is an input, or another output", name.name));
            }
        }
        let needs = |node: usize| {
            let inputs = self.emitted.get(node).map(|node| node.inputs.as_slice()).unwrap_or_default();
            let value = |input: &Option<Source<'_>>| match input {
                Some(Source::Value(value)) => producer(value),
                _ => None,
            };
            inputs.iter().filter_map(value).collect()
        };
        let order = order::after_needs(self.emitted.len(), roots.iter().filter_map(producer), needs);
        let order = order.map_err(|_| Code::Cycle.because("a node needs itself"))?;
        let nodes: Vec<&Emitted<'a>> = order.iter().filter_map(|node| self.emitted.get(*node)).collect();
        Ok(self.numbered(&nodes, inputs, signature, &roots))
    }

    fn numbered(
        &self,
        nodes: &[&Emitted<'a>],
        inputs: Vec<(String, TensorType)>,
        signature: &Signature,
        roots: &[usize],
    ) -> Graph<'a> {
        let mut constants: BTreeMap<&Constant<'a>, ValueId> = BTreeMap::new();
        let mut initialisers = Vec::new();
        for input in nodes.iter().flat_map(|node| &node.inputs) {
            if let Some(Source::Constant(constant)) = input {
                constants.entry(constant).or_insert_with(|| {
                    initialisers.push(constant.clone());
                    inputs.len().saturating_add(initialisers.len()).saturating_sub(1)
                });
            }
        }
        let mut numbers: HashMap<usize, ValueId> =
            self.draft.inputs.iter().enumerate().map(|(number, value)| (*value, number)).collect();
        let read = |node: &&Emitted<'_>| -> Vec<usize> {
            let value = |input: &Option<Source<'_>>| match input {
                Some(Source::Value(value)) => Some(*value),
                _ => None,
            };
            node.inputs.iter().filter_map(value).collect()
        };
        let needed: std::collections::HashSet<usize> =
            nodes.iter().flat_map(read).chain(roots.iter().copied()).collect();
        let mut made = Vec::new();
        let first = inputs.len().saturating_add(initialisers.len());
        let mut numbered = Vec::with_capacity(nodes.len());
        for node in nodes {
            let mut outputs = Vec::with_capacity(node.outputs.len());
            for output in &node.outputs {
                // Optional outputs that nobody reads are left out; others have to be named.
                let kept = output.filter(|output| !node.op.has_optional_outputs() || needed.contains(output));
                let ty = kept.map(|output| (output, self.state(output)));
                outputs.push(ty.and_then(|(output, state)| {
                    let State::Made(ty) = state else { return None };
                    made.push(ty.clone());
                    let number = first.saturating_add(made.len()).saturating_sub(1);
                    numbers.insert(output, number);
                    Some(number)
                }));
            }
            while outputs.last() == Some(&None) {
                outputs.pop();
            }
            let input = |input: &Option<Source<'a>>| match input.as_ref()? {
                Source::Value(value) => numbers.get(value).copied(),
                Source::Constant(constant) => constants.get(constant).copied(),
            };
            let inputs = node.inputs.iter().map(input).collect();
            numbered.push(Node { op: node.op, attributes: node.attributes.clone(), inputs, outputs });
        }
        let named = signature.outputs.iter().zip(roots);
        let outputs = named.filter_map(|(port, root)| Some((port.name.clone(), *numbers.get(root)?))).collect();
        Graph { inputs, initialisers, nodes: numbered, made, outputs }
    }
}

fn is_small(site: &Site<'_>, index: usize) -> bool {
    let constant = site.operands.get(index).copied().flatten().and_then(|operand| operand.constant);
    constant.is_some_and(|constant| constant.ty().shape.elements() <= FOLDED_ELEMENTS_MAX)
}

/// The values that a node makes, each with the node's number.
fn produced<'e>((number, node): (usize, &'e Emitted<'_>)) -> impl Iterator<Item = (usize, usize)> + 'e {
    node.outputs.iter().flatten().map(move |value| (*value, number))
}

/// Types of the draft's values by their names in the file, folded or not: what others' shape inference is held against.
#[cfg(test)]
pub(crate) fn types<'a>(draft: &Draft<'a>, signature: &Signature) -> Result<Vec<(&'a str, TensorType)>> {
    let (walk, _) = walked(draft, signature, 0, u64::MAX)?;
    let ty = |(value, named): (usize, &crate::draft::Value<'a>)| match walk.state(walk.root(value)) {
        State::Made(ty) => Some((named.name, ty.clone())),
        State::Known(constant) => Some((named.name, constant.ty().clone())),
        _ => None,
    };
    Ok(draft.values.iter().enumerate().filter_map(ty).collect())
}
