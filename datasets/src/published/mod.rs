//! A part as it is published: one Parquet file as Hugging Face's `datasets` writes it, so that `load_dataset`, pandas, polars
//! and DuckDB read what a validator publishes; [`read`] is how we read it ourselves.
//!
//! Columns: `image` (a PNG, in a group of `bytes` and `path`), `label` (a number; names are in the schema's metadata), and
//! `teacher_logits` (one f32 a class, null where the teacher wasn't asked: parts of one data set have equal columns). Inputs of
//! other than one plane or three are no pictures: `pixels` instead of `image` has their bytes, plane by plane. Equal parts give
//! equal bytes. It knows no competition.

mod columns;
mod pictures;
mod read;

pub(crate) use read::open;
pub use read::{Part, read, read_answers};

use crate::{FormatError, Images, Labelled, Logits};
use bytes::Bytes;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageError};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::TypePtr;
use protocol::architecture::ImageShape;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

/// Planes of what can be a picture: grey, or colours.
const PICTURES: [u32; 2] = [1, 3];
/// The column of the teacher's answers.
const ANSWERS: &str = "teacher_logits";
/// Columns as pyarrow writes them.
const PICTURE_COLUMNS: &str = "optional group image { optional binary bytes; optional binary path (STRING); }
    optional int64 label;";
/// The same of inputs that are no pictures.
const PIXEL_COLUMNS: &str = "optional binary pixels; optional int64 label;";
/// What is behind both, or alone.
const ANSWER_COLUMN: &str = "optional group teacher_logits (LIST) { repeated group list { optional float element; } }";
/// Rows of a row group: what a writer holds at once.
const ROWS: usize = 1_000;
/// Inputs of a row group, unless one alone is larger. Of small pictures there are as many as rows.
const ROWS_BYTES: u64 = 16 << 20;

