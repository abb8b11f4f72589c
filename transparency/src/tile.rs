//! Tiles as C2SP tlog-tiles names and fills them: which there are, what they are called, and what their bytes hold.
//!
//! Paths and bytes come from anyone, so both are parsed strictly: one path for one tile, one encoding for one bundle.
//! It does NOT know where tiles are kept or whether their hashes are right.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::entry::ENTRY_BYTES_MAX;
use crate::merkle::{Hash, TILE_HEIGHT, TILE_WIDTH, TREE_SIZE_MAX};
use std::fmt;

/// A checkpoint with 16 signatures, the most that a witnessed one has here, is far smaller.
pub const CHECKPOINT_BYTES_MAX: usize = 64 * 1024;
/// A full bundle of the largest entries, each with its two bytes of length.
pub const BUNDLE_BYTES_MAX: usize = TILE_WIDTH * (2 + ENTRY_BYTES_MAX);
/// The longest path of a tile in a tree of [`TREE_SIZE_MAX`] leaves has 38 characters.
const PATH_BYTES_MAX: usize = 64;

/// Where a tile lies: `width` hashes of one level from `index * 256` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// Level 0 has the leaves' hashes; each hash of a level above is the root of a full tile below.
    pub level: u32,
    /// Its number on that level.
    pub index: u64,
    /// 1 to 256; below 256 it is a partial tile.
    pub width: usize,
}

/// What a log serves, each under its own path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// The one that changes: `checkpoint`.
    Checkpoint,
    /// Hashes: `tile/<level>/<index>`, with `.p/<width>` if partial.
    Hashes(Tile),
    /// The entries whose hashes are in this tile of level 0: `tile/entries/<index>`.
    Entries(Tile),
}

/// Why bytes are not a tile or a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Cut off, or with bytes that don't belong to it.
    #[error("{found} bytes instead of {expected}")]
    Length {
        /// What its width implies, or how far its lengths reach.
        expected: usize,
        /// What there is.
        found: usize,
    },
    /// An entry that is longer than any may be.
    #[error("entry {number} of the bundle claims {bytes} bytes, more than {ENTRY_BYTES_MAX}")]
    EntryTooLong {
        /// Its number in the bundle.
        number: usize,
        /// The length claimed.
        bytes: usize,
    },
}

impl Tile {
    /// The tile with hash number `index` of `level`, in a tree of `size` leaves; `None` if there is no such hash.
    pub fn holding(level: u32, index: u64, size: u64) -> Option<Self> {
        let hashes = size.checked_shr(TILE_HEIGHT.checked_mul(level)?)?;
        let tile = index >> TILE_HEIGHT;
        let width = hashes.checked_sub(tile.checked_mul(TILE_WIDTH as u64)?)?.min(TILE_WIDTH as u64);
        (index < hashes).then_some(Self { level, index: tile, width: width as usize })
    }

    /// The partial tiles of a tree of `size` leaves, level 0 first.
    pub fn edge(size: u64) -> impl Iterator<Item = Self> {
        edge_widths(size).zip(0..).filter(|(width, _)| *width > 0).map(move |(width, level)| {
            let index = size.checked_shr(TILE_HEIGHT.saturating_mul(level)).unwrap_or_default() >> TILE_HEIGHT;
            Self { level, index, width }
        })
    }

    /// Whether it is a full tile.
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The full tile at the same place.
    pub fn full(self) -> Self {
        Self { width: TILE_WIDTH, ..self }
    }

    /// Whether a tree of `size` leaves has all its hashes.
    pub fn lies_in(&self, size: u64) -> bool {
        let end = self.index.checked_mul(TILE_WIDTH as u64).and_then(|start| start.checked_add(self.width as u64));
        let hashes = size.checked_shr(TILE_HEIGHT.saturating_mul(self.level)).unwrap_or(0);
        end.is_some_and(|end| end <= hashes)
    }
}

impl Resource {
    /// The resource at this path; `None` unless it is exactly how the path is written.
    pub fn parse(path: &str) -> Option<Self> {
        if path.len() > PATH_BYTES_MAX {
            return None;
        }
        let resource = match path.strip_prefix("tile/") {
            None => Self::Checkpoint,
            Some(rest) => {
                let (kind, rest) = rest.split_once('/')?;
                let (number, width) = match rest.split_once(".p/") {
                    Some((number, width)) => {
                        (number, width.parse().ok().filter(|width| (1..TILE_WIDTH).contains(width))?)
                    }
                    None => (rest, TILE_WIDTH),
                };
                let index = parse_number(number)?;
                match kind {
                    "entries" => Self::Entries(Tile { level: 0, index, width }),
                    level => {
                        Self::Hashes(Tile { level: level.parse().ok().filter(|level| *level < 64)?, index, width })
                    }
                }
            }
        };
        // Whatever was lenient above shows here.
        (resource.to_string() == path).then_some(resource)
    }

