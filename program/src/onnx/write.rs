//! The one way in which a graph is written: every attribute, topological order, names by number, no metadata. Equal
//! graphs have equal bytes, and a file that was read and is written has none of its author's words.

use super::wire::Message;
use crate::graph::{Graph, ValueId};
use crate::op::{Attribute, OPSET};
use crate::tensor::TensorType;
use protocol::Digest;

/// A graph as ONNX.
pub fn write(graph: &Graph<'_>) -> Vec<u8> {
    model(graph).into_bytes()
}

/// The digest of a graph's canonical bytes.
pub fn digest(graph: &Graph<'_>) -> Digest {
    Digest::of_parts(model(graph).parts())
}

/// How many bytes [`write`] makes.
pub(crate) fn written_bytes(graph: &Graph<'_>) -> u64 {
    model(graph).bytes_len()
}

fn model<'g>(graph: &'g Graph<'_>) -> Message<'g> {
    let opset = graph.nodes.iter().map(|node| node.op.signature().since).fold(OPSET, i64::max);
    // The first version of the format in which that opset is.
    let ir_version = match opset {
        ..=18 => 8,
        19..=20 => 9,
        21..=22 => 10,
        _ => 11,
    };
    let mut model = Message::default();
    model.int(1, ir_version);
    model.message(7, body(graph));
    let mut imported = Message::default();
    imported.bytes(1, b"");
    imported.int(2, opset);
    model.message(8, imported);
    model
}

fn body<'g>(graph: &'g Graph<'_>) -> Message<'g> {
    let mut body = Message::default();
    for node in &graph.nodes {
        let mut written = Message::default();
        for (field, ends) in [(1, &node.inputs), (2, &node.outputs)] {
            for end in ends {
                written.text(field, &end.map(|value| name(graph, value)).unwrap_or_default());
            }
        }
        written.text(4, node.op.name());
        for (name, value) in &node.attributes {
            written.message(5, attribute(name, value));
        }
        body.message(1, written);
    }
    body.text(2, "graph");
    for (index, constant) in graph.initialisers.iter().enumerate() {
        let mut tensor = Message::default();
        tensor.ints(1, dims(constant.ty()));
        tensor.int(2, constant.ty().dtype.number());
        tensor.text(8, &name(graph, graph.inputs.len().saturating_add(index)));
        tensor.bytes(9, constant.data());
        body.message(5, tensor);
    }
    for (name, ty) in &graph.inputs {
        body.message(11, port(name, ty));
    }
    for (name, value) in &graph.outputs {
        if let Some(ty) = graph.ty(*value) {
            body.message(12, port(name, ty));
        }
    }
    body
}

/// Ports keep their names; others are `w` and `t` with a number: weights, and tensors that are made.
fn name(graph: &Graph<'_>, value: ValueId) -> String {
    if let Some((name, _)) = graph.outputs.iter().find(|(_, output)| *output == value) {
        return name.clone();
    }
    match (graph.inputs.get(value), value.saturating_sub(graph.inputs.len())) {
        (Some((name, _)), _) => name.clone(),
        (None, number) if number < graph.initialisers.len() => format!("w{number}"),
        (None, number) => format!("t{}", number.saturating_sub(graph.initialisers.len())),
    }
}

fn attribute<'g>(name: &'g str, value: &'g Attribute) -> Message<'g> {
    let mut written = Message::default();
    written.text(1, name);
    let kind = match value {
        Attribute::Float(bits) => {
            written.float(2, *bits);
            1
        }
        Attribute::Int(int) => {
            written.int(3, *int);
            2
        }
        Attribute::Text(text) => {
            written.text(4, text);
            3
        }
        Attribute::Ints(ints) => {
            written.ints(8, ints.iter().copied());
            7
        }
    };
    written.int(20, kind);
    written
}

fn port<'g>(name: &str, ty: &TensorType) -> Message<'g> {
    let mut shape = Message::default();
    for dim in dims(ty) {
        let mut size = Message::default();
        size.int(1, dim);
        shape.message(1, size);
    }
    let mut tensor = Message::default();
    tensor.int(1, ty.dtype.number());
    tensor.message(2, shape);
    let mut outer = Message::default();
    outer.message(1, tensor);
    let mut port = Message::default();
    port.text(1, name);
    port.message(2, outer);
    port
}

fn dims(ty: &TensorType) -> impl Iterator<Item = i64> + '_ {
    ty.shape.dims().iter().map(|dim| i64::try_from(*dim).unwrap_or(i64::MAX))
}
