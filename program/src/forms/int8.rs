//! Whole numbers of 8 bits in place of floats: static quantisation, written with `QuantizeLinear` and `DequantizeLinear`, which rten
//! and onnxruntime read, and the latter makes integer kernels of (its quantisation guide calls the form QDQ).
//!
//! Weights get a scale for each output (symmetric, within 127), activations one scale and zero point for all (asymmetric, 0 to 255) from
//! between what they lay on calibration items, biases int32 at the product of both scales. Which items those are it doesn't know.

use super::norms::{constant, floats};
use crate::builder::{Builder, copied, rewritten, signature};
use crate::graph::{Graph, Links, Node, ValueId, int};
use crate::op::{Attribute, Given, Op};
use crate::refusal::{Code, Result};
use crate::signature::{Dim, Port, Signature};
use crate::tensor::{Constant, Dtype, Shape, TensorType};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Between what a value lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The smallest.
    pub low: f32,
    /// The largest.
    pub high: f32,
}

impl Range {
    /// Of each value, over the answers of many items that a graph of [`Graph::with_ranges_told`] gave, `[items, columns]`.
    pub fn over(answers: &[f32], columns: usize) -> Vec<Self> {
        let (values, columns) = (columns / 2, columns.max(1));
        let column = |at: usize| answers.chunks(columns).filter_map(move |row| row.get(at)).copied();
        let range = |at: usize| Self {
            low: column(at).fold(f32::INFINITY, f32::min),
            high: column(values.saturating_add(at)).fold(f32::NEG_INFINITY, f32::max),
        };
        (0..values).map(range).collect()
    }
}

/// What is concatenated at once.
const CONCATENATED_MAX: usize = 64;
/// A scale is at least so much: of a value that is always 0, and where a bias is counted in products of scales.
const SCALE_MIN: f32 = 1e-12;

impl Graph<'_> {
    /// A graph of the same inputs that says between what the values lie that [`Graph::quantised`] asks about: `[1, 2 n]`, the smallest
    /// of each and then the largest of each, as its only output. `None` where nothing can be quantised, or is already.
    ///
    /// # Errors
    /// When what is written doesn't lower, which for a graph that did is a bug.
    pub fn with_ranges_told(&self, output: &str) -> Result<Option<Graph<'_>>> {
        let Places { values, .. } = Places::of(self);
        if values.is_empty() {
            return Ok(None);
        }
        let (mut builder, numbers) = copied(self, |_, _| Ok(None))?;
        let mut told = Vec::new();
        for op in [Op::ReduceMin, Op::ReduceMax] {
            for value in values.iter().filter_map(|value| numbers.get(value)) {
                let extreme = builder.node(op, [*value], &[("keepdims", Given::Int(0))])?;
                let shape = builder.ints(&[1, 1])?;
                told.push(builder.node(Op::Reshape, [extreme, shape], &[])?);
            }
        }
        let columns = u32::try_from(told.len()).unwrap_or(u32::MAX);
        let row = concatenated(&mut builder, told)?;
        let port = Port { name: output.to_owned(), dtype: Dtype::F32, dims: vec![Dim::Fixed(1), Dim::Fixed(columns)] };
        let signature = Signature { inputs: signature(self)?.inputs, outputs: vec![port] };
        builder.finish(&signature, vec![row]).map(Some)
    }

    /// The graph with its convolutions, products with known matrices and the sums between them in whole numbers of 8 bits. `ranges` are
    /// what [`Graph::with_ranges_told`] told, over all calibration items.
    ///
    /// # Errors
    /// When there are ranges of another number than are asked for, or one that isn't finite.
    pub fn quantised(&self, ranges: &[Range]) -> Result<Graph<'_>> {
        let Places { weighted, values } = Places::of(self);
        if ranges.len() != values.len() {
            return Code::Shape.err(format!("{} ranges for {} values", ranges.len(), values.len()));
        }
        let steps = ranges.iter().map(Stepped::of).collect::<Result<Vec<_>>>()?;
        let steps: BTreeMap<ValueId, Stepped> = values.into_iter().zip(steps).collect();
        // Each value as it is after it was whole numbers, once for all who read it.
        let mut rounded: BTreeMap<ValueId, usize> = BTreeMap::new();
        rewritten(self, |builder, site| {
            let Some(output) = site.node.output() else { return Ok(None) };
            let mut inputs = site.replaced(&mut rounded, |value, number| {
                steps.get(&value).map(|step| step.round(builder, number)).transpose()
            })?;
            let step = site.node.input(0).and_then(|value| steps.get(&value));
            if let Some(step) = step.filter(|_| weighted.contains(&output)) {
                self.quantise_numbers(builder, site.node, step, &mut inputs)?;
            }
            Ok((inputs != site.inputs).then(|| builder.again(site.node, inputs)))
        })
    }

    /// Puts whole numbers in place of a node's weights and bias.
    fn quantise_numbers(
        &self,
        builder: &mut Builder<'_>,
        node: &Node,
        x: &Stepped,
        inputs: &mut [Option<usize>],
    ) -> Result<()> {
        let known = |index| node.input(index).and_then(|value| self.constant(value));
        let Some((weights, values)) = known(1).and_then(|weights| Some((weights, floats(weights)?))) else {
            return Ok(());
        };
        let (axis, shape) = (axis_of_outputs(node), &weights.ty().shape);
        let scales = scales(&values, shape, axis);
        let axis_given = [("axis", Given::Int(axis as i64))];
        let whole = whole_weights(&values, shape, axis, &scales);
        let whole =
            builder.constant(Constant::new(TensorType { dtype: Dtype::I8, shape: shape.clone() }, Cow::Owned(whole))?);
        let of_outputs = TensorType::new(Dtype::F32, vec![scales.len() as u64])?;
        let scale = builder.constant(constant(of_outputs.clone(), scales.iter().copied())?);
        let made = builder.node(Op::DequantizeLinear, [whole, scale], &axis_given)?;
        set(inputs, 1, made);
        let Some(bias) = known(2).and_then(floats) else { return Ok(()) };
        let products: Vec<f32> = scales.iter().map(|scale| (scale * x.scale).max(SCALE_MIN)).collect();
        // A conversion of a float is within the whole numbers' range by itself.
        let whole: Vec<u8> = bias
            .iter()
            .zip(&products)
            .flat_map(|(bias, scale)| ((bias / scale).round_ties_even() as i32).to_le_bytes())
            .collect();
        let ty = TensorType::new(Dtype::I32, vec![bias.len() as u64])?;
        let whole = builder.constant(Constant::new(ty, Cow::Owned(whole))?);
        let scale = builder.constant(constant(of_outputs, products.into_iter())?);
        let made = builder.node(Op::DequantizeLinear, [whole, scale], &[("axis", Given::Int(0))])?;
        set(inputs, 2, made);
        Ok(())
    }
}

