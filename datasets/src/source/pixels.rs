//! Pixels of rows, made of their pictures whenever somebody asks for them: one block of them at a time lies in a file without a name,
//! so that however many there are need no more room than that.
//!
//! For each block it goes through its rows in their source. It knows neither labels nor what the items are for.

use super::{Part, RowsIn, SourceError, input, number};
use crate::labelled::Placed;
use protocol::architecture::ImageShape;
use protocol::competition::PictureSpec;
use protocol::pixels::{Pixels, ReadPixels};
use std::fmt;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

/// Bytes of a block: 3,566 pictures of 3 x 224 x 224.
const BLOCK_BYTES: u64 = 512 << 20;

/// Rows of a source, of which each is an item.
pub(super) struct RowPixels {
    rows_in: RowsIn,
    shape: ImageShape,
    pictures: PictureSpec,
    /// The row of each item.
    rows: Vec<u64>,
    items_of_block: u64,
    /// The block that was read last, and which one it is.
    block: Mutex<Option<(u64, Placed)>>,
}

impl RowPixels {
    pub(super) fn new(part: &Part, rows: Vec<u64>, shape: ImageShape, pictures: PictureSpec) -> Self {
        let items_of_block = (BLOCK_BYTES / shape.values().max(1)).max(1);
        Self { rows_in: part.rows_in.unanswered(), shape, pictures, rows, items_of_block, block: Mutex::default() }
    }

    fn item_bytes(&self) -> u64 {
        self.shape.values().max(1)
    }

    /// Makes a block of its rows, in the order of the source, each put in its place.
    fn made(&self, block: u64) -> io::Result<Placed> {
        let first = block.saturating_mul(self.items_of_block);
        let of_block = self.rows.iter().copied().skip(first as usize).take(self.items_of_block as usize);
        let mut places: Vec<(u64, u64)> = of_block.zip(0..).collect();
        places.sort_unstable();
        let mut numbers: Vec<u64> = places.iter().map(|(row, _)| *row).collect();
        numbers.dedup();
        let file = tempfile::tempfile().map_err(|source| io::Error::other(SourceError::Spool { source }))?;
        let mut left = places.into_iter().peekable();
        for row in self.rows_in.at(&numbers) {
            let row = row.map_err(io::Error::other)?;
            let found = number(&row);
            let (_, planes) = row.and_then(|row| input(row, self.shape, self.pictures)).map_err(|row| {
                io::Error::other(format!("row {} ({}) was another before: {}", row.number, row.origin, row.problem))
            })?;
            while let Some((_, place)) = left.next_if(|(row, _)| *row == found) {
                file.write_all_at(&planes, place.saturating_mul(self.item_bytes()))?;
            }
            if left.peek().is_none() {
                break;
            }
        }
        match left.next() {
            None => Placed::new(file),
            Some((row, _)) => Err(io::Error::other(format!("row {row} isn't there any more"))),
        }
    }
}

impl ReadPixels for RowPixels {
    fn bytes(&self) -> u64 {
        self.item_bytes().saturating_mul(self.rows.len() as u64)
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let each = self.items_of_block.saturating_mul(self.item_bytes());
        let (mut kept, mut read) = (self.block.lock().unwrap_or_else(PoisonError::into_inner), Vec::new());
        let mut start = range.start;
        while start < range.end {
            let (block, first) = (start / each, start / each * each);
            let held = match kept.take().filter(|(number, _)| *number == block) {
                Some((_, held)) => held,
                // The one before is gone by now, with the room that it took.
                None => self.made(block)?,
            };
            let end = range.end.min(first.saturating_add(each));
            read.extend(held.read(start - first..end - first)?);
            *kept = Some((block, held));
            start = end;
        }
        Ok(read)
    }

    fn selected(&self, indices: &[u32], item_bytes: u64) -> Option<Pixels> {
        let rows = indices.iter().map(|index| self.rows.get(*index as usize).copied()).collect::<Option<Vec<u64>>>()?;
        let selected = Self { rows_in: self.rows_in.clone(), rows, block: Mutex::default(), ..*self };
        (item_bytes == self.item_bytes()).then(|| Pixels::of(selected))
    }
}

impl fmt::Debug for RowPixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pixels of {} rows", self.rows.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Source;
    use super::*;
    use crate::split::permutation;
    use crate::{load_digits, published};
    use protocol::Digest;
    use protocol::competition::RowSpec;

    #[test]
    fn rows_of_several_groups_are_made_again_in_any_order_a_block_at_a_time() {
        let digits = load_digits().unwrap();
        let names: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.parquet");
        std::fs::write(&path, published::table(&digits, &names, None).unwrap()).unwrap();
        let table = Source::Parquet(path).open(&RowSpec::default()).unwrap();
        let shape = ImageShape { channels: 1, height: 8, width: 8 };
        let rows = (0..digits.count.into()).collect();
        let mut pixels = RowPixels::new(table.part("train").unwrap(), rows, shape, PictureSpec::default());
        pixels.items_of_block = 100;
        let whole = Pixels::of(pixels);
        assert_eq!(whole.sha256().unwrap(), Digest::of(&digits.pixels));
        let order = permutation(&[7; 32], digits.count);
        let selected = whole.select(order.clone(), 64);
        assert_eq!(selected.sha256().unwrap(), Digest::of(&digits.select(&order).pixels));
        let few = [1_500, 3, 3, 250];
        let twice: Vec<u32> = few.iter().map(|index| order[*index as usize]).collect();
        assert_eq!(selected.select(few.to_vec(), 64).read(0..256).unwrap(), digits.select(&twice).pixels);
        assert_eq!(whole.read(63..65).unwrap(), digits.pixels[63..65]);
        assert!(whole.select(vec![2_000], 64).read(0..64).is_err());
    }
}
