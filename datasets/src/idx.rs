//! IDX, the format of the MNIST family, read from hostile bytes: gzip around a big-endian header (magic, then one
//! 32-bit length per dimension) around unsigned bytes.
//!
//! It does not know which data set it reads, nor whether the bytes are the published ones.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::Images;
use crate::gzip::{Gunzip, GzipError};

/// The largest array that is ever decompressed, whatever a caller allows per dimension: four times Fashion-MNIST.
pub const PAYLOAD_BYTES_MAX: usize = 192 << 20;

/// The type byte of the magic number for unsigned bytes, the only element type in use.
const UNSIGNED_BYTE: u32 = 0x08;

/// Why IDX bytes were refused.
#[derive(Debug, thiserror::Error)]
pub enum IdxError {
    /// The gzip layer is damaged or does not hold what the header declares.
    #[error(transparent)]
    Gzip(#[from] GzipError),
    /// Not an array of unsigned bytes with the wanted number of dimensions.
    #[error("magic number is {found:#010x}, expected {expected:#010x}")]
    Magic {
        /// The magic number of such an array.
        expected: u32,
        /// What the file says.
        found: u32,
    },
    /// A declared length is zero or larger than allowed.
    #[error("dimension {axis} is {found}, outside 1..={max}")]
    Dimension {
        /// Position in the header, from 0.
        axis: usize,
        /// The declared length.
        found: u32,
        /// The largest length that is allowed.
        max: u32,
    },
    /// The lengths multiply to more than [`PAYLOAD_BYTES_MAX`].
    #[error("dimensions {dims:?} make more than {PAYLOAD_BYTES_MAX} bytes")]
    TooLarge {
        /// The declared lengths.
        dims: Vec<u32>,
    },
    /// Images and labels do not pair up.
    #[error("{images} images but {labels} labels")]
    Count {
        /// Images found.
        images: u32,
        /// Labels found.
        labels: u32,
    },
    /// A label names no class.
    #[error("label {index} is {found}, but there are only {classes} classes")]
    Label {
        /// Position of the label.
        index: usize,
        /// Its value.
        found: u8,
        /// Number of classes.
        classes: u8,
    },
}

/// What a caller is willing to accept from an image file and its label file.
#[derive(Debug, Clone, Copy)]
pub struct IdxLimits {
    /// Most items.
    pub items_max: u32,
    /// Largest height and width in pixels.
    pub side_max: u32,
    /// Number of classes; labels are 0 up to this.
    pub classes: u8,
}

/// An array of unsigned bytes; the product of `dims` is the length of `bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxArray<const N: usize> {
    /// Lengths, outermost first, each at least 1.
    pub dims: [u32; N],
    /// Elements in row-major order.
    pub bytes: Vec<u8>,
}

/// Reads an image file (three dimensions) and its label file (one) into one-channel [`Images`].
pub fn decode_images(images_gz: &[u8], labels_gz: &[u8], limits: IdxLimits) -> Result<Images, IdxError> {
    let pixels = decode(images_gz, [limits.items_max, limits.side_max, limits.side_max])?;
    let labels = decode_labels(labels_gz, limits)?;
    let ([count, height, width], [label_count]) = (pixels.dims, labels.dims);
    let labels = labels.bytes.into_iter().map(u16::from).collect();
    if label_count != count {
        return Err(IdxError::Count { images: count, labels: label_count });
    }
    Ok(Images { count, channels: 1, height, width, pixels: pixels.bytes, labels })
}

/// Reads one array whose `N` dimensions each lie in `1..=dims_max`. The header is judged before anything is allocated.
pub fn decode<const N: usize>(gz: &[u8], dims_max: [u32; N]) -> Result<IdxArray<N>, IdxError> {
    let mut stream = Gunzip::new(gz);
    let header = stream.read_exactly(N.saturating_add(1).saturating_mul(4))?;
    let mut words = header.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word));
    let (expected, found) = (UNSIGNED_BYTE << 8 | N as u32, words.next().unwrap_or_default());
    if found != expected {
        return Err(IdxError::Magic { expected, found });
    }
    let dims = std::array::from_fn(|_| words.next().unwrap_or_default());
    let payload_bytes = payload_bytes(&dims, &dims_max)?;
    let bytes = stream.read_exactly(payload_bytes)?;
    stream.finish()?;
    Ok(IdxArray { dims, bytes })
}

fn payload_bytes(dims: &[u32], dims_max: &[u32]) -> Result<usize, IdxError> {
    for (axis, (&found, &max)) in dims.iter().zip(dims_max).enumerate() {
        if found == 0 || found > max {
            return Err(IdxError::Dimension { axis, found, max });
        }
    }
    dims.iter()
        .try_fold(1usize, |product, &dim| product.checked_mul(usize::try_from(dim).ok()?))
        .filter(|&bytes| bytes <= PAYLOAD_BYTES_MAX)
        .ok_or_else(|| IdxError::TooLarge { dims: dims.to_vec() })
}

fn decode_labels(gz: &[u8], limits: IdxLimits) -> Result<IdxArray<1>, IdxError> {
    let labels = decode(gz, [limits.items_max])?;
    match labels.bytes.iter().enumerate().find(|(_, label)| **label >= limits.classes) {
        Some((index, &found)) => Err(IdxError::Label { index, found, classes: limits.classes }),
        None => Ok(labels),
    }
}
