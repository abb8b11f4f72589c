//! Which axes of a model's tensors belong together: the channels that one layer writes and others read.
//!
//! Source: "permutation specifications" (Ainsworth et al. 2023, Git Re-Basin, section 3). Two layers share a *group*
//! when an order of their channels can only be changed in both; they share a *scale* when a positive factor of a
//! channel can only be changed in both. A ReLU keeps factors, a ReLU6 or GELU pins them; a sum of two paths joins theirs.
//! This module knows plans, and does NOT know numbers.

use protocol::architecture::{Activation, Conv2d, Op, Plan};

/// One axis: its group and its scale, as indices into [`Spaces::groups`] and [`Spaces::scale_pinned`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) group: usize,
    pub(crate) scale: usize,
}

/// Channels whose order is one choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) units: usize,
    /// Inputs and classes have an order that nobody can change.
    pub(crate) pinned: bool,
}

/// A linear map with its normalisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Prefix of its tensors.
    pub(crate) name: String,
    pub(crate) has_bias: bool,
    /// Prefix of the batch normalisation that follows, if one does.
    pub(crate) norm: Option<String>,
    /// What it writes: axis 0 of the weight.
    pub(crate) rows: Axis,
    /// What it reads.
    pub(crate) columns: Axis,
    /// Row `i` reads only channel `i`: the weight has no axis for channels read.
    pub(crate) depthwise: bool,
}

/// All groups, scales and layers of a plan, layers in plan order.
#[derive(Clone, Debug)]
pub(crate) struct Spaces {
    pub(crate) groups: Vec<Group>,
    pub(crate) scale_pinned: Vec<bool>,
    pub(crate) layers: Vec<Layer>,
}

impl Spaces {
    /// Nothing for plans with operations whose symmetries aren't worked out here: attention, layer normalisation,
    /// grouped convolutions that are not depthwise, a normalisation that follows no convolution.
    pub(crate) fn of(plan: &Plan) -> Option<Self> {
        let mut builder = Builder::default();
        let input = builder.axis(plan.input().channels as usize, true);
        let flattened = usize::try_from(plan.input().values()).ok()?;
        builder.input = Some((input, flattened));
        let output = builder.walk(plan.ops(), input)?;
        let (group, scale) = (builder.groups.root(output.group), builder.scales.root(output.scale));
        builder.groups.pinned[group] = true;
        builder.scales.pinned[scale] = true;
        Some(builder.finish())
    }
}

/// Joined sets of indices; the earliest index names a set.
#[derive(Default)]
struct Sets {
    parent: Vec<usize>,
    pinned: Vec<bool>,
}

impl Sets {
    fn add(&mut self, pinned: bool) -> usize {
        self.parent.push(self.parent.len());
        self.pinned.push(pinned);
        self.parent.len() - 1
    }

    fn root(&self, mut index: usize) -> usize {
        while self.parent[index] != index {
            index = self.parent[index];
        }
        index
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let (first, second) = (a.min(b), a.max(b));
        self.parent[second] = first;
        self.pinned[first] |= self.pinned[second];
    }
}

#[derive(Default)]
struct Builder {
    groups: Sets,
    scales: Sets,
    units: Vec<usize>,
    layers: Vec<Layer>,
    input: Option<(Axis, usize)>,
}

impl Builder {
    fn axis(&mut self, units: usize, pinned: bool) -> Axis {
        self.units.push(units);
        Axis { group: self.groups.add(pinned), scale: self.scales.add(pinned) }
    }

    fn walk(&mut self, ops: &[Op], mut at: Axis) -> Option<Axis> {
        let mut rest = ops;
        while let Some((op, tail)) = rest.split_first() {
            rest = tail;
            at = match op {
                Op::Conv2d(conv) => {
                    let norm = match tail.first() {
                        Some(Op::BatchNorm { name, .. }) => {
                            rest = &tail[1..];
                            Some(name.clone())
                        }
                        _ => None,
                    };
                    self.convolution(conv, norm, at)?
                }
                Op::Linear { name, outputs, bias, .. } => {
                    let rows = self.axis(*outputs as usize, false);
                    self.layer(name, *bias, None, rows, at, false)
                }
                Op::Activation(Activation::Relu) | Op::GlobalAveragePool => at,
                Op::Activation(Activation::Relu6 | Activation::Gelu | Activation::Silu) => {
                    let scale = self.scales.root(at.scale);
                    self.scales.pinned[scale] = true;
                    at
                }
                Op::Flatten => match self.input {
                    Some((input, values)) if input == at => self.axis(values, true),
                    _ => return None,
                },
                Op::Residual { body, shortcut } => {
                    let main = self.walk(body, at)?;
                    let side = self.walk(shortcut, at)?;
                    self.groups.join(main.group, side.group);
                    self.scales.join(main.scale, side.scale);
                    main
                }
                Op::BatchNorm { .. }
                | Op::LayerNorm { .. }
                | Op::ImageToTokens
                | Op::ClassToken { .. }
                | Op::PositionEmbedding { .. }
                | Op::SelfAttention { .. }
                | Op::FirstToken
                | Op::MeanOfPatches => return None,
            };
        }
        Some(at)
    }

    fn convolution(&mut self, conv: &Conv2d, norm: Option<String>, at: Axis) -> Option<Axis> {
        if conv.groups == 1 {
            let rows = self.axis(conv.outputs as usize, false);
            return Some(self.layer(&conv.name, conv.bias, norm, rows, at, false));
        }
        if conv.groups != conv.inputs || conv.inputs != conv.outputs {
            return None;
        }
        let rows = Axis { group: at.group, scale: self.scales.add(false) };
        Some(self.layer(&conv.name, conv.bias, norm, rows, at, true))
    }

    fn layer(
        &mut self,
        name: &str,
        has_bias: bool,
        norm: Option<String>,
        rows: Axis,
        columns: Axis,
        depthwise: bool,
    ) -> Axis {
        self.layers.push(Layer { name: name.to_owned(), has_bias, norm, rows, columns, depthwise });
        rows
    }

    fn finish(self) -> Spaces {
        let resolve = |axis: Axis| Axis { group: self.groups.root(axis.group), scale: self.scales.root(axis.scale) };
        let layers = self
            .layers
            .iter()
            .map(|layer| Layer { rows: resolve(layer.rows), columns: resolve(layer.columns), ..layer.clone() })
            .collect();
        let pinned = self.groups.pinned.iter();
        let groups = self.units.iter().zip(pinned).map(|(&units, &pinned)| Group { units, pinned }).collect();
        Spaces { groups, scale_pinned: self.scales.pinned, layers }
    }
}
