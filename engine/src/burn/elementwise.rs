//! Operators that work element by element, with sizes of one stretched.

use super::node::{Found, Site, binary, reshaping, taking, unary};
use burn_backend::ops::{ActivationOps, FloatTensorOps};
use burn_backend::{Shape, TensorMetadata};
use burn_dispatch::{Dispatch, DispatchTensor};
use program::Op;

pub(super) fn kernel(site: &Site<'_>) -> Found {
    if let Some(kernel) = plain(site.node.op) {
        site.of_floats()?;
        return unary(kernel);
    }
    if let Some(kernel) = pairwise(site.node.op) {
        site.of_floats()?;
        if let (Op::Pow, Ok(exponent), true) =
            (site.node.op, site.float_at(1), site.dims(1)?.iter().all(|dim| *dim == 1))
        {
            let shaped = reshaping(&site.dims(0)?, &site.made_dims(0)?);
            return unary(move |x| shaped(Dispatch::float_powf_scalar(x, exponent.into())));
        }
        if site.dims(0)?.len() == site.dims(1)?.len() {
            return binary(kernel);
        }
        return binary(move |x, y| {
            let (x, y) = level(x, y);
            kernel(x, y)
        });
    }
    if !matches!(site.node.op, Op::LeakyRelu | Op::Elu | Op::Gelu | Op::HardSigmoid | Op::Clip | Op::Min | Op::Max) {
        return Ok(None);
    }
    site.of_floats()?;
    match site.node.op {
        Op::LeakyRelu => {
            let slope = site.float("alpha")?;
            unary(move |x| Dispatch::leaky_relu(x, slope.into()))
        }
        Op::Elu => {
            let alpha = site.float("alpha")?;
            unary(move |x| elu(x, alpha))
        }
        Op::Gelu if site.text("approximate") == "tanh" => unary(gelu_by_tanh),
        Op::Gelu => unary(Dispatch::gelu),
        Op::HardSigmoid => {
            let (alpha, beta) = (site.float("alpha")?, site.float("beta")?);
            unary(move |x| Dispatch::hard_sigmoid(x, alpha.into(), beta.into()))
        }
        Op::Clip => clip(site),
        op => {
            let largest = op == Op::Max;
            taking((0..site.node.inputs.len()).collect(), move |given| extreme(given, largest))
        }
    }
}

fn plain(op: Op) -> Option<fn(DispatchTensor) -> DispatchTensor> {
    Some(match op {
        Op::Relu => Dispatch::relu,
        Op::Sigmoid => Dispatch::sigmoid,
        Op::Tanh => Dispatch::float_tanh,
        Op::Exp => Dispatch::float_exp,
        Op::Log => Dispatch::float_log,
        Op::Sqrt => Dispatch::float_sqrt,
        Op::Reciprocal => Dispatch::float_recip,
        Op::Abs => Dispatch::float_abs,
        Op::Neg => Dispatch::float_neg,
        Op::Erf => Dispatch::float_erf,
        Op::Floor => Dispatch::float_floor,
        Op::Ceil => Dispatch::float_ceil,
        Op::Round => Dispatch::float_round,
        Op::Sin => Dispatch::float_sin,
        Op::Cos => Dispatch::float_cos,
        Op::HardSwish => |x| Dispatch::float_mul(x.clone(), Dispatch::hard_sigmoid(x, (1.0 / 6.0).into(), 0.5.into())),
        Op::Softplus => softplus,
        _ => return None,
    })
}

fn pairwise(op: Op) -> Option<fn(DispatchTensor, DispatchTensor) -> DispatchTensor> {
    Some(match op {
        Op::Add => Dispatch::float_add,
        Op::Sub => Dispatch::float_sub,
        Op::Mul => Dispatch::float_mul,
        Op::Div => Dispatch::float_div,
        Op::Pow => Dispatch::float_powf,
        Op::PRelu => |x, slope| {
            let below = Dispatch::float_clamp_max(x.clone(), 0.0.into());
            Dispatch::float_add(Dispatch::relu(x), Dispatch::float_mul(slope, below))
        },
        _ => return None,
    })
}

