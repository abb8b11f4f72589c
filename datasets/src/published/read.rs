//! A published part as it is read again, by miners, checkers and the validator itself: the file comes from somebody who may
//! wish us ill.
//!
//! It takes what [`table`](super::table) writes and nothing else: these columns, uncompressed, every value as it is. So a page
//! can't hold more than its bytes, and nothing is allocated beyond what the file's length or the rows' own shape allows. Labels and
//! answers are read at once; pictures are decoded when somebody asks for them, a few at a time. The reader is a crate of others: a
//! panic of its own is an error of the file here.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{ANSWERS, TableError, are_pictures, schema};
use crate::labelled::Placed;
use crate::{Images, Labelled, Logits};
use bytes::Bytes;
use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder, ImageError, Limits};
use parquet::basic::{Compression, Encoding, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};
use protocol::architecture::ImageShape;
use protocol::pixels::{Pixels, ReadPixels};
use std::fmt;
use std::io::{self, Cursor};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Inputs that are held in memory, or answers, may have this many bytes.
const HELD_BYTES_MAX: u64 = 4 << 30;
/// Inputs of so few bytes are decoded once and held.
const DECODED_AT_ONCE_BYTES: u64 = 16 << 20;
/// Rows whose encoded pictures are in memory at once.
const ROWS_AT_ONCE: usize = 16;
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

impl From<Part> for Labelled {
    fn from(Part { images, answers }: Part) -> Self {
        let Images { channels, height, width, pixels, labels, .. } = images;
        Self { shape: ImageShape { channels, height, width }, pixels: pixels.into(), labels, answers }
    }
}

/// Reads a part of a competition with such inputs and so many classes.
///
/// # Errors
/// When the file isn't what [`table`](super::table) writes for these, or is too large to be held.
pub fn read(file: impl Into<Bytes>, input: ImageShape, classes: usize) -> Result<Part, TableError> {
    let file = file.into();
    guarded(|| {
        let (pictures, labels, answers) = opened(SerializedFileReader::new(file)?, input, classes, input.values())?;
        let pixels = pictures.decoded(0..labels.len())?;
        let (count, ImageShape { channels, height, width }) = (number(labels.len()), input);
        let images = Images { count, channels, height, width, pixels, labels };
        images.validate()?;
        Ok(Part { images, answers })
    })
}

/// Opens a part: its pictures are decoded when they are asked for.
pub(crate) fn open(file: Placed, input: ImageShape, classes: usize) -> Result<Labelled, TableError> {
    guarded(|| {
        let (pictures, labels, answers) = opened(SerializedFileReader::new(file)?, input, classes, 0)?;
        let few = pictures.bytes() <= DECODED_AT_ONCE_BYTES;
        let pixels = if few { pictures.decoded(0..labels.len())?.into() } else { Pixels::of(pictures) };
        Ok(Labelled { shape: input, pixels, labels, answers })
    })
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
        answers(&reader, &groups(&reader, 0)?, column, |_| Trust::Own)?.ok_or(TableError::NoAnswers)
    })
}

/// What is read, whatever the reader does with damaged bytes.
fn guarded<T>(read: impl FnOnce() -> Result<T, TableError>) -> Result<T, TableError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(TableError::Damaged))
}

/// The pictures of a part with such inputs, its labels and its answers; of what is held of a row, `held` bytes are its picture.
type Opened<R> = (Pictures<R>, Vec<u16>, Option<Logits>);

