//! Pictures of a published part, which are decoded when somebody asks for them, a few at a time, or the bytes that stand for them.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::columns::{Trust, Values, column, full_level, guarded};
use super::{TableError, are_pictures};
use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder, ImageError, Limits};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::reader::{ChunkReader, SerializedFileReader};
use protocol::architecture::ImageShape;
use protocol::pixels::ReadPixels;
use std::fmt;
use std::io::{self, Cursor};
use std::ops::Range;

/// Rows whose encoded pictures are in memory at once.
const ROWS_AT_ONCE: usize = 16;
/// What a decoder may need beside a picture itself.
const DECODER_BYTES: u64 = 16 << 20;

/// Pictures in a file, or what stands for them, to be decoded.
pub(super) struct Pictures<R: ChunkReader> {
    pub(super) reader: SerializedFileReader<R>,
    pub(super) input: ImageShape,
    /// The rows of each row group.
    pub(super) groups: Vec<Range<usize>>,
}

impl<R: ChunkReader> fmt::Debug for Pictures<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pictures of {:?}", self.groups.last())
    }
}

impl<R: ChunkReader + 'static> Pictures<R> {
    fn rows(&self) -> usize {
        self.groups.last().map_or(0, |group| group.end)
    }

    /// The pixels of these rows.
    pub(super) fn decoded(&self, rows: Range<usize>) -> Result<Vec<u8>, TableError> {
        let mut pixels = Vec::new();
        for (number, group) in self.groups.iter().enumerate() {
            let wanted = rows.start.max(group.start)..rows.end.min(group.end);
            if !wanted.is_empty() {
                self.of_group(number, group, wanted, &mut pixels)?;
            }
        }
        Ok(pixels)
    }

    fn of_group(
        &self,
        number: usize,
        group: &Range<usize>,
        rows: Range<usize>,
        pixels: &mut Vec<u8>,
    ) -> Result<(), TableError> {
        let (item_bytes, pictures) = (self.input.values(), are_pictures(self.input.channels));
        let (trust, full) = (Trust::Nobody { values_max: group.len() }, full_level(&self.reader, 0));
        let mut column = column::<_, ByteArrayType>(&self.reader, number, 0, trust)?;
        let before = rows.start.saturating_sub(group.start);
        if column.skip_records(before)? != before {
            return Err(TableError::Damaged);
        }
        let mut row = rows.start;
        while row < rows.end {
            let count = rows.end.saturating_sub(row).min(ROWS_AT_ONCE);
            for bytes in Values::next(&mut column, full, count)?.all("picture", count)? {
                let read = if pictures { decoded(&bytes, self.input, pixels) } else { raw(&bytes, item_bytes, pixels) };
                read.map_err(|problem| TableError::Row { row, problem })?;
                row = row.saturating_add(1);
            }
        }
        Ok(())
    }
}

impl<R: ChunkReader + 'static> ReadPixels for Pictures<R> {
    fn bytes(&self) -> u64 {
        self.input.values().saturating_mul(self.rows() as u64)
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let item = self.input.values().max(1);
        let row = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
        let rows = row(range.start.div_euclid(item))..row(range.end.div_ceil(item));
        let mut pixels = guarded(|| self.decoded(rows)).map_err(io::Error::other)?;
        let (before, length) = (range.start.rem_euclid(item), range.end.saturating_sub(range.start));
        pixels.drain(..row(before).min(pixels.len()));
        pixels.truncate(row(length));
        Ok(pixels)
    }
}

/// The planes of a PNG of exactly this shape.
fn decoded(bytes: &ByteArray, shape: ImageShape, pixels: &mut Vec<u8>) -> Result<(), String> {
    let refused = |error: ImageError| format!("its picture can't be read: {error}");
    let item_bytes = usize::try_from(shape.values()).unwrap_or(usize::MAX);
    let mut limits = Limits::default();
    limits.max_alloc = Some(shape.values().saturating_add(DECODER_BYTES));
    let decoder = PngDecoder::with_limits(Cursor::new(bytes.data()), limits).map_err(refused)?;
    let colour = if shape.channels == 1 { ColorType::L8 } else { ColorType::Rgb8 };
    let (width, height) = decoder.dimensions();
    if (decoder.color_type(), width, height) != (colour, shape.width, shape.height) {
        return Err(format!("its picture is {width}x{height} of {:?}", decoder.color_type()));
    }
    let mut interleaved = vec![0; item_bytes];
    decoder.read_image(&mut interleaved).map_err(refused)?;
    let (colours, grey) = if shape.channels == 3 { interleaved.as_chunks::<3>() } else { (&[][..], &interleaved[..]) };
    pixels.extend_from_slice(grey);
    for plane in 0..3 {
        pixels.extend(colours.iter().filter_map(|colour| colour.get(plane)));
    }
    Ok(())
}

/// The planes as they are.
fn raw(bytes: &ByteArray, item_bytes: u64, pixels: &mut Vec<u8>) -> Result<(), String> {
    if bytes.len() as u64 != item_bytes {
        return Err(format!("it has {} values instead of {item_bytes}", bytes.len()));
    }
    pixels.extend_from_slice(bytes.data());
    Ok(())
}