/// Both of as many axes: burn stretches sizes of one, but adds no axes.
pub(super) fn level(x: DispatchTensor, y: DispatchTensor) -> (DispatchTensor, DispatchTensor) {
    let rank = x.shape().num_dims().max(y.shape().num_dims());
    (of_rank(x, rank), of_rank(y, rank))
}

/// The same with sizes of one before, until there are so many.
pub(super) fn of_rank(x: DispatchTensor, rank: usize) -> DispatchTensor {
    let shape = x.shape();
    if shape.num_dims() >= rank {
        return x;
    }
    let ones = std::iter::repeat_n(1, rank - shape.num_dims());
    let dims: Vec<usize> = ones.chain(shape.iter().copied()).collect();
    Dispatch::float_reshape(x, Shape::from(dims))
}

/// ln(1 + e^x), without an exponential of anything above 0.
fn softplus(x: DispatchTensor) -> DispatchTensor {
    let small = Dispatch::float_exp(Dispatch::float_neg(Dispatch::float_abs(x.clone())));
    Dispatch::float_add(Dispatch::relu(x), Dispatch::float_log1p(small))
}

fn elu(x: DispatchTensor, alpha: f32) -> DispatchTensor {
    let below = Dispatch::float_exp(Dispatch::float_clamp_max(x.clone(), 0.0.into()));
    let below = Dispatch::float_mul_scalar(Dispatch::float_sub_scalar(below, 1.0.into()), alpha.into());
    Dispatch::float_add(Dispatch::relu(x), below)
}

/// x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), Hendrycks and Gimpel 2016.
fn gelu_by_tanh(x: DispatchTensor) -> DispatchTensor {
    let cube = Dispatch::float_mul(Dispatch::float_mul(x.clone(), x.clone()), x.clone());
    let inner = Dispatch::float_add(x.clone(), Dispatch::float_mul_scalar(cube, 0.044_715.into()));
    let tanh = Dispatch::float_tanh(Dispatch::float_mul_scalar(inner, std::f64::consts::FRAC_2_PI.sqrt().into()));
    Dispatch::float_mul_scalar(Dispatch::float_mul(x, Dispatch::float_add_scalar(tanh, 1.0.into())), 0.5.into())
}

fn clip(site: &Site<'_>) -> Found {
    let bound = |at: usize| site.has(at).then(|| site.float_at(at)).transpose();
    let (low, high) = (bound(1)?, bound(2)?);
    unary(move |x| {
        let x = match low {
            Some(low) => Dispatch::float_clamp_min(x, low.into()),
            None => x,
        };
        match high {
            Some(high) => Dispatch::float_clamp_max(x, high.into()),
            None => x,
        }
    })
}

/// The largest or smallest of several, place by place.
fn extreme(given: Vec<DispatchTensor>, largest: bool) -> DispatchTensor {
    let rank = given.iter().map(|x| x.shape().num_dims()).max().unwrap_or(0);
    let level: Vec<DispatchTensor> = given.into_iter().map(|x| of_rank(x, rank)).collect();
    let dim = |axis: usize| level.iter().map(|x| x.shape()[axis]).max().unwrap_or(1);
    let dims: Vec<usize> = (0..rank).map(dim).collect();
    let beside: Vec<usize> = std::iter::once(1).chain(dims.iter().copied()).collect();
    let all = level.into_iter().map(|x| {
        let whole = Dispatch::float_expand(x, Shape::from(dims.clone()));
        Dispatch::float_reshape(whole, Shape::from(beside.clone()))
    });
    let all = Dispatch::float_cat(all.collect(), 0);
    let found = if largest { Dispatch::float_max_dim(all, 0) } else { Dispatch::float_min_dim(all, 0) };
    Dispatch::float_reshape(found, Shape::from(dims))
}
