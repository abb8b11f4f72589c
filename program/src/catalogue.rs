//! A plan of the catalogue as a graph, so that all kinds of model meet on one engine and each can be had as ONNX. It is
//! written as PyTorch's exporter writes the same network, batch normalisation folded into convolutions.

use crate::builder::Builder;
use crate::graph::Graph;
use crate::op::{Given, Op};
use crate::package::classifier;
use crate::refusal::{Code, Result};
use crate::tensor::{Constant, Dtype, TensorType};
use protocol::architecture::{
    ATTENTION_PROJECTIONS, Activation, Conv2d, ImageShape, Op as Planned, Plan, epsilon, layer_norm_epsilon,
};
use std::borrow::Cow;
use weights::{Weights, fold_batch_norm};

/// A plan with its weights as a graph.
///
/// # Errors
/// When a tensor of the plan is missing, or larger than any that a graph may have.
pub fn lower(plan: &Plan, weights: Weights) -> Result<Graph<'static>> {
    let (plan, weights) =
        fold_batch_norm(plan, weights).map_err(|error| Code::Initialiser.because(error.to_string()))?;
    let mut lowering = Lowering { builder: Builder::default(), weights };
    let input = lowering.builder.input();
    let end = lowering.all(plan.ops(), Flow { value: input, shape: Shape::Image(plan.input()) })?;
    lowering.builder.finish(&classifier(plan.input(), plan.classes() as usize), vec![end.value])
}

/// What flows between operations: a value and what it is.
#[derive(Clone, Copy)]
struct Flow {
    value: usize,
    shape: Shape,
}

#[derive(Clone, Copy)]
enum Shape {
    Image(ImageShape),
    Tokens { count: u32, width: u32 },
    Vector,
}

struct Lowering {
    builder: Builder<'static>,
    weights: Weights,
}

impl Lowering {
    fn all(&mut self, ops: &[Planned], from: Flow) -> Result<Flow> {
        ops.iter().try_fold(from, |flow, op| self.one(op, flow))
    }

    fn one(&mut self, op: &Planned, Flow { value, shape }: Flow) -> Result<Flow> {
        match op {
            Planned::Linear { name, bias, .. } => Ok(Flow { value: self.linear(name, *bias, value, shape)?, shape }),
            Planned::Conv2d(conv) => self.conv(conv, value, shape),
            Planned::BatchNorm { name, epsilon_ppb, .. } => {
                let parts = ["weight", "bias", "running_mean", "running_var"];
                let [scale, bias, mean, variance] = self.tensors(name, parts)?;
                let epsilon = [("epsilon", Given::Float(epsilon(*epsilon_ppb) as f32))];
                let inputs = [value, scale, bias, mean, variance];
                Ok(Flow { value: self.builder.node(Op::BatchNormalization, inputs, &epsilon)?, shape })
            }
            Planned::LayerNorm { name, epsilon_ppb, .. } => {
                let [scale, bias] = self.tensors(name, ["weight", "bias"])?;
                let epsilon = [("epsilon", Given::Float(layer_norm_epsilon(*epsilon_ppb) as f32))];
                Ok(Flow { value: self.builder.node(Op::LayerNormalization, [value, scale, bias], &epsilon)?, shape })
            }
            Planned::Activation(activation) => Ok(Flow { value: self.activation(*activation, value)?, shape }),
            Planned::Residual { body, shortcut } => {
                let (body, side) = (self.all(body, Flow { value, shape })?, self.all(shortcut, Flow { value, shape })?);
                Ok(Flow { value: self.builder.node(Op::Add, [body.value, side.value], &[])?, ..body })
            }
            Planned::ClassToken { name, width } => self.class_token(name, *width, value, shape),
            Planned::PositionEmbedding { name, .. } => {
                let position = self.tensor(name)?;
                Ok(Flow { value: self.builder.node(Op::Add, [value, position], &[])?, shape })
            }
            Planned::SelfAttention { name, heads, .. } => {
                Ok(Flow { value: self.attention(name, *heads, value, shape)?, shape })
            }
            Planned::Flatten => self.vector(value),
            Planned::GlobalAveragePool => {
                let pooled = self.builder.node(Op::GlobalAveragePool, [value], &[])?;
                self.vector(pooled)
            }
            Planned::ImageToTokens => self.tokens(value, shape),
            Planned::FirstToken => {
                let first = self.builder.constant(scalar(0)?);
                let value = self.builder.node(Op::Gather, [value, first], &[("axis", Given::Int(1))])?;
                Ok(Flow { value, shape: Shape::Vector })
            }
            Planned::MeanOfPatches => self.mean_of_patches(value, shape),
        }
    }

