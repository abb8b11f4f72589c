//! What the two published binary formats share: a reader that never runs past its end, and the ways to refuse bytes.
//!
//! It knows no layout; `images` and `logits` do.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// Why bytes, or a value about to be written, are not a valid object.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FormatError {
    /// The first eight bytes are something else: another file, or a later version.
    #[error("magic is {found:02x?}, expected {expected:02x?}")]
    Magic {
        /// Magic of this format and version.
        expected: [u8; 8],
        /// What the file begins with.
        found: [u8; 8],
    },
    /// The bytes end too early.
    #[error("{what} needs {needed} bytes, only {left} are left")]
    Truncated {
        /// The part that was being read.
        what: &'static str,
        /// Its length.
        needed: usize,
        /// What remained.
        left: usize,
    },
    /// Bytes follow the last part.
    #[error("{count} stray bytes at the end")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// A length that must be at least 1 is zero.
    #[error("{what} is zero")]
    Zero {
        /// The length's name.
        what: &'static str,
    },
    /// The declared lengths multiply beyond what memory can address.
    #[error("dimensions {dims:?} overflow")]
    Overflow {
        /// The declared lengths.
        dims: Vec<u32>,
    },
    /// No width that labels have.
    #[error("a label has {found} bytes, expected 0, 1 or 2")]
    LabelBytes {
        /// The stated width.
        found: u8,
    },
    /// Labels of two bytes that would fit one.
    #[error("labels have two bytes, but none is above 255")]
    WideLabels,
    /// A buffer does not have the length that the dimensions imply.
    #[error("{what} has {found} elements, expected {expected}")]
    Length {
        /// The buffer.
        what: &'static str,
        /// Length implied by the dimensions.
        expected: usize,
        /// Its real length.
        found: usize,
    },
    /// A value is NaN or infinite.
    #[error("value {index} is {found}, which is not finite")]
    NotFinite {
        /// Position of the first such value.
        index: usize,
        /// The value.
        found: f32,
    },
}

/// A cursor over bytes.
pub(crate) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { left: bytes }
    }

    pub(crate) fn after_magic(bytes: &'a [u8], expected: [u8; 8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let found = reader.array("magic")?;
        if found != expected {
            return Err(FormatError::Magic { expected, found });
        }
        Ok(reader)
    }

    pub(crate) fn take(&mut self, what: &'static str, needed: usize) -> Result<&'a [u8], FormatError> {
        let (head, tail) =
            self.left.split_at_checked(needed).ok_or(FormatError::Truncated { what, needed, left: self.left.len() })?;
        self.left = tail;
        Ok(head)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, FormatError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, FormatError> {
        self.array(what).map(|[byte]| byte)
    }

    /// So many labels of `each` bytes, which is 1 or 2.
    pub(crate) fn labels(&mut self, what: &'static str, count: usize, each: usize) -> Result<Vec<u16>, FormatError> {
        let bytes = self.take(what, count.saturating_mul(each))?;
        let label = |bytes: &[u8]| bytes.iter().rev().fold(0, |label, byte| label << 8 | u16::from(*byte));
        Ok(bytes.chunks(each.max(1)).map(label).collect())
    }

    /// Bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.left.len()
    }

    pub(crate) fn finish(self) -> Result<(), FormatError> {
        match self.left.len() {
            0 => Ok(()),
            count => Err(FormatError::Trailing { count }),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FormatError> {
        let left = self.left.len();
        let (head, tail) = self.left.split_first_chunk().ok_or(FormatError::Truncated { what, needed: N, left })?;
        self.left = tail;
        Ok(*head)
    }
}

/// Bytes of each label of a set: one where all of them fit, otherwise two.
pub(crate) fn label_bytes(labels: &[u16]) -> usize {
    if labels.iter().all(|label| u8::try_from(*label).is_ok()) { 1 } else { 2 }
}

/// Labels of so many bytes each, little endian.
pub(crate) fn put_labels(bytes: &mut Vec<u8>, labels: &[u16], each: usize) {
    bytes.extend(labels.iter().flat_map(|label| label.to_le_bytes().into_iter().take(each)));
}

/// The product of named lengths, each of which must be at least 1.
pub(crate) fn product(dims: &[(&'static str, u32)]) -> Result<usize, FormatError> {
    if let Some(&(what, _)) = dims.iter().find(|(_, dim)| *dim == 0) {
        return Err(FormatError::Zero { what });
    }
    dims.iter()
        .try_fold(1usize, |product, &(_, dim)| product.checked_mul(usize::try_from(dim).ok()?))
        .ok_or_else(|| FormatError::Overflow { dims: dims.iter().map(|&(_, dim)| dim).collect() })
}

pub(crate) fn expect_length(what: &'static str, expected: usize, found: usize) -> Result<(), FormatError> {
    if found == expected { Ok(()) } else { Err(FormatError::Length { what, expected, found }) }
}
