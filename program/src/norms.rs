//! Batch normalisations that a convolution can take into itself. It folds none.

use crate::graph::{Graph, Links, Node, ValueId};
use crate::op::Op;

/// Each batch normalisation whose numbers are known, with the convolution before it: whose numbers are known, too, and whose output
/// nobody else reads.
pub(crate) fn foldable<'g>(graph: &'g Graph<'_>) -> Vec<(&'g Node, &'g Node)> {
    let links = Links::of(graph);
    let is_known = |value: &Option<ValueId>| value.is_some_and(|value| graph.constant(value).is_some());
    let is_output = |value: ValueId| graph.outputs.iter().any(|(_, output)| *output == value);
    let folded = |norm: &'g Node| {
        let [Some(x), of_channels @ ..] = &norm.inputs[..] else { return None };
        let conv = links.maker(*x).filter(|conv| conv.op == Op::Conv && links.only_reader(*x).is_some())?;
        let known = conv.inputs.iter().skip(1).chain(of_channels).all(is_known);
        (known && !is_output(*x)).then_some((norm, conv))
    };
    graph.nodes.iter().filter(|node| node.op == Op::BatchNormalization).filter_map(folded).collect()
}
