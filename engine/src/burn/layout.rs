//! Operators that move values and change none.

use super::node::{Found, Site, binary, taking, unary};
use super::{Indices, integers};
use crate::failure::Refused;
use burn_backend::ops::{FloatTensorOps, IntTensorOps, PadMode};
use burn_backend::{Shape, Slice};
use burn_dispatch::{Dispatch, DispatchTensor};
use program::{Dtype, Op};

pub(super) fn kernel(site: &Site<'_>, output: usize) -> Found {
    let moved = match site.node.op {
        Op::Reshape | Op::Flatten | Op::Squeeze | Op::Unsqueeze | Op::Identity | Op::Cast => reshape,
        Op::Transpose => transpose,
        Op::Concat => concat,
        Op::Slice => slice,
        Op::Pad => pad,
        Op::Tile => tile,
        Op::Expand => expand,
        Op::Gather => gather,
        Op::DepthToSpace | Op::SpaceToDepth => blocks,
        Op::Split => {
            of_floats(site)?;
            return split(site, output);
        }
        _ => return Ok(None),
    };
    of_floats(site)?;
    moved(site)
}

/// That what is moved are floats; what says how isn't looked at.
fn of_floats(site: &Site<'_>) -> Result<(), Refused> {
    match [site.ty(0)?.dtype, site.made(0)?.dtype].into_iter().find(|dtype| !super::is_computed_with(*dtype)) {
        Some(dtype) => Err(site.refuse(&format!("of {dtype}"))),
        None => Ok(()),
    }
}

fn reshape(site: &Site<'_>) -> Found {
    let made = site.made_dims(0)?;
    unary(move |x| Dispatch::float_reshape(x, Shape::from(made.clone())))
}

fn transpose(site: &Site<'_>) -> Found {
    let axes = site.sizes("perm")?;
    unary(move |x| Dispatch::float_permute(x, &axes))
}

fn concat(site: &Site<'_>) -> Found {
    site.of_floats()?;
    let axis = site.axis("axis", site.dims(0)?.len())?;
    taking((0..site.node.inputs.len()).collect(), move |given| Dispatch::float_cat(given, axis))
}

fn expand(site: &Site<'_>) -> Found {
    let made = site.made_dims(0)?;
    unary(move |x| Dispatch::float_expand(super::elementwise::of_rank(x, made.len()), Shape::from(made.clone())))
}

fn tile(site: &Site<'_>) -> Found {
    let times: Vec<usize> = site.ints(1)?.iter().map(|times| usize::try_from(*times).unwrap_or(1)).collect();
    unary(move |x| {
        let repeated = |x, (axis, times): (usize, &usize)| {
            if *times == 1 { x } else { Dispatch::float_repeat_dim(x, axis, *times) }
        };
        times.iter().enumerate().fold(x, repeated)
    })
}

fn slice(site: &Site<'_>) -> Found {
    let dims = site.dims(0)?;
    let (starts, ends) = (site.ints(1)?, site.ints(2)?);
    let (axes, steps) = (site.ints(3)?, site.ints(4)?);
    let mut slices = vec![Slice::new(0, None, 1); dims.len()];
    for (((start, end), axis), step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let place = usize::try_from(*axis).ok().and_then(|axis| slices.get_mut(axis).zip(dims.get(axis)));
        let Some((slice, dim)) = place else { return Err(site.refuse("along an axis that isn't there")) };
        *slice = cut(*start, *end, *step, *dim as i64);
    }
    unary(move |x| Dispatch::float_slice(x, &slices))
}

/// ONNX goes from `start` towards `end`; burn takes a range and goes through it backwards.
fn cut(start: i64, end: i64, step: i64, dim: i64) -> Slice {
    let end = if end < 0 { end + dim } else { end };
    let (from, to) = if step < 0 { (end + 1, start + 1) } else { (start, end) };
    Slice::new(from as isize, Some(to as isize), step as isize)
}

