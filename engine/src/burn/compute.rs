//! Products of matrices, normalisations and softmax.

use super::elementwise::{level, of_rank};
use super::node::{Found, Site, binary, taking, unary};
use burn_backend::ops::{ActivationOps, FloatTensorOps, ModuleOps};
use burn_backend::{Shape, TensorMetadata};
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
    let (left, right, made) = (site.dims(0)?.len(), site.dims(1)?.len(), site.made_dims(0)?);
    binary(move |x, y| {
        let y = if right == 1 { Dispatch::float_reshape(y.clone(), Shape::from(vec![y.shape().num_elements(), 1])) } else { y };
        let x = if left == 1 { of_rank(x, 2) } else { x };
        let (x, y) = level(x, y);
        let product = Dispatch::float_matmul(x, y);
        if left == 1 || right == 1 { Dispatch::float_reshape(product, Shape::from(made.clone())) } else { product }
    })
}

fn gemm(site: &Site<'_>) -> Found {
    let (alpha, beta) = (site.float("alpha")?, site.float("beta")?);
    let (turn_x, turn_y) = (site.int("transA")? != 0, site.int("transB")? != 0);
    let inputs = (0..3).filter(|at| site.has(*at)).collect();
    taking(inputs, move |given| {
        let turned = |at: usize, turn: bool| {
            let x = given.get(at).cloned().expect("two inputs were asked for");
            if turn { Dispatch::float_swap_dims(x, 0, 1) } else { x }
        };
        let product = Dispatch::float_matmul(turned(0, turn_x), turned(1, turn_y));
        let product = times(product, alpha);
        match given.get(2) {
            Some(bias) => Dispatch::float_add(product, times(of_rank(bias.clone(), 2), beta)),
            None => product,
        }
    })
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
    let inputs = (0..3).filter(|at| site.has(*at)).collect();
    taking(inputs, move |given| {
        let flat = |at: usize, dims: Vec<usize>| Some(Dispatch::float_reshape(given.get(at)?.clone(), Shape::from(dims)));
        let rows = dims.iter().product::<usize>() / inner.max(1);
        let x = flat(0, vec![rows, inner]).expect("two inputs were asked for");
        let gamma = flat(1, vec![inner]).expect("two inputs were asked for");
        let normal = Dispatch::layer_norm(x, gamma, flat(2, vec![inner]), epsilon);
        Dispatch::float_reshape(normal, Shape::from(dims.clone()))
    })
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
    taking((0..5).collect(), move |given| match given {
        [x, gamma, beta, mean, variance] => {
            let [x, gamma, beta, mean, variance] = [x, gamma, beta, mean, variance].map(Clone::clone);
            Dispatch::batch_norm(x, gamma, beta, mean, variance, epsilon)
        }
        _ => unreachable!("five inputs were asked for"),
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
        let [x, scale, bias] = given else { unreachable!("three inputs were asked for") };
        let x = Dispatch::float_reshape(x.clone(), Shape::from(vec![rows, values / rows]));
        let centred = Dispatch::float_sub(x.clone(), Dispatch::float_mean_dim(x, 1));
        let variance = Dispatch::float_mean_dim(Dispatch::float_mul(centred.clone(), centred.clone()), 1);
        let root = Dispatch::float_sqrt(Dispatch::float_add_scalar(variance, epsilon.into()));
        let normal = Dispatch::float_reshape(Dispatch::float_div(centred, root), Shape::from(dims.clone()));
        let of_channels = |x: &DispatchTensor| Dispatch::float_reshape(x.clone(), Shape::from(stretched.clone()));
        Dispatch::float_add(Dispatch::float_mul(normal, of_channels(scale)), of_channels(bias))
    })
}
