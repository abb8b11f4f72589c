//! Reductions, and what looks for the largest.

use super::{Input, Run, Site, Step, axes, axis, signed_axis};
use crate::op::{Attribute, Op};
use crate::refusal::{Code, Result};
use crate::tensor::{Constant, Dtype, TensorType};

pub(super) fn reduce(site: &Site<'_>) -> Result<Step> {
    let ty = site.ty(0)?;
    let counted = !matches!(site.op, Op::ReduceMean | Op::ReduceL2);
    match ty.dtype {
        Dtype::F32 | Dtype::F16 => {}
        Dtype::I32 | Dtype::I64 if counted => {}
        other => return Code::Dtype.err(format!("input 0 is {other}")),
    }
    let rank = ty.shape.rank();
    let reduced = match site.ints(1)?.filter(|given| !given.is_empty()) {
        Some(given) => axes(&given, rank)?,
        None if site.flag("noop_with_empty_axes") || rank == 0 => return Ok(Step::Same(0)),
        None => (0..rank).collect(),
    };
    let dims = kept(ty, &reduced, site.flag("keepdims"));
    let signed: Vec<i64> = reduced.iter().map(|axis| i64::try_from(*axis).unwrap_or(i64::MAX)).collect();
    let run = site.run(vec![TensorType::new(ty.dtype, dims)?]).with("noop_with_empty_axes", Attribute::Int(0));
    Ok(Step::Run(run.with_input(1, Constant::of_ints(&signed)?)))
}

/// The sizes that are left when some axes shrink to one entry or vanish.
fn kept(ty: &TensorType, reduced: &[usize], keepdims: bool) -> Vec<u64> {
    let axis = |(axis, dim): (usize, &u64)| match (reduced.contains(&axis), keepdims) {
        (false, _) => Some(*dim),
        (true, true) => Some(1),
        (true, false) => None,
    };
    ty.shape.dims().iter().enumerate().filter_map(axis).collect()
}

pub(super) fn arg_max(site: &Site<'_>) -> Result<Step> {
    let ty = site.ty(0)?;
    if matches!(ty.dtype, Dtype::Bool | Dtype::Bf16) {
        return Code::Dtype.err(format!("input 0 is {}", ty.dtype));
    }
    let axis = site.axis("axis", ty.shape.rank())?;
    let dims = kept(ty, &[axis], site.flag("keepdims"));
    Ok(Step::Run(site.run(vec![TensorType::new(Dtype::I64, dims)?]).with("axis", signed_axis(axis))))
}

pub(super) fn top_k(site: &Site<'_>) -> Result<Step> {
    let ty = site.ty(0)?;
    if matches!(ty.dtype, Dtype::Bool | Dtype::Bf16) {
        return Code::Dtype.err(format!("input 0 is {}", ty.dtype));
    }
    let axis = site.axis("axis", ty.shape.rank())?;
    let [count] = site.required_ints(1)?[..] else { return Code::Shape.err("K isn't one number") };
    let mut dims = ty.shape.dims().to_vec();
    match (u64::try_from(count), dims.get_mut(axis)) {
        (Ok(count), Some(dim)) if (1..=*dim).contains(&count) => *dim = count,
        (_, dim) => return Code::Shape.err(format!("the {count} largest of {dim:?}")),
    }
    let outputs = vec![TensorType::new(ty.dtype, dims.clone())?, TensorType::new(Dtype::I64, dims)?];
    let run = site.run(outputs).with("axis", signed_axis(axis));
    Ok(Step::Run(run.with_input(1, Constant::of_ints(&[count])?)))
}

pub(super) fn cum_sum(site: &Site<'_>) -> Result<Step> {
    let ty = site.ty(0)?;
    if !matches!(ty.dtype, Dtype::F32 | Dtype::I32 | Dtype::I64) {
        return Code::Dtype.err(format!("input 0 is {}", ty.dtype));
    }
    let [given] = site.required_ints(1)?[..] else { return Code::Shape.err("the axis isn't one number") };
    let found = i64::try_from(axis(given, ty.shape.rank())?).unwrap_or(i64::MAX);
    let scalar = Constant::of_ints(&[found])?.reshaped(crate::tensor::Shape::default())?;
    let run: Run = site.run(vec![ty.clone()]);
    Ok(Step::Run(Run { inputs: vec![Input::Given(0), Input::Made(scalar)], ..run }))
}
