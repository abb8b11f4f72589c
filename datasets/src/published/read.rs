//! A published part as it is read again, by miners, checkers and the validator itself: the file comes from somebody who may
//! wish us ill.
//!
//! It takes what [`table`](super::table) writes and nothing else: these columns, uncompressed, every value as it is. So a page
//! can't hold more than its bytes, and nothing is allocated beyond what the file's length or the rows' own shape allows. The
//! reader is a crate of others: a panic of its own is an error of the file here.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{ANSWERS, TableError, are_pictures, schema};
use crate::{Images, Logits};
use bytes::Bytes;
use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder, ImageError, Limits};
use parquet::basic::{Compression, Encoding, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};
use protocol::architecture::ImageShape;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Inputs of a part, or answers to it, may have this many bytes: they are held in memory.
const PART_BYTES_MAX: u64 = 4 << 30;
/// What a decoder may need beside a picture itself.
const DECODER_BYTES: u64 = 16 << 20;

/// A part that was read, or is to be written: some items with what their teacher answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Labelled inputs.
    pub images: Images,
    /// The teacher's answers, where it was asked.
    pub answers: Option<Logits>,
}

impl Part {
    /// The inputs with the answers, which a public part has.
    ///
    /// # Errors
    /// When there are none.
    pub fn answered(self) -> Result<(Images, Logits), TableError> {
        self.answers.map(|answers| (self.images, answers)).ok_or(TableError::NoAnswers)
    }
}

/// Reads a part of a competition with such inputs and so many classes.
///
/// # Errors
/// When the file isn't what [`table`](super::table) writes for these, or is too large.
pub fn read(file: impl Into<Bytes>, input: ImageShape, classes: usize) -> Result<Part, TableError> {
    let file = file.into();
    guarded(|| read_part(file, input, classes))
}

/// Reads answers alone, as a publisher has them: a column `teacher_logits` with a list of f32 in each row, equally many.
///
/// # Errors
/// When there is no such column, a row has no answer, or too many.
pub fn read_answers(file: impl Into<Bytes>) -> Result<Logits, TableError> {
    let file = file.into();
    guarded(|| {
        let reader = SerializedFileReader::new(file)?;
        let columns = reader.metadata().file_metadata().schema_descr().columns();
        let is_answers = |path: &[String]| path.first().is_some_and(|name| name == ANSWERS);
        let column = columns.iter().position(|column| is_answers(column.path().parts())).ok_or(TableError::Columns)?;
        let rows = rows(&reader, 0)?;
        answers(&Column::<FloatType>::read(&reader, column, Trust::Own)?, rows)?.ok_or(TableError::NoAnswers)
    })
}

/// What is read, whatever the reader does with damaged bytes.
fn guarded<T>(read: impl FnOnce() -> Result<T, TableError>) -> Result<T, TableError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(TableError::Damaged))
}

fn read_part(file: Bytes, input: ImageShape, classes: usize) -> Result<Part, TableError> {
    let reader = SerializedFileReader::new(file)?;
    let expected = SchemaDescriptor::new(schema(input.channels)?);
    let found = reader.metadata().file_metadata().schema_descr();
    if !found.columns().iter().map(described).eq(expected.columns().iter().map(described)) {
        return Err(TableError::Columns);
    }
    let item_bytes = input.values();
    let count = rows(&reader, item_bytes.max(4u64.saturating_mul(classes as u64)))?;
    let pictures = are_pictures(input.channels);
    // Where there are pictures, the column behind them says where one came from.
    let labels_at = if pictures { 2 } else { 1 };
    let values = |most| Trust::Nobody { values_max: most };
    let encoded = Column::<ByteArrayType>::read(&reader, 0, values(count))?.all("picture", count)?;
    let mut pixels = Vec::new();
    for (row, bytes) in encoded.iter().enumerate() {
        let read = if pictures { decoded(bytes, input, &mut pixels) } else { raw(bytes, item_bytes, &mut pixels) };
        read.map_err(|problem| TableError::Row { row, problem })?;
    }
    let labels = Column::<Int64Type>::read(&reader, labels_at, values(count))?.all("label", count)?;
    let label = |(row, label): (usize, &i64)| {
        let known = u16::try_from(*label).ok().filter(|label| usize::from(*label) < classes);
        known.ok_or_else(|| TableError::Row { row, problem: format!("its label is {label} of {classes} classes") })
    };
    let labels = labels.iter().enumerate().map(label).collect::<Result<_, _>>()?;
    let most = count.saturating_mul(classes.max(1));
    let column = Column::<FloatType>::read(&reader, labels_at.saturating_add(1), values(most))?;
    let answers = answers(&column, count)?;
    if let Some(found) = answers.as_ref().map(|answers| answers.classes as usize).filter(|found| *found != classes) {
        return Err(TableError::Classes { found, classes });
    }
    let ImageShape { channels, height, width } = input;
    let images = Images { count: u32::try_from(count).unwrap_or(u32::MAX), channels, height, width, pixels, labels };
    images.validate()?;
    Ok(Part { images, answers })
}

