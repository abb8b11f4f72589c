//! Pictures as people have them, as a model's inputs: any usual format, turned as the camera says, without transparency, and
//! of the size that a model takes. One implementation for publishing, `miner check` and `predict`.
//!
//! It does NOT know models, labels or where a picture lies. What it is given is bounded before it is decoded.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeError, ResizeOptions, Resizer};
use image::error::ImageError;
use image::{DynamicImage, GenericImageView, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use protocol::Digest;
use protocol::architecture::ImageShape;
use protocol::competition::{Fit, PictureSpec};
use std::io::Cursor;
use std::path::Path;

/// A picture may have this many pixels.
const PIXELS_MAX: u64 = 64_000_000;
/// What decoding may take, bytes.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// The border of a drawing is dark below this mean.
const LIGHT_MEAN: u64 = 128;

/// What can be decoded, for people.
pub const FORMATS: &str = "PNG, JPEG, WebP, GIF, BMP and PNM";

/// Why bytes are no input of a model.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// Nothing that is known begins like this.
    #[error("it is no picture of a known format, which are {FORMATS}; save it as one of them")]
    Format,
    /// What the decoder says, which is for people who write decoders.
    #[error("it can't be decoded: {}", why(.0))]
    Decode(ImageError),
    /// Its header says so.
    #[error(
        "it has {width} x {height} pixels, and {PIXELS_MAX} in all are the limit: shrink it, since a model takes far fewer"
    )]
    TooLarge {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Its header says so, too.
    #[error(
        "it is larger than can be decoded here ({PIXELS_MAX} pixels are the limit): shrink it, since a model takes far fewer"
    )]
    Memory,
    /// Nobody said how it becomes the model's size.
    #[error("it has {} x {} pixels (width x height), the model takes {} x {}", found.0, found.1, expected.0, expected.1)]
    Size {
        /// Width and height of the picture.
        found: (u32, u32),
        /// Width and height of the model's inputs.
        expected: (u32, u32),
    },
    /// Neither grey nor colours.
    #[error("the model takes {0} channels: neither grey nor colours")]
    Channels(u32),
    /// It has a side of 0.
    #[error("it has {width} x {height} pixels: nothing to see")]
    Empty {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The resizer's answer.
    #[error("it can't be resized: {0}")]
    Resize(#[from] ResizeError),
}

/// A decoded picture: upright, in colours, what is transparent in it over black.
#[derive(Clone, Debug)]
pub struct Picture {
    colours: RgbImage,
    /// Whether all its pixels are grey.
    pub grey: bool,
    /// Whether its format could say that a pixel is transparent.
    pub transparent: bool,
}

/// Whether a file's name ends as that of a picture that can be decoded.
pub fn is_named_as_one(path: &Path) -> bool {
    ImageFormat::from_path(path).is_ok_and(|format| format.reading_enabled())
}

impl Picture {
    /// Decodes a file's bytes, which nobody vouches for.
    ///
    /// # Errors
    /// When they are no picture, or too large a one.
    pub fn decode(bytes: &[u8]) -> Result<Self, PictureError> {
        let mut decoder = decoder(bytes)?;
        let orientation = decoder.orientation().map_err(too_large)?;
        let mut image = DynamicImage::from_decoder(decoder).map_err(too_large)?;
        image.apply_orientation(orientation);
        let (grey, transparent) = (!image.color().has_color(), image.color().has_alpha());
        let colours = if transparent { over_black(&image) } else { image.into_rgb8() };
        Ok(Self { grey: grey || colours.pixels().all(|pixel| is_grey(pixel.0)), colours, transparent })
    }

    /// Width and height.
    pub fn size(&self) -> (u32, u32) {
        self.colours.dimensions()
    }

    /// Red, green and blue of each pixel, row by row.
    pub fn pixels(&self) -> impl Iterator<Item = [u8; 3]> + '_ {
        self.colours.pixels().map(|pixel| pixel.0)
    }

    /// The digest of its size and its pixels.
    pub fn digest(&self) -> Digest {
        let (width, height) = self.size();
        let size = [width.to_le_bytes(), height.to_le_bytes()].concat();
        Digest::of(&[size.as_slice(), self.colours.as_raw()].concat())
    }

    /// Light becomes dark.
    pub fn invert(&mut self) {
        image::imageops::invert(&mut self.colours);
    }

    /// Whether its border is light, as paper is.
    pub fn is_on_light(&self) -> bool {
        let (width, height) = self.size();
        let at_border = |x, y| x == 0 || y == 0 || x + 1 == width || y + 1 == height;
        let border = self.colours.enumerate_pixels().filter(|(x, y, _)| at_border(*x, *y));
        let (sum, count) =
            border.fold((0, 0), |(sum, count), (_, _, pixel)| (sum + u64::from(luma(pixel.0)), count + 1));
        sum > LIGHT_MEAN * count
    }

    /// The picture as a model of this shape takes it: `[channels, height, width]`, grey or red, green and blue.
    ///
    /// # Errors
    /// When it has another size and `spec` doesn't say what to do.
    pub fn fitted(&self, shape: ImageShape, spec: PictureSpec) -> Result<Vec<u8>, PictureError> {
        let wanted = (shape.width, shape.height);
        if self.size() == wanted && spec.shorter_side.is_none() {
            return planes(&self.colours, shape.channels);
        }
        let fitted = match spec.fit {
            None => return Err(PictureError::Size { found: self.size(), expected: wanted }),
            Some(Fit::Stretch) => resized(&self.colours, wanted)?,
            Some(Fit::Pad) => padded(&self.colours, wanted)?,
            Some(Fit::Crop) => cropped(&self.colours, wanted, spec.shorter_side.unwrap_or(0))?,
        };
        planes(&fitted, shape.channels)
    }
}

