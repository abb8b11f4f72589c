//! What a teacher that nobody can ask answered to rows: in a column of their own Parquet files, or in a file beside them, whose
//! answers are bound to rows by the digests of their pictures.
//!
//! A row without its answer, or with one that can't be its, ends the reading: unlike a picture, an answer is never left out. It
//! does NOT know labels, nor which rows are used.

use super::parquet_files::{BATCH, Column, guarded, opened};
use super::{Part, Row, RowsIn, SourceError, Table};
use crate::Logits;
use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArrayType, DataType, DoubleType, FloatType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use protocol::competition::TeacherAnswers;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// The column, or tensor, of answers in a file beside the data.
const ANSWERS: &str = "teacher_logits";
/// That of the digests of the rows' pictures.
const DIGESTS: &str = "row_sha256";
/// A file of answers may have this many bytes: it is held in memory.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// Why a part's answers can't be its teacher's.
#[derive(Debug, thiserror::Error)]
pub enum AnswersError {
    /// No file is named for the part.
    #[error("no file of answers is named for it; `teacher.answers.files` names one for {named}")]
    NoFile {
        /// The parts that have one.
        named: String,
    },
    /// A column of what has none.
    #[error(
        "`{0}` is named as a column, and a folder of pictures has none: name a file of answers for each part, `--answers \
         PART=FILE` or `teacher.answers.files`"
    )]
    NoColumns(String),
    /// A file that isn't one of answers.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// More or fewer answers than rows.
    #[error("{} has {found} answers, the part has {expected} rows; each row has one, in their order", path.display())]
    Rows {
        /// The file.
        path: PathBuf,
        /// Answers.
        found: u64,
        /// Rows.
        expected: u64,
    },
    /// An answer to another picture.
    #[error(
        "answer {row} of the file is to another picture than row {row} ({origin}): by `row_sha256`, the SHA-256 of the row's \
         encoded picture, {}", found.map_or("none is to this one".to_owned(), |at| format!("the answer to this one is {at}"))
    )]
    Order {
        /// The row.
        row: u64,
        /// Where it is, for people.
        origin: String,
        /// Where its answer is, if there is any.
        found: Option<u64>,
    },
    /// A row without one.
    #[error("row {row} ({origin}) has no answer of the teacher")]
    Missing {
        /// The row.
        row: u64,
        /// Where it is, for people.
        origin: String,
    },
    /// An answer of another length.
    #[error("the answer to row {row} ({origin}) has {found} numbers; one for each of {expected} classes is needed")]
    Classes {
        /// The row.
        row: u64,
        /// Where it is, for people.
        origin: String,
        /// Numbers.
        found: usize,
        /// Classes.
        expected: usize,
    },
    /// NaN, or infinite.
    #[error("the answer to row {row} ({origin}) has {found} for class {class}, which is not finite")]
    NotFinite {
        /// The row.
        row: u64,
        /// Where it is, for people.
        origin: String,
        /// The class.
        class: usize,
        /// What it says.
        found: f32,
    },
}

/// Where the answers to a part are.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    classes: usize,
    /// None where rows bring their own.
    file: Option<AnswersFile>,
}

/// A file beside the data, read.
#[derive(Clone, Debug)]
struct AnswersFile {
    digests: Vec<[u8; 32]>,
    logits: Vec<Vec<f32>>,
}

impl Table {
    /// Says where the teacher's answers to these parts are, relative to `base`, with a number for each of so many classes.
    ///
    /// # Errors
    /// When a part has none.
    pub fn answered(
        mut self,
        answers: &TeacherAnswers,
        base: &Path,
        classes: usize,
        parts: &[String],
    ) -> Result<Self, SourceError> {
        for named in answers.files.keys() {
            self.part(named)?;
        }
        for part in self.parts.iter_mut().filter(|part| parts.contains(&part.name)) {
            let failed = |problem| SourceError::Answers { part: part.name.clone(), problem };
            let file = match (&answers.column, &mut part.rows_in) {
                (Some(column), RowsIn::Parquet(files)) => {
                    files.iter_mut().try_for_each(|file| file.take_answers(column))?;
                    None
                }
                (Some(column), _) => return Err(failed(AnswersError::NoColumns(column.clone()))),
                (None, _) => {
                    let named = || answers.files.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                    let file = answers.files.get(&part.name);
                    let file = file.ok_or_else(|| failed(AnswersError::NoFile { named: named() }))?;
                    Some(AnswersFile::read(&base.join(file), part.rows).map_err(failed)?)
                }
            };
            part.answers = Some(Answers { classes, file });
        }
        Ok(self)
    }
}