    fn vector(&mut self, value: usize) -> Result<Flow> {
        let value = self.builder.node(Op::Flatten, [value], &[("axis", Given::Int(1))])?;
        Ok(Flow { value, shape: Shape::Vector })
    }

    /// A vector is multiplied by `Gemm`, which takes the weight as PyTorch has it; tokens by a product and a sum.
    fn linear(&mut self, name: &str, has_bias: bool, value: usize, shape: Shape) -> Result<usize> {
        if has_bias && matches!(shape, Shape::Vector) {
            let [weight, bias] = self.tensors(name, ["weight", "bias"])?;
            return self.builder.node(Op::Gemm, [value, weight, bias], &[("transB", Given::Int(1))]);
        }
        let weight = self.turned(&format!("{name}.weight"))?;
        let product = self.builder.node(Op::MatMul, [value, weight], &[])?;
        if !has_bias {
            return Ok(product);
        }
        let [bias] = self.tensors(name, ["bias"])?;
        self.builder.node(Op::Add, [product, bias], &[])
    }

    fn conv(&mut self, conv: &Conv2d, value: usize, shape: Shape) -> Result<Flow> {
        let Shape::Image(ImageShape { height, width, .. }) = shape else { return wrong() };
        let [top, left, bottom, right] = [conv.padding.top, conv.padding.left, conv.padding.bottom, conv.padding.right];
        let pads = [top, left, bottom, right].map(i64::from).to_vec();
        let attributes = [
            ("group", Given::Int(conv.groups.into())),
            ("pads", Given::Ints(pads)),
            ("strides", Given::Ints(vec![conv.stride.into(); 2])),
        ];
        let [weight] = self.tensors(&conv.name, ["weight"])?;
        let value = match conv.bias {
            true => {
                let [bias] = self.tensors(&conv.name, ["bias"])?;
                self.builder.node(Op::Conv, [value, weight, bias], &attributes)?
            }
            false => self.builder.node(Op::Conv, [value, weight], &attributes)?,
        };
        let side = |size: u32, before: u32, after: u32| {
            let padded = size.saturating_add(before).saturating_add(after);
            let steps = padded.saturating_sub(conv.kernel).checked_div(conv.stride).unwrap_or(0);
            steps.saturating_add(1)
        };
        let (height, width) = (side(height, top, bottom), side(width, left, right));
        Ok(Flow { value, shape: Shape::Image(ImageShape { channels: conv.outputs, height, width }) })
    }

    /// GELU by the error function and SiLU by the sigmoid, as PyTorch writes them.
    fn activation(&mut self, activation: Activation, x: usize) -> Result<usize> {
        match activation {
            Activation::Relu => self.builder.node(Op::Relu, [x], &[]),
            Activation::Relu6 => {
                let (low, high) = (self.builder.float(0.0)?, self.builder.float(6.0)?);
                self.builder.node(Op::Clip, [x, low, high], &[])
            }
            Activation::Silu => {
                let gate = self.builder.node(Op::Sigmoid, [x], &[])?;
                self.builder.node(Op::Mul, [x, gate], &[])
            }
            Activation::Gelu => {
                let (root, one, half) =
                    (self.builder.float(std::f32::consts::SQRT_2)?, self.builder.float(1.0)?, self.builder.float(0.5)?);
                let scaled = self.builder.node(Op::Div, [x, root], &[])?;
                let erf = self.builder.node(Op::Erf, [scaled], &[])?;
                let shifted = self.builder.node(Op::Add, [erf, one], &[])?;
                let doubled = self.builder.node(Op::Mul, [x, shifted], &[])?;
                self.builder.node(Op::Mul, [doubled, half], &[])
            }
        }
    }

    fn tokens(&mut self, value: usize, shape: Shape) -> Result<Flow> {
        let Shape::Image(ImageShape { channels, height, width }) = shape else { return wrong() };
        let count = height.saturating_mul(width);
        let rows = self.reshaped(value, &[1, channels, count])?;
        let value = self.transposed(rows, &[0, 2, 1])?;
        Ok(Flow { value, shape: Shape::Tokens { count, width: channels } })
    }

    fn class_token(&mut self, name: &str, width: u32, value: usize, shape: Shape) -> Result<Flow> {
        let Shape::Tokens { count, .. } = shape else { return wrong() };
        let token = self.tensor(name)?;
        let value = self.builder.node(Op::Concat, [token, value], &[("axis", Given::Int(1))])?;
        Ok(Flow { value, shape: Shape::Tokens { count: count.saturating_add(1), width } })
    }

