//! Other forms of the same graph. Those for engines, which are here, change nothing that is computed but for the last bits; those for
//! people who want fewer bytes or whole numbers are beside it.

mod halves;
mod int8;
mod norms;

pub use int8::Range;

use crate::builder::{Builder, Site, rewritten};
use crate::graph::{Graph, int};
use crate::op::{Attribute, Given, Op};
use crate::refusal::Result;
use crate::tensor::{Constant, Dtype, TensorType};
use half::{bf16, f16};
use std::borrow::Cow;

impl Graph<'_> {
    /// The graph with every softmax as the largest, differences, exponentials, their sum and quotients. Of all operators it
    /// is the one whose kernel in onnxruntime gives other bits on AVX-512 than on AVX2, and these five don't.
    ///
    /// # Errors
    /// When what is written doesn't lower, which for a graph that did is a bug.
    pub fn with_softmax_written_out(&self) -> Result<Graph<'_>> {
        rewritten(self, |builder, site| match site.node.op {
            Op::Softmax | Op::LogSoftmax => softmax(builder, site).map(Some),
            _ => Ok(None),
        })
    }

    /// The graph with known whole numbers from 0 to 255 that stand for floats in place of those from -128 to 127, and their zero
    /// points moved with them: the same floats. onnxruntime makes the same of them where it computes their products precisely, and
    /// fails where a zero point by row isn't written, or is shared.
    ///
    /// # Errors
    /// As [`Graph::with_softmax_written_out`].
    pub fn with_unsigned_weights(&self) -> Result<Graph<'_>> {
        rewritten(self, |builder, site| {
            if site.node.op != Op::DequantizeLinear {
                return Ok(None);
            }
            let (whole, scales) = (site.input(0)?, site.input(1)?);
            let Some(weights) = builder.known(whole).and_then(unsigned) else { return Ok(None) };
            let Some(shape) = builder.known(scales).map(|scales| scales.ty().shape.clone()) else { return Ok(None) };
            let zeros = match site.inputs.get(2).copied().flatten() {
                Some(zeros) => builder.known(zeros).and_then(unsigned),
                None => {
                    let ty = TensorType { dtype: Dtype::U8, shape };
                    let data = vec![SIGN; usize::try_from(ty.bytes()).unwrap_or(usize::MAX)];
                    Constant::new(ty, Cow::Owned(data)).ok()
                }
            };
            let Some(zeros) = zeros else { return Ok(None) };
            let inputs = [builder.constant(weights), scales, builder.constant(zeros)].map(Some).to_vec();
            Ok(Some(builder.again(site.node, inputs)))
        })
    }

    /// The graph for engines that compute with float32 alone: weights of 16 bits that are only cast are written as float32
    /// and no cast, whole exponents as floats. Both fit, so nothing is rounded.
    ///
    /// # Errors
    /// As [`Graph::with_softmax_written_out`].
    pub fn with_float32_alone(&self) -> Result<Graph<'_>> {
        rewritten(self, |builder, site| match site.node.op {
            Op::Cast if site.node.attributes.get("to") == Some(&Attribute::Int(Dtype::F32.number())) => {
                let wide = builder.known(site.input(0)?).and_then(widened);
                Ok(wide.map(|wide| builder.constant(wide)))
            }
            Op::Pow => {
                let (base, exponent) = (site.input(0)?, site.input(1)?);
                let Some(exponent) = builder.known(exponent).and_then(as_floats) else { return Ok(None) };
                let exponent = builder.constant(exponent);
                builder.node(Op::Pow, [base, exponent], &[]).map(Some)
            }
            _ => Ok(None),
        })
    }
}

/// What a whole number of 8 bits is moved by.
const SIGN: u8 = 0x80;

/// Whole numbers of 8 bits from 0 on; none where they are others.
fn unsigned(constant: &Constant<'_>) -> Option<Constant<'static>> {
    let ty = TensorType { dtype: Dtype::U8, shape: constant.ty().shape.clone() };
    let data = || Cow::Owned(constant.data().iter().map(|byte| byte ^ SIGN).collect());
    (constant.ty().dtype == Dtype::I8).then(|| Constant::new(ty, data()).ok())?
}

fn softmax(builder: &mut Builder<'_>, site: &Site<'_>) -> Result<usize> {
    let (x, axis) = (site.input(0)?, int(&site.node.attributes, "axis").unwrap_or(-1));
    let keep = [("keepdims", Given::Int(1))];
    let axes = builder.ints(&[axis])?;
    let largest = builder.node(Op::ReduceMax, [x, axes], &keep)?;
    let below = builder.node(Op::Sub, [x, largest], &[])?;
    let powers = builder.node(Op::Exp, [below], &[])?;
    let sum = builder.node(Op::ReduceSum, [powers, axes], &keep)?;
    if site.node.op == Op::Softmax {
        return builder.node(Op::Div, [powers, sum], &[]);
    }
    let log = builder.node(Op::Log, [sum], &[])?;
    builder.node(Op::Sub, [below, log], &[])
}

/// A constant of 16-bit floats in float32.
fn widened(constant: &Constant<'_>) -> Option<Constant<'static>> {
    let pairs = constant.data().as_chunks::<2>().0.iter();
    let data: Vec<u8> = match constant.ty().dtype {
        Dtype::F16 => pairs.flat_map(|pair| f16::from_le_bytes(*pair).to_f32().to_le_bytes()).collect(),
        Dtype::Bf16 => pairs.flat_map(|pair| bf16::from_le_bytes(*pair).to_f32().to_le_bytes()).collect(),
        _ => return None,
    };
    let ty = TensorType { dtype: Dtype::F32, shape: constant.ty().shape.clone() };
    Constant::new(ty, Cow::Owned(data)).ok()
}

/// A small constant of whole numbers as float32; none where one doesn't fit.
fn as_floats(constant: &Constant<'_>) -> Option<Constant<'static>> {
    const EXACT: i64 = 1 << 24;
    let ints = constant.ints()?;
    let fits = ints.iter().all(|int| (-EXACT..=EXACT).contains(int));
    let data: Vec<u8> = ints.iter().flat_map(|int| (*int as f32).to_le_bytes()).collect();
    let ty = TensorType { dtype: Dtype::F32, shape: constant.ty().shape.clone() };
    fits.then(|| Constant::new(ty, Cow::Owned(data)).ok())?
}