impl Part {
    /// The teacher's answer to a row, where the part has them.
    pub(super) fn answer(&self, row: &Row) -> Result<Option<Vec<f32>>, AnswersError> {
        let Some(Answers { classes, file }) = &self.answers else { return Ok(None) };
        let (number, origin) = (row.number, || row.origin.clone());
        let answer = match file {
            Some(file) => file.answer(row)?,
            None => row.answer.clone(),
        };
        let answer = answer.ok_or_else(|| AnswersError::Missing { row: number, origin: origin() })?;
        if answer.len() != *classes {
            let (found, expected) = (answer.len(), *classes);
            return Err(AnswersError::Classes { row: number, origin: origin(), found, expected });
        }
        match answer.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            Some((class, &found)) => Err(AnswersError::NotFinite { row: number, origin: origin(), class, found }),
            None => Ok(Some(answer)),
        }
    }
}

impl AnswersFile {
    /// Reads the answers to so many rows.
    fn read(path: &Path, rows: u64) -> Result<Self, AnswersError> {
        let failed = |problem: String| AnswersError::File { path: path.to_owned(), problem };
        let size = fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(failed(format!("{size} bytes, at most {FILE_BYTES_MAX}")));
        }
        let is_safetensors = path.extension().is_some_and(|extension| extension == "safetensors");
        let file = if is_safetensors { Self::of_safetensors(path) } else { Self::of_parquet(path) }.map_err(failed)?;
        match file.logits.len() as u64 {
            found if found != rows => Err(AnswersError::Rows { path: path.to_owned(), found, expected: rows }),
            _ => Ok(file),
        }
    }

    fn of_safetensors(path: &Path) -> Result<Self, String> {
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| format!("no safetensors: {error}"))?;
        let tensor = |name: &str, dtype: Dtype, what: &str| {
            let tensor = tensors.tensor(name).ok().filter(|it| it.dtype() == dtype && it.shape().len() == 2);
            tensor.ok_or_else(|| format!("it has no tensor `{name}` of {what}"))
        };
        let logits = tensor(ANSWERS, Dtype::F32, "F32 with a row for each answer")?;
        let digests = tensor(DIGESTS, Dtype::U8, "U8 with 32 bytes for each answer")?;
        let ([rows, classes], [digest_rows, 32]) = (shape(logits.shape()), shape(digests.shape())) else {
            return Err(format!("a row of `{DIGESTS}` isn't 32 bytes"));
        };
        if rows != digest_rows {
            return Err(format!("it has {rows} answers and {digest_rows} of `{DIGESTS}`"));
        }
        let values: Vec<f32> = logits.data().as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
        let digests = digests.data().as_chunks().0.to_vec();
        Ok(Self { digests, logits: values.chunks(classes.max(1)).map(<[f32]>::to_vec).collect() })
    }

    fn of_parquet(path: &Path) -> Result<Self, String> {
        let read = guarded(path, || {
            let reader = SerializedFileReader::new(opened(path)?)?;
            let schema = reader.metadata().file_metadata().schema_descr();
            let missing = |what: String| ParquetError::General(what);
            let place = |name: &str| {
                schema.columns().iter().position(|it| it.path().parts().first().is_some_and(|n| n == name))
            };
            let answers = list_column(&reader, ANSWERS).ok_or_else(|| missing(no_list(ANSWERS)))?;
            let digests = place(DIGESTS).filter(|at| schema.column(*at).physical_type() == Type::BYTE_ARRAY);
            let digests = digests.ok_or_else(|| missing(format!("it has no column `{DIGESTS}` of texts")))?;
            let (mut rows, mut texts) = (Vec::new(), Vec::new());
            for group in 0..reader.num_row_groups() {
                let group = reader.get_row_group(group)?;
                let mut column =
                    ListColumn::new(group.get_column_reader(answers)?, schema.column(answers).max_def_level())?;
                let mut digest = Column::<ByteArrayType>::new(group.get_column_reader(digests)?)?;
                while let read = column.read()?
                    && !read.is_empty()
                {
                    rows.extend(read);
                    texts.extend(digest.read(schema.column(digests).max_def_level())?);
                }
            }
            Ok((rows, texts))
        });
        let (rows, texts) = read.map_err(|error| match error {
            SourceError::Parquet { problem, .. } => problem,
            other => other.to_string(),
        })?;
        let digest = |(row, text): (usize, Option<parquet::data_type::ByteArray>)| {
            let found = text.as_ref().and_then(|text| digest(text.data()));
            found.ok_or_else(|| format!("`{DIGESTS}` of answer {row} is no SHA-256 in hexadecimal digits"))
        };
        let digests = texts.into_iter().enumerate().map(digest).collect::<Result<_, _>>()?;
        let logits = rows.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Self { digests, logits })
    }

    /// The answer to a row; none where the file has nothing for it.
    fn answer(&self, row: &Row) -> Result<Option<Vec<f32>>, AnswersError> {
        let own: [u8; 32] = Sha256::digest(&row.picture).into();
        let place = usize::try_from(row.number).unwrap_or(usize::MAX);
        if self.digests.get(place) != Some(&own) {
            let found = self.digests.iter().position(|digest| *digest == own).map(|at| at as u64);
            return Err(AnswersError::Order { row: row.number, origin: row.origin.clone(), found });
        }
        Ok(self.logits.get(place).filter(|answer| !answer.is_empty()).cloned())
    }
}

