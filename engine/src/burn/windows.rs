//! Convolutions and pools, along one axis or two.

use super::node::{Found, Site, binary, reshaping, taking, unary};
use crate::failure::Refused;
use burn_backend::Shape;
use burn_backend::ops::{ConvOptions, ConvTransposeOptions, FloatTensorOps, ModuleOps, PadMode};
use burn_dispatch::{Dispatch, DispatchTensor};
use program::Op;

pub(super) fn kernel(site: &Site<'_>) -> Found {
    let windows: fn(&Site<'_>) -> Found = match site.node.op {
        Op::Conv => convolution,
        Op::ConvTranspose => transposed,
        Op::MaxPool => max_pool,
        Op::AveragePool => average_pool,
        Op::GlobalAveragePool => global_pool,
        Op::GlobalMaxPool => global_pool,
        _ => return Ok(None),
    };
    site.of_floats()?;
    windows(site)
}

/// What a window is, along two axes: one that isn't there is of size one.
struct Window {
    kernel: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
    /// Before and after, along each axis.
    pads: [(usize, usize); 2],
    /// Sizes of what goes in and of what comes out.
    given: [usize; 2],
    made: [usize; 2],
}

impl Window {
    fn of(site: &Site<'_>) -> Result<Self, Refused> {
        let (given, made) = (site.dims(0)?, site.made_dims(0)?);
        let axes = given.len().saturating_sub(2);
        if !(1..=2).contains(&axes) {
            return Err(site.refuse(&format!("along {axes} axes")));
        }
        let two = |list: &[usize], missing: usize| match *list {
            [width] => Ok([missing, width]),
            [height, width] => Ok([height, width]),
            _ => Err(site.refuse("with a window of another number of axes")),
        };
        let pads = site.sizes("pads")?;
        let (before, after) = pads.split_at_checked(axes).unwrap_or_default();
        let ([top, left], [bottom, right]) = (two(before, 0)?, two(after, 0)?);
        let dilations =
            if site.node.attributes.contains_key("dilations") { site.sizes("dilations")? } else { vec![1; axes] };
        Ok(Self {
            kernel: two(&site.sizes("kernel_shape")?, 1)?,
            strides: two(&site.sizes("strides")?, 1)?,
            dilations: two(&dilations, 1)?,
            pads: [(top, bottom), (left, right)],
            given: two(given.get(2..).unwrap_or_default(), 1)?,
            made: two(made.get(2..).unwrap_or_default(), 1)?,
        })
    }

    /// What lays out the input along two axes, and the output along as many as there are.
    fn two_axes(&self, site: &Site<'_>) -> Result<[impl Fn(DispatchTensor) -> DispatchTensor + use<>; 2], Refused> {
        let flat = |[batch, channels]: [usize; 2], [height, width]: [usize; 2]| [batch, channels, height, width];
        let (image, made) = (site.dims(0)?, site.made_dims(0)?);
        let (Some([batch, channels]), Some([_, made_channels])) = (image.first_chunk::<2>(), made.first_chunk::<2>())
        else {
            return Err(site.refuse("without channels"));
        };
        let given = reshaping(&image, &flat([*batch, *channels], self.given));
        Ok([given, reshaping(&flat([*batch, *made_channels], self.made), &made)])
    }

    /// Paddings that are the same before and after, if they are.
    fn even(&self) -> Option<[usize; 2]> {
        let [(top, bottom), (left, right)] = self.pads;
        (top == bottom && left == right).then_some([top, left])
    }

    /// How much further than its paddings the last window reaches.
    fn beyond(&self) -> [usize; 2] {
        let beyond = |at: usize| {
            let (before, after) = self.pads[at];
            let reach = (self.made[at].saturating_sub(1)) * self.strides[at]
                + (self.kernel[at].saturating_sub(1)) * self.dilations[at]
                + 1;
            reach.saturating_sub(before + self.given[at] + after)
        };
        [beyond(0), beyond(1)]
    }

    /// The input with its paddings, which hold `value`.
    fn padded(&self, x: DispatchTensor, value: f32) -> DispatchTensor {
        let [below, aside] = self.beyond();
        let [(top, bottom), (left, right)] = self.pads;
        let pads = [(0, 0), (0, 0), (top, bottom + below), (left, right + aside)];
        if pads == [(0, 0); 4] { x } else { Dispatch::float_pad(x, &pads, PadMode::Constant(value)) }
    }
}

