//! ONNX's messages as they lie in a file: each field known, counted while it is read, data as parts of the file. What
//! is of no use to a run (documentation, metadata, shapes that others inferred) is passed over unread. It knows no
//! operator.

pub(super) use super::message::{Graph, Model, Node, Port, Tensor, Value};
use super::wire::{Fields, Wire};
use crate::refusal::{Code, Result, shown};
use std::borrow::Cow;

/// A graph may have this many nodes.
pub const NODES_MAX: usize = 4_096;
/// And this many initialisers.
pub const INITIALISERS_MAX: usize = 4_096;
/// A node may have this many inputs, and as many outputs.
const ENDS_MAX: usize = 64;
/// And this many attributes.
const ATTRIBUTES_MAX: usize = 16;
/// An attribute may have this many numbers or words.
const ATTRIBUTE_VALUES_MAX: usize = 64;
/// Ports of a graph.
const PORTS_MAX: usize = 64;
/// Names of values, attributes and numbers in attributes together: each takes more memory than it does in the file.
const PARTS_MAX: usize = 131_072;
/// Numbers that aren't in `raw_data`, which take up to eight times as much memory as in the file: of all tensors
/// together.
const LOOSE_VALUES_MAX: usize = 1 << 18;
/// A name may have this many bytes.
const NAME_BYTES_MAX: usize = 256;

/// Reads a model.
pub(super) fn model(file: &[u8]) -> Result<Model<'_>> {
    Decoder::default().model(file)
}

/// What has been met so far.
#[derive(Default)]
struct Decoder {
    parts: usize,
    loose_values: usize,
}

/// Which fields of a message were there: none that stands for one value may come twice.
#[derive(Default)]
struct Seen(u64);

impl Seen {
    fn once(&mut self, message: &str, field: u64) -> Result<()> {
        let bit = 1u64.checked_shl(u32::try_from(field).unwrap_or(u32::MAX)).unwrap_or_default();
        if self.0 & bit != 0 {
            return Code::Unreadable.err(format!("field {field} of a {message} is there twice"));
        }
        self.0 |= bit;
        Ok(())
    }
}

fn unknown<T>(message: &str, field: u64) -> Result<T> {
    Code::UnknownField.err(format!("field {field} of a {message}"))
}

fn text(wire: Wire<'_>) -> Result<&str> {
    let bytes = wire.bytes()?;
    match std::str::from_utf8(bytes) {
        Ok(name) if bytes.len() <= NAME_BYTES_MAX && bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) => Ok(name),
        _ => Code::Name.err(format!("\"{}\" has {} bytes", shown(bytes), bytes.len())),
    }
}

fn push<T>(list: &mut Vec<T>, item: T, max: usize, what: &str) -> Result<()> {
    if list.len() >= max {
        return Code::TooMany.err(format!("more than {max} {what}"));
    }
    list.push(item);
    Ok(())
}

impl Decoder {
    fn part(&mut self) -> Result<()> {
        self.parts = self.parts.saturating_add(1);
        if self.parts > PARTS_MAX {
            return Code::TooMany.err(format!("more than {PARTS_MAX} names and numbers beside the tensors"));
        }
        Ok(())
    }

