//! Matrix products, normalisations, softmax.

use super::{Site, Step, broadcast, signed_axis};
use crate::refusal::{Code, Result};
use crate::tensor::TensorType;

pub(super) fn gemm(site: &Site<'_>) -> Result<Step> {
    let ty = site.float(0)?;
    site.same_dtypes(1)?;
    let matrix = |index: usize, turned: bool| match (site.dims(index)?, turned) {
        ([rows, columns], false) | ([columns, rows], true) => Ok((*rows, *columns)),
        (other, _) => Code::Shape.err(format!("input {index} is {other:?}, no matrix")),
    };
    let (rows, inner) = matrix(0, site.flag("transA"))?;
    let (other, columns) = matrix(1, site.flag("transB"))?;
    if inner != other {
        return Code::Shape.err(format!("a product of {rows} x {inner} and {other} x {columns}"));
    }
    let output = TensorType::new(ty.dtype, vec![rows, columns])?;
    if site.has(2) && broadcast(output.shape.dims(), site.dims(2)?)? != output.shape {
        return Code::Shape.err(format!("a bias of {} for {}", site.ty(2)?.shape, output.shape));
    }
    let macs = output.shape.elements().checked_mul(inner);
    site.run(vec![output]).macs(macs).map(Step::Run)
}

pub(super) fn matmul(site: &Site<'_>) -> Result<Step> {
    let ty = site.float(0)?;
    site.same_dtypes(1)?;
    let (dims, inner) = product_dims(site.dims(0)?, site.dims(1)?)?;
    let output = TensorType::new(ty.dtype, dims)?;
    let macs = output.shape.elements().checked_mul(inner);
    site.run(vec![output]).macs(macs).map(Step::Run)
}

/// The sizes of numpy's product of two tensors, and how many products each element sums.
pub(super) fn product_dims(a: &[u64], b: &[u64]) -> Result<(Vec<u64>, u64)> {
    let wrong = || Code::Shape.because(format!("a product of {a:?} and {b:?}"));
    let (left, rows, inner) = match a {
        [inner] => (&[][..], None, *inner),
        [left @ .., rows, inner] => (left, Some(*rows), *inner),
        [] => return Err(wrong()),
    };
    let (right, other, columns) = match b {
        [other] => (&[][..], *other, None),
        [right @ .., other, columns] => (right, *other, Some(*columns)),
        [] => return Err(wrong()),
    };
    if inner != other {
        return Err(wrong());
    }
    let mut dims = broadcast(left, right)?.dims().to_vec();
    dims.extend(rows.into_iter().chain(columns));
    Ok((dims, inner))
}

pub(super) fn batch_norm(site: &Site<'_>) -> Result<Step> {
    let ty = site.float(0)?;
    let [_, channels, ..] = ty.shape.dims() else { return Code::Shape.err(format!("{} has no channels", ty.shape)) };
    for index in 1..5 {
        site.float(index)?;
        site.expect(index, &[*channels])?;
    }
    Ok(Step::Run(site.run(vec![ty.clone()])))
}

pub(super) fn layer_norm(site: &Site<'_>) -> Result<Step> {
    let ty = site.float(0)?;
    site.same_dtypes(1)?;
    let axis = site.axis("axis", ty.shape.rank())?;
    let normalised = ty.shape.dims().get(axis..).unwrap_or_default();
    for index in 1..site.operands.len() {
        site.expect(index, normalised)?;
    }
    let run = site.run(vec![ty.clone()]);
    Ok(Step::Run(run.with("axis", signed_axis(axis))))
}

pub(super) fn instance_norm(site: &Site<'_>) -> Result<Step> {
    channelwise(site, None)
}

pub(super) fn group_norm(site: &Site<'_>) -> Result<Step> {
    channelwise(site, Some(site.int("num_groups")?))
}

fn channelwise(site: &Site<'_>, groups: Option<i64>) -> Result<Step> {
    let ty = site.float(0)?;
    site.same_dtypes(1)?;
    let [_, channels, _, ..] = ty.shape.dims() else {
        return Code::Shape.err(format!("{} has no channels and sides", ty.shape));
    };
    site.expect(1, &[*channels])?;
    site.expect(2, &[*channels])?;
    match groups.map(u64::try_from) {
        Some(Ok(groups)) if !channels.is_multiple_of(groups) => {
            Code::Shape.err(format!("{channels} channels in {groups} groups"))
        }
        _ => Ok(Step::Run(site.run(vec![ty.clone()]))),
    }
}

pub(super) fn softmax(site: &Site<'_>) -> Result<Step> {
    let ty = site.float(0)?;
    let axis = site.axis("axis", ty.shape.rank())?;
    Ok(Step::Run(site.run(vec![ty.clone()]).with("axis", signed_axis(axis))))
}