    /// More bytes than this are not read.
    pub fn bytes_max(&self) -> usize {
        match self {
            Self::Checkpoint => CHECKPOINT_BYTES_MAX,
            Self::Hashes(tile) => tile.width.saturating_mul(size_of::<Hash>()),
            Self::Entries(_) => BUNDLE_BYTES_MAX,
        }
    }

    /// The media type to serve it with.
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Checkpoint => "text/plain; charset=utf-8",
            Self::Hashes(_) | Self::Entries(_) => "application/octet-stream",
        }
    }

    /// Whether a log of `size` entries promises it.
    pub fn lies_in(&self, size: u64) -> bool {
        match self {
            Self::Checkpoint => true,
            Self::Hashes(tile) | Self::Entries(tile) => tile.lies_in(size),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tile = match self {
            Self::Checkpoint => return f.write_str("checkpoint"),
            Self::Hashes(tile) => {
                write!(f, "tile/{}/", tile.level)?;
                tile
            }
            Self::Entries(tile) => {
                f.write_str("tile/entries/")?;
                tile
            }
        };
        write_number(f, tile.index)?;
        if tile.is_full() { Ok(()) } else { write!(f, ".p/{}", tile.width) }
    }
}

/// Groups of three digits, all but the last behind an `x`.
fn write_number(f: &mut fmt::Formatter<'_>, number: u64) -> fmt::Result {
    let mut groups = vec![number % 1000];
    let mut rest = number / 1000;
    while rest > 0 {
        groups.push(rest % 1000);
        rest /= 1000;
    }
    while groups.len() > 1 {
        write!(f, "x{:03}/", groups.pop().unwrap_or_default())?;
    }
    write!(f, "{:03}", groups.pop().unwrap_or_default())
}

/// Lenient: the caller compares with what [`write_number`] writes.
fn parse_number(text: &str) -> Option<u64> {
    let number = text.split('/').try_fold(0u64, |number, group| {
        let group: u64 = group.trim_start_matches('x').parse().ok()?;
        number.checked_mul(1000)?.checked_add(group)
    })?;
    (number < TREE_SIZE_MAX).then_some(number)
}

/// The widths of the partial tiles of a tree, level 0 first, 0 where there is none.
pub fn edge_widths(size: u64) -> impl Iterator<Item = usize> {
    let levels = size.checked_ilog2().map_or(0, |height| (height / TILE_HEIGHT).saturating_add(1));
    (0..levels)
        .map(move |level| size.checked_shr(TILE_HEIGHT.saturating_mul(level)).unwrap_or_default() as usize % TILE_WIDTH)
}

/// The bytes of a tile.
pub fn encode_hashes(hashes: &[Hash]) -> Vec<u8> {
    hashes.as_flattened().to_vec()
}

/// The hashes of a tile with this many.
pub fn decode_hashes(bytes: &[u8], width: usize) -> Result<Vec<Hash>, TileError> {
    let expected = width.saturating_mul(size_of::<Hash>());
    if bytes.len() != expected {
        return Err(TileError::Length { expected, found: bytes.len() });
    }
    Ok(bytes.as_chunks().0.to_vec())
}

/// The bytes of a bundle: each entry behind its length, two bytes big-endian.
pub fn encode_entries<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.len()).expect("at most ENTRY_BYTES_MAX bytes, because Entry has no more");
        bytes.extend(length.to_be_bytes());
        bytes.extend(entry);
    }
    bytes
}

/// The entries of a bundle with this many.
pub fn decode_entries(bytes: &[u8], width: usize) -> Result<Vec<&[u8]>, TileError> {
    let mut rest = bytes;
    let mut entries = Vec::with_capacity(width.min(TILE_WIDTH));
    for number in 0..width {
        let read = bytes.len().saturating_sub(rest.len());
        let reaches = |length: usize| read.saturating_add(2).saturating_add(length);
        let cut = |length: usize| TileError::Length { expected: reaches(length), found: bytes.len() };
        let (length, tail) = rest.split_first_chunk().ok_or(cut(0))?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length > ENTRY_BYTES_MAX {
            return Err(TileError::EntryTooLong { number, bytes: length });
        }
        let (entry, tail) = tail.split_at_checked(length).ok_or(cut(length))?;
        entries.push(entry);
        rest = tail;
    }
    match rest.len() {
        0 => Ok(entries),
        extra => Err(TileError::Length { expected: bytes.len().saturating_sub(extra), found: bytes.len() }),
    }
}