fn decoder(bytes: &[u8]) -> Result<impl ImageDecoder + '_, PictureError> {
    let guessed = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let mut reader = guessed.map_err(|error| PictureError::Decode(ImageError::IoError(error)))?;
    if !reader.format().is_some_and(|format| format.reading_enabled()) {
        return Err(PictureError::Format);
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MEMORY_BYTES_MAX);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(too_large)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(PictureError::Empty { width, height });
    }
    if u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(PictureError::TooLarge { width, height });
    }
    Ok(decoder)
}

fn why(error: &ImageError) -> &'static str {
    match error {
        ImageError::Unsupported(_) => "it is of a kind that isn't read here; save it anew, as PNG for example",
        _ => "it is cut off or damaged",
    }
}

/// Some decoders mind the size that a header says before we can.
fn too_large(error: ImageError) -> PictureError {
    match error {
        ImageError::Limits(_) => PictureError::Memory,
        other => PictureError::Decode(other),
    }
}

/// Colours as they look on the black ground that models of drawings know.
fn over_black(image: &DynamicImage) -> RgbImage {
    let mut rgba = image.to_rgba8();
    for image::Rgba([red, green, blue, alpha]) in rgba.pixels_mut() {
        for channel in [red, green, blue] {
            *channel = (u32::from(*channel) * u32::from(*alpha) / 255) as u8;
        }
    }
    DynamicImage::ImageRgba8(rgba).into_rgb8()
}

/// By a triangle filter over the area that a pixel covers, as Pillow's `BILINEAR`.
fn resized(image: &RgbImage, (width, height): (u32, u32)) -> Result<RgbImage, PictureError> {
    let from = ImageRef::new(image.width(), image.height(), image.as_raw(), PixelType::U8x3)
        .expect("a picture's buffer has its size; this is a bug");
    let mut to = Image::new(width, height, PixelType::U8x3);
    let how = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(&from, &mut to, &how)?;
    Ok(RgbImage::from_raw(width, height, to.into_vec()).expect("a buffer of its own size; this is a bug"))
}

/// As large as fits, in the middle of black.
fn padded(image: &RgbImage, (width, height): (u32, u32)) -> Result<RgbImage, PictureError> {
    let by_width = in_proportion(image.dimensions(), width);
    let size = if by_width <= height { (width, by_width) } else { (in_proportion(turned(image), height), height) };
    let small = resized(image, size)?;
    let mut ground = RgbImage::new(width, height);
    let [x, y] = [(width - small.width()) / 2, (height - small.height()) / 2].map(i64::from);
    image::imageops::replace(&mut ground, &small, x, y);
    Ok(ground)
}

/// The middle of the picture, after its shorter side became `side` pixels, or more where the middle needs more.
fn cropped(image: &RgbImage, (width, height): (u32, u32), side: u32) -> Result<RgbImage, PictureError> {
    let (least_width, least_height) = (width.max(side), height.max(side));
    let by_width = in_proportion(image.dimensions(), least_width);
    let size = if by_width >= least_height {
        (least_width, by_width)
    } else {
        (in_proportion(turned(image), least_height), least_height)
    };
    let large = resized(image, size)?;
    Ok(large.view(half(size.0 - width), half(size.1 - height), width, height).to_image())
}

fn turned(image: &RgbImage) -> (u32, u32) {
    (image.height(), image.width())
}

/// How high what is `width` by `height` becomes when its width becomes `to`: whole pixels, as torchvision's `Resize` cuts them;
/// at least 1.
fn in_proportion((width, height): (u32, u32), to: u32) -> u32 {
    let exact = u64::from(to) * u64::from(height) / u64::from(width);
    u32::try_from(exact).unwrap_or(u32::MAX).max(1)
}

/// Half of it; of an odd number the even one of the two nearest, as torchvision's `CenterCrop` rounds.
fn half(pixels: u32) -> u32 {
    match pixels % 4 {
        3 => pixels / 2 + 1,
        _ => pixels / 2,
    }
}

/// Grey or red, green and blue, one plane after the other.
fn planes(image: &RgbImage, channels: u32) -> Result<Vec<u8>, PictureError> {
    match channels {
        1 => Ok(image.pixels().map(|pixel| luma(pixel.0)).collect()),
        3 => {
            let (pixels, _) = image.as_raw().as_chunks::<3>();
            let mut planes = Vec::with_capacity(image.as_raw().len());
            (0..3).for_each(|channel| planes.extend(pixels.iter().map(|pixel| pixel[channel])));
            Ok(planes)
        }
        _ => Err(PictureError::Channels(channels)),
    }
}

fn is_grey([red, green, blue]: [u8; 3]) -> bool {
    red == green && green == blue
}

fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((u32::from(red) * 299 + u32::from(green) * 587 + u32::from(blue) * 114) / 1000) as u8
}
