//! Where the pixels of items come from: memory, a file, or some of these behind one another. Whoever goes through them asks for a
//! block at a time, so that nobody holds them all.
//!
//! It opens nothing and doesn't know what pixels show, nor how they are encoded where they lie.

use crate::Digest;
use crate::digest::Hasher;
use std::fmt::{self, Debug};
use std::io;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Bytes that are held at once of pixels that are gone through.
const BLOCK_BYTES: u64 = 8 << 20;

/// Whatever has pixels. Equal ranges give equal bytes.
pub trait ReadPixels: Debug + Send + Sync {
    /// How many bytes there are.
    fn bytes(&self) -> u64;

    /// Those in `range`, which is within them.
    ///
    /// # Errors
    /// When they can't be read where they lie: nobody's fault who is measured by them.
    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>>;

    /// The items at `indices`, in that order, of `item_bytes` each, where there is a better way to them than one after the other.
    fn selected(&self, _indices: &[u32], _item_bytes: u64) -> Option<Pixels> {
        None
    }

    /// A digest in the making, of all of them.
    ///
    /// # Errors
    /// As [`ReadPixels::read`].
    fn hashed(&self) -> io::Result<Hasher> {
        let mut hasher = Hasher::default();
        let mut start = 0;
        while start < self.bytes() {
            let end = self.bytes().min(start.saturating_add(BLOCK_BYTES));
            hasher.update(&self.read(start..end)?);
            start = end;
        }
        Ok(hasher)
    }
}

/// Pixels to be read, of which a copy costs nothing.
#[derive(Clone, Debug)]
pub struct Pixels {
    source: Arc<dyn ReadPixels>,
    /// What all of them come to, once somebody has gone through them.
    hashed: Arc<OnceLock<Hasher>>,
}

impl Pixels {
    /// Those that `source` has.
    pub fn of(source: impl ReadPixels + 'static) -> Self {
        Self { source: Arc::new(source), hashed: Arc::default() }
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> u64 {
        self.source.bytes()
    }

    /// Those in `range`, all of them.
    ///
    /// # Errors
    /// When they can't be read, or aren't there.
    pub fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let length = range.end.checked_sub(range.start).filter(|_| range.end <= self.bytes());
        let length = length.ok_or_else(|| io::Error::other(format!("{range:?} of {} pixels", self.bytes())))?;
        let read = self.source.read(range)?;
        if read.len() as u64 == length { Ok(read) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// All of them in blocks of a few megabytes and whole items of `item_bytes`.
    pub fn blocks(&self, item_bytes: u64) -> impl Iterator<Item = io::Result<Vec<u8>>> {
        let (each, end) = (item_bytes.max(1), self.bytes());
        let block = (BLOCK_BYTES / each).max(1).saturating_mul(each);
        let mut start = 0u64;
        std::iter::from_fn(move || {
            let range = start..end.min(start.saturating_add(block));
            start = range.end;
            (!range.is_empty()).then(|| self.read(range))
        })
    }

    /// The digest of all of them, for which they are read once.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn sha256(&self) -> io::Result<Digest> {
        self.hasher().map(Hasher::finish)
    }

    /// These in `range` alone, as far as they go.
    #[must_use]
    pub fn part(&self, range: Range<u64>) -> Self {
        let end = range.end.min(self.bytes());
        Self::of(Part { whole: self.clone(), range: range.start.min(end)..end })
    }

    /// The items at `indices`, in that order, of `item_bytes` each.
    #[must_use]
    pub fn select(&self, indices: Vec<u32>, item_bytes: u64) -> Self {
        let item_bytes = item_bytes.max(1);
        let selected = self.source.selected(&indices, item_bytes);
        selected.unwrap_or_else(|| Self::of(Selected { whole: self.clone(), indices, item_bytes }))
    }

    /// These, and then `more`.
    #[must_use]
    pub fn then(self, more: Self) -> Self {
        Self::of(Joined { first: self, second: more })
    }

    /// The digest in the making, kept: whatever comes behind others that are read often goes on from there.
    fn hasher(&self) -> io::Result<Hasher> {
        if let Some(hasher) = self.hashed.get() {
            return Ok(hasher.clone());
        }
        let hasher = self.source.hashed()?;
        Ok(self.hashed.get_or_init(|| hasher).clone())
    }
}

/// Pixels in memory.
impl From<Arc<[u8]>> for Pixels {
    fn from(pixels: Arc<[u8]>) -> Self {
        Self::of(Held(pixels))
    }
}

impl From<Vec<u8>> for Pixels {
    fn from(pixels: Vec<u8>) -> Self {
        Self::of(Held(pixels))
    }
}

struct Held<T>(T);

impl<T: AsRef<[u8]>> Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.as_ref().len())
    }
}

impl<T: AsRef<[u8]> + Send + Sync> ReadPixels for Held<T> {
    fn bytes(&self) -> u64 {
        self.0.as_ref().len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let place = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
        Ok(self.0.as_ref().get(place(range.start)..place(range.end)).unwrap_or_default().to_vec())
    }
}

