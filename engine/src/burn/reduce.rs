//! Operators that make one value of many, along axes.

use super::node::{Found, Site, unary};
use burn_backend::Shape;
use burn_backend::ops::FloatTensorOps;
use burn_dispatch::{Dispatch, DispatchTensor};
use program::Op;

pub(super) fn kernel(site: &Site<'_>) -> Found {
    let along: fn(DispatchTensor, usize) -> DispatchTensor = match site.node.op {
        Op::ReduceMean => Dispatch::float_mean_dim,
        Op::ReduceSum | Op::ReduceL2 => Dispatch::float_sum_dim,
        Op::ReduceMax => Dispatch::float_max_dim,
        Op::ReduceMin => Dispatch::float_min_dim,
        Op::ReduceProd => Dispatch::float_prod_dim,
        _ => return Ok(None),
    };
    let is_norm = site.node.op == Op::ReduceL2;
    if !super::is_computed_with(site.ty(0)?.dtype) {
        return Err(site.refuse(&format!("of {}", site.ty(0)?.dtype)));
    }
    let axes: Vec<usize> = site.ints(1)?.iter().map(|axis| usize::try_from(*axis).unwrap_or(usize::MAX)).collect();
    let made = site.made_dims(0)?;
    unary(move |x| {
        let x = if is_norm { Dispatch::float_mul(x.clone(), x) } else { x };
        let reduced = axes.iter().fold(x, |x, axis| along(x, *axis));
        let reduced = if is_norm { Dispatch::float_sqrt(reduced) } else { reduced };
        Dispatch::float_reshape(reduced, Shape::from(made.clone()))
    })
}