/// As two numbers; zeros where there are more or fewer.
fn shape(dims: &[usize]) -> [usize; 2] {
    dims.try_into().unwrap_or_default()
}

/// 32 bytes, or as many in hexadecimal digits.
fn digest(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    match text.len() {
        32 => text.try_into().ok(),
        _ => hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes),
    }
}

pub(super) fn no_list(name: &str) -> String {
    format!("there is no column `{name}` with a list of f32 or f64 in each row, the teacher's answer")
}

/// The place of a column of lists of numbers.
pub(super) fn list_column<R: parquet::file::reader::ChunkReader + 'static>(
    reader: &SerializedFileReader<R>,
    name: &str,
) -> Option<usize> {
    let schema = reader.metadata().file_metadata().schema_descr();
    schema.columns().iter().position(|column| {
        let is_number = matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE);
        is_number && column.max_rep_level() == 1 && column.path().parts().first().is_some_and(|first| first == name)
    })
}

/// A column of lists, read in step with others.
pub(super) struct ListColumn {
    values: Numbers,
    /// The level at which a value is there.
    full: i16,
}

enum Numbers {
    Single(ColumnReaderImpl<FloatType>),
    Double(ColumnReaderImpl<DoubleType>),
}

impl ListColumn {
    pub(super) fn new(reader: ColumnReader, full: i16) -> Result<Self, ParquetError> {
        let values = match reader {
            ColumnReader::FloatColumnReader(values) => Numbers::Single(values),
            ColumnReader::DoubleColumnReader(values) => Numbers::Double(values),
            _ => return Err(ParquetError::General("the answers aren't numbers".to_owned())),
        };
        Ok(Self { values, full })
    }

    /// The next rows' lists, nothing for one that isn't there or has a gap; none at the end.
    pub(super) fn read(&mut self) -> Result<Vec<Option<Vec<f32>>>, ParquetError> {
        match &mut self.values {
            Numbers::Single(column) => lists(column, self.full, |value| value),
            // As precise as a model says it.
            Numbers::Double(column) => lists(column, self.full, |value| value as f32),
        }
    }
}

fn lists<T: DataType>(
    column: &mut ColumnReaderImpl<T>,
    full: i16,
    single: impl Fn(T::T) -> f32,
) -> Result<Vec<Option<Vec<f32>>>, ParquetError> {
    let (mut defined, mut repeated, mut values) = (Vec::new(), Vec::new(), Vec::new());
    column.read_records(BATCH, Some(&mut defined), Some(&mut repeated), &mut values)?;
    let mut values = values.into_iter().map(single);
    let mut rows: Vec<Option<Vec<f32>>> = Vec::new();
    for (level, again) in defined.iter().zip(&repeated) {
        if *again == 0 {
            rows.push(Some(Vec::new()));
        }
        let value = (*level == full).then(|| values.next()).flatten();
        if let Some(row) = rows.last_mut() {
            *row = row.take().zip(value).map(|(mut row, value)| {
                row.push(value);
                row
            });
        }
    }
    Ok(rows)
}

/// Rows of numbers as one table; none where there are no rows of answers.
pub(super) fn table(values: Vec<f32>, rows: usize) -> Option<Logits> {
    let classes = values.len().checked_div(rows).filter(|classes| *classes > 0)?;
    let number = |length| u32::try_from(length).unwrap_or(u32::MAX);
    Some(Logits { count: number(rows), classes: number(classes), values })
}