/// Why a part can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// There must be an answer to each image, or a label.
    #[error("{what} of {found} items beside {images} images")]
    Length {
        /// Labels or answers.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        images: usize,
    },
    /// There must be a logit for each class.
    #[error("{found} logits an answer beside {classes} classes")]
    Classes {
        /// How many there are.
        found: usize,
        /// How many there should be.
        classes: usize,
    },
    /// Other columns than a part of this competition has.
    #[error("its columns aren't `image` (or `pixels`), `label` and `teacher_logits` as retort writes them")]
    Columns,
    /// No rows, or more than anybody has.
    #[error("it says that it has {found} rows")]
    Rows {
        /// What it says.
        found: i64,
    },
    /// More than is held in memory.
    #[error("its rows are {bytes} bytes, limit {most}")]
    TooLarge {
        /// As inputs or answers.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// Compressed, or by a dictionary: a few bytes could stand for gigabytes.
    #[error("it is compressed, or has other lengths than it says: a published part is as retort writes it")]
    Otherwise,
    /// A null, or a list of another length.
    #[error("a row has no {what}")]
    Missing {
        /// What each row has.
        what: &'static str,
    },
    /// A public part without answers.
    #[error("it has no `teacher_logits`")]
    NoAnswers,
    /// A row that can't be read.
    #[error("row {row}: {problem}")]
    Row {
        /// Which.
        row: usize,
        /// Why.
        problem: String,
    },
    /// The file contradicts itself.
    #[error("it is damaged")]
    Damaged,
    /// Items of other inputs than the competition's.
    #[error("its items are of {found:?} and not of {expected:?}")]
    Shape {
        /// What they are.
        found: ImageShape,
        /// What they should be.
        expected: ImageShape,
    },
    /// The file can't be read.
    #[error(transparent)]
    Unread(#[from] io::Error),
    /// What was read contradicts itself, or isn't finite.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A picture can't be encoded.
    #[error(transparent)]
    Picture(#[from] ImageError),
    /// The file can't be written or read.
    #[error(transparent)]
    File(#[from] ParquetError),
}

/// The part's file: labelled images, the names of their classes, and the teacher's answers if there are any.
///
/// # Errors
/// When labels or answers are of other items.
pub fn table(images: &Images, names: &[String], answers: Option<&Logits>) -> Result<Vec<u8>, TableError> {
    let mut bytes = Vec::new();
    write(&mut bytes, &Part { images: images.clone(), answers: None }.into(), names, answers)?;
    Ok(bytes)
}

/// Writes a part's file, a row group at a time, whatever answers the items have themselves.
///
/// # Errors
/// As [`table`], and when the items can't be read, or the file can't be written.
pub fn write(
    to: impl Write + Send,
    items: &Labelled,
    names: &[String],
    answers: Option<&Logits>,
) -> Result<(), TableError> {
    let (pictures, item_bytes) = (are_pictures(items.shape.channels), items.shape.values().max(1));
    let count = usize::try_from(items.pixels.bytes() / item_bytes).unwrap_or(usize::MAX);
    let lengths = [("labels", Some(items.labels.len())), ("answers", answers.map(|logits| logits.count as usize))];
    if let Some((what, found)) =
        lengths.into_iter().find_map(|(what, found)| Some((what, found?)).filter(|it| it.1 != count))
    {
        return Err(TableError::Length { what, found, images: count });
    }
    if let Some(found) = answers.map(|logits| logits.classes as usize).filter(|found| *found != names.len()) {
        return Err(TableError::Classes { found, classes: names.len() });
    }
    let mut writer = writer(to, schema(items.shape.channels)?, &features(pictures, names))?;
    let rows_max = rows_of_group(item_bytes);
    for first in (0..count).step_by(rows_max) {
        let rows = first..count.min(first.saturating_add(rows_max));
        let mut group = writer.next_row_group()?;
        inputs(&mut group, items, rows.clone())?;
        let labels = items.labels.get(rows.clone()).unwrap_or_default().iter().map(|label| i64::from(*label));
        column::<_, Int64Type>(&mut group, 1, &labels.collect::<Vec<i64>>(), 1)?;
        match answers {
            Some(logits) => answered(&mut group, logits, rows)?,
            None => absent::<_, FloatType>(&mut group, 0, rows.len())?,
        }
        group.close()?;
    }
    writer.close()?;
    Ok(())
}

/// Writes the first columns: what these rows are to a model.
fn inputs<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    items: &Labelled,
    rows: Range<usize>,
) -> Result<(), TableError> {
    let each = items.shape.values();
    let place = |row: usize| each.saturating_mul(row as u64);
    let pixels = Bytes::from(items.pixels.read(place(rows.start)..place(rows.end))?);
    let each = usize::try_from(each).unwrap_or(usize::MAX);
    let planes = (0..rows.len()).map(|row| pixels.slice(row * each..(row + 1) * each));
    if !are_pictures(items.shape.channels) {
        let planes: Vec<ByteArray> = planes.map(ByteArray::from).collect();
        return Ok(column::<_, ByteArrayType>(group, 1, &planes, 1)?);
    }
    let pngs = planes.map(|planes| png(&planes, items.shape).map(ByteArray::from)).collect::<Result<Vec<_>, _>>()?;
    column::<_, ByteArrayType>(group, 2, &pngs, 1)?;
    // Where a picture came from is nobody's business.
    Ok(absent::<_, ByteArrayType>(group, 1, rows.len())?)
}

/// A file of answers alone, for a manifest's `training_teacher_logits`.
///
/// # Errors
/// When there are none, or they aren't finite.
pub fn answers_table(answers: &Logits) -> Result<Vec<u8>, TableError> {
    answers.validate()?;
    let logits = json!({ ANSWERS: list_of(answers.classes as usize) });
    let mut writer = writer(Vec::new(), parsed(ANSWER_COLUMN)?, &logits)?;
    for first in (0..answers.len()).step_by(ROWS) {
        let mut group = writer.next_row_group()?;
        answered(&mut group, answers, first..answers.len().min(first.saturating_add(ROWS)))?;
        group.close()?;
    }
    Ok(writer.into_inner()?)
}

/// How many rows with inputs of so many bytes make a row group.
fn rows_of_group(item_bytes: u64) -> usize {
    let rows = (ROWS_BYTES / item_bytes.max(1)).max(1);
    usize::try_from(rows).unwrap_or(ROWS).min(ROWS)
}

/// Whether inputs of so many planes are pictures, which others read as such.
pub fn are_pictures(channels: u32) -> bool {
    PICTURES.contains(&channels)
}

/// What a part of inputs with so many planes consists of.
fn schema(channels: u32) -> Result<TypePtr, ParquetError> {
    let inputs = if are_pictures(channels) { PICTURE_COLUMNS } else { PIXEL_COLUMNS };
    parsed(&format!("{inputs} {ANSWER_COLUMN}"))
}

fn parsed(columns: &str) -> Result<TypePtr, ParquetError> {
    parse_message_type(&format!("message schema {{ {columns} }}")).map(Arc::new)
}

fn writer<W: Write + Send>(to: W, schema: TypePtr, features: &Value) -> Result<SerializedFileWriter<W>, ParquetError> {
    let said = json!({ "info": { "features": features } });
    let properties = WriterProperties::builder()
        // Pictures are compressed, and answers are noise.
        .set_dictionary_enabled(false)
        .set_created_by("retort".to_owned())
        .set_key_value_metadata(Some(vec![KeyValue::new("huggingface".to_owned(), said.to_string())]));
    SerializedFileWriter::new(to, schema, Arc::new(properties.build()))
}

/// What the schema's metadata says of columns, for `datasets`.
fn features(pictures: bool, names: &[String]) -> Value {
    let label = json!({ "names": names, "_type": "ClassLabel" });
    if pictures {
        return json!({ "image": { "_type": "Image" }, "label": label, ANSWERS: list_of(names.len()) });
    }
    json!({ "pixels": { "dtype": "binary", "_type": "Value" }, "label": label, ANSWERS: list_of(names.len()) })
}

fn list_of(classes: usize) -> Value {
    json!({ "feature": { "dtype": "float32", "_type": "Value" }, "length": classes, "_type": "Sequence" })
}

/// Writes the next column: the answers of these rows.
fn answered<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    logits: &Logits,
    rows: Range<usize>,
) -> Result<(), ParquetError> {
    let classes = logits.classes as usize;
    let values = logits.values.get(rows.start.saturating_mul(classes)..rows.end.saturating_mul(classes));
    column::<_, FloatType>(group, 3, values.unwrap_or_default(), classes)
}

/// Writes the next column: `each` values a row, none of them absent, which is so at the level `noted`: of the optional groups
/// and lists that it is in, and of itself.
fn column<W: Write + Send, T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    noted: i16,
    values: &[T::T],
    each: usize,
) -> Result<(), ParquetError> {
    let noted = vec![noted; values.len()];
    // A value that begins a row is of no list yet.
    let again: Vec<i16> = (0..values.len()).map(|value| i16::from(!value.is_multiple_of(each.max(1)))).collect();
    let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("a column too many".to_owned()))?;
    column.typed::<T>().write_batch(values, Some(&noted), Some(&again))?;
    column.close()
}

/// Writes the next column, of rows that have nothing there but what is at this level.
fn absent<W: Write + Send, T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    level: i16,
    rows: usize,
) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("a column too many".to_owned()))?;
    column.typed::<T>().write_batch(&[], Some(&vec![level; rows]), Some(&vec![0; rows]))?;
    column.close()
}

/// A picture as it is, without a loss. Fast: what is saved by trying filters is little.
fn png(planes: &[u8], shape: ImageShape) -> Result<Vec<u8>, ImageError> {
    let (pixels, colour) = if shape.channels == 3 {
        let side = planes.len() / 3;
        let (red, rest) = planes.split_at(side);
        let (green, blue) = rest.split_at(side);
        let mut pixels = vec![0; planes.len()];
        let colours = red.iter().zip(green).zip(blue);
        for (pixel, ((red, green), blue)) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(colours) {
            *pixel = [*red, *green, *blue];
        }
        (pixels.into(), ExtendedColorType::Rgb8)
    } else {
        (Cow::Borrowed(planes), ExtendedColorType::L8)
    };
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::NoFilter);
    encoder.write_image(&pixels, shape.width, shape.height, colour)?;
    Ok(bytes)
}
