//! Pictures that people have, as a model's inputs: any usual format, turned as the camera says, without transparency, and
//! of the model's size.
//!
//! It does NOT know models; files are bounded before they are decoded.

use anyhow::{Context, Result, ensure};
use image::imageops::FilterType;
use image::{DynamicImage, GenericImage, ImageDecoder, ImageReader, Limits, RgbImage, Rgba};
use protocol::architecture::ImageShape;
use std::path::{Path, PathBuf};

/// A picture may have this many pixels.
const PIXELS_MAX: u64 = 64_000_000;
/// What decoding may take.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// The border of a drawing is dark below this mean.
const LIGHT_MEAN: u64 = 128;

/// A picture of a model's size.
pub(crate) struct Picture {
    /// `[channels, height, width]`.
    pub(crate) pixels: Vec<u8>,
    /// Width and height of the file, where they were others.
    pub(crate) resized_from: Option<(u32, u32)>,
    /// Whether its border is light, as paper is.
    pub(crate) on_light: bool,
}

/// The files of a folder, in the order of their names; a file itself.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|file| image::ImageFormat::from_path(file).is_ok_and(|format| format.reading_enabled()));
    files.sort();
    ensure!(!files.is_empty(), "there are no pictures in {}", path.display());
    Ok(files)
}

/// Reads a picture as a model of this shape takes it: grey or in colour, its sides kept in proportion with black beside
/// them, what is transparent black.
pub(crate) fn read(path: &Path, shape: ImageShape, invert: bool) -> Result<Picture> {
    let mut decoder = decoder(path)?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    let mut colours = over_black(&image);
    if invert {
        image::imageops::invert(&mut colours);
    }
    // Of the picture itself: what is put beside it is black.
    let on_light = border_is_light(&colours);
    let found = colours.dimensions();
    let resized_from = (found != (shape.width, shape.height)).then_some(found);
    if resized_from.is_some() {
        colours = fitted(colours, shape)?;
    }
    Ok(Picture { pixels: planes(&colours, shape.channels)?, resized_from, on_light })
}

fn decoder(path: &Path) -> Result<impl ImageDecoder> {
    let mut reader = ImageReader::open(path)?.with_guessed_format()?;
    ensure!(reader.format().is_some(), "it is no picture of a known format: PNG, JPEG, WebP, GIF or BMP");
    let mut limits = Limits::default();
    limits.max_alloc = Some(MEMORY_BYTES_MAX);
    reader.limits(limits);
    let decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    ensure!(pixels <= PIXELS_MAX, "{width} x {height} pixels, limit {PIXELS_MAX} in all");
    Ok(decoder)
}

/// Colours as they look on the black ground that models of drawings know.
fn over_black(image: &DynamicImage) -> RgbImage {
    let mut rgba = image.to_rgba8();
    for Rgba([red, green, blue, alpha]) in rgba.pixels_mut() {
        for channel in [red, green, blue] {
            *channel = (u32::from(*channel) * u32::from(*alpha) / 255) as u8;
        }
    }
    DynamicImage::ImageRgba8(rgba).into_rgb8()
}

/// As large as fits, in the middle of black.
fn fitted(image: RgbImage, shape: ImageShape) -> Result<RgbImage> {
    let small = DynamicImage::from(image).resize(shape.width, shape.height, FilterType::Triangle).into_rgb8();
    let mut ground = RgbImage::new(shape.width, shape.height);
    let (left, top) = ((shape.width - small.width()) / 2, (shape.height - small.height()) / 2);
    ground.copy_from(&small, left, top)?;
    Ok(ground)
}

fn border_is_light(image: &RgbImage) -> bool {
    let (width, height) = image.dimensions();
    let border = image.enumerate_pixels().filter(|(x, y, _)| *x == 0 || *y == 0 || x + 1 == width || y + 1 == height);
    let (sum, count) = border.fold((0, 0), |(sum, count), (_, _, pixel)| (sum + u64::from(luma(pixel.0)), count + 1));
    sum > LIGHT_MEAN * count
}

/// Grey or red, green and blue, one plane after the other.
fn planes(image: &RgbImage, channels: u32) -> Result<Vec<u8>> {
    match channels {
        1 => Ok(image.pixels().map(|pixel| luma(pixel.0)).collect()),
        3 => Ok((0..3).flat_map(|channel| image.pixels().map(move |pixel| pixel.0[channel])).collect()),
        _ => anyhow::bail!("the model takes {channels} channels: neither grey nor colours"),
    }
}

fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((u32::from(red) * 299 + u32::from(green) * 587 + u32::from(blue) * 114) / 1000) as u8
}
