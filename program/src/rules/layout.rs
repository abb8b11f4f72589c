//! Operators that move elements and change none. What only says the same elements in another shape becomes a `Reshape`.

use super::{Input, Run, Site, Step, axes, axis, broadcast, product, signed, signed_axis, signed_dims};
use crate::op::{Attribute, Attributes, Op};
use crate::refusal::{Code, Result};
use crate::tensor::{Constant, Dtype, FOLDED_ELEMENTS_MAX, Shape, TensorType, Values};

/// Input 0 in a shape of as many elements.
fn reshaped(site: &Site<'_>, dims: Vec<u64>) -> Result<Step> {
    let ty = site.ty(0)?;
    let shape = Shape::new(dims)?;
    if shape.elements() != ty.shape.elements() {
        return Code::Shape.err(format!("{} as {shape}", ty.shape));
    }
    if shape == ty.shape {
        return Ok(Step::Same(0));
    }
    Ok(Step::Run(Run {
        op: Op::Reshape,
        attributes: Attributes::from([("allowzero", Attribute::Int(0))]),
        inputs: vec![Input::Given(0), Input::Made(Constant::of_ints(&signed_dims(shape.dims()))?)],
        outputs: vec![TensorType { dtype: ty.dtype, shape }],
        macs: 0,
    }))
}

pub(super) fn reshape(site: &Site<'_>) -> Result<Step> {
    let (from, wanted) = (site.dims(0)?, site.required_ints(1)?);
    let mut dims = Vec::with_capacity(wanted.len().min(64));
    let mut open = None;
    for (index, wanted) in wanted.iter().enumerate() {
        dims.push(match (*wanted, u64::try_from(*wanted)) {
            (0, _) if !site.flag("allowzero") => match from.get(index) {
                Some(dim) => *dim,
                None => return Code::Shape.err(format!("{from:?} has no axis {index} to copy")),
            },
            (-1, _) if open.replace(index).is_none() => 1,
            (_, Ok(dim)) if dim > 0 => dim,
            _ => return Code::Shape.err(format!("{from:?} as {wanted}")),
        });
    }
    let (all, others) = (product(from), product(&dims));
    if let Some(dim) = open.and_then(|open| dims.get_mut(open)) {
        match (all.checked_rem(others), all.checked_div(others)) {
            (Some(0), Some(left)) => *dim = left,
            _ => return Code::Shape.err(format!("{all} elements in parts of {others}")),
        }
    }
    reshaped(site, dims)
}

pub(super) fn flatten(site: &Site<'_>) -> Result<Step> {
    let dims = site.dims(0)?;
    let given = site.int("axis")?;
    let split = from_start(given, dims.len());
    let Some(split) = usize::try_from(split).ok().filter(|split| *split <= dims.len()) else {
        return Code::Shape.err(format!("there is no axis {given} of {dims:?}"));
    };
    let (left, right) = dims.split_at_checked(split).unwrap_or_default();
    reshaped(site, vec![product(left), product(right)])
}

pub(super) fn squeeze(site: &Site<'_>) -> Result<Step> {
    let dims = site.dims(0)?;
    let gone = match site.ints(1)? {
        Some(given) => axes(&given, dims.len())?,
        None => (0..dims.len()).filter(|axis| dims.get(*axis) == Some(&1)).collect(),
    };
    if let Some(axis) = gone.iter().find(|axis| dims.get(**axis) != Some(&1)) {
        return Code::Shape.err(format!("axis {axis} of {dims:?} has more than one entry"));
    }
    let left = dims.iter().enumerate().filter(|(axis, _)| !gone.contains(axis)).map(|(_, dim)| *dim);
    reshaped(site, left.collect())
}

pub(super) fn unsqueeze(site: &Site<'_>) -> Result<Step> {
    let (dims, given) = (site.dims(0)?, site.required_ints(1)?);
    let rank = dims.len().saturating_add(given.len());
    let new = axes(&given, rank)?;
    let mut old = dims.iter().copied();
    let dims = (0..rank).map(|axis| if new.contains(&axis) { Some(1) } else { old.next() });
    reshaped(site, dims.collect::<Option<_>>().unwrap_or_default())
}

