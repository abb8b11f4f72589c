//! Learned numbers in half the bytes.

use crate::builder::rewritten;
use crate::costs;
use crate::graph::{Graph, ValueId};
use crate::op::{Given, Op};
use crate::refusal::Result;
use crate::tensor::{Constant, Dtype, TensorType};
use half::f16;
use std::borrow::Cow;
use std::collections::BTreeMap;

impl Graph<'_> {
    /// The graph with what was learned as float16, each cast to float32 where it is used: half the bytes to download, and what engines
    /// compute in stays float32. A value beyond what float16 holds is its largest.
    ///
    /// # Errors
    /// When what is written doesn't lower, which for a graph that did is a bug.
    pub fn in_half(&self) -> Result<Graph<'_>> {
        let learned = costs::numbers(self);
        let is_narrowed = |value: ValueId| {
            let many = |constant: &&Constant<'_>| constant.ty().dtype == Dtype::F32 && constant.ty().shape.rank() > 0;
            learned.contains(&value).then(|| self.constant(value)).flatten().filter(many)
        };
        // One cast for each value, however many read it.
        let mut casts: BTreeMap<ValueId, usize> = BTreeMap::new();
        rewritten(self, |builder, site| {
            let inputs = site.replaced(&mut casts, |value, _| {
                let Some(constant) = is_narrowed(value) else { return Ok(None) };
                let half = builder.constant(narrowed(constant)?);
                builder.node(Op::Cast, [half], &[("to", Given::Int(Dtype::F32.number()))]).map(Some)
            })?;
            Ok((site.node.output().is_some() && inputs != site.inputs).then(|| builder.again(site.node, inputs)))
        })
    }
}

fn narrowed(constant: &Constant<'_>) -> Result<Constant<'static>> {
    let floats = constant.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    let (low, high) = (f16::MIN.to_f32(), f16::MAX.to_f32());
    let data: Vec<u8> = floats.flat_map(|float| f16::from_f32(float.clamp(low, high)).to_le_bytes()).collect();
    Constant::new(TensorType { dtype: Dtype::F16, shape: constant.ty().shape.clone() }, Cow::Owned(data))
}
