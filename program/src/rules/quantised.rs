//! Whole numbers that stand for floats: scales, zero points, and products of them.

use super::{Site, Step, compute, signed_axis, windows};
use crate::op::Attribute;
use crate::refusal::{Code, Result};
use crate::tensor::{Constant, Dtype, Shape, TensorType};

/// That an input holds bytes; which of both kinds.
fn byte(site: &Site<'_>, index: usize) -> Result<Dtype> {
    match site.dtype(index)? {
        dtype @ (Dtype::U8 | Dtype::I8) => Ok(dtype),
        other => Code::Dtype.err(format!("input {index} is {other}, not uint8 or int8")),
    }
}

fn one_number(site: &Site<'_>, index: usize) -> Result<bool> {
    let shape = &site.ty(index)?.shape;
    Ok(shape.rank() <= 1 && shape.elements() == 1)
}

/// That an input is of float32, as scales are and what is quantised.
fn single<'w>(site: &Site<'w>, index: usize) -> Result<&'w TensorType> {
    match site.float(index)? {
        ty if ty.dtype == Dtype::F32 => Ok(ty),
        ty => Code::Dtype.err(format!("input {index} is {}, not float32", ty.dtype)),
    }
}

/// The operation with its scale and zero point as they are written: two scalars, or one of each for every entry of an
/// axis.
fn scaled(site: &Site<'_>, output: TensorType) -> Result<Step> {
    let (x, scale) = (site.ty(0)?, single(site, 1)?);
    let run = site.run(vec![output]);
    if one_number(site, 1)? {
        if site.has(2) && !one_number(site, 2)? {
            return Code::Shape.err(format!("a zero point of {} for one scale", site.ty(2)?.shape));
        }
        let run = run.with("axis", Attribute::Int(1));
        return Ok(Step::Run([1, 2].into_iter().fold(run, |run, index| match scalar(site, index) {
            Some(constant) => run.with_input(index, constant),
            None => run,
        })));
    }
    if site.has(2) {
        site.expect(2, scale.shape.dims())?;
    }
    let axis = site.axis("axis", x.shape.rank())?;
    site.expect(1, x.shape.dims().get(axis..=axis).unwrap_or_default())?;
    Ok(Step::Run(run.with("axis", signed_axis(axis))))
}

/// A known number as a scalar, where it is a vector of one.
fn scalar(site: &Site<'_>, index: usize) -> Option<Constant<'static>> {
    let constant = site.operands.get(index).copied().flatten()?.constant?;
    let ty = TensorType { dtype: constant.ty().dtype, shape: Shape::default() };
    (constant.ty().shape.rank() > 0).then(|| Constant::new(ty, constant.data().to_vec().into()).ok()).flatten()
}

pub(super) fn quantise(site: &Site<'_>) -> Result<Step> {
    let shape = single(site, 0)?.shape.clone();
    let dtype = if site.has(2) { byte(site, 2)? } else { Dtype::U8 };
    scaled(site, TensorType { dtype, shape })
}

pub(super) fn dequantise(site: &Site<'_>) -> Result<Step> {
    let x = site.ty(0)?;
    if !matches!(x.dtype, Dtype::U8 | Dtype::I8 | Dtype::I32) {
        return Code::Dtype.err(format!("input 0 is {}", x.dtype));
    }
    if site.has(2) && site.dtype(2)? != x.dtype {
        return Code::Dtype.err(format!("a zero point of {} for {}", site.dtype(2)?, x.dtype));
    }
    scaled(site, TensorType { dtype: site.dtype(1)?, shape: x.shape.clone() })
}

pub(super) fn dynamic(site: &Site<'_>) -> Result<Step> {
    let x = single(site, 0)?;
    let scalar = |dtype| TensorType::new(dtype, vec![]);
    let bytes = TensorType { dtype: Dtype::U8, shape: x.shape.clone() };
    Ok(Step::Run(site.run(vec![bytes, scalar(Dtype::F32)?, scalar(Dtype::U8)?])))
}

/// That zero points have the type of what they belong to, and are one or one an entry.
fn zero_point(site: &Site<'_>, index: usize, of: usize, entries: Option<u64>) -> Result<()> {
    if !site.has(index) {
        return Ok(());
    }
    if site.dtype(index)? != site.dtype(of)? {
        return Code::Dtype.err(format!("input {index} is {}, not {}", site.dtype(index)?, site.dtype(of)?));
    }
    match entries {
        _ if one_number(site, index)? => Ok(()),
        Some(entries) => site.expect(index, &[entries]),
        None => Code::Shape.err(format!("input {index} is {}, not one number", site.ty(index)?.shape)),
    }
}

pub(super) fn matmul_integer(site: &Site<'_>) -> Result<Step> {
    byte(site, 0)?;
    byte(site, 1)?;
    zero_point(site, 2, 0, None)?;
    zero_point(site, 3, 1, site.dims(1)?.last().copied())?;
    matmul(site, 1, Dtype::I32)
}

fn matmul(site: &Site<'_>, right: usize, dtype: Dtype) -> Result<Step> {
    let (dims, inner) = compute::product_dims(site.dims(0)?, site.dims(right)?)?;
    let output = TensorType::new(dtype, dims)?;
    let macs = output.shape.elements().checked_mul(inner);
    site.run(vec![output]).macs(macs).map(Step::Run)
}

pub(super) fn qlinear_matmul(site: &Site<'_>) -> Result<Step> {
    byte(site, 0)?;
    byte(site, 3)?;
    zero_point(site, 2, 0, None)?;
    zero_point(site, 5, 3, site.dims(3)?.last().copied())?;
    zero_point(site, 7, 7, None)?;
    scales(site, [1, 4, 6], site.dims(3)?.last().copied())?;
    matmul(site, 3, byte(site, 7)?)
}

/// That scales are floats, one each, but the second, which may be one an entry.
fn scales(site: &Site<'_>, [first, weights, last]: [usize; 3], entries: Option<u64>) -> Result<()> {
    for index in [first, weights, last] {
        single(site, index)?;
        match entries {
            _ if one_number(site, index)? => {}
            Some(entries) if index == weights => site.expect(index, &[entries])?,
            _ => return Code::Shape.err(format!("input {index} is {}, not one number", site.ty(index)?.shape)),
        }
    }
    Ok(())
}

pub(super) fn conv_integer(site: &Site<'_>) -> Result<Step> {
    byte(site, 0)?;
    byte(site, 1)?;
    zero_point(site, 2, 0, None)?;
    zero_point(site, 3, 1, site.dims(1)?.first().copied())?;
    convolution(site, 1, Dtype::I32)
}

fn convolution(site: &Site<'_>, weights: usize, dtype: Dtype) -> Result<Step> {
    let mut run = windows::convolution(site, 0, weights)?;
    for output in &mut run.outputs {
        output.dtype = dtype;
    }
    Ok(Step::Run(run))
}

pub(super) fn qlinear_conv(site: &Site<'_>) -> Result<Step> {
    byte(site, 0)?;
    byte(site, 3)?;
    let channels = site.dims(3)?.first().copied();
    zero_point(site, 2, 0, None)?;
    zero_point(site, 5, 3, channels)?;
    zero_point(site, 7, 7, None)?;
    scales(site, [1, 4, 6], channels)?;
    if site.has(8) && site.dtype(8)? != Dtype::I32 {
        return Code::Dtype.err(format!("a bias of {}, not int32", site.dtype(8)?));
    }
    site.expect(8, site.dims(3)?.get(..1).unwrap_or_default())?;
    convolution(site, 3, byte(site, 7)?)
}
