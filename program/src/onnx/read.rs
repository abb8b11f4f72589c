//! From a file to graphs: whatever isn't on a list is refused, each with its code; what was read is lowered for every
//! length class and held against the limits. Nothing is allocated that the file's own size doesn't pay for.

use super::decode;
use super::names::{Names, resolve};
use super::write;
use crate::costs::{Costs, Limits};
use crate::draft::{Draft, Step};
use crate::graph::Graph;
use crate::lower::lower;
use crate::op::{Given, Op};
use crate::refusal::{Code, Refusal, Result};
use crate::signature::{Dim, Port, Signature};
use crate::tensor::{Constant, Dtype, TensorType};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The versions of the format that are read.
const IR_VERSIONS: std::ops::RangeInclusive<i64> = 7..=13;
/// The opsets of ai.onnx that are read.
const OPSETS: std::ops::RangeInclusive<i64> = 13..=24;

/// A graph at one length class, and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lowered<'a> {
    /// The graph.
    pub graph: Graph<'a>,
    /// Its costs.
    pub costs: Costs,
}

/// Reads a file for a signature: one graph for each of its length classes. Weights stay where they lie in the file.
///
/// # Errors
/// A [`Refusal`] that says what isn't taken, and where.
pub fn read<'a>(file: &'a [u8], signature: &Signature, limits: &Limits) -> Result<Vec<Lowered<'a>>> {
    if file.len() as u64 > limits.file_bytes_max {
        return Code::OverLimit.err(format!("{} bytes of the file, limit {}", file.len(), limits.file_bytes_max));
    }
    let model = decode::model(file)?;
    let opset = check_versions(&model)?;
    let Some(graph) = model.graph else { return Code::Unreadable.err("there is no graph") };
    let draft = draft(graph, opset, signature)?;
    let lowered = |class| {
        let graph = lower(&draft, signature, class, limits.activation_bytes_max)?;
        let costs = graph.costs()?;
        costs.check(graph.nodes.len(), limits)?;
        Ok(Lowered { graph, costs })
    };
    (0..signature.classes()).map(lowered).collect()
}

impl Graph<'_> {
    /// What it costs.
    ///
    /// # Errors
    /// When a count overflows 64 bits.
    pub fn costs(&self) -> Result<Costs> {
        Costs::of(self, write::written_bytes(self))
    }
}

fn check_versions(model: &decode::Model<'_>) -> Result<i64> {
    match model.ir_version {
        Some(version) if IR_VERSIONS.contains(&version) => {}
        Some(version) => return Code::IrVersion.err(format!("IR version {version}")),
        None => return Code::Unreadable.err("there is no IR version"),
    }
    let ours: Vec<i64> = model.opsets.iter().filter(|(domain, _)| is_ours(domain)).map(|(_, opset)| *opset).collect();
    match ours[..] {
        [opset] if OPSETS.contains(&opset) => Ok(opset),
        [opset] => Code::Opset.err(format!("opset {opset}")),
        _ => Code::Opset.err(format!("{} opsets of ai.onnx", ours.len())),
    }
}

fn is_ours(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// Names become numbers, attributes are checked, nodes are ordered.
fn draft<'a>(graph: decode::Graph<'a>, opset: i64, signature: &Signature) -> Result<Draft<'a>> {
    let mut names = Names::default();
    for tensor in graph.initialisers {
        let name = tensor.name;
        names.define(name, Some(constant(tensor)?))?;
    }
    // Old files list initialisers among the inputs, too.
    let inputs: Vec<_> = graph.inputs.into_iter().filter(|port| names.get(port.name).is_none()).collect();
    let inputs = matched(&inputs, &signature.inputs, Code::Input)?;
    for port in &inputs {
        names.define(port.name, None)?;
    }
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for mut node in graph.nodes {
        match meaning(&mut node, opset).map_err(|refusal| at(node.place(), &refusal))? {
            Meaning::Value(constant) => {
                names.define(node.outputs.first().copied().unwrap_or_default(), Some(constant))?;
            }
            Meaning::Operation(op) => {
                for name in node.outputs.iter().filter(|name| !name.is_empty()) {
                    names.define(name, None)?;
                }
                nodes.push((op, node));
            }
        }
    }
    let mut steps = Vec::with_capacity(nodes.len());
    for (op, node) in nodes {
        let place = node.place();
        steps.push(step(op, node, opset, &mut names).map_err(|refusal| at(place, &refusal))?);
    }
    let outputs = matched(&graph.outputs, &signature.outputs, Code::Output)?;
    let inputs = inputs.iter().map(|port| names.get(port.name)).collect::<Option<_>>().unwrap_or_default();
    let outputs = outputs.iter().map(|port| names.used(port.name)).collect::<Result<_>>()?;
    resolve(names, steps, inputs, outputs)
}

