//! ONNX files by hand, field by field, so that anything may be written.

/// A protobuf message in the making.
#[derive(Clone, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

impl Message {
    pub(crate) fn int(mut self, field: u64, value: i64) -> Self {
        varint(&mut self.0, field << 3);
        varint(&mut self.0, value as u64);
        self
    }

    pub(crate) fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        varint(&mut self.0, field << 3 | 2);
        varint(&mut self.0, bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    /// A field of four bytes, as floats have it.
    pub(crate) fn four(mut self, field: u64, bytes: &[u8]) -> Self {
        varint(&mut self.0, field << 3 | 5);
        self.0.extend(bytes);
        self
    }

    pub(crate) fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    pub(crate) fn message(self, field: u64, inner: &Self) -> Self {
        self.bytes(field, &inner.0)
    }

    pub(crate) fn all(self, field: u64, messages: &[Self]) -> Self {
        messages.iter().fold(self, |message, inner| message.message(field, inner))
    }
}

pub(crate) fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> Message {
    let message = inputs.iter().fold(Message::default(), |message, input| message.text(1, input));
    outputs.iter().fold(message, |message, output| message.text(2, output)).text(4, operator)
}

/// A whole-number attribute.
pub(crate) fn int(name: &str, value: i64) -> Message {
    Message::default().text(1, name).int(3, value).int(20, 2)
}

pub(crate) fn ints(name: &str, values: &[i64]) -> Message {
    values.iter().fold(Message::default().text(1, name), |message, value| message.int(8, *value)).int(20, 7)
}

pub(crate) fn word(name: &str, value: &str) -> Message {
    Message::default().text(1, name).text(4, value).int(20, 3)
}

/// A tensor of ONNX's type `dtype`.
pub(crate) fn tensor(name: &str, dtype: i64, dims: &[i64], raw: &[u8]) -> Message {
    let message = dims.iter().fold(Message::default(), |message, dim| message.int(1, *dim));
    message.int(2, dtype).text(8, name).bytes(9, raw)
}

pub(crate) fn float_tensor(name: &str, dims: &[i64], value: f32) -> Message {
    let count = dims.iter().product::<i64>() as usize;
    tensor(name, 1, dims, &value.to_le_bytes().repeat(count))
}

pub(crate) fn int_tensor(name: &str, values: &[i64]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, 7, &[values.len() as i64], &raw)
}

pub(crate) fn port(name: &str, dtype: i64, dims: &[i64]) -> Message {
    let dim = |dim: &i64| Message::default().int(1, *dim);
    let shape = Message::default().all(1, &dims.iter().map(dim).collect::<Vec<_>>());
    let tensor = Message::default().int(1, dtype).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}

/// A graph from `x` to `y`.
pub(crate) fn graph(nodes: &[Message], initialisers: &[Message], x: &[i64], y: &[i64]) -> Message {
    let graph = Message::default().all(1, nodes).text(2, "graph").all(5, initialisers);
    graph.message(11, &port("x", 1, x)).message(12, &port("y", 1, y))
}

/// A file of opset 18.
pub(crate) fn model(graph: &Message) -> Message {
    Message::default().int(1, 8).message(8, &Message::default().text(1, "").int(2, 18)).message(7, graph)
}
