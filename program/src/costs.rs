//! What a graph costs, by the same rules as a catalogue's plan (`protocol::architecture::Costs`), with checked
//! arithmetic.

use crate::graph::{Graph, Node, ValueId};
use crate::norms;
use crate::refusal::{Code, Result};
use crate::rules::{self, Operand, Site, Step};
use std::collections::{BTreeMap, BTreeSet};

/// Exact costs of one inference at batch 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// Values in initialisers: what was learned. Shapes, axes and other whole numbers that nodes are built by don't
    /// count.
    pub parameters: u64,
    /// The size that is scored: floats at two bytes each whatever their type, whole numbers as they are stored, batch
    /// normalisation counted as if it were folded into the convolution before it.
    pub size_bytes: u64,
    /// What the file has beside those numbers: the nodes, their attributes, shapes, names.
    pub graph_bytes: u64,
    /// Multiply-accumulates of convolutions, matrix products and recurrent layers.
    pub macs: u64,
    /// The most bytes of activations alive at once: what a node reads and makes, and what later ones still need.
    pub activation_bytes_peak: u64,
}

/// What may be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub file_bytes_max: u64,
    /// Values in initialisers.
    pub parameters_max: u64,
    /// Multiply-accumulates of one inference.
    pub macs_max: u64,
    /// Bytes of activations alive at once.
    pub activation_bytes_max: u64,
}

impl From<&protocol::competition::Limits> for Limits {
    fn from(limits: &protocol::competition::Limits) -> Self {
        Self {
            file_bytes_max: limits.size_bytes_max,
            parameters_max: limits.parameters_max,
            macs_max: limits.macs_max,
            activation_bytes_max: limits.activation_bytes_max,
        }
    }
}

/// The graph part of a file: so many bytes a node, and at most so many.
const NODE_BYTES_MAX: u64 = 200;
/// Ports, opset and the frame around the nodes.
const FRAME_BYTES_MAX: u64 = 2 * 1024;
const GRAPH_BYTES_MAX: u64 = 256 * 1024;

/// What a value counts in the scored size where it is a float.
const FLOAT_BYTES: u64 = 2;

impl Costs {
    /// The costs of a graph whose file has `file_bytes` bytes.
    ///
    /// # Errors
    /// When a count overflows 64 bits.
    pub(crate) fn of(graph: &Graph<'_>, file_bytes: u64) -> Result<Self> {
        let (numbers, folded) = (numbers(graph), Folded::of(graph));
        let (mut parameters, mut data_bytes) = (0u64, 0u64);
        let mut size_bytes = folded.biases.saturating_mul(FLOAT_BYTES);
        for value in &numbers {
            let Some(ty) = graph.ty(*value) else { continue };
            let elements = ty.shape.elements();
            parameters = parameters.saturating_add(elements);
            data_bytes = data_bytes.saturating_add(ty.bytes());
            if !folded.gone.contains(value) {
                let each = if ty.dtype.is_float() { FLOAT_BYTES } else { ty.dtype.bytes() };
                size_bytes = size_bytes.saturating_add(elements.saturating_mul(each));
            }
        }
        Ok(Self {
            parameters,
            size_bytes,
            graph_bytes: file_bytes.saturating_sub(data_bytes),
            macs: macs(graph)?,
            activation_bytes_peak: peak(graph),
        })
    }

    /// Holds the costs of a graph of `nodes` nodes against limits.
    pub(crate) fn check(&self, nodes: usize, limits: &Limits) -> Result<()> {
        let by_nodes = NODE_BYTES_MAX.saturating_mul(nodes as u64).saturating_add(FRAME_BYTES_MAX);
        within(Code::OverLimit, "parameters", self.parameters, limits.parameters_max)?;
        within(Code::OverLimit, "multiply-accumulates", self.macs, limits.macs_max)?;
        within(Code::OverLimit, "activation bytes", self.activation_bytes_peak, limits.activation_bytes_max)?;
        within(Code::GraphTooLarge, "bytes of the graph itself", self.graph_bytes, by_nodes.min(GRAPH_BYTES_MAX))
    }
}