    /// What isn't the graph is looked at first: of a file with functions, the nodes that call them are the smaller
    /// fault.
    fn model<'a>(&mut self, file: &'a [u8]) -> Result<Model<'a>> {
        let (mut model, mut seen, mut fields) = (Model::default(), Seen::default(), Fields::of(file));
        let mut graph = None;
        while let Some((field, wire)) = fields.next()? {
            match field {
                1 => {
                    seen.once("model", field)?;
                    model.ir_version = Some(wire.int()?);
                }
                7 => {
                    seen.once("model", field)?;
                    graph = Some(wire.bytes()?);
                }
                8 => push(&mut model.opsets, opset(wire.bytes()?)?, 16, "opsets")?,
                // Producer, its version, domain, the model's version, documentation, metadata.
                2..=6 | 14 => {}
                20 => return Code::Training.err("the model has training_info"),
                25 => return Code::Function.err("the model has functions of its own"),
                _ => return unknown("model", field),
            }
        }
        model.graph = graph.map(|bytes| self.graph(bytes)).transpose()?;
        Ok(model)
    }

    fn graph<'a>(&mut self, bytes: &'a [u8]) -> Result<Graph<'a>> {
        let (mut graph, mut fields) = (Graph::default(), Fields::of(bytes));
        while let Some((field, wire)) = fields.next()? {
            match field {
                1 => {
                    let node = self.node(wire.bytes()?)?;
                    push(&mut graph.nodes, node, NODES_MAX, "nodes")?;
                }
                5 => {
                    let tensor = self.tensor(wire.bytes()?)?;
                    push(&mut graph.initialisers, tensor, INITIALISERS_MAX, "initialisers")?;
                }
                11 => push(&mut graph.inputs, port(wire.bytes()?)?, PORTS_MAX + INITIALISERS_MAX, "inputs")?,
                12 => push(&mut graph.outputs, port(wire.bytes()?)?, PORTS_MAX, "outputs")?,
                // Name, documentation, shapes of values, metadata.
                2 | 10 | 13 | 16 => {}
                15 => return Code::Sparse.err("the graph has sparse initialisers"),
                _ => return unknown("graph", field),
            }
        }
        Ok(graph)
    }

    fn node<'a>(&mut self, bytes: &'a [u8]) -> Result<Node<'a>> {
        let (mut node, mut seen, mut fields) = (Node::default(), Seen::default(), Fields::of(bytes));
        while let Some((field, wire)) = fields.next()? {
            match field {
                1 | 2 => {
                    self.part()?;
                    let list = if field == 1 { &mut node.inputs } else { &mut node.outputs };
                    push(list, text(wire)?, ENDS_MAX, "inputs or outputs of a node")?;
                }
                4 => {
                    seen.once("node", field)?;
                    node.operator = text(wire)?;
                }
                5 => {
                    self.part()?;
                    let attribute = self.attribute(wire.bytes()?)?;
                    push(&mut node.attributes, attribute, ATTRIBUTES_MAX, "attributes of a node")?;
                }
                7 => {
                    seen.once("node", field)?;
                    match text(wire)? {
                        "" | "ai.onnx" => {}
                        domain => return Code::Domain.err(format!("a node is of domain `{domain}`")),
                    }
                }
                8 if !wire.bytes()?.is_empty() => return Code::Function.err("a node calls an overload"),
                // Name, documentation, an overload of no name, metadata.
                3 | 6 | 8 | 9 => {}
                _ => return unknown("node", field),
            }
        }
        Ok(node)
    }

    fn attribute<'a>(&mut self, bytes: &'a [u8]) -> Result<(&'a str, Value<'a>)> {
        let (mut name, mut kind) = ("", None);
        let (mut float, mut int, mut string, mut tensor) = (0.0, 0, &b""[..], None);
        let (mut floats, mut ints, mut strings) = (Cow::Borrowed(&b""[..]), Vec::new(), Vec::new());
        let (mut seen, mut fields) = (Seen::default(), Fields::of(bytes));
        while let Some((field, wire)) = fields.next()? {
            if !matches!(field, 7..=9) {
                seen.once("attribute", field)?;
            }
            match field {
                1 => name = text(wire)?,
                2 => float = wire.float()?,
                3 => int = wire.int()?,
                4 => string = wire.bytes()?,
                5 => tensor = Some(Box::new(self.tensor(wire.bytes()?)?)),
                7 => {
                    append(&mut floats, wire)?;
                    if floats.len() > 4 * ATTRIBUTE_VALUES_MAX {
                        return Code::TooMany.err(format!("more than {ATTRIBUTE_VALUES_MAX} floats of an attribute"));
                    }
                }
                8 => wire.each_int(|value| {
                    self.part()?;
                    push(&mut ints, value, ATTRIBUTE_VALUES_MAX, "numbers of an attribute")
                })?,
                9 => {
                    self.part()?;
                    push(&mut strings, wire.bytes()?, ATTRIBUTE_VALUES_MAX, "words of an attribute")?;
                }
                20 => kind = Some(wire.int()?),
                6 | 10 => return Code::ControlFlow.err(format!("attribute `{name}` is a graph")),
                22 | 23 => return Code::Sparse.err(format!("attribute `{name}` is a sparse tensor")),
                11 | 14 | 15 => return Code::Attribute.err(format!("attribute `{name}` is a type or tensors")),
                21 => return Code::Function.err(format!("attribute `{name}` refers to a function's")),
                // Documentation.
                13 => {}
                _ => return unknown("attribute", field),
            }
        }
        let value = match (kind, tensor) {
            (Some(1), _) => Value::Float(float),
            (Some(2), _) => Value::Int(int),
            (Some(3), _) => Value::Text(string),
            (Some(4), Some(tensor)) => Value::Tensor(tensor),
            (Some(6), _) => Value::Floats(floats),
            (Some(7), _) => Value::Ints(ints),
            (Some(8), _) => Value::Texts(strings),
            (Some(5 | 10), _) => return Code::ControlFlow.err(format!("attribute `{name}` is a graph")),
            _ => return Code::Attribute.err(format!("attribute `{name}` has no type that is read")),
        };
        Ok((name, value))
    }

    fn tensor<'a>(&mut self, bytes: &'a [u8]) -> Result<Tensor<'a>> {
        let (mut tensor, mut seen, mut fields) = (Tensor::default(), Seen::default(), Fields::of(bytes));
        while let Some((field, wire)) = fields.next()? {
            match field {
                1 => wire.each_int(|dim| push(&mut tensor.dims, dim, crate::tensor::RANK_MAX, "axes of a tensor"))?,
                2 => {
                    seen.once("tensor", field)?;
                    tensor.dtype = wire.int()?;
                }
                4 => {
                    let copied = append(tensor.floats.get_or_insert_default(), wire)?;
                    self.loose(copied)?;
                }
                5 | 7 => {
                    let list = if field == 5 { &mut tensor.int32s } else { &mut tensor.int64s };
                    wire.each_int(|value| {
                        self.loose(1)?;
                        list.push(value);
                        Ok(())
                    })?;
                }
                8 => {
                    seen.once("tensor", field)?;
                    tensor.name = text(wire)?;
                }
                9 => {
                    seen.once("tensor", field)?;
                    tensor.raw = Some(wire.bytes()?);
                }
                3 => return Code::Initialiser.err(format!("`{}` is a segment of a tensor", tensor.name)),
                6 | 10 | 11 => {
                    return Code::Dtype.err(format!("`{}` holds strings, doubles or unsigned numbers", tensor.name));
                }
                13 => return Code::External.err(format!("`{}` lies in another file", tensor.name)),
                14 if wire.int()? != 0 => return Code::External.err(format!("`{}` lies in another file", tensor.name)),
                // Documentation, the default location, metadata.
                12 | 14 | 16 => {}
                _ => return unknown("tensor", field),
            }
        }
        Ok(tensor)
    }

    /// Counts numbers that are copied out of the file.
    fn loose(&mut self, values: usize) -> Result<()> {
        self.loose_values = self.loose_values.saturating_add(values);
        if self.loose_values > LOOSE_VALUES_MAX {
            return Code::TooMany.err(format!("more than {LOOSE_VALUES_MAX} numbers of tensors outside raw_data"));
        }
        Ok(())
    }
}

