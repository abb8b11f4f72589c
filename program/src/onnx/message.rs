//! What a file's messages say, as parts of the file. It knows neither how they lie there nor what an operator does.

use std::borrow::Cow;

/// A file's model.
#[derive(Debug, Default)]
pub(super) struct Model<'a> {
    pub(super) ir_version: Option<i64>,
    pub(super) opsets: Vec<(&'a str, i64)>,
    pub(super) graph: Option<Graph<'a>>,
}

#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) initialisers: Vec<Tensor<'a>>,
    pub(super) inputs: Vec<Port<'a>>,
    pub(super) outputs: Vec<Port<'a>>,
}

#[derive(Debug, Default)]
pub(super) struct Node<'a> {
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    pub(super) operator: &'a str,
    pub(super) attributes: Vec<(&'a str, Value<'a>)>,
}

impl<'a> Node<'a> {
    /// Operator and first output, by which people find it.
    pub(super) fn place(&self) -> (&'a str, &'a str) {
        let named = self.outputs.iter().copied().find(|name| !name.is_empty());
        (self.operator, named.unwrap_or_default())
    }
}

/// The value of an attribute.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Float(f32),
    Int(i64),
    Text(&'a [u8]),
    Tensor(Box<Tensor<'a>>),
    Floats(Cow<'a, [u8]>),
    Ints(Vec<i64>),
    Texts(Vec<&'a [u8]>),
}

#[derive(Debug, Default)]
pub(super) struct Tensor<'a> {
    pub(super) name: &'a str,
    pub(super) dims: Vec<i64>,
    pub(super) dtype: i64,
    /// Little-endian bytes.
    pub(super) raw: Option<&'a [u8]>,
    /// Little-endian float32.
    pub(super) floats: Option<Cow<'a, [u8]>>,
    pub(super) int32s: Vec<i64>,
    pub(super) int64s: Vec<i64>,
}

/// An input or output; sizes that are names or missing are `None`.
#[derive(Debug, Default)]
pub(super) struct Port<'a> {
    pub(super) name: &'a str,
    pub(super) dtype: i64,
    pub(super) dims: Option<Vec<Option<i64>>>,
}