/// A refusal that says which node.
fn at((operator, made): (&str, &str), refusal: &Refusal) -> Refusal {
    refusal.code.because(format!("{operator} that makes `{made}`: {}", refusal.detail))
}

/// Initialisers and constants as bytes of one type.
fn constant(tensor: decode::Tensor<'_>) -> Result<Constant<'_>> {
    let name = tensor.name;
    let Some(dtype) = Dtype::numbered(tensor.dtype) else {
        return Code::Dtype.err(format!("`{name}` is of ONNX's type {}", tensor.dtype));
    };
    let size = |dim: &i64| u64::try_from(*dim).ok();
    let Some(dims) = tensor.dims.iter().map(size).collect::<Option<Vec<_>>>() else {
        return Code::Initialiser.err(format!("`{name}` has sizes {:?}", tensor.dims));
    };
    let named = |refusal: Refusal| Code::Initialiser.because(format!("`{name}`: {}", refusal.detail));
    let ty = TensorType::new(dtype, dims).map_err(named)?;
    let kinds = [tensor.raw.is_some(), tensor.floats.is_some(), !tensor.int32s.is_empty(), !tensor.int64s.is_empty()];
    if kinds.iter().filter(|there| **there).count() > 1 {
        return Code::Initialiser.err(format!("`{name}` has its data twice"));
    }
    let data = match (tensor.raw, tensor.floats, dtype) {
        (Some(raw), ..) => Cow::Borrowed(raw),
        (_, Some(floats), Dtype::F32) => floats,
        (_, None, _) => loose(dtype, &tensor.int32s, &tensor.int64s).map_err(named)?,
        _ => return Code::Initialiser.err(format!("`{name}` is {dtype} and has floats")),
    };
    Constant::new(ty, data).map_err(named)
}

/// Numbers that lie one by one in the file: int64 in one list, all narrower ones in another.
fn loose<'a>(dtype: Dtype, int32s: &[i64], int64s: &[i64]) -> Result<Cow<'a, [u8]>> {
    let (list, other) = if dtype == Dtype::I64 { (int64s, int32s) } else { (int32s, int64s) };
    if !other.is_empty() || (dtype == Dtype::F32 && !list.is_empty()) {
        return Code::Initialiser.err(format!("numbers of another type than {dtype}"));
    }
    let bytes = usize::try_from(dtype.bytes()).unwrap_or(8);
    let mut data = Vec::with_capacity(list.len().saturating_mul(bytes));
    for value in list {
        let fits = match dtype {
            Dtype::I64 => true,
            Dtype::I32 => i32::try_from(*value).is_ok(),
            Dtype::I8 => i8::try_from(*value).is_ok(),
            Dtype::U8 | Dtype::Bool => u8::try_from(*value).is_ok(),
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 => u16::try_from(*value).is_ok(),
        };
        if !fits {
            return Code::Initialiser.err(format!("{value} isn't {dtype}"));
        }
        data.extend(value.to_le_bytes().into_iter().take(bytes));
    }
    Ok(data.into())
}

/// The file's ports in the signature's order: by name where the names are the same, and one alone whatever it is
/// called.
fn matched<'p, 'a>(given: &'p [decode::Port<'a>], expected: &[Port], code: Code) -> Result<Vec<&'p decode::Port<'a>>> {
    let found = match (given, expected) {
        ([only], [_]) => vec![only],
        _ if given.len() == expected.len() => {
            let named = |port: &Port| given.iter().find(|given| given.name == port.name);
            expected.iter().map(named).collect::<Option<Vec<_>>>().unwrap_or_default()
        }
        _ => Vec::new(),
    };
    if found.len() != expected.len() {
        let list = |names: Vec<&str>| names.join("`, `");
        let (given, expected) = (given.iter().take(8).map(|port| port.name), expected.iter().map(|port| &*port.name));
        return code.err(format!("`{}`, not `{}`", list(given.collect()), list(expected.collect())));
    }
    for (given, expected) in found.iter().zip(expected) {
        check_port(given, expected, code)?;
    }
    Ok(found)
}