/// Adds packed floats, the first of them without copying; says how many were copied.
fn append<'a>(floats: &mut Cow<'a, [u8]>, wire: Wire<'a>) -> Result<usize> {
    let before = floats.len();
    let added = wire.packed_floats()?;
    match (wire, &*floats) {
        (Wire::Bytes(packed), Cow::Borrowed([])) => {
            *floats = Cow::Borrowed(packed);
            Ok(0)
        }
        (_, Cow::Borrowed(_)) => {
            floats.to_mut().extend(added);
            Ok(before.saturating_add(added.len()) / 4)
        }
        (_, Cow::Owned(_)) => {
            floats.to_mut().extend(added);
            Ok(added.len() / 4)
        }
    }
}

fn opset(bytes: &[u8]) -> Result<(&str, i64)> {
    let (mut domain, mut version, mut seen, mut fields) = ("", 0, Seen::default(), Fields::of(bytes));
    while let Some((field, wire)) = fields.next()? {
        seen.once("opset", field)?;
        match field {
            1 => domain = text(wire)?,
            2 => version = wire.int()?,
            _ => return unknown("opset", field),
        }
    }
    Ok((domain, version))
}

fn port(bytes: &[u8]) -> Result<Port<'_>> {
    let (mut port, mut seen, mut fields) = (Port::default(), Seen::default(), Fields::of(bytes));
    while let Some((field, wire)) = fields.next()? {
        match field {
            1 => {
                seen.once("port", field)?;
                port.name = text(wire)?;
            }
            2 => {
                seen.once("port", field)?;
                tensor_type(wire.bytes()?, &mut port)?;
            }
            // Documentation, metadata.
            3 | 4 => {}
            _ => return unknown("port", field),
        }
    }
    Ok(port)
}

fn tensor_type(bytes: &[u8], port: &mut Port<'_>) -> Result<()> {
    let (mut seen, mut fields) = (Seen::default(), Fields::of(bytes));
    while let Some((field, wire)) = fields.next()? {
        seen.once("type", field)?;
        match field {
            1 => {
                let (mut seen, mut fields) = (Seen::default(), Fields::of(wire.bytes()?));
                while let Some((field, wire)) = fields.next()? {
                    seen.once("tensor's type", field)?;
                    match field {
                        1 => port.dtype = wire.int()?,
                        2 => port.dims = Some(dims(wire.bytes()?)?),
                        _ => return unknown("tensor's type", field),
                    }
                }
            }
            4 | 5 | 7 | 8 | 9 => return Code::Dtype.err(format!("`{}` is no dense tensor", port.name)),
            // What it stands for.
            6 => {}
            _ => return unknown("type", field),
        }
    }
    Ok(())
}

fn dims(bytes: &[u8]) -> Result<Vec<Option<i64>>> {
    let (mut dims, mut fields) = (Vec::new(), Fields::of(bytes));
    while let Some((field, wire)) = fields.next()? {
        if field != 1 {
            return unknown("shape", field);
        }
        let (mut size, mut seen, mut parts) = (None, Seen::default(), Fields::of(wire.bytes()?));
        while let Some((field, wire)) = parts.next()? {
            seen.once("dimension", field)?;
            match field {
                1 => size = Some(wire.int()?),
                // Its name, and what it stands for.
                2 | 3 => {}
                _ => return unknown("dimension", field),
            }
        }
        push(&mut dims, size, crate::tensor::RANK_MAX, "axes of a port")?;
    }
    Ok(dims)
}
