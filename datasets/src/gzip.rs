//! One gzip member whose decompressed length the caller already knows or has just read from its header.
//!
//! It does not know what the bytes mean. It never hands out more than was asked for, so a decompression bomb costs
//! the caller's own limit and no more.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use flate2::bufread::GzDecoder;
use std::io::{self, Read};

/// Deflate cannot expand by more than this, so a buffer for `n` compressed bytes never needs more than `n` times it.
const EXPANSION_MAX: usize = 1032;

/// Why compressed bytes were refused.
#[derive(Debug, thiserror::Error)]
pub enum GzipError {
    /// The stream ended before the promised length.
    #[error("gzip stream ends after {found} of {expected} bytes")]
    Truncated {
        /// Bytes that were asked for.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
    /// The stream holds more than the promised length.
    #[error("gzip stream holds more than the {expected} bytes that its content declares")]
    TooLong {
        /// Total bytes that the stream should have held.
        expected: usize,
    },
    /// Something follows the gzip member.
    #[error("{count} stray bytes follow the gzip stream")]
    Trailing {
        /// How many bytes follow.
        count: usize,
    },
    /// The header, a block or the checksum is wrong.
    #[error("gzip stream is corrupt")]
    Corrupt(#[source] io::Error),
}

/// A gzip member that is read in pieces of known length and then closed with [`Gunzip::finish`].
#[derive(Debug)]
pub struct Gunzip<'a> {
    decoder: GzDecoder<&'a [u8]>,
    compressed_bytes: usize,
    read_bytes: usize,
}

impl<'a> Gunzip<'a> {
    /// Starts reading; nothing is decompressed yet.
    pub fn new(compressed: &'a [u8]) -> Self {
        Gunzip { decoder: GzDecoder::new(compressed), compressed_bytes: compressed.len(), read_bytes: 0 }
    }

    /// The next `len` bytes, no more and no fewer. Memory follows what the input can really hold, not what is asked.
    pub fn read_exactly(&mut self, len: usize) -> Result<Vec<u8>, GzipError> {
        let mut bytes = Vec::with_capacity(len.min(self.compressed_bytes.saturating_mul(EXPANSION_MAX)));
        let ended = (&mut self.decoder).take(len as u64).read_to_end(&mut bytes);
        self.read_bytes = self.read_bytes.saturating_add(bytes.len());
        match ended {
            Ok(_) if bytes.len() == len => Ok(bytes),
            Ok(_) => Err(GzipError::Truncated { expected: len, found: bytes.len() }),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(GzipError::Truncated { expected: len, found: bytes.len() })
            }
            Err(error) => Err(GzipError::Corrupt(error)),
        }
    }

    /// Checks that nothing is left, that the checksum holds, and that nothing follows.
    pub fn finish(mut self) -> Result<(), GzipError> {
        match self.decoder.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => return Err(GzipError::TooLong { expected: self.read_bytes }),
            Err(error) => return Err(GzipError::Corrupt(error)),
        }
        match self.decoder.into_inner().len() {
            0 => Ok(()),
            count => Err(GzipError::Trailing { count }),
        }
    }
}