pub(super) fn transpose(site: &Site<'_>) -> Result<Step> {
    let ty = site.ty(0)?;
    let rank = ty.shape.rank();
    let order: Vec<usize> = match site.int_list("perm") {
        None => (0..rank).rev().collect(),
        Some(given) => {
            if axes(given, rank)?.len() != rank {
                return Code::Attribute.err(format!("perm {given:?} isn't an order of {rank} axes"));
            }
            given.iter().map(|given| axis(*given, rank)).collect::<Result<_>>()?
        }
    };
    if order.iter().enumerate().all(|(to, from)| to == *from) {
        return Ok(Step::Same(0));
    }
    let dims = order.iter().filter_map(|axis| ty.shape.dims().get(*axis).copied()).collect();
    let perm = Attribute::Ints(order.iter().map(|axis| signed(*axis as u64)).collect());
    Ok(Step::Run(site.run(vec![TensorType::new(ty.dtype, dims)?]).with("perm", perm)))
}

pub(super) fn concat(site: &Site<'_>) -> Result<Step> {
    site.same_dtypes(1)?;
    let first = site.ty(0)?;
    let axis = site.axis("axis", first.shape.rank())?;
    let mut sum = 0u64;
    for index in 0..site.operands.len() {
        let dims = site.dims(index)?;
        let same = dims.len() == first.shape.rank()
            && dims.iter().zip(first.shape.dims()).enumerate().all(|(at, (a, b))| at == axis || a == b);
        if !same {
            return Code::Shape.err(format!("input {index} is {dims:?} beside {} along axis {axis}", first.shape));
        }
        sum = sum.saturating_add(dims.get(axis).copied().unwrap_or(0));
    }
    if site.operands.len() == 1 {
        return Ok(Step::Same(0));
    }
    let dims = replaced(first.shape.dims(), axis, sum);
    Ok(Step::Run(site.run(vec![TensorType::new(first.dtype, dims)?]).with("axis", signed_axis(axis))))
}

fn replaced(dims: &[u64], axis: usize, size: u64) -> Vec<u64> {
    dims.iter().enumerate().map(|(at, dim)| if at == axis { size } else { *dim }).collect()
}

pub(super) fn split(site: &Site<'_>) -> Result<Step> {
    let ty = site.ty(0)?;
    let axis = site.axis("axis", ty.shape.rank())?;
    let whole = ty.shape.dims().get(axis).copied().unwrap_or(0);
    let parts: Vec<u64> = match site.ints(1)? {
        Some(given) => given.iter().map(|part| u64::try_from(*part).unwrap_or(0)).collect(),
        None => {
            let count = site.outputs as u64;
            if site.int("num_outputs").is_ok_and(|given| given.unsigned_abs() != count) {
                return Code::Attribute.err(format!("num_outputs isn't {count}"));
            }
            let each = whole.div_ceil(count);
            let part = |index: u64| each.min(whole.saturating_sub(index.saturating_mul(each)));
            (0..count).map(part).collect()
        }
    };
    let sum = parts.iter().fold(0u64, |sum, part| sum.saturating_add(*part));
    if parts.len() != site.outputs || sum != whole || parts.contains(&0) {
        return Code::Shape.err(format!("{whole} entries in {} parts of {parts:?}", site.outputs));
    }
    if parts.len() == 1 {
        return Ok(Step::Same(0));
    }
    let output = |part: &u64| TensorType::new(ty.dtype, replaced(ty.shape.dims(), axis, *part));
    let run = site.run(parts.iter().map(output).collect::<Result<_>>()?).without("num_outputs");
    Ok(Step::Run(run.with("axis", signed_axis(axis)).with_input(1, Constant::of_ints(&signed_dims(&parts))?)))
}

/// Where a slice begins and ends along an axis, in steps.
#[derive(Clone, Copy)]
struct Cut {
    axis: usize,
    start: i64,
    end: i64,
    step: i64,
    count: u64,
}