/// What a reader has to know of a column: its place, its type, and at which levels its values are.
fn described(column: &ColumnDescPtr) -> (&[String], Type, i16, i16) {
    (column.path().parts(), column.physical_type(), column.max_def_level(), column.max_rep_level())
}

/// How many rows a file has, which are so many bytes each.
fn rows(reader: &SerializedFileReader<Bytes>, row_bytes: u64) -> Result<usize, TableError> {
    let found = reader.metadata().file_metadata().num_rows();
    let rows = u32::try_from(found).ok().filter(|rows| *rows > 0).ok_or(TableError::Rows { found })?;
    match u64::from(rows).saturating_mul(row_bytes) {
        bytes if bytes > PART_BYTES_MAX => Err(TableError::TooLarge { bytes, most: PART_BYTES_MAX }),
        _ => Ok(rows as usize),
    }
}

/// Whose file it is.
#[derive(Clone, Copy)]
enum Trust {
    /// The reader's own: however it is written.
    Own,
    /// Nobody's: as we write it, with so many values at most.
    Nobody { values_max: usize },
}

/// All values of a column, with the levels at which they are defined and repeated.
struct Column<T: DataType> {
    values: Vec<T::T>,
    defined: Vec<i16>,
    repeated: Vec<i16>,
    /// The level at which a value is there.
    full: i16,
}

impl<T: DataType> Column<T> {
    fn read(reader: &SerializedFileReader<Bytes>, column: usize, trust: Trust) -> Result<Self, TableError> {
        let described = reader.metadata().file_metadata().schema_descr().column(column);
        if described.physical_type() != T::get_physical_type() {
            return Err(TableError::Columns);
        }
        let full = described.max_def_level();
        let mut read = Self { values: Vec::new(), defined: Vec::new(), repeated: Vec::new(), full };
        let mut left = match trust {
            Trust::Own => usize::MAX,
            Trust::Nobody { values_max } => values_max,
        };
        for number in 0..reader.num_row_groups() {
            let group = reader.get_row_group(number)?;
            let rows = usize::try_from(group.metadata().num_rows()).map_err(|_| TableError::Damaged)?;
            let pages = group.get_column_page_reader(column)?;
            let pages: Box<dyn PageReader> = match trust {
                Trust::Own => pages,
                Trust::Nobody { .. } => {
                    let compression = group.metadata().column(column).compression();
                    if compression != Compression::UNCOMPRESSED || rows > left {
                        return Err(TableError::Otherwise);
                    }
                    Box::new(Plain { pages, left })
                }
            };
            let mut values = ColumnReaderImpl::<T>::new(described.clone(), pages);
            let (records, _, levels) =
                values.read_records(rows, Some(&mut read.defined), Some(&mut read.repeated), &mut read.values)?;
            if records != rows {
                return Err(TableError::Damaged);
            }
            left = left.saturating_sub(levels);
        }
        Ok(read)
    }

    /// A value of each row.
    fn all(self, what: &'static str, rows: usize) -> Result<Vec<T::T>, TableError> {
        match self.values.len() == rows && self.defined.iter().all(|level| *level == self.full) {
            true => Ok(self.values),
            false => Err(TableError::Missing { what }),
        }
    }
}

/// A list of equal length in each row, or in none.
fn answers(column: &Column<FloatType>, rows: usize) -> Result<Option<Logits>, TableError> {
    if column.values.is_empty() && column.defined.len() == rows && column.repeated.iter().all(|level| *level == 0) {
        return Ok(None);
    }
    let classes = column.values.len().checked_div(rows).unwrap_or(0);
    let begins = |place: usize| place.checked_rem(classes) == Some(0);
    let whole = column.repeated.iter().enumerate().all(|(place, level)| (*level == 0) == begins(place));
    let there = column.defined.iter().all(|level| *level == column.full);
    if classes == 0 || classes.checked_mul(rows) != Some(column.repeated.len()) || !whole || !there {
        return Err(TableError::Missing { what: "answer of as many logits" });
    }
    let number = |length| u32::try_from(length).unwrap_or(u32::MAX);
    let logits = Logits { count: number(rows), classes: number(classes), values: column.values.clone() };
    logits.validate()?;
    Ok(Some(logits))
}

/// The pages of a column as we write them: each value plain, none by a dictionary, and not more than there may be.
struct Plain {
    pages: Box<dyn PageReader>,
    left: usize,
}

impl PageReader for Plain {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        let Some(page) = self.pages.get_next_page()? else { return Ok(None) };
        let left = self.left.checked_sub(page.num_values() as usize);
        match (page.is_data_page() && page.encoding() == Encoding::PLAIN, left) {
            (true, Some(left)) => self.left = left,
            _ => return Err(ParquetError::General("a page is written otherwise than retort does".to_owned())),
        }
        Ok(Some(page))
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.pages.skip_next_page()
    }
}

impl Iterator for Plain {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
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
    let channels = shape.channels as usize;
    for plane in 0..channels {
        pixels.extend(interleaved.iter().skip(plane).step_by(channels));
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
