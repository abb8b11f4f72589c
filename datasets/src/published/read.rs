//! A published part as it is read again, by miners, checkers and the validator itself: the file comes from somebody who may
//! wish us ill.
//!
//! It takes what [`table`](super::table) writes and nothing else: these columns, uncompressed, every value as it is. So a page
//! can't hold more than its bytes, and nothing is allocated beyond what the file's length or the rows' own shape allows. Labels and
//! answers are read at once; pictures are decoded when somebody asks for them, a few at a time. The reader is a crate of others: a
//! panic of its own is an error of the file here.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::columns::{Trust, Values, column, full_level, guarded};
use super::pictures::Pictures;
use super::{ANSWERS, TableError, are_pictures, schema};
use crate::labelled::Placed;
use crate::{Images, Labelled, Logits};
use bytes::Bytes;
use parquet::basic::Type;
use parquet::data_type::{FloatType, Int64Type};
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};
use protocol::architecture::ImageShape;
use protocol::pixels::{Pixels, ReadPixels};
use std::ops::Range;

/// Inputs that are held in memory, or answers, may have this many bytes.
const HELD_BYTES_MAX: u64 = 4 << 30;
/// Inputs of so few bytes are decoded once and held.
const DECODED_AT_ONCE_BYTES: u64 = 16 << 20;
/// A part that was read, or is to be written: some items with what their teacher answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Labelled inputs.
    pub images: Images,
    /// The teacher's answers, where it was asked.
    pub answers: Option<Logits>,
}

impl Part {
    /// The items at `indices`, in that order, with their answers.
    ///
    /// # Panics
    /// When an index is out of range, which is a bug in the caller.
    pub fn select(&self, indices: &[u32]) -> Part {
        Part {
            images: self.images.select(indices),
            answers: self.answers.as_ref().map(|answers| answers.select(indices)),
        }
    }

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