impl Cut {
    /// The entries between `start` and `end`, each counted from either end and beyond it, as numpy takes them.
    fn of(axis: usize, dim: u64, [start, end, step]: [i64; 3]) -> Result<Self> {
        let size = signed(dim);
        let from_start = |place: i64| if place < 0 { place.saturating_add(size) } else { place };
        let (low, high) = if step < 0 { (-1, size.saturating_sub(1)) } else { (0, size) };
        let (start, end) = (from_start(start).clamp(low.max(0), high.max(0)), from_start(end).clamp(low, high));
        // A step beyond the axis takes the first entry, however far.
        let step = step.clamp(size.max(1).saturating_neg(), size.max(1));
        let way = if step < 0 { start.saturating_sub(end) } else { end.saturating_sub(start) };
        if step == 0 {
            return Code::Shape.err("a slice in steps of 0");
        }
        let count = u64::try_from(way).unwrap_or(0).div_ceil(step.unsigned_abs());
        Ok(Self { axis, start, end, step, count })
    }

    /// Where it ends as ONNX writes it: what lies before the first entry counts from the end.
    fn written_end(&self, dim: u64) -> i64 {
        if self.end < 0 { signed(dim).saturating_neg().saturating_sub(1) } else { self.end }
    }
}

pub(super) fn slice(site: &Site<'_>) -> Result<Step> {
    let ty = site.ty(0)?;
    let (starts, ends) = (site.required_ints(1)?, site.required_ints(2)?);
    let given = match site.ints(3)? {
        Some(axes) => axes,
        None => (0..signed(starts.len() as u64)).collect(),
    };
    let steps = site.ints(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    axes(&given, ty.shape.rank())?;
    if [ends.len(), given.len(), steps.len()] != [starts.len(); 3] {
        return Code::Shape.err("starts, ends, axes and steps of different numbers");
    }
    let mut dims = ty.shape.dims().to_vec();
    let mut cuts = Vec::new();
    for (((start, end), step), given) in starts.iter().zip(&ends).zip(&steps).zip(&given) {
        let axis = axis(*given, dims.len())?;
        let Some(dim) = dims.get_mut(axis) else { continue };
        let cut = Cut::of(axis, *dim, [*start, *end, *step])?;
        if cut.count != *dim || cut.step != 1 {
            cuts.push((cut, *dim));
        }
        *dim = cut.count;
    }
    if cuts.is_empty() {
        return Ok(Step::Same(0));
    }
    cuts.sort_unstable_by_key(|(cut, _)| cut.axis);
    let vector = |of: &dyn Fn(&(Cut, u64)) -> i64| Constant::of_ints(&cuts.iter().map(of).collect::<Vec<_>>());
    let run = site.run(vec![TensorType::new(ty.dtype, dims)?]);
    let inputs = vec![
        Input::Given(0),
        Input::Made(vector(&|(cut, _)| cut.start)?),
        Input::Made(vector(&|(cut, dim)| cut.written_end(*dim))?),
        Input::Made(vector(&|(cut, _)| signed(cut.axis as u64))?),
        Input::Made(vector(&|(cut, _)| cut.step)?),
    ];
    Ok(Step::Run(Run { inputs, ..run }))
}

/// A place among `count` that may be counted from the end.
fn from_start(place: i64, count: usize) -> i64 {
    if place < 0 { place.saturating_add(signed(count as u64)) } else { place }
}

pub(super) fn pad(site: &Site<'_>) -> Result<Step> {
    let ty = site.ty(0)?;
    let (rank, given) = (ty.shape.rank(), site.required_ints(1)?);
    let of = match site.ints(3)? {
        Some(axes) => axes,
        None => (0..signed(rank as u64)).collect(),
    };
    axes(&of, rank)?;
    if given.len() != of.len().saturating_mul(2) {
        return Code::Shape.err(format!("{} paddings for {} axes", given.len(), of.len()));
    }
    let (mut before, mut after) = (vec![0u64; rank], vec![0u64; rank]);
    let (begins, ends) = given.split_at_checked(of.len()).unwrap_or_default();
    for ((begin, end), of) in begins.iter().zip(ends).zip(&of) {
        let axis = axis(*of, rank)?;
        for (list, value) in [(&mut before, begin), (&mut after, end)] {
            let value = u64::try_from(*value).ok().filter(|value| *value <= 1_024);
            let Some((place, value)) = list.get_mut(axis).zip(value) else {
                return Code::Shape.err(format!("paddings of {given:?}, not 0 to 1024 each"));
            };
            *place = value;
        }
    }
    if site.has(2) && (site.dtype(2)? != ty.dtype || site.ty(2)?.shape.elements() != 1) {
        return Code::Shape.err(format!("{} to pad {ty} with", site.ty(2)?));
    }
    if before.iter().chain(&after).all(|pad| *pad == 0) {
        return Ok(Step::Same(0));
    }
    let mirrors = site.text("mode") == "reflect";
    let mut dims = Vec::with_capacity(rank);
    for ((dim, before), after) in ty.shape.dims().iter().zip(&before).zip(&after) {
        if mirrors && *before.max(after) >= *dim {
            return Code::Shape.err(format!("{before} and {after} entries mirrored of {dim}"));
        }
        dims.push(dim.saturating_add(*before).saturating_add(*after));
    }
    let value = if site.has(2) && site.text("mode") == "constant" { Input::Given(2) } else { Input::Missing };
    let pads = Constant::of_ints(&signed_dims(&[before, after].concat()))?;
    let mut inputs = vec![Input::Given(0), Input::Made(pads), value];
    while inputs.last() == Some(&Input::Missing) {
        inputs.pop();
    }
    let run = site.run(vec![TensorType::new(ty.dtype, dims)?]);
    Ok(Step::Run(Run { inputs, ..run }))
}

pub(super) fn tile(site: &Site<'_>) -> Result<Step> {
    let (ty, times) = (site.ty(0)?, site.required_ints(1)?);
    if times.len() != ty.shape.rank() || times.iter().any(|times| *times < 1) {
        return Code::Shape.err(format!("{} repeated {times:?} times", ty.shape));
    }
    if times.iter().all(|times| *times == 1) {
        return Ok(Step::Same(0));
    }
    let dims = ty.shape.dims().iter().zip(&times).map(|(dim, times)| dim.saturating_mul(times.unsigned_abs()));
    let run = site.run(vec![TensorType::new(ty.dtype, dims.collect())?]);
    Ok(Step::Run(run.with_input(1, Constant::of_ints(&times)?)))
}

pub(super) fn expand(site: &Site<'_>) -> Result<Step> {
    let wanted = site.required_ints(1)?.iter().map(|dim| u64::try_from(*dim).unwrap_or(0)).collect::<Vec<_>>();
    let ty = site.ty(0)?;
    stretched(ty, broadcast(ty.shape.dims(), Shape::new(wanted)?.dims())?, Input::Given(0))
}

/// A value repeated to a shape.
fn stretched(ty: &TensorType, shape: Shape, value: Input) -> Result<Step> {
    if shape == ty.shape {
        return Ok(match value {
            Input::Made(constant) => Step::Known(constant),
            _ => Step::Same(0),
        });
    }
    Ok(Step::Run(Run {
        op: Op::Expand,
        attributes: Attributes::new(),
        inputs: vec![value, Input::Made(Constant::of_ints(&signed_dims(shape.dims()))?)],
        outputs: vec![TensorType { dtype: ty.dtype, shape }],
        macs: 0,
    }))
}

/// An `Expand` of the value, which is what its second input holds here (in a file, an attribute).
pub(super) fn constant_of_shape(site: &Site<'_>) -> Result<Step> {
    let wanted = site.required_ints(0)?.iter().map(|dim| u64::try_from(*dim).unwrap_or(0)).collect();
    let shape = Shape::new(wanted)?;
    let value = match site.operands.get(1).copied().flatten().map(|operand| operand.constant) {
        None => Constant::of(TensorType::new(Dtype::F32, vec![])?, &Values::Floats(vec![0.0])),
        Some(given) => given.filter(|given| given.ty().shape.elements() == 1).and_then(|given| {
            Constant::new(TensorType::new(given.ty().dtype, vec![]).ok()?, given.data().to_vec().into()).ok()
        }),
    };
    let Some(value) = value else { return Code::Attribute.err("`value` isn't one number") };
    let ty = value.ty().clone();
    stretched(&ty, shape, Input::Made(value))
}

pub(super) fn depth_to_space(site: &Site<'_>) -> Result<Step> {
    let (ty, block) = (site.ty(0)?, site.int("blocksize")?.unsigned_abs());
    match ty.shape.dims() {
        [batch, channels, height, width] if channels.is_multiple_of(block.saturating_mul(block)) => {
            let left = channels.checked_div(block.saturating_mul(block)).unwrap_or(0);
            let dims = vec![*batch, left, height.saturating_mul(block), width.saturating_mul(block)];
            Ok(Step::Run(site.run(vec![TensorType::new(ty.dtype, dims)?])))
        }
        other => Code::Shape.err(format!("{other:?} in blocks of {block}")),
    }
}

pub(super) fn space_to_depth(site: &Site<'_>) -> Result<Step> {
    let (ty, block) = (site.ty(0)?, site.int("blocksize")?.unsigned_abs());
    match ty.shape.dims() {
        [batch, channels, height, width] if height.is_multiple_of(block) && width.is_multiple_of(block) => {
            let more = channels.saturating_mul(block).saturating_mul(block);
            let side = |pixels: &u64| pixels.checked_div(block).unwrap_or(0);
            let dims = vec![*batch, more, side(height), side(width)];
            Ok(Step::Run(site.run(vec![TensorType::new(ty.dtype, dims)?])))
        }
        other => Code::Shape.err(format!("{other:?} in blocks of {block}")),
    }
}

pub(super) fn shape(site: &Site<'_>) -> Result<Step> {
    let dims = signed_dims(site.dims(0)?);
    let rank = signed(dims.len() as u64);
    let place = |given: i64| from_start(given, dims.len()).clamp(0, rank);
    let (start, end) = (place(site.int("start")?), place(site.int("end").unwrap_or(rank)));
    let range = start.unsigned_abs()..end.max(start).unsigned_abs();
    let taken = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
    let dims = taken.and_then(|(start, end)| dims.get(start..end)).unwrap_or_default();
    Ok(Step::Known(Constant::of_ints(dims)?))
}

pub(super) fn size(site: &Site<'_>) -> Result<Step> {
    let elements = signed(site.ty(0)?.shape.elements());
    Ok(Step::Known(Constant::of_ints(&[elements])?.reshaped(Shape::default())?))
}

pub(super) fn range(site: &Site<'_>) -> Result<Step> {
    site.same_dtypes(1)?;
    let dtype = site.dtype(0)?;
    let (Some(start), Some(limit), Some(step)) = (site.ints(0)?, site.ints(1)?, site.ints(2)?) else {
        return Code::Arity.err("a range has start, limit and step");
    };
    let ([start], [limit], [step]) = (&start[..], &limit[..], &step[..]) else {
        return Code::Shape.err("a range's start, limit and step are one number each");
    };
    let (from, to) = if *step < 0 { (limit, start) } else { (start, limit) };
    let way = i128::from(*to).saturating_sub(i128::from(*from));
    let count = match step {
        0 => return Code::Shape.err("a range in steps of 0"),
        _ => way.max(0).unsigned_abs().div_ceil(u128::from(step.unsigned_abs())),
    };
    let count = match u64::try_from(count) {
        Ok(count) if count <= FOLDED_ELEMENTS_MAX => count,
        _ => return Code::Shape.err(format!("a range of {count} numbers, limit {FOLDED_ELEMENTS_MAX}")),
    };
    let values = (0..signed(count)).map(|index| start.saturating_add(step.saturating_mul(index))).collect();
    match Constant::of(TensorType::new(dtype, vec![count])?, &Values::Ints(values)) {
        Some(known) => Ok(Step::Known(known)),
        None => Code::Dtype.err(format!("a range of {dtype}")),
    }
}
