//! Operators that take or put elements by indices, and the one that makes vectors of indices.

use super::{Site, Step, signed, signed_axis};
use crate::refusal::{Code, Result};
use crate::tensor::{Constant, Dtype, TensorType};

/// Whether a number counts one of `size` entries, from either end.
fn is_index(number: i64, size: u64) -> bool {
    (signed(size).saturating_neg()..signed(size)).contains(&number)
}

/// That an input holds indices, and those that are known lie within `size`.
fn indices(site: &Site<'_>, index: usize, size: u64) -> Result<()> {
    let operand = site.operand(index)?;
    if !matches!(operand.ty.dtype, Dtype::I64 | Dtype::I32) {
        return Code::Dtype.err(format!("indices are {}", operand.ty.dtype));
    }
    let known = operand.constant.and_then(Constant::ints).unwrap_or_default();
    match known.iter().find(|known| !is_index(**known, size)) {
        Some(index) => Code::Shape.err(format!("index {index} of {size} entries")),
        None => Ok(()),
    }
}

pub(super) fn gather(site: &Site<'_>) -> Result<Step> {
    let ty = site.ty(0)?;
    let axis = site.axis("axis", ty.shape.rank())?;
    let (before, after) = ty.shape.dims().split_at_checked(axis).unwrap_or_default();
    let [size, after @ ..] = after else { return Code::Shape.err("there is no axis to gather from") };
    indices(site, 1, *size)?;
    let dims = [before, site.dims(1)?, after].concat();
    Ok(Step::Run(site.run(vec![TensorType::new(ty.dtype, dims)?]).with("axis", signed_axis(axis))))
}

/// Sizes of indices must not exceed those of the data but along the axis.
fn element_indices(site: &Site<'_>) -> Result<usize> {
    let (data, chosen) = (site.dims(0)?, site.dims(1)?);
    let axis = site.axis("axis", data.len())?;
    let fits = data.len() == chosen.len()
        && data.iter().zip(chosen).enumerate().all(|(at, (all, some))| at == axis || some <= all);
    if !fits {
        return Code::Shape.err(format!("indices of {chosen:?} into {data:?}"));
    }
    indices(site, 1, data.get(axis).copied().unwrap_or(0))?;
    Ok(axis)
}

pub(super) fn gather_elements(site: &Site<'_>) -> Result<Step> {
    let axis = element_indices(site)?;
    let output = TensorType { dtype: site.dtype(0)?, shape: site.ty(1)?.shape.clone() };
    Ok(Step::Run(site.run(vec![output]).with("axis", signed_axis(axis))))
}

pub(super) fn scatter_elements(site: &Site<'_>) -> Result<Step> {
    let axis = element_indices(site)?;
    if site.dtype(2)? != site.dtype(0)? {
        return Code::Dtype.err(format!("updates of {} for {}", site.dtype(2)?, site.dtype(0)?));
    }
    site.expect(2, site.dims(1)?)?;
    Ok(Step::Run(site.run(vec![site.ty(0)?.clone()]).with("axis", signed_axis(axis))))
}

pub(super) fn gather_nd(site: &Site<'_>) -> Result<Step> {
    let ty = site.ty(0)?;
    let (data, chosen) = (ty.shape.dims(), site.dims(1)?);
    let shared = usize::try_from(site.int("batch_dims")?).unwrap_or(usize::MAX);
    let wrong = || Code::Shape.because(format!("indices of {chosen:?} into {data:?} with {shared} shared axes"));
    let [outer @ .., depth] = chosen else { return Err(wrong()) };
    let depth = usize::try_from(*depth).map_err(|_| wrong())?;
    let end = depth.checked_add(shared).filter(|end| depth > 0 && *end <= data.len() && shared <= outer.len());
    let end = end.ok_or_else(wrong)?;
    if data.get(..shared) != outer.get(..shared) {
        return Err(wrong());
    }
    // Each row of indices has one for each axis.
    let sizes = data.get(shared..end).unwrap_or_default();
    indices(site, 1, sizes.iter().copied().max().unwrap_or(0))?;
    let rows = site.operand(1)?.constant.and_then(Constant::ints).unwrap_or_default();
    for (index, size) in rows.iter().zip(sizes.iter().cycle()) {
        if !is_index(*index, *size) {
            return Code::Shape.err(format!("index {index} of {size} entries"));
        }
    }
    let dims = [outer, data.get(end..).unwrap_or_default()].concat();
    Ok(Step::Run(site.run(vec![TensorType::new(ty.dtype, dims)?])))
}

pub(super) fn one_hot(site: &Site<'_>) -> Result<Step> {
    let chosen = site.dims(0)?;
    if !matches!(site.dtype(0)?, Dtype::I64 | Dtype::I32) {
        return Code::Dtype.err(format!("indices are {}", site.dtype(0)?));
    }
    let depth = match site.required_ints(1)?[..] {
        [depth] => u64::try_from(depth).unwrap_or(0),
        _ => return Code::Shape.err("the depth isn't one number"),
    };
    site.expect(2, &[2])?;
    let axis = site.axis("axis", chosen.len().saturating_add(1))?;
    let (before, after) = chosen.split_at_checked(axis).unwrap_or_default();
    let dims = [before, &[depth], after].concat();
    Ok(Step::Run(site.run(vec![TensorType::new(site.dtype(2)?, dims)?]).with("axis", signed_axis(axis))))
}