    fn mean_of_patches(&mut self, value: usize, shape: Shape) -> Result<Flow> {
        let Shape::Tokens { count, .. } = shape else { return wrong() };
        let [first, end, axis] = [1, count.into(), 1].map(|int| self.builder.ints(&[int]));
        let (first, end, axis) = (first?, end?, axis?);
        let patches = self.builder.node(Op::Slice, [value, first, end, axis], &[])?;
        let value = self.builder.node(Op::ReduceMean, [patches, axis], &[("keepdims", Given::Int(0))])?;
        Ok(Flow { value, shape: Shape::Vector })
    }

    /// softmax(Q Kᵀ / sqrt(d)) V per head.
    fn attention(&mut self, name: &str, heads: u32, x: usize, shape: Shape) -> Result<usize> {
        let Shape::Tokens { count, width } = shape else { return wrong() };
        let size = width.checked_div(heads).unwrap_or(0);
        let mut projected = [x; 3];
        let [query, key, value, output] = ATTENTION_PROJECTIONS.map(|part| format!("{name}.{part}"));
        for (projected, (name, axes)) in
            projected.iter_mut().zip([(query, [0, 2, 1, 3]), (key, [0, 2, 3, 1]), (value, [0, 2, 1, 3])])
        {
            let wide = self.linear(&name, true, x, shape)?;
            let split = self.reshaped(wide, &[1, count, heads, size])?;
            *projected = self.transposed(split, &axes)?;
        }
        let [query, key, value] = projected;
        let scale = self.builder.float((1.0 / f64::from(size).sqrt()) as f32)?;
        let scores = self.builder.node(Op::MatMul, [query, key], &[])?;
        let scaled = self.builder.node(Op::Mul, [scores, scale], &[])?;
        let shares = self.builder.node(Op::Softmax, [scaled], &[("axis", Given::Int(-1))])?;
        let mixed = self.builder.node(Op::MatMul, [shares, value], &[])?;
        let joined = self.transposed(mixed, &[0, 2, 1, 3])?;
        let joined = self.reshaped(joined, &[1, count, width])?;
        self.linear(&output, true, joined, shape)
    }

    fn reshaped(&mut self, value: usize, dims: &[u32]) -> Result<usize> {
        let dims: Vec<i64> = dims.iter().copied().map(i64::from).collect();
        let dims = self.builder.ints(&dims)?;
        self.builder.node(Op::Reshape, [value, dims], &[])
    }

    fn transposed(&mut self, value: usize, axes: &[i64]) -> Result<usize> {
        self.builder.node(Op::Transpose, [value], &[("perm", Given::Ints(axes.to_vec()))])
    }

    fn tensors<const N: usize>(&mut self, name: &str, parts: [&str; N]) -> Result<[usize; N]> {
        let mut values = [0; N];
        for (value, part) in values.iter_mut().zip(parts) {
            *value = self.tensor(&format!("{name}.{part}"))?;
        }
        Ok(values)
    }

    fn tensor(&mut self, name: &str) -> Result<usize> {
        let (shape, values) = self.take(name)?;
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Ok(self.builder.constant(Constant::new(TensorType::new(Dtype::F32, shape)?, Cow::Owned(data))?))
    }

    /// A matrix, rows as columns.
    fn turned(&mut self, name: &str) -> Result<usize> {
        let (shape, values) = self.take(name)?;
        let [rows, columns] = shape[..] else { return Code::Shape.err(format!("`{name}` is {shape:?}, no matrix")) };
        let width = usize::try_from(columns).unwrap_or(usize::MAX).max(1);
        let column = |column: usize| values.iter().skip(column).step_by(width);
        let data = (0..width).flat_map(column).flat_map(|value| value.to_le_bytes()).collect();
        let ty = TensorType::new(Dtype::F32, vec![columns, rows])?;
        Ok(self.builder.constant(Constant::new(ty, Cow::Owned(data))?))
    }

    fn take(&mut self, name: &str) -> Result<(Vec<u64>, Vec<f32>)> {
        match self.weights.take(name) {
            Some(array) => Ok((array.shape.iter().map(|dim| *dim as u64).collect(), array.values)),
            None => Code::Initialiser.err(format!("tensor `{name}` is missing")),
        }
    }
}

fn scalar(int: i64) -> Result<Constant<'static>> {
    Constant::new(TensorType::new(Dtype::I64, vec![])?, Cow::Owned(int.to_le_bytes().to_vec()))
}

fn wrong<T>() -> Result<T> {
    Code::Shape.err("an operation doesn't fit what reaches it; plans are consistent, so this is a bug")
}
