//! Products of matrices, normalisations and softmax.

use super::elementwise::{level, of_rank};
use super::node::{self, Found, Site, binary, reshaping, taking, unary};
use burn_backend::Shape;
use burn_backend::ops::{ActivationOps, FloatTensorOps, ModuleOps};
use burn_dispatch::{Dispatch, DispatchTensor};
use program::Op;

pub(super) fn kernel(site: &Site<'_>) -> Found {
    let compute: fn(&Site<'_>) -> Found = match site.node.op {
        Op::MatMul => matmul,
        Op::Gemm => gemm,
        Op::Softmax => softmax,
        Op::LogSoftmax => softmax,
        Op::LayerNormalization => layer_norm,
        Op::RMSNormalization => rms_norm,
        Op::BatchNormalization => batch_norm,
        Op::InstanceNormalization | Op::GroupNormalization => group_norm,
        _ => return Ok(None),
    };
    site.of_floats()?;
    compute(site)
}

/// As numpy's: an axis that a vector lacks is added for the product and taken off its result.
fn matmul(site: &Site<'_>) -> Found {
    let (left, right, made) = (site.dims(0)?, site.dims(1)?, site.made_dims(0)?);
    if left.len() == right.len() && left.len() > 1 {
        return binary(Dispatch::float_matmul);
    }
    let is_of_vectors = left.len() == 1 || right.len() == 1;
    binary(move |x, y| {
        let y =
            if right.len() == 1 { Dispatch::float_reshape(y, Shape::from(vec![right.iter().product(), 1])) } else { y };
        let (x, y) = level(if left.len() == 1 { of_rank(x, 2) } else { x }, y);
        let product = Dispatch::float_matmul(x, y);
        if is_of_vectors { Dispatch::float_reshape(product, Shape::from(made.clone())) } else { product }
    })
}

/// Weights that are known are laid out for the product beforehand.
fn gemm(site: &Site<'_>) -> Found {
    let (alpha, beta) = (site.float("alpha")?, site.float("beta")?);
    let (turn_x, turn_y) = (site.int("transA")? != 0, site.int("transB")? != 0);
    let turned = |turn: bool| move |x| if turn { Dispatch::float_swap_dims(x, 0, 1) } else { x };
    let (turn_x, turn_y) = (turned(turn_x), turned(turn_y));
    let known = |at: usize| site.constant(at).and_then(|constant| node::tensor(constant, site.device));
    let weight = known(1).map(turn_y);
    let bias = known(2).map(|bias| times(of_rank(bias, 2), beta));
    match (weight, bias, site.has(2)) {
        (Some(weight), Some(bias), _) => unary(move |x| {
            Dispatch::float_add(times(Dispatch::float_matmul(turn_x(x), weight.clone()), alpha), bias.clone())
        }),
        (Some(weight), None, false) => unary(move |x| times(Dispatch::float_matmul(turn_x(x), weight.clone()), alpha)),
        (_, _, false) => binary(move |x, y| times(Dispatch::float_matmul(turn_x(x), turn_y(y)), alpha)),
        _ => taking(vec![0, 1, 2], move |given| {
            let [x, y, bias] = exactly(given);
            let product = times(Dispatch::float_matmul(turn_x(x), turn_y(y)), alpha);
            Dispatch::float_add(product, times(of_rank(bias, 2), beta))
        }),
    }
}

/// As many as were asked for.
fn exactly<const N: usize>(given: Vec<DispatchTensor>) -> [DispatchTensor; N] {
    given.try_into().expect("as many inputs as were asked for")
}

fn times(x: DispatchTensor, factor: f32) -> DispatchTensor {
    if factor == 1.0 { x } else { Dispatch::float_mul_scalar(x, factor.into()) }
}

fn softmax(site: &Site<'_>) -> Found {
    let axis = site.axis("axis", site.dims(0)?.len())?;
    match site.node.op {
        Op::Softmax => unary(move |x| Dispatch::softmax(x, axis)),
        _ => unary(move |x| Dispatch::log_softmax(x, axis)),
    }
}