fn within(code: Code, what: &str, value: u64, limit: u64) -> Result<()> {
    if value <= limit { Ok(()) } else { code.err(format!("{value} {what}, limit {limit}")) }
}

/// The initialisers that some node computes with; others only say how nodes are built.
pub(crate) fn numbers(graph: &Graph<'_>) -> BTreeSet<ValueId> {
    let of_node = |node: &'_ Node| {
        let op = node.op;
        let inputs: Vec<_> = node.inputs.iter().enumerate().filter(|(index, _)| !op.is_built_by(*index)).collect();
        inputs.into_iter().filter_map(|(_, input)| *input).collect::<Vec<_>>()
    };
    graph.nodes.iter().flat_map(of_node).filter(|value| graph.constant(*value).is_some()).collect()
}

/// What folding batch normalisation into convolutions would take away and add: `protocol::architecture` counts alike.
#[derive(Default)]
struct Folded {
    /// Initialisers of which nothing would be left.
    gone: BTreeSet<ValueId>,
    /// Biases that convolutions would get which have none.
    biases: u64,
}

impl Folded {
    fn of(graph: &Graph<'_>) -> Self {
        let mut folded = Self::default();
        for (norm, conv) in norms::foldable(graph) {
            if conv.inputs.len() < 3 {
                let channels = norm.input(0).and_then(|x| graph.ty(x)?.shape.dims().get(1).copied());
                folded.biases = folded.biases.saturating_add(channels.unwrap_or(0));
            }
            folded.gone.extend(norm.inputs.iter().skip(1).flatten());
        }
        folded
    }
}

fn macs(graph: &Graph<'_>) -> Result<u64> {
    let mut sum = 0u64;
    for node in &graph.nodes {
        let operand = |input: &Option<ValueId>| {
            let value = (*input)?;
            Some(Operand { ty: graph.ty(value)?, constant: graph.constant(value) })
        };
        let operands = node.inputs.iter().map(operand).collect();
        let site = Site { op: node.op, attributes: &node.attributes, operands, outputs: node.outputs.len() };
        let Step::Run(run) = rules::apply(&site)? else { continue };
        sum = match sum.checked_add(run.macs) {
            Some(sum) => sum,
            None => return Code::OverLimit.err("more than 2^64 multiply-accumulates"),
        };
    }
    Ok(sum)
}

fn peak(graph: &Graph<'_>) -> u64 {
    let bytes = |value: ValueId| match graph.constant(value) {
        Some(_) => 0,
        None => graph.ty(value).map_or(0, crate::tensor::TensorType::bytes),
    };
    // The last node that reads each value; the graph's own outputs are read after all of them.
    let mut last_read: BTreeMap<ValueId, usize> = BTreeMap::new();
    for (place, node) in graph.nodes.iter().enumerate() {
        last_read.extend(node.inputs.iter().flatten().map(|value| (*value, place)));
    }
    last_read.extend(graph.outputs.iter().map(|(_, value)| (*value, usize::MAX)));
    let mut alive =
        (0..graph.inputs.len()).filter(|value| last_read.contains_key(value)).map(bytes).fold(0, u64::saturating_add);
    let mut peak = alive;
    for (place, node) in graph.nodes.iter().enumerate() {
        alive = node.outputs.iter().flatten().map(|value| bytes(*value)).fold(alive, u64::saturating_add);
        peak = peak.max(alive);
        let inputs: BTreeSet<ValueId> = node.inputs.iter().flatten().copied().collect();
        let read = inputs.into_iter().filter(|value| last_read.get(value) == Some(&place));
        let unread = node.outputs.iter().flatten().copied().filter(|value| !last_read.contains_key(value));
        alive = read.chain(unread).map(bytes).fold(alive, u64::saturating_sub);
    }
    peak
}
