//! A file's names as numbers, and what they hold together: each defined once, each used, no circles.

use crate::draft::{Draft, Step, Value};
use crate::order;
use crate::refusal::{Code, Result};
use crate::tensor::Constant;
use std::collections::HashMap;

/// The values of a graph in the making.
#[derive(Default)]
pub(super) struct Names<'a> {
    values: Vec<Value<'a>>,
    by_name: HashMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    /// A value of that name.
    pub(super) fn define(&mut self, name: &'a str, constant: Option<Constant<'a>>) -> Result<()> {
        if name.is_empty() {
            return Code::Name.err("an input or initialiser has no name");
        }
        if self.by_name.insert(name, self.values.len()).is_some() {
            return Code::DuplicateName.err(format!("`{name}` is defined twice"));
        }
        self.values.push(Value { name, constant, readers: 0 });
        Ok(())
    }

    /// A value that the file doesn't name: an attribute that we read as an input.
    pub(super) fn constant_value(&mut self, constant: Constant<'a>) -> usize {
        self.values.push(Value { name: "", constant: Some(constant), readers: 1 });
        self.values.len().saturating_sub(1)
    }

    pub(super) fn get(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(super) fn constant(&self, value: usize) -> Option<&Constant<'a>> {
        self.values.get(value)?.constant.as_ref()
    }

    /// A value that somebody reads.
    pub(super) fn used(&mut self, name: &str) -> Result<usize> {
        let Some(value) = self.get(name) else { return Code::Undefined.err(format!("`{name}` is nowhere defined")) };
        if let Some(value) = self.values.get_mut(value) {
            value.readers = value.readers.saturating_add(1);
        }
        Ok(value)
    }

    /// A node's input; none where no name is given.
    pub(super) fn end(&mut self, name: &str) -> Result<Option<usize>> {
        if name.is_empty() { Ok(None) } else { self.used(name).map(Some) }
    }
}

/// Orders the nodes, and refuses what leads nowhere.
pub(super) fn resolve<'a>(
    names: Names<'a>,
    steps: Vec<Step>,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
) -> Result<Draft<'a>> {
    let made = |(number, step): (usize, &Step)| {
        step.outputs.iter().flatten().map(|value| (*value, number)).collect::<Vec<_>>()
    };
    let producers: HashMap<usize, usize> = steps.iter().enumerate().flat_map(made).collect();
    let producer = |value: &usize| producers.get(value).copied();
    let needs = |number: usize| {
        let inputs = steps.get(number).map(|step| step.inputs.as_slice()).unwrap_or_default();
        inputs.iter().flatten().filter_map(producer).collect()
    };
    let name = |value: Option<&usize>| value.and_then(|value| names.values.get(*value)).map_or("", |value| value.name);
    let name_of = |number: usize| name(steps.get(number).and_then(|step| step.outputs.iter().flatten().next()));
    let roots = outputs.iter().filter_map(producer);
    let order = match order::after_needs(steps.len(), roots, needs) {
        Ok(order) => order,
        Err(number) => return Code::Cycle.err(format!("`{}` needs itself", name_of(number))),
    };
    let mut reached = vec![false; steps.len()];
    for number in &order {
        if let Some(reached) = reached.get_mut(*number) {
            *reached = true;
        }
    }
    if let Some(number) = reached.iter().position(|reached| !reached) {
        return Code::Unreachable.err(format!("`{}` leads to no output", name_of(number)));
    }
    // A single number hides nothing, and onnxruntime's quantiser leaves some.
    let is_hidden = |value: &&Value<'_>| {
        let elements = value.constant.as_ref().map_or(0, |constant| constant.ty().shape.elements());
        value.readers == 0 && elements > 1
    };
    if let Some(unused) = names.values.iter().find(is_hidden) {
        return Code::UnusedInitialiser.err(format!("`{}`", unused.name));
    }
    let mut steps: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
    let steps = order.iter().filter_map(|number| steps.get_mut(*number)?.take()).collect();
    Ok(Draft { values: names.values, steps, inputs, outputs })
}
