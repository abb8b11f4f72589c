//! Replicates as bytes, so that whoever drew them once can keep them. Derived data: anyone can draw them again.
//!
//! It does NOT know where they are kept.
//!
//! # The binary form `RTREP1`, all numbers little-endian
//!
//! ```text
//! 6 bytes   magic "RTREP1"
//! 32 bytes  key of the items' draws
//! 32 bytes  SHA-256 of the input images in evaluation order
//! u32 u32   the teacher's right answers, items
//! u32       the composite as measured, billionths
//! u32 each  the composite on each of the 1,999 resamples, billionths
//! ```

use super::{Basis, REPLICATES, Replicates, key};
use crate::Digest;
use crate::score::Ceiling;

/// The first bytes of the binary form; the digit is its version.
const MAGIC: &[u8; 6] = b"RTREP1";
/// A composite of 1 in billionths.
const WHOLE_PPB: u32 = 1_000_000_000;
const HEAD_BYTES: usize = 6 + 32 + 32 + 4 + 4 + 4;
const BYTES: usize = HEAD_BYTES + 4 * REPLICATES as usize;

/// Bytes that are no replicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicatesError {
    /// Not this format, or not this version of it.
    #[error("replicates begin with RTREP1")]
    Magic,
    /// Fewer or more bytes than the format has.
    #[error("replicates have {0} bytes, not {BYTES}")]
    Length(usize),
    /// A composite that no model has.
    #[error("a composite of {0} billionths is above 1")]
    Composite(u32),
}

impl Replicates {
    /// The binary form; equal replicates have equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (items_key, images, ceiling) = &self.source;
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(items_key.as_bytes());
        bytes.extend_from_slice(images.as_bytes());
        bytes.extend_from_slice(&ceiling.correct.to_le_bytes());
        bytes.extend_from_slice(&ceiling.items.to_le_bytes());
        for ppb in [&self.measured_ppb].into_iter().chain(&self.values_ppb) {
            // Composites lie in [0, 1], so billionths fit.
            bytes.extend_from_slice(&(*ppb as u32).to_le_bytes());
        }
        bytes
    }

    /// Reads the binary form. Allocates no more than the format's own length.
    ///
    /// # Errors
    /// When the bytes are not exactly one value of this format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReplicatesError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(ReplicatesError::Magic)?;
        let wrong_length = ReplicatesError::Length(bytes.len());
        if bytes.len() != BYTES {
            return Err(wrong_length);
        }
        let (items_key, rest) = rest.split_first_chunk::<32>().ok_or(wrong_length)?;
        let (images, rest) = rest.split_first_chunk::<32>().ok_or(wrong_length)?;
        let mut words = rest.chunks_exact(4).filter_map(|word| word.try_into().ok()).map(u32::from_le_bytes);
        let ceiling = Ceiling { correct: words.next().ok_or(wrong_length)?, items: words.next().ok_or(wrong_length)? };
        let composite =
            |ppb: u32| if ppb <= WHOLE_PPB { Ok(i64::from(ppb)) } else { Err(ReplicatesError::Composite(ppb)) };
        let measured_ppb = composite(words.next().ok_or(wrong_length)?)?;
        let values_ppb = words.map(composite).collect::<Result<_, _>>()?;
        Ok(Self { source: (Digest::from(*items_key), Digest::from(*images), ceiling), measured_ppb, values_ppb })
    }

    /// Whether these were drawn for this round: only then they can be compared with others of it.
    pub fn are_of(&self, round: &Basis<'_>) -> bool {
        self.source.0 == key("items", round, &[]) && self.source.2 == round.ceiling
    }
}