#[derive(Debug)]
struct Part {
    whole: Pixels,
    range: Range<u64>,
}

impl ReadPixels for Part {
    fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.whole.read(self.range.start + range.start..self.range.start + range.end)
    }
}

#[derive(Debug)]
struct Selected {
    whole: Pixels,
    indices: Vec<u32>,
    item_bytes: u64,
}

impl ReadPixels for Selected {
    fn bytes(&self) -> u64 {
        self.item_bytes.saturating_mul(self.indices.len() as u64)
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let (mut read, each) = (Vec::new(), self.item_bytes);
        let (first, end) = (range.start / each, range.end.div_ceil(each));
        for place in first..end {
            let index = usize::try_from(place).ok().and_then(|place| self.indices.get(place));
            let there = u64::from(*index.ok_or(io::ErrorKind::UnexpectedEof)?) * each;
            // As much of the item as is asked for.
            let (from, to) =
                (range.start.max(place * each) - place * each, range.end.min((place + 1) * each) - place * each);
            read.extend(self.whole.read(there + from..there + to)?);
        }
        Ok(read)
    }
}

#[derive(Debug)]
struct Joined {
    first: Pixels,
    second: Pixels,
}

impl ReadPixels for Joined {
    fn bytes(&self) -> u64 {
        self.first.bytes().saturating_add(self.second.bytes())
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let between = self.first.bytes();
        let mut read = match range.start < between {
            true => self.first.read(range.start..range.end.min(between))?,
            false => Vec::new(),
        };
        if range.end > between {
            read.extend(self.second.read(range.start.saturating_sub(between)..range.end - between)?);
        }
        Ok(read)
    }

    fn hashed(&self) -> io::Result<Hasher> {
        let mut hasher = self.first.hasher()?;
        self.second.blocks(1).try_for_each(|block| block.map(|block| hasher.update(&block)))?;
        Ok(hasher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// So many zeros, and how many were read.
    #[derive(Debug)]
    struct Counted(u64, Arc<AtomicU64>);

    impl ReadPixels for Counted {
        fn bytes(&self) -> u64 {
            self.0
        }

        fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
            self.1.fetch_add(range.end - range.start, Ordering::Relaxed);
            Ok(vec![0; (range.end - range.start) as usize])
        }
    }

    #[test]
    fn parts_and_what_is_joined_are_read_as_if_they_lay_together() {
        let all: Vec<u8> = (0..100).collect();
        let held = Pixels::from(all.clone());
        let joined = held.part(0..30).then(held.part(30..31)).then(held.part(31..1_000));
        for (start, end) in (0..100u64).flat_map(|start| (start..=100).map(move |end| (start, end))) {
            assert_eq!(joined.read(start..end).unwrap(), all[start as usize..end as usize], "{start}..{end}");
        }
        assert_eq!((joined.bytes(), joined.sha256().unwrap()), (100, Digest::of(&all)));
        assert!(joined.read(99..101).is_err() && held.part(10..20).read(9..11).is_err());
        assert_eq!((held.part(200..300).bytes(), held.part(0..0).sha256().unwrap()), (0, Digest::of(b"")));
    }

    #[test]
    fn items_that_are_selected_are_read_in_their_new_order() {
        let held = Pixels::from((0..30).collect::<Vec<u8>>());
        let selected = held.select(vec![9, 0, 4, 0], 3);
        let all = [27, 28, 29, 0, 1, 2, 12, 13, 14, 0, 1, 2];
        for (start, end) in (0..12u64).flat_map(|start| (start..=12).map(move |end| (start, end))) {
            assert_eq!(selected.read(start..end).unwrap(), all[start as usize..end as usize], "{start}..{end}");
        }
        assert!(selected.read(0..13).is_err() && held.select(vec![10], 3).read(0..3).is_err());
    }

    #[test]
    fn blocks_are_whole_items_and_never_all_of_them() {
        let read = Arc::new(AtomicU64::new(0));
        let pixels = Pixels::of(Counted(600 * 3 * 224 * 224, Arc::clone(&read)));
        let mut blocks = pixels.blocks(3 * 224 * 224).map(|block| block.unwrap().len() as u64);
        let first = blocks.next().unwrap();
        assert!(first <= BLOCK_BYTES && first.is_multiple_of(3 * 224 * 224));
        assert_eq!(read.load(Ordering::Relaxed), first, "nobody asked for more");
        assert_eq!(first + blocks.sum::<u64>(), pixels.bytes());
    }

    #[test]
    fn what_lies_before_others_is_hashed_once() {
        let read = Arc::new(AtomicU64::new(0));
        let first = Pixels::of(Counted(1_000, Arc::clone(&read)));
        for more in 1..4u8 {
            let digest = first.clone().then(vec![more; 3].into()).sha256().unwrap();
            assert_eq!(digest, Digest::of(&[vec![0; 1_000], vec![more; 3]].concat()));
        }
        assert_eq!(read.load(Ordering::Relaxed), 1_000);
    }
}