fn opened<R: ChunkReader + 'static>(
    reader: SerializedFileReader<R>,
    input: ImageShape,
    classes: usize,
    held: u64,
) -> Result<Opened<R>, TableError> {
    let expected = SchemaDescriptor::new(schema(input.channels)?);
    let found = reader.metadata().file_metadata().schema_descr();
    if !found.columns().iter().map(described).eq(expected.columns().iter().map(described)) {
        return Err(TableError::Columns);
    }
    let groups = groups(&reader, held.max(4u64.saturating_mul(classes as u64)))?;
    // Where there are pictures, the column behind them says where one came from.
    let labels_at = if are_pictures(input.channels) { 2 } else { 1 };
    let labels = labels(&reader, &groups, labels_at, classes)?;
    let each = |rows: usize| Trust::Nobody { values_max: rows.saturating_mul(classes.max(1)) };
    let answers = answers(&reader, &groups, labels_at.saturating_add(1), each)?;
    if let Some(found) = answers.as_ref().map(|answers| answers.classes as usize).filter(|found| *found != classes) {
        return Err(TableError::Classes { found, classes });
    }
    Ok((Pictures { reader, input, groups }, labels, answers))
}

/// What a reader has to know of a column: its place, its type, and at which levels its values are.
fn described(column: &ColumnDescPtr) -> (&[String], Type, i16, i16) {
    (column.path().parts(), column.physical_type(), column.max_def_level(), column.max_rep_level())
}

fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The rows of each group of a file, of which so many bytes each are held.
fn groups<R: ChunkReader + 'static>(
    reader: &SerializedFileReader<R>,
    row_bytes: u64,
) -> Result<Vec<Range<usize>>, TableError> {
    let found = reader.metadata().file_metadata().num_rows();
    let rows = u32::try_from(found).ok().filter(|rows| *rows > 0).ok_or(TableError::Rows { found })?;
    let bytes = u64::from(rows).saturating_mul(row_bytes);
    if bytes > HELD_BYTES_MAX {
        return Err(TableError::TooLarge { bytes, most: HELD_BYTES_MAX });
    }
    let (mut groups, mut first) = (Vec::new(), 0usize);
    for group in reader.metadata().row_groups() {
        let rows = usize::try_from(group.num_rows()).map_err(|_| TableError::Damaged)?;
        let end = first.saturating_add(rows);
        groups.push(first..end);
        first = end;
    }
    if first == rows as usize { Ok(groups) } else { Err(TableError::Damaged) }
}

/// Whose file it is.
#[derive(Clone, Copy)]
enum Trust {
    /// The reader's own: however it is written.
    Own,
    /// Nobody's: as we write it, with so many values at most.
    Nobody { values_max: usize },
}

/// A column of a row group, to be read on.
fn column<R: ChunkReader + 'static, T: DataType>(
    reader: &SerializedFileReader<R>,
    group: usize,
    column: usize,
    trust: Trust,
) -> Result<ColumnReaderImpl<T>, TableError> {
    let described = reader.metadata().file_metadata().schema_descr().column(column);
    if described.physical_type() != T::get_physical_type() {
        return Err(TableError::Columns);
    }
    let group = reader.get_row_group(group)?;
    let pages = group.get_column_page_reader(column)?;
    let pages: Box<dyn PageReader> = match trust {
        Trust::Own => pages,
        Trust::Nobody { .. } if group.metadata().column(column).compression() != Compression::UNCOMPRESSED => {
            return Err(TableError::Otherwise);
        }
        Trust::Nobody { values_max } => Box::new(Plain { pages, left: values_max }),
    };
    Ok(ColumnReaderImpl::new(described, pages))
}

/// Values of a column, with the levels at which they are defined and repeated.
struct Values<T: DataType> {
    values: Vec<T::T>,
    defined: Vec<i16>,
    repeated: Vec<i16>,
    /// The level at which a value is there.
    full: i16,
}

impl<T: DataType> Values<T> {
    /// The next rows.
    fn next(column: &mut ColumnReaderImpl<T>, full: i16, rows: usize) -> Result<Self, TableError> {
        let mut read = Self { values: Vec::new(), defined: Vec::new(), repeated: Vec::new(), full };
        let (defined, repeated) = (Some(&mut read.defined), Some(&mut read.repeated));
        let (records, _, _) = column.read_records(rows, defined, repeated, &mut read.values)?;
        if records == rows { Ok(read) } else { Err(TableError::Damaged) }
    }

