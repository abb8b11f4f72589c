//! The language between the engine and its worker: little-endian frames of a kind, a length and a payload.
//!
//! The package lies in a sealed file that a worker inherits, and items come in frames of their own, as many as the parent hands
//! over at once. All other frames but one have one exact length, and every answer's is computed beforehand: only
//! [`Kind::Refused`] varies, up to [`REFUSAL_BYTES_MAX`]. This file doesn't know what is measured, nor how processes start and end.
//!
//! | parent sends | payload | worker answers | payload |
//! |---|---|---|---|
//! | (start) | | `Hello` | version u32, denormals flushed? u32 |
//! | `Load` | device u32, slow-down u32, bytes of `config.json` u64, of the weights u64 | `Loaded` or `Refused` | parameters u64; JSON of a rejection |
//! | `Items` | whole items, f32 | nothing | |
//! | `Ping` | | `Pong` | |
//! | `Run` | first u32, count u32 | `Out` | first u32, count u32, logits f32 |
//! | `Time` | first u32, count u32 | `Timed` | first u32, count u32, nanoseconds u64, last logits f32 |

use std::io::{self, ErrorKind, Read, Write};

/// The version of this language; the first thing that a worker says.
pub(crate) const VERSION: u32 = 4;

/// The longest refusal that a parent reads, so that a worker can't fill its memory.
pub(crate) const REFUSAL_BYTES_MAX: usize = 4096;

/// Bytes of a frame before its payload.
pub(crate) const HEADER_BYTES: usize = 12;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What a frame is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind { $($(#[$doc])* $name = $number,)* }

        impl Kind {
            fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// The worker is up.
    Hello = 1,
    /// Make this package ready.
    Load = 2,
    /// It is ready.
    Loaded = 3,
    /// It can't be made ready.
    Refused = 4,
    /// Replaces the inputs that later requests refer to.
    Items = 5,
    /// Answer at once.
    Ping = 6,
    /// At once.
    Pong = 7,
    /// One batch, all logits wanted.
    Run = 8,
    /// The logits.
    Out = 9,
    /// Single inferences one after the other, only the last logits wanted.
    Time = 10,
    /// How long they took by the worker's own clock.
    Timed = 11,
}

/// The first bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) length: u64,
}

impl Header {
    pub(crate) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&(self.kind as u32).to_le_bytes());
        bytes[4..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: [u8; HEADER_BYTES]) -> io::Result<Self> {
        let number = u32_at(&bytes, 0);
        let kind = Kind::from_number(number).ok_or_else(|| bad(format!("frame of unknown kind {number}")))?;
        Ok(Self { kind, length: u64_at(&bytes, 4) })
    }
}

/// A run of stored items; `first + i` wraps around their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl Span {
    pub(crate) const BYTES: usize = 8;

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.first.to_le_bytes());
        bytes[4..].copy_from_slice(&self.count.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        if bytes.len() < Self::BYTES {
            return Err(bad("span cut off".into()));
        }
        Ok(Self { first: u32_at(bytes, 0), count: u32_at(bytes, 4) })
    }
}

/// Writes a frame whose payload is `parts` one after the other.
pub(crate) fn send(output: &mut impl Write, kind: Kind, parts: &[&[u8]]) -> io::Result<()> {
    let length = parts.iter().map(|part| part.len() as u64).sum();
    let header = Header { kind, length }.to_bytes();
    // A small frame is one write: a second one could wake the reader twice.
    if length <= 1024 {
        let whole: Vec<u8> = header.iter().chain(parts.iter().copied().flatten()).copied().collect();
        output.write_all(&whole)?;
    } else {
        output.write_all(&header)?;
        parts.iter().try_for_each(|part| output.write_all(part))?;
    }
    output.flush()
}

/// Reads a header; `None` at the end of the stream between frames.
pub(crate) fn read_header(input: &mut impl Read) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER_BYTES];
    let mut filled = 0;
    while filled < bytes.len() {
        match input.read(&mut bytes[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Header::from_bytes(bytes).map(Some)
}

/// The longest frame that a worker is sent, but items.
const REQUEST_BYTES_MAX: u64 = 64;

/// What memory is taken for before anything of a payload is there.
const PAYLOAD_BYTES_AT_ONCE: u64 = 1 << 20;

/// Reads a request. `None` at the end of the stream.
pub(crate) fn read_frame(input: &mut impl Read) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let Some(Header { kind, length }) = read_header(input)? else { return Ok(None) };
    if length > REQUEST_BYTES_MAX && kind != Kind::Items {
        return Err(bad(format!("frame of {length} bytes")));
    }
    // Memory is taken for what comes, not for what a head says.
    let mut payload = Vec::with_capacity(length.min(PAYLOAD_BYTES_AT_ONCE) as usize);
    input.take(length).read_to_end(&mut payload)?;
    if payload.len() as u64 != length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((kind, payload)))
}

pub(crate) fn bad(what: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// The u32 at `offset`, which the caller has made sure of.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[offset + i]))
}

/// The u64 at `offset`, which the caller has made sure of.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[offset + i]))
}

/// Floats from little-endian bytes.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_sent() {
        for payload in [&b""[..], b"12345678", &[7; 60]] {
            let mut bytes = Vec::new();
            send(&mut bytes, Kind::Run, &[payload, b"end"]).unwrap();
            assert_eq!(bytes.len(), HEADER_BYTES + payload.len() + 3);
            let (kind, read) = read_frame(&mut bytes.as_slice()).unwrap().unwrap();
            assert_eq!((kind, read), (Kind::Run, [payload, b"end"].concat()));
        }
    }

    #[test]
    fn the_end_between_frames_is_no_error_and_inside_one_it_is() {
        assert!(read_frame(&mut &[][..]).unwrap().is_none());
        assert!(read_frame(&mut &[8, 0, 0][..]).is_err());
        assert!(read_frame(&mut &[8, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1][..]).is_err());
        assert!(read_frame(&mut &[0; 64][..]).is_err(), "kind 0 is unknown");
        let endless = Header { kind: Kind::Items, length: 1 << 50 }.to_bytes();
        assert!(read_frame(&mut &endless[..]).is_err(), "items that never come take no memory");
        assert!(read_frame(&mut &[8, 0, 0, 0, 65, 0, 0, 0, 0, 0, 0, 0].map(u8::from)[..]).is_err(), "too long");
    }
}