/// Type and sizes that the file gives a port; sizes that it leaves open are the signature's.
fn check_port(given: &decode::Port<'_>, expected: &Port, code: Code) -> Result<()> {
    let name = given.name;
    if given.dtype != expected.dtype.number() {
        return code.err(format!("`{name}` is of ONNX's type {}, not {}", given.dtype, expected.dtype));
    }
    let Some(dims) = &given.dims else { return Ok(()) };
    if dims.len() != expected.dims.len() {
        return code.err(format!("`{name}` has {} axes, not {}", dims.len(), expected.dims.len()));
    }
    for (axis, (given, expected)) in dims.iter().zip(&expected.dims).enumerate() {
        match (given, expected) {
            (None, _) => {}
            (Some(size), Dim::Fixed(expected)) if *size == i64::from(*expected) => {}
            (Some(size), Dim::Fixed(expected)) => {
                return code.err(format!("axis {axis} of `{name}` has {size} entries, not {expected}"));
            }
            (Some(size), Dim::Classes(classes)) if classes[..] == [u32::try_from(*size).unwrap_or(0)] => {}
            (Some(size), Dim::Classes(classes)) => {
                return Code::DynamicShape
                    .err(format!("axis {axis} of `{name}` is always {size}, but has to be any of {classes:?}"));
            }
        }
    }
    Ok(())
}

/// What a node is.
enum Meaning<'a> {
    /// A value that it holds.
    Value(Constant<'a>),
    Operation(Op),
}

fn meaning<'a>(node: &mut decode::Node<'a>, opset: i64) -> Result<Meaning<'a>> {
    let name = node.operator;
    match name {
        "If" | "Loop" | "Scan" => return Code::ControlFlow.err(format!("{name} is control flow")),
        "Constant" => return constant_node(node).map(Meaning::Value),
        // It does nothing when a model is run.
        "Dropout" => return Ok(Meaning::Operation(Op::Identity)),
        _ => {}
    }
    let Some(op) = Op::named(name) else { return Code::Operator.err(format!("{name} isn't on the list")) };
    if !op.is_in(opset) {
        let since = op.signature().since;
        return Code::Opset.err(format!("{op} is read from opset {since} on, the file has {opset}"));
    }
    Ok(Meaning::Operation(op))
}

fn constant_node<'a>(node: &mut decode::Node<'a>) -> Result<Constant<'a>> {
    use decode::Value;
    let attributes = std::mem::take(&mut node.attributes);
    let [(name, value)] = <[_; 1]>::try_from(attributes)
        .or_else(|list: Vec<_>| Code::Attribute.err(format!("it has {} attributes, not one", list.len())))?;
    if !node.inputs.is_empty() || node.outputs.len() != 1 {
        return Code::Arity.err("it has inputs, or not one output");
    }
    let of = |dtype, dims: Vec<u64>, data: Cow<'a, [u8]>| Constant::new(TensorType::new(dtype, dims)?, data);
    match (name, value) {
        ("value", Value::Tensor(tensor)) => constant(*tensor),
        ("value_int", Value::Int(int)) => of(Dtype::I64, vec![], int.to_le_bytes().to_vec().into()),
        ("value_float", Value::Float(float)) => of(Dtype::F32, vec![], float.to_le_bytes().to_vec().into()),
        ("value_ints", Value::Ints(ints)) => Constant::of_ints(&ints),
        ("value_floats", Value::Floats(floats)) => of(Dtype::F32, vec![floats.len() as u64 / 4], floats),
        _ => Code::Attribute.err(format!("attribute `{name}` isn't read")),
    }
}

/// A node over numbered values.
fn step<'a>(op: Op, node: decode::Node<'a>, opset: i64, names: &mut Names<'a>) -> Result<Step> {
    let mut inputs = node.inputs.iter().map(|name| names.end(name)).collect::<Result<Vec<_>>>()?;
    while inputs.last() == Some(&None) {
        inputs.pop();
    }
    let mut outputs: Vec<Option<usize>> = node.outputs.iter().map(|name| names.get(name)).collect();
    while outputs.last() == Some(&None) {
        outputs.pop();
    }
    let is_dropout = node.operator == "Dropout";
    let (attributes, extra) = match is_dropout {
        true => (crate::op::Attributes::new(), None),
        false => attributes(op, node.attributes, opset, names)?,
    };
    let inputs = match is_dropout {
        true => without_dropout(&inputs, &mut outputs, names)?,
        false => inputs.into_iter().chain(extra.map(Some)).collect::<Vec<_>>(),
    };
    let ((fewest, most), (fewest_made, most_made)) = (op.signature().inputs, op.signature().outputs);
    if !(fewest..=most).contains(&inputs.len()) || inputs.iter().take(fewest).any(Option::is_none) {
        return Code::Arity.err(format!("{} inputs, not {fewest} to {most}", inputs.len()));
    }
    let unnamed = !op.has_optional_outputs() && outputs.contains(&None);
    if !(fewest_made..=most_made).contains(&outputs.len()) || unnamed {
        return Code::Arity.err(format!("{} outputs, not {fewest_made} to {most_made}", outputs.len()));
    }
    Ok(Step { op, attributes, inputs, outputs })
}