    /// A value of each row.
    fn all(self, what: &'static str, rows: usize) -> Result<Vec<T::T>, TableError> {
        match self.values.len() == rows && self.defined.iter().all(|level| *level == self.full) {
            true => Ok(self.values),
            false => Err(TableError::Missing { what }),
        }
    }
}

fn full_level<R: ChunkReader + 'static>(reader: &SerializedFileReader<R>, column: usize) -> i16 {
    reader.metadata().file_metadata().schema_descr().column(column).max_def_level()
}

fn labels<R: ChunkReader + 'static>(
    reader: &SerializedFileReader<R>,
    groups: &[Range<usize>],
    place: usize,
    classes: usize,
) -> Result<Vec<u16>, TableError> {
    let (mut labels, full) = (Vec::new(), full_level(reader, place));
    for (group, rows) in groups.iter().enumerate() {
        let trust = Trust::Nobody { values_max: rows.len() };
        let mut column = column::<_, Int64Type>(reader, group, place, trust)?;
        let found = Values::next(&mut column, full, rows.len())?.all("label", rows.len())?;
        for (row, label) in rows.clone().zip(found) {
            let known = u16::try_from(label).ok().filter(|label| usize::from(*label) < classes);
            let unknown = || TableError::Row { row, problem: format!("its label is {label} of {classes} classes") };
            labels.push(known.ok_or_else(unknown)?);
        }
    }
    Ok(labels)
}

/// A list of equal length in each row, or in none.
fn answers<R: ChunkReader + 'static>(
    reader: &SerializedFileReader<R>,
    groups: &[Range<usize>],
    place: usize,
    trust: impl Fn(usize) -> Trust,
) -> Result<Option<Logits>, TableError> {
    let (mut values, mut width, full) = (Vec::new(), None, full_level(reader, place));
    let mut count = 0usize;
    for (group, rows) in groups.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
        let mut column = column::<_, FloatType>(reader, group, place, trust(rows.len()))?;
        let (found, more) = lists(Values::next(&mut column, full, rows.len())?, rows.len())?;
        if *width.get_or_insert(found) != found {
            return Err(MISSING_ANSWER);
        }
        values.extend(more);
        count = count.saturating_add(rows.len());
    }
    let Some(classes) = width.filter(|classes| *classes > 0) else { return Ok(None) };
    let logits = Logits { count: number(count), classes: number(classes), values };
    logits.validate()?;
    Ok(Some(logits))
}

const MISSING_ANSWER: TableError = TableError::Missing { what: "answer of as many logits" };

/// How many values each row of a group has, which may be none in all of them, and these.
fn lists(read: Values<FloatType>, rows: usize) -> Result<(usize, Vec<f32>), TableError> {
    if read.values.is_empty() && read.defined.len() == rows && read.repeated.iter().all(|level| *level == 0) {
        return Ok((0, Vec::new()));
    }
    let classes = read.values.len().checked_div(rows).unwrap_or(0);
    let begins = |place: usize| place.checked_rem(classes) == Some(0);
    let whole = read.repeated.iter().enumerate().all(|(place, level)| (*level == 0) == begins(place));
    let there = read.defined.iter().all(|level| *level == read.full);
    match classes > 0 && classes.checked_mul(rows) == Some(read.repeated.len()) && whole && there {
        true => Ok((classes, read.values)),
        false => Err(MISSING_ANSWER),
    }
}

/// Pictures in a file, or what stands for them, to be decoded.
struct Pictures<R: ChunkReader> {
    reader: SerializedFileReader<R>,
    input: ImageShape,
    /// The rows of each row group.
    groups: Vec<Range<usize>>,
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
    fn decoded(&self, rows: Range<usize>) -> Result<Vec<u8>, TableError> {
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