fn set(inputs: &mut [Option<usize>], index: usize, value: usize) {
    if let Some(input) = inputs.get_mut(index) {
        *input = Some(value);
    }
}

/// One row of all of them.
fn concatenated(builder: &mut Builder<'_>, mut rows: Vec<usize>) -> Result<usize> {
    let along = [("axis", Given::Int(1))];
    while rows.len() > CONCATENATED_MAX {
        let joined = rows.chunks(CONCATENATED_MAX).map(|some| builder.node(Op::Concat, some.iter().copied(), &along));
        rows = joined.collect::<Result<_>>()?;
    }
    builder.node(Op::Concat, rows, &along)
}

/// Where whole numbers can stand.
struct Places {
    /// What nodes make that have known weights.
    weighted: BTreeSet<ValueId>,
    /// Values that are rounded, in order.
    values: Vec<ValueId>,
}

impl Places {
    fn of(graph: &Graph<'_>) -> Self {
        let links = Links::of(graph);
        let is_output = |value: &ValueId| graph.outputs.iter().any(|(_, output)| output == value);
        let (mut weighted, mut values) = (BTreeSet::new(), BTreeSet::new());
        for node in graph.nodes.iter().filter(|node| has_weights(graph, node)) {
            let Some((x, made)) = node.input(0).zip(node.output()) else { continue };
            weighted.insert(made);
            values.insert(x);
            // A product that a sum follows stays a float until then.
            values.extend((node.op != Op::MatMul).then(|| settled(&links, made)).filter(|value| !is_output(value)));
        }
        // Sums of what is rounded anyway; each comes after what it sums.
        for node in graph.nodes.iter().filter(|node| node.op == Op::Add) {
            let inputs: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
            let [a, b] = inputs[..] else { continue };
            if a != b && values.contains(&a) && values.contains(&b) && graph.ty(a) == graph.ty(b) {
                values.extend(node.output().map(|made| settled(&links, made)).filter(|value| !is_output(value)));
            }
        }
        Self { weighted, values: values.into_iter().collect() }
    }
}