/// A `Dropout`'s only input and output when a model is run: its ratio means nothing, its mask is nobody's.
fn without_dropout(
    inputs: &[Option<usize>],
    outputs: &mut Vec<Option<usize>>,
    names: &Names<'_>,
) -> Result<Vec<Option<usize>>> {
    let trains = inputs.get(2).copied().flatten();
    let is_off = |value| names.constant(value).is_some_and(|constant| constant.data().iter().all(|byte| *byte == 0));
    if trains.is_some_and(|value| !is_off(value)) {
        return Code::Training.err("it drops values");
    }
    outputs.truncate(1);
    Ok(inputs.iter().take(1).copied().collect())
}

/// A node's attributes, and what older opsets have as an attribute and later ones as a second input.
fn attributes<'a>(
    op: Op,
    attributes: Vec<(&'a str, decode::Value<'a>)>,
    opset: i64,
    names: &mut Names<'a>,
) -> Result<(crate::op::Attributes, Option<usize>)> {
    use decode::Value;
    let (mut given, mut extra) = (BTreeMap::new(), None);
    for (name, value) in attributes {
        let value = match (op, name, value) {
            (Op::ConstantOfShape, "value", Value::Tensor(tensor)) if extra.is_none() => {
                extra = Some(names.constant_value(constant(*tensor)?));
                continue;
            }
            (_, "axes", Value::Ints(axes)) if opset < 18 && op.is_reduction() && extra.is_none() => {
                extra = Some(names.constant_value(Constant::of_ints(&axes)?));
                continue;
            }
            (_, _, Value::Int(int)) => Given::Int(int),
            (_, _, Value::Float(float)) => Given::Float(float),
            (_, _, Value::Ints(ints)) => Given::Ints(ints),
            (_, _, Value::Text(text)) => Given::Text(op.renamed(name, text, opset)),
            (_, _, Value::Texts(texts)) => Given::Texts(texts),
            _ => return Code::Attribute.err(format!("attribute `{name}` has another type")),
        };
        if given.insert(name, value).is_some() {
            return Code::Attribute.err(format!("attribute `{name}` is there twice"));
        }
    }
    Ok((op.attributes(&given)?, extra))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::ports;
    use std::path::Path;

    /// Shapes that ONNX's own inference finds in the fixtures, at the sizes for which they were exported.
    #[test]
    fn shapes_are_those_that_onnx_infers() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let json = std::fs::read(folder.join("shapes.json")).expect("made by scripts/onnx_fixtures.py");
        let all: BTreeMap<String, BTreeMap<String, Vec<u64>>> = serde_json::from_slice(&json).expect("shapes by name");
        assert_eq!(all.len(), 8);
        for (fixture, expected) in all {
            let file = std::fs::read(folder.join(format!("{fixture}.onnx"))).expect("a fixture");
            let mut signature = ports(&file, 32).expect("ports");
            // The batch is open there, too.
            for port in signature.inputs.iter_mut().chain(&mut signature.outputs) {
                port.dims[0] = Dim::Fixed(1);
            }
            let model = decode::model(&file).expect("ONNX");
            let opset = check_versions(&model).expect("versions");
            let draft = draft(model.graph.expect("a graph"), opset, &signature).expect("a draft");
            let found: BTreeMap<&str, TensorType> =
                crate::lower::types(&draft, &signature).expect("types").into_iter().collect();
            let mut compared = 0;
            for (name, dims) in &expected {
                // Masks that nobody reads, and recurrent states that are left out.
                let Some(ty) = found.get(name.as_str()) else { continue };
                assert_eq!(ty.shape.dims(), dims, "{fixture}: {name}");
                compared += 1;
            }
            assert!(compared * 10 >= expected.len() * 9 && compared > 3, "{fixture}: {compared} of {}", expected.len());
        }
    }
}
