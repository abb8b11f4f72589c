//! Operators that move a window over an image: convolutions, pooling, resizing.

use super::{Input, Run, Site, Step, product, signed_dims};
use crate::op::Attribute;
use crate::refusal::{Code, Result};
use crate::tensor::{Constant, TensorType, Values};

/// A window along one axis: its size, step and spread, and what surrounds the image.
#[derive(Clone, Copy)]
struct Side {
    kernel: u64,
    stride: u64,
    dilation: u64,
    before: u64,
    after: u64,
}

impl Side {
    /// The pixels that a window spans. Each number is at least 1 and at most 1,024.
    fn span(&self) -> u64 {
        self.kernel.saturating_sub(1).saturating_mul(self.dilation).saturating_add(1)
    }

    fn steps_back(&self, places: u64) -> u64 {
        places.saturating_sub(1).saturating_mul(self.stride)
    }

    /// Padding with which there are as many windows as steps fit into the image.
    fn padded_to_same(self, pixels: u64, lower: bool) -> Self {
        let reach = self.steps_back(pixels.div_ceil(self.stride.max(1))).saturating_add(self.span());
        let needed = reach.saturating_sub(pixels);
        let (less, more) = (needed / 2, needed.div_ceil(2));
        let (before, after) = if lower { (more, less) } else { (less, more) };
        Self { before, after, ..self }
    }

    /// How many windows fit, without and with a last one that is cut off.
    fn places(&self, pixels: u64) -> Result<(u64, u64)> {
        let padded = pixels.saturating_add(self.before).saturating_add(self.after);
        let stride = self.stride.max(1);
        let Some(room) = padded.checked_sub(self.span()) else {
            return Code::Shape.err(format!("a window of {} over {padded} pixels", self.span()));
        };
        let (floor, ceil) = (room.checked_div(stride).unwrap_or(0), room.div_ceil(stride));
        // A window begins within the image or what is before it.
        let begins_outside = ceil.saturating_mul(stride) >= pixels.saturating_add(self.before);
        Ok((
            floor.saturating_add(1),
            if begins_outside { ceil.max(floor.saturating_add(1)) } else { ceil.saturating_add(1) },
        ))
    }
}

/// The window that the attributes describe over an image, axis by axis.
fn window(site: &Site<'_>, pixels: &[u64], kernel: &[u64]) -> Result<Vec<Side>> {
    let axes = pixels.len();
    let list = |name: &str, length: usize, default: u64| match site.int_list(name) {
        None => Ok(vec![default; length]),
        Some(ints) if ints.len() == length => Ok(ints.iter().map(|int| int.unsigned_abs()).collect()),
        Some(ints) => Code::Attribute.err(format!("`{name}` has {} numbers for {axes} sides", ints.len())),
    };
    let (strides, dilations) = (list("strides", axes, 1)?, list("dilations", axes, 1)?);
    let pads = list("pads", axes.saturating_mul(2), 0)?;
    let (before, after) = pads.split_at_checked(axes).unwrap_or_default();
    let steps = kernel.iter().zip(&strides).zip(&dilations).zip(before.iter().zip(after));
    let sides = steps.map(|(((kernel, stride), dilation), (before, after))| Side {
        kernel: *kernel,
        stride: *stride,
        dilation: *dilation,
        before: *before,
        after: *after,
    });
    let padded = |(side, pixels): (Side, &u64)| match site.text("auto_pad") {
        "SAME_UPPER" => side.padded_to_same(*pixels, false),
        "SAME_LOWER" => side.padded_to_same(*pixels, true),
        "VALID" => Side { before: 0, after: 0, ..side },
        _ => side,
    };
    Ok(sides.zip(pixels).map(padded).collect())
}

/// The operation with all that describes its window.
fn written(run: Run, window: &[Side], has_dilations: bool) -> Run {
    let ints = |of: fn(&Side) -> u64| signed_dims(&window.iter().map(of).collect::<Vec<_>>());
    let pads = [ints(|side| side.before), ints(|side| side.after)].concat();
    let run = run
        .without("auto_pad")
        .with("kernel_shape", Attribute::Ints(ints(|side| side.kernel)))
        .with("strides", Attribute::Ints(ints(|side| side.stride)))
        .with("pads", Attribute::Ints(pads));
    if has_dilations { run.with("dilations", Attribute::Ints(ints(|side| side.dilation))) } else { run }
}

/// Batch, channels and one to three sides.
fn image(dims: &[u64]) -> Result<(u64, u64, &[u64])> {
    match dims {
        [batch, channels, sides @ ..] if (1..=3).contains(&sides.len()) => Ok((*batch, *channels, sides)),
        _ => Code::Shape.err(format!("{dims:?} isn't batch, channels and one to three sides")),
    }
}