/// Whether a node multiplies by float32 numbers that are known, in a form that engines have in whole numbers, what isn't known.
fn has_weights(graph: &Graph<'_>, node: &Node) -> bool {
    let known = |index| node.input(index).and_then(|value| graph.constant(value));
    let is_float = |constant: &&Constant<'_>| constant.ty().dtype == Dtype::F32;
    let (Some(x), Some(weights)) = (node.input(0), known(1).filter(is_float)) else { return false };
    let of_floats = graph.constant(x).is_none() && graph.ty(x).is_some_and(|ty| ty.dtype == Dtype::F32);
    let has_bias = node.input(2).is_none() || known(2).filter(is_float).is_some_and(|bias| bias.ty().shape.rank() == 1);
    let is_one = |name| node.attributes.get(name).is_none_or(|factor| *factor == Attribute::Float(1f32.to_bits()));
    let rank = weights.ty().shape.rank();
    of_floats
        && has_bias
        && match node.op {
            Op::Conv => rank > 2,
            Op::Gemm => rank == 2 && is_one("alpha") && is_one("beta") && int(&node.attributes, "transA") != Some(1),
            Op::MatMul => rank == 2,
            _ => false,
        }
}

/// The value behind the activation that follows, where its zero is a bound that rounding has anyway.
fn settled(links: &Links<'_>, mut value: ValueId) -> ValueId {
    while let Some(next) = links.only_reader(value).filter(|reader| matches!(reader.op, Op::Relu | Op::Clip))
        && let Some(output) = next.output().filter(|_| next.input(0) == Some(value))
    {
        value = output;
    }
    value
}

/// Along which axis of its weights a node's outputs lie.
fn axis_of_outputs(node: &Node) -> usize {
    match node.op {
        Op::Conv => 0,
        Op::Gemm if int(&node.attributes, "transB") == Some(1) => 0,
        _ => 1,
    }
}

/// The entry of `axis` that each value belongs to.
fn entries(shape: &Shape, axis: usize) -> impl Iterator<Item = usize> + use<> {
    let dims: Vec<usize> = shape.dims().iter().map(|dim| usize::try_from(*dim).unwrap_or(usize::MAX)).collect();
    let inner = dims.iter().skip(axis.saturating_add(1)).copied().fold(1, usize::saturating_mul).max(1);
    let count = dims.get(axis).copied().unwrap_or(1).max(1);
    (0usize..).map(move |place| place.checked_div(inner).unwrap_or(0).checked_rem(count).unwrap_or(0))
}

/// The step of each output's weights.
fn scales(values: &[f32], shape: &Shape, axis: usize) -> Vec<f32> {
    let count = shape.dims().get(axis).and_then(|dim| usize::try_from(*dim).ok()).unwrap_or(0);
    let mut largest = vec![0f32; count];
    for (value, entry) in values.iter().zip(entries(shape, axis)) {
        if let Some(largest) = largest.get_mut(entry) {
            *largest = largest.max(value.abs());
        }
    }
    largest.into_iter().map(|largest| (largest / 127.0).max(SCALE_MIN)).collect()
}

fn whole_weights(values: &[f32], shape: &Shape, axis: usize, scales: &[f32]) -> Vec<u8> {
    let whole = |(value, entry): (&f32, usize)| {
        let scale = scales.get(entry).copied().unwrap_or(1.0);
        ((value / scale).round_ties_even().clamp(-127.0, 127.0) as i8).to_le_bytes()
    };
    values.iter().zip(entries(shape, axis)).flat_map(whole).collect()
}

/// How an activation is counted.
struct Stepped {
    scale: f32,
    zero: u8,
}

impl Stepped {
    /// 256 steps from the smallest to the largest; 0, which paddings are, is one of them exactly.
    fn of(Range { low, high }: &Range) -> Result<Self> {
        if !(low.is_finite() && high.is_finite()) {
            return Code::Initialiser.err(format!("a value lies between {low} and {high}"));
        }
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = ((high - low) / 255.0).max(SCALE_MIN);
        Ok(Self { scale, zero: (-low / scale).round_ties_even().clamp(0.0, 255.0) as u8 })
    }

    /// The value as whole numbers, and as floats again.
    fn round(&self, builder: &mut Builder<'_>, value: usize) -> Result<usize> {
        let scale = builder.float(self.scale)?;
        let zero = builder.constant(Constant::new(TensorType::new(Dtype::U8, vec![])?, Cow::Owned(vec![self.zero]))?);
        let whole = builder.node(Op::QuantizeLinear, [value, scale, zero], &[])?;
        builder.node(Op::DequantizeLinear, [whole, scale, zero], &[])
    }
}