/// Over all axes from one on, which are one for burn.
fn layer_norm(site: &Site<'_>) -> Found {
    let (dims, epsilon) = (site.dims(0)?, f64::from(site.float("epsilon")?));
    let inner = inner(site, &dims)?;
    let rows = dims.iter().product::<usize>() / inner.max(1);
    let (apart, together) = (reshaping(&dims, &[rows, inner]), reshaping(&[rows, inner], &dims));
    let flat = reshaping(&site.dims(1)?, &[inner]);
    let normal = move |x, scale, bias: Option<DispatchTensor>| {
        together(Dispatch::layer_norm(apart(x), flat(scale), bias.map(&flat), epsilon))
    };
    match site.has(2) {
        true => taking(vec![0, 1, 2], move |given| {
            let [x, scale, bias] = exactly(given);
            normal(x, scale, Some(bias))
        }),
        false => binary(move |x, scale| normal(x, scale, None)),
    }
}

/// How many values lie in the axes from `axis` on, where the scale is as large.
fn inner(site: &Site<'_>, dims: &[usize]) -> Result<usize, crate::Refused> {
    let axis = site.axis("axis", dims.len())?;
    let inner: usize = dims.iter().skip(axis).product();
    match site.dims(1)?.iter().product::<usize>() == inner && inner > 0 {
        true => Ok(inner),
        false => Err(site.refuse("whose scale is stretched")),
    }
}

/// x / sqrt(mean(x^2) + epsilon) * scale, Zhang and Sennrich 2019.
fn rms_norm(site: &Site<'_>) -> Found {
    let (dims, epsilon) = (site.dims(0)?, site.float("epsilon")?);
    let inner = inner(site, &dims)?;
    binary(move |x, scale| {
        let rows = dims.iter().product::<usize>() / inner.max(1);
        let x = Dispatch::float_reshape(x, Shape::from(vec![rows, inner]));
        let mean = Dispatch::float_mean_dim(Dispatch::float_mul(x.clone(), x.clone()), 1);
        let root = Dispatch::float_sqrt(Dispatch::float_add_scalar(mean, epsilon.into()));
        let scale = Dispatch::float_reshape(scale, Shape::from(vec![1, inner]));
        let normal = Dispatch::float_mul(Dispatch::float_div(x, root), scale);
        Dispatch::float_reshape(normal, Shape::from(dims.clone()))
    })
}

fn batch_norm(site: &Site<'_>) -> Found {
    let epsilon = f64::from(site.float("epsilon")?);
    taking((0..5).collect(), move |given| {
        let [x, gamma, beta, mean, variance] = exactly(given);
        Dispatch::batch_norm(x, gamma, beta, mean, variance, epsilon)
    })
}

/// Each group of channels by its own mean and variance; a channel is a group of `InstanceNormalization`.
fn group_norm(site: &Site<'_>) -> Found {
    let (dims, epsilon) = (site.dims(0)?, site.float("epsilon")?);
    let [batch, channels, ..] = dims[..] else { return Err(site.refuse("without channels")) };
    let groups = match site.node.op {
        Op::GroupNormalization => usize::try_from(site.int("num_groups")?).unwrap_or(0),
        _ => channels,
    };
    let (rows, values) = (batch * groups, dims.iter().product::<usize>());
    if rows == 0 || values % rows != 0 {
        return Err(site.refuse("whose groups don't divide the channels"));
    }
    let stretched: Vec<usize> = dims.iter().enumerate().map(|(at, _)| if at == 1 { channels } else { 1 }).collect();
    taking(vec![0, 1, 2], move |given| {
        let [x, scale, bias] = exactly(given);
        let x = Dispatch::float_reshape(x, Shape::from(vec![rows, values / rows]));
        let centred = Dispatch::float_sub(x.clone(), Dispatch::float_mean_dim(x, 1));
        let variance = Dispatch::float_mean_dim(Dispatch::float_mul(centred.clone(), centred.clone()), 1);
        let root = Dispatch::float_sqrt(Dispatch::float_add_scalar(variance, epsilon.into()));
        let normal = Dispatch::float_reshape(Dispatch::float_div(centred, root), Shape::from(dims.clone()));
        let of_channels = |x| Dispatch::float_reshape(x, Shape::from(stretched.clone()));
        Dispatch::float_add(Dispatch::float_mul(normal, of_channels(scale)), of_channels(bias))
    })
}