/// That the sides of a window, which the weights have, are those that an attribute repeats.
fn check_kernel(site: &Site<'_>, sides: &[u64]) -> Result<()> {
    match site.int_list("kernel_shape") {
        Some(given) if given != signed_dims(sides) => {
            Code::Shape.err(format!("kernel_shape is {given:?}, the weights have {sides:?}"))
        }
        _ => match sides.iter().find(|side| **side > 1_024) {
            Some(side) => Code::Shape.err(format!("a window of {side} pixels, limit 1024")),
            None => Ok(()),
        },
    }
}

/// A convolution of the operands at `x` and `weights`, whatever types they have; the output's sizes are in the type of
/// `x`.
pub(super) fn convolution(site: &Site<'_>, x: usize, weights: usize) -> Result<Run> {
    let ty = site.ty(x)?;
    let (batch, channels, sides) = image(ty.shape.dims())?;
    let (outputs, of_group, kernel_sides) = image(site.dims(weights)?)?;
    let groups = site.int("group")?.unsigned_abs();
    let fits = of_group.checked_mul(groups) == Some(channels) && outputs.is_multiple_of(groups);
    if kernel_sides.len() != sides.len() || !fits {
        let weights = &site.ty(weights)?.shape;
        return Code::Shape.err(format!("weights of {weights} in {groups} groups for {}", ty.shape));
    }
    check_kernel(site, kernel_sides)?;
    let window = window(site, sides, kernel_sides)?;
    let mut dims = vec![batch, outputs];
    for (side, pixels) in window.iter().zip(sides) {
        dims.push(side.places(*pixels)?.0);
    }
    let output = TensorType::new(ty.dtype, dims)?;
    let macs = of_group.checked_mul(product(kernel_sides)).and_then(|each| each.checked_mul(output.shape.elements()));
    written(site.run(vec![output]), &window, true).macs(macs)
}

pub(super) fn conv(site: &Site<'_>) -> Result<Step> {
    site.float(0)?;
    site.same_dtypes(1)?;
    site.expect(2, site.dims(1)?.get(..1).unwrap_or_default())?;
    convolution(site, 0, 1).map(Step::Run)
}

pub(super) fn conv_transpose(site: &Site<'_>) -> Result<Step> {
    let ty = site.float(0)?;
    site.same_dtypes(1)?;
    let (batch, channels, sides) = image(ty.shape.dims())?;
    let (inputs, of_group, kernel_sides) = image(site.dims(1)?)?;
    let groups = site.int("group")?.unsigned_abs();
    if kernel_sides.len() != sides.len() || inputs != channels || !channels.is_multiple_of(groups) {
        return Code::Shape.err(format!("weights of {} in {groups} groups for {}", site.ty(1)?.shape, ty.shape));
    }
    let outputs = of_group.saturating_mul(groups);
    site.expect(2, &[outputs])?;
    check_kernel(site, kernel_sides)?;
    let window = window(site, sides, kernel_sides)?;
    let extra: Vec<u64> = match site.int_list("output_padding") {
        None => vec![0; sides.len()],
        Some(ints) if ints.len() == sides.len() => ints.iter().map(|int| int.unsigned_abs()).collect(),
        Some(ints) => return Code::Attribute.err(format!("`output_padding` has {} numbers", ints.len())),
    };
    let mut dims = vec![batch, outputs];
    for ((side, pixels), extra) in window.iter().zip(sides).zip(&extra) {
        if *extra >= side.stride.max(side.dilation) {
            return Code::Attribute.err("`output_padding` is no smaller than a stride");
        }
        let whole = side.steps_back(*pixels).saturating_add(side.span()).saturating_add(*extra);
        match whole.checked_sub(side.before.saturating_add(side.after)) {
            Some(left) if left > 0 => dims.push(left),
            _ => return Code::Shape.err(format!("paddings leave nothing of {whole} pixels")),
        }
    }
    let each = of_group.checked_mul(product(kernel_sides));
    let macs = each.and_then(|each| each.checked_mul(ty.shape.elements()));
    let run = site.run(vec![TensorType::new(ty.dtype, dims)?]);
    let run = run.with("output_padding", Attribute::Ints(signed_dims(&extra)));
    written(run, &window, true).macs(macs).map(Step::Run)
}

