//! Operators that work element by element.

use super::{Input, Run, Site, Step, broadcast};
use crate::op::Op;
use crate::refusal::{Code, Result};
use crate::tensor::{Dtype, TensorType};

fn stretched(site: &Site<'_>, first: usize, dtype: Dtype) -> Result<Run> {
    let mut shape = site.ty(first)?.shape.clone();
    for operand in site.operands.iter().skip(first.saturating_add(1)).flatten() {
        shape = broadcast(shape.dims(), operand.ty.shape.dims())?;
    }
    Ok(site.run(vec![TensorType { dtype, shape }]))
}

pub(super) fn arithmetic(site: &Site<'_>) -> Result<Step> {
    let dtype = site.dtype(0)?;
    if matches!(dtype, Dtype::Bool | Dtype::Bf16) {
        return Code::Dtype.err(format!("input 0 is {dtype}"));
    }
    site.same_dtypes(1)?;
    if site.op == Op::Mod && dtype.is_float() && !site.flag("fmod") {
        return Code::Attribute.err("a remainder of floats needs `fmod`");
    }
    for index in 0..site.operands.len() {
        site.operand(index)?;
    }
    stretched(site, 0, dtype).map(Step::Run)
}

pub(super) fn pow(site: &Site<'_>) -> Result<Step> {
    let (base, exponent) = (site.float(0)?.dtype, site.dtype(1)?);
    if matches!(exponent, Dtype::Bool | Dtype::Bf16) {
        return Code::Dtype.err(format!("input 1 is {exponent}"));
    }
    stretched(site, 0, base).map(Step::Run)
}

pub(super) fn prelu(site: &Site<'_>) -> Result<Step> {
    let x = site.float(0)?;
    site.same_dtypes(1)?;
    if broadcast(x.shape.dims(), site.dims(1)?)? != x.shape {
        return Code::Shape.err(format!("a slope of {} doesn't fit {}", site.ty(1)?.shape, x.shape));
    }
    Ok(Step::Run(site.run(vec![x.clone()])))
}

pub(super) fn logical(site: &Site<'_>) -> Result<Step> {
    only_bool(site, 0)?;
    only_bool(site, 1)?;
    stretched(site, 0, Dtype::Bool).map(Step::Run)
}

pub(super) fn comparison(site: &Site<'_>) -> Result<Step> {
    site.operand(1)?;
    site.same_dtypes(1)?;
    if site.dtype(0)? == Dtype::Bf16 {
        return Code::Dtype.err("input 0 is bfloat16");
    }
    stretched(site, 0, Dtype::Bool).map(Step::Run)
}

pub(super) fn choice(site: &Site<'_>) -> Result<Step> {
    only_bool(site, 0)?;
    let (yes, no) = (site.ty(1)?, site.ty(2)?);
    if yes.dtype != no.dtype || yes.dtype == Dtype::Bf16 {
        return Code::Dtype.err(format!("the choice is between {} and {}", yes.dtype, no.dtype));
    }
    let shape = broadcast(site.dims(0)?, broadcast(yes.shape.dims(), no.shape.dims())?.dims())?;
    Ok(Step::Run(site.run(vec![TensorType { dtype: yes.dtype, shape }])))
}

pub(super) fn not(site: &Site<'_>) -> Result<Step> {
    only_bool(site, 0)?;
    unary(site)
}

pub(super) fn is_nan(site: &Site<'_>) -> Result<Step> {
    let shape = site.float(0)?.shape.clone();
    Ok(Step::Run(site.run(vec![TensorType { dtype: Dtype::Bool, shape }])))
}

pub(super) fn signed(site: &Site<'_>) -> Result<Step> {
    match site.dtype(0)? {
        dtype @ (Dtype::Bool | Dtype::U8 | Dtype::Bf16) => Code::Dtype.err(format!("input 0 is {dtype}")),
        _ => unary(site),
    }
}

pub(super) fn function(site: &Site<'_>) -> Result<Step> {
    site.float(0)?;
    unary(site)
}

fn unary(site: &Site<'_>) -> Result<Step> {
    Ok(Step::Run(site.run(vec![site.ty(0)?.clone()])))
}

fn only_bool(site: &Site<'_>, index: usize) -> Result<()> {
    match site.dtype(index)? {
        Dtype::Bool => Ok(()),
        other => Code::Dtype.err(format!("input {index} is {other}, not bool")),
    }
}

/// Bounds are scalars; without any it is the input.
pub(super) fn clip(site: &Site<'_>) -> Result<Step> {
    let ty = site.ty(0)?;
    if matches!(ty.dtype, Dtype::Bool | Dtype::Bf16) {
        return Code::Dtype.err(format!("input 0 is {}", ty.dtype));
    }
    site.same_dtypes(1)?;
    site.expect(1, &[])?;
    site.expect(2, &[])?;
    if !site.has(1) && !site.has(2) {
        return Ok(Step::Same(0));
    }
    Ok(Step::Run(site.run(vec![ty.clone()])))
}

pub(super) fn cast(site: &Site<'_>) -> Result<Step> {
    let from = site.ty(0)?;
    let Some(to) = Dtype::numbered(site.int("to")?) else {
        return Code::Dtype.err(format!("a cast to ONNX's type {}", site.int("to")?));
    };
    if from.dtype == to {
        return Ok(Step::Same(0));
    }
    if to == Dtype::Bf16 {
        return Code::Dtype.err("a cast to bfloat16");
    }
    let mut run = site.run(vec![TensorType { dtype: to, shape: from.shape.clone() }]);
    run.inputs = vec![Input::Given(0)];
    Ok(Step::Run(run))
}