/// `batch` and `channels` at an input.
fn outer(site: &Site<'_>, at: usize) -> Result<[usize; 2], Refused> {
    match site.dims(at)?[..] {
        [batch, channels, ..] => Ok([batch, channels]),
        _ => Err(site.refuse("without channels")),
    }
}

fn convolution(site: &Site<'_>) -> Found {
    let window = Window::of(site)?;
    let groups = usize::try_from(site.int("group")?).unwrap_or(1);
    let options = ConvOptions::new_with_padding(window.strides, window.pads, window.dilations, groups.max(1));
    over_two(site, window, move |x, weight, bias| Dispatch::conv2d(x, weight, bias, options.clone()))
}

fn transposed(site: &Site<'_>) -> Found {
    let window = Window::of(site)?;
    let groups = usize::try_from(site.int("group")?).unwrap_or(1);
    let pads = window.even().ok_or_else(|| site.refuse("with other paddings before than after"))?;
    let further = match site.sizes("output_padding")?[..] {
        [width] => [0, width],
        [height, width] => [height, width],
        _ => return Err(site.refuse("with a window of another number of axes")),
    };
    let options = ConvTransposeOptions::new(window.strides, pads, further, window.dilations, groups.max(1));
    over_two(site, window, move |x, weight, bias| Dispatch::conv_transpose2d(x, weight, bias, options.clone()))
}

/// A convolution along two axes, for one along one or two.
fn over_two(
    site: &Site<'_>,
    window: Window,
    convolve: impl Fn(DispatchTensor, DispatchTensor, Option<DispatchTensor>) -> DispatchTensor + 'static,
) -> Found {
    let filters = outer(site, 1)?.into_iter().chain(window.kernel).collect::<Vec<_>>();
    let [apart, together] = window.two_axes(site)?;
    let flat = reshaping(&site.dims(1)?, &filters);
    let convolve = move |x, weight, bias| together(convolve(apart(x), flat(weight), bias));
    match site.has(2) {
        true => taking(vec![0, 1, 2], move |given| {
            let [x, weight, bias] = <[_; 3]>::try_from(given).expect("as many inputs as were asked for");
            convolve(x, weight, Some(bias))
        }),
        false => binary(move |x, weight| convolve(x, weight, None)),
    }
}

fn max_pool(site: &Site<'_>) -> Found {
    let window = Window::of(site)?;
    let [apart, together] = window.two_axes(site)?;
    let built_in = window.even().filter(|pads| {
        window.beyond() == [0; 2] && pads.iter().zip(window.kernel).all(|(pad, kernel)| 2 * pad <= kernel)
    });
    unary(move |x| {
        let x = apart(x);
        let (x, pads) = match built_in {
            Some(pads) => (x, pads),
            None => (window.padded(x, f32::NEG_INFINITY), [0; 2]),
        };
        together(Dispatch::max_pool2d(x, window.kernel, window.strides, pads, window.dilations, false))
    })
}

fn average_pool(site: &Site<'_>) -> Found {
    let window = Window::of(site)?;
    let [apart, together] = window.two_axes(site)?;
    let counts_pads = site.int("count_include_pad")? != 0;
    if window.beyond() != [0; 2] {
        return Err(site.refuse("whose last window reaches further than its paddings"));
    }
    if window.even().is_none() && !counts_pads {
        return Err(site.refuse("with other paddings before than after that aren't counted"));
    }
    let built_in = window.even().filter(|pads| !counts_pads || *pads == [0; 2]);
    unary(move |x| {
        let x = apart(x);
        let (x, pads) = match built_in {
            Some(pads) => (x, pads),
            None => (window.padded(x, 0.0), [0; 2]),
        };
        together(Dispatch::avg_pool2d(x, window.kernel, window.strides, pads, false, false))
    })
}

/// Over everything but batch and channels.
fn global_pool(site: &Site<'_>) -> Found {
    let ([batch, channels], made) = (outer(site, 0)?, site.made_dims(0)?);
    let each = site.dims(0)?.iter().skip(2).product::<usize>();
    let along = if site.node.op == Op::GlobalMaxPool { Dispatch::float_max_dim } else { Dispatch::float_mean_dim };
    unary(move |x| {
        let rows = Dispatch::float_reshape(x, Shape::from(vec![batch * channels, each]));
        Dispatch::float_reshape(along(rows, 1), Shape::from(made.clone()))
    })
}