/// A last window that is cut off is written as one that reaches into padding, since engines differ in that rule.
pub(super) fn pool(site: &Site<'_>) -> Result<Step> {
    let ty = site.float(0)?;
    let (batch, channels, sides) = image(ty.shape.dims())?;
    let Some(kernel) = site.int_list("kernel_shape").filter(|kernel| kernel.len() == sides.len()) else {
        return Code::Attribute.err(format!("`kernel_shape` doesn't give {} sides", sides.len()));
    };
    let kernel: Vec<u64> = kernel.iter().map(|side| side.unsigned_abs()).collect();
    let mut window = window(site, sides, &kernel)?;
    let mut dims = vec![batch, channels];
    for (side, pixels) in window.iter_mut().zip(sides) {
        let (floor, ceil) = side.places(*pixels)?;
        let places = if site.flag("ceil_mode") { ceil } else { floor };
        if places > floor {
            if site.flag("count_include_pad") {
                return Code::Attribute.err("`ceil_mode` with `count_include_pad` cuts off a window");
            }
            let reach = side.steps_back(places).saturating_add(side.span());
            side.after = reach.saturating_sub(pixels.saturating_add(side.before));
        }
        if side.before.max(side.after) >= side.span() {
            return Code::Shape.err(format!("a window of {} pixels lies within padding", side.span()));
        }
        dims.push(places);
    }
    let run = site.run(vec![TensorType::new(ty.dtype, dims)?]).with("ceil_mode", Attribute::Int(0));
    Ok(Step::Run(written(run, &window, site.op == crate::op::Op::MaxPool)))
}

pub(super) fn global_pool(site: &Site<'_>) -> Result<Step> {
    let ty = site.float(0)?;
    let (batch, channels, sides) = image(ty.shape.dims())?;
    let dims = [batch, channels].into_iter().chain(sides.iter().map(|_| 1)).collect();
    Ok(Step::Run(site.run(vec![TensorType::new(ty.dtype, dims)?])))
}

/// By sizes or by scales, for all axes.
pub(super) fn resize(site: &Site<'_>) -> Result<Step> {
    let ty = site.float(0)?;
    let rank = ty.shape.rank();
    let all = |length: usize| match length == rank {
        true => Ok(()),
        false => Code::Shape.err(format!("{length} numbers for {rank} axes")),
    };
    let mut inputs = vec![Input::Given(0), Input::Missing];
    let dims = match site.ints(3)? {
        Some(sizes) => {
            all(sizes.len())?;
            inputs.extend([Input::Missing, Input::Made(Constant::of_ints(&sizes)?)]);
            sizes.iter().map(|size| u64::try_from(*size).unwrap_or(0)).collect()
        }
        None => {
            let Some(Values::Floats(scales)) = site.operand(2)?.constant.and_then(Constant::values) else {
                return Code::DynamicShape.err("the scales aren't known before the model is run");
            };
            all(scales.len())?;
            inputs.push(Input::Given(2));
            let scaled = ty.shape.dims().iter().zip(&scales).map(|(dim, scale)| scaled(*dim, *scale));
            scaled.collect::<Result<Vec<u64>>>()?
        }
    };
    if dims.contains(&0) {
        return Code::Shape.err(format!("{} resized to {dims:?}", ty.shape));
    }
    let run = site.run(vec![TensorType::new(ty.dtype, dims)?]);
    Ok(Step::Run(Run { inputs, ..run }))
}

/// Pixels at places that the second input lists, two numbers each.
pub(super) fn grid_sample(site: &Site<'_>) -> Result<Step> {
    let ty = site.float(0)?;
    site.same_dtypes(1)?;
    let ([batch, channels, _, _], [others, height, width, 2]) = (ty.shape.dims(), site.dims(1)?) else {
        return Code::Shape.err(format!("{} at the places of {}", ty.shape, site.ty(1)?.shape));
    };
    if batch != others {
        return Code::Shape.err(format!("a batch of {batch} at the places of {others}"));
    }
    let output = TensorType::new(ty.dtype, vec![*batch, *channels, *height, *width])?;
    Ok(Step::Run(site.run(vec![output])))
}

/// A side at a scale, where rounding can't make engines differ.
fn scaled(dim: u64, scale: f32) -> Result<u64> {
    let dim = u32::try_from(dim).unwrap_or(u32::MAX);
    let exact = (f64::from(dim) * f64::from(scale)).floor();
    #[expect(clippy::cast_precision_loss, reason = "that is what is compared")]
    let rounded = f64::from((dim as f32 * scale).floor());
    let most = f64::from(1u32 << 24);
    if exact != rounded || !(0.0..=most).contains(&exact) {
        return Code::Shape.err(format!("{dim} pixels at a scale of {scale}: give sizes instead"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number within the range")]
    let side = exact as u64;
    Ok(side)
}