/// One piece, which lies behind those before it.
fn split(site: &Site<'_>, output: usize) -> Found {
    let axis = site.axis("axis", site.dims(0)?.len())?;
    let sizes = site.ints(1)?;
    let before: i64 = sizes.iter().take(output).sum();
    let size = sizes.get(output).copied().unwrap_or(0);
    let mut slices = vec![Slice::new(0, None, 1); site.dims(0)?.len()];
    if let Some(slice) = slices.get_mut(axis) {
        *slice = cut(before, before + size, 1, 0);
    }
    unary(move |x| Dispatch::float_slice(x, &slices))
}

fn pad(site: &Site<'_>) -> Found {
    let pads: Vec<usize> = site.ints(1)?.iter().map(|pad| usize::try_from(*pad).unwrap_or(0)).collect();
    let (before, after) = pads.split_at(pads.len() / 2);
    let pairs: Vec<(usize, usize)> = before.iter().copied().zip(after.iter().copied()).collect();
    let mode = match site.text("mode") {
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        _ if site.has(2) => PadMode::Constant(site.float_at(2)?),
        _ => PadMode::Constant(0.0),
    };
    unary(move |x| Dispatch::float_pad(x, &pairs, mode))
}

/// Where indices of a gather come from outside, those that it takes.
pub(super) fn indices_from_outside(site: &Site<'_>) -> Option<Indices> {
    if site.node.op != Op::Gather {
        return None;
    }
    let input = site.value(1).ok().filter(|value| *value < site.graph.inputs.len())?;
    let dims = site.dims(0).ok()?;
    let axis = site.axis("axis", dims.len()).ok()?;
    Some(Indices { input, entries: *dims.get(axis)? as i64 })
}

fn gather(site: &Site<'_>) -> Found {
    let (dims, made) = (site.dims(0)?, site.made_dims(0)?);
    let axis = site.axis("axis", dims.len())?;
    let entries = dims.get(axis).copied().unwrap_or(0) as i64;
    let is_known = matches!(site.ty(1)?.dtype, Dtype::I64 | Dtype::I32)
        && (site.constant(1).is_some() || indices_from_outside(site).is_some());
    if !is_known || entries == 0 {
        return Err(site.refuse("by indices that are computed"));
    }
    let chosen = move |x: DispatchTensor, indices: DispatchTensor| {
        Dispatch::float_reshape(Dispatch::float_select(x, axis, indices), Shape::from(made.clone()))
    };
    if site.constant(1).is_some() {
        let indices = integers(site.ints(1)?.iter().map(|index| index.rem_euclid(entries)).collect(), site.device);
        return unary(move |x| chosen(x, indices.clone()));
    }
    // Counted from the end, where it is below 0.
    binary(move |x, indices| chosen(x, Dispatch::int_remainder_scalar(indices, entries.into())))
}

/// Channels become places or places channels, in blocks.
fn blocks(site: &Site<'_>) -> Found {
    let block = usize::try_from(site.int("blocksize")?).unwrap_or(1).max(1);
    let (dims, made) = (site.dims(0)?, site.made_dims(0)?);
    let [batch, channels, height, width] = dims[..] else { return Err(site.refuse("of that many axes")) };
    let few = channels / (block * block);
    let (apart, order) = match (site.node.op, site.text("mode")) {
        (Op::SpaceToDepth, _) => {
            (vec![batch, channels, height / block, block, width / block, block], [0, 3, 5, 1, 2, 4])
        }
        (_, "CRD") => (vec![batch, few, block, block, height, width], [0, 1, 4, 2, 5, 3]),
        _ => (vec![batch, block, block, few, height, width], [0, 3, 4, 1, 5, 2]),
    };
    unary(move |x| {
        let x = Dispatch::float_permute(Dispatch::float_reshape(x, Shape::from(apart.clone())), &order);
        Dispatch::float_reshape(x, Shape::from(made.clone()))
    })
}
