//! The rows of Parquet files, a few at a time: pictures, labels and answers, read in step. It decodes no pictures.

use super::super::answers::ListColumn;
use super::super::{CLASSES_MAX, PICTURE_BYTES_MAX, Row, RowError, Rows, SourceError};
use super::columns::Leaf;
use super::{RowsFile, guarded, opened};
use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use std::collections::VecDeque;
use std::fs::File;

/// Rows that are read at once.
pub(in super::super) const BATCH: usize = 32;

/// A column of one row group, read in step with others.
pub(in super::super) struct Column<T: DataType>(ColumnReaderImpl<T>);

impl<T: DataType> Column<T> {
    pub(in super::super) fn new(reader: ColumnReader) -> Result<Self, ParquetError> {
        let found = T::get_physical_type();
        T::get_column_reader(reader).map(Self).ok_or_else(|| ParquetError::General(format!("a column isn't {found}")))
    }

    /// The next rows' values; none at the end. `defined` is the definition level of what isn't null.
    pub(in super::super) fn read(&mut self, defined: i16) -> Result<Vec<Option<T::T>>, ParquetError> {
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let (rows, _, _) = self.0.read_records(BATCH, Some(&mut levels), None, &mut values)?;
        let mut values = values.into_iter();
        if defined == 0 {
            return Ok(values.map(Some).collect());
        }
        Ok(levels.iter().take(rows).map(|level| (*level == defined).then(|| values.next()).flatten()).collect())
    }
}

/// The labels of a row group.
enum Labels {
    Texts(Column<ByteArrayType>),
    Int32(Column<parquet::data_type::Int32Type>),
    Int64(Column<parquet::data_type::Int64Type>),
}

impl Labels {
    fn new(reader: ColumnReader, kind: Type) -> Result<Self, ParquetError> {
        match kind {
            Type::INT32 => Column::new(reader).map(Self::Int32),
            Type::INT64 => Column::new(reader).map(Self::Int64),
            _ => Column::new(reader).map(Self::Texts),
        }
    }

    fn read(&mut self, file: &RowsFile) -> Result<Vec<Result<u16, String>>, ParquetError> {
        let defined = file.label.defined;
        let numbers: Vec<Option<i64>> = match self {
            Self::Int64(column) => column.read(defined)?,
            Self::Int32(column) => column.read(defined)?.into_iter().map(|label| label.map(i64::from)).collect(),
            Self::Texts(column) => {
                let names = file.classes.as_deref().map(Vec::as_slice).unwrap_or_default();
                let place = |text: ByteArray| {
                    let text = String::from_utf8_lossy(text.data());
                    names
                        .binary_search_by(|name| name.as_str().cmp(&text))
                        .ok()
                        .and_then(|place| i64::try_from(place).ok())
                };
                column.read(defined)?.into_iter().map(|text| text.and_then(place)).collect()
            }
        };
        Ok(numbers.into_iter().map(|label| checked(label, file.classes.as_deref())).collect())
    }
}

/// A label that its classes name.
fn checked(label: Option<i64>, classes: Option<&Vec<String>>) -> Result<u16, String> {
    let label = label.ok_or("it has no label")?;
    let limit = classes.map_or(CLASSES_MAX, Vec::len);
    u16::try_from(label).ok().filter(|label| usize::from(*label) < limit).ok_or_else(|| match classes {
        // What `datasets` writes where labels are kept back.
        _ if label == -1 => "its label is -1, which says that it has none".to_owned(),
        Some(names) => format!("its label is {label}, and there are {} classes", names.len()),
        None => format!("its label is {label}; labels are 0 to {}", CLASSES_MAX - 1),
    })
}

/// A row's picture, its label and, where it is asked for, the teacher's answer.
type ReadRow = (Option<ByteArray>, Result<u16, String>, Option<Vec<f32>>);

/// The rows of one file.
struct FileRows<'a> {
    file: &'a RowsFile,
    reader: SerializedFileReader<File>,
    group: usize,
    columns: Option<(Column<ByteArrayType>, Labels, Option<ListColumn>)>,
    read: VecDeque<ReadRow>,
    /// Rows of this file that were handed out.
    done: u64,
}

impl<'a> FileRows<'a> {
    /// Opens a file at the row group that its row `first` is in.
    fn open(file: &'a RowsFile, first: u64) -> Result<Self, SourceError> {
        let reader = guarded(&file.path, || SerializedFileReader::new(opened(&file.path)?))?;
        let (mut group, mut done) = (0, 0u64);
        for rows in reader.metadata().row_groups() {
            let end = done.saturating_add(u64::try_from(rows.num_rows()).unwrap_or(0));
            if end > first {
                break;
            }
            (group, done) = (group + 1, end);
        }
        Ok(Self { file, reader, group, columns: None, read: VecDeque::new(), done })
    }

    /// Reads on until there is a row, or none is left.
    fn advance(&mut self) -> Result<(), ParquetError> {
        while self.read.is_empty() {
            let Some((pictures, labels, answers)) = &mut self.columns else {
                if self.group == self.reader.num_row_groups() {
                    return Ok(());
                }
                let group = self.reader.get_row_group(self.group)?;
                let pictures = Column::new(group.get_column_reader(self.file.picture.index)?)?;
                let labels = Labels::new(group.get_column_reader(self.file.label.index)?, self.file.label.kind)?;
                let list = |leaf: &Leaf| ListColumn::new(group.get_column_reader(leaf.index)?, leaf.defined);
                self.columns = Some((pictures, labels, self.file.answers.as_ref().map(list).transpose()?));
                continue;
            };
            let (pictures, labels) = (pictures.read(self.file.picture.defined)?, labels.read(self.file)?);
            let answers = match answers {
                Some(answers) => answers.read()?,
                None => vec![None; pictures.len()],
            };
            if [labels.len(), answers.len()] != [pictures.len(); 2] {
                return Err(ParquetError::General(format!("columns of row group {} have other lengths", self.group)));
            }
            if pictures.is_empty() {
                self.columns = None;
                self.group += 1;
            }
            self.read.extend(
                pictures
                    .into_iter()
                    .zip(labels)
                    .zip(answers)
                    .map(|((picture, label), answer)| (picture, label, answer)),
            );
        }
        Ok(())
    }

    /// The next row, which is `number` in its part.
    fn next(&mut self, number: u64) -> Result<Option<Result<Row, RowError>>, SourceError> {
        let path = &self.file.path;
        guarded(path, || self.advance())?;
        let Some((picture, label, answer)) = self.read.pop_front() else {
            let (found, expected) = (self.done, self.file.rows);
            let problem = format!("it has {found} rows and says {expected}");
            return if found == expected {
                Ok(None)
            } else {
                Err(SourceError::Parquet { path: path.clone(), problem })
            };
        };
        let origin = format!("{} row {}", self.file.origin, self.done);
        self.done += 1;
        let failed = |problem: String| Err(RowError { number, origin: origin.clone(), problem });
        Ok(Some(match (picture, label) {
            (_, Err(problem)) => failed(problem),
            (None, _) => failed("it has no embedded picture; a path alone isn't followed".into()),
            (Some(picture), _) if picture.len() as u64 > PICTURE_BYTES_MAX => {
                failed(format!("its picture has {} bytes, limit {PICTURE_BYTES_MAX}", picture.len()))
            }
            (Some(picture), Ok(label)) => Ok(Row { number, origin, label, picture: picture.data().to_vec(), answer }),
        }))
    }
}

/// The rows from `first` on, or from one before it: what lies before in other files or row groups isn't read.
pub(in super::super) fn rows(files: &[RowsFile], first: u64) -> Rows<'_> {
    let mut waiting = files.iter();
    let mut current: Option<FileRows<'_>> = None;
    let (mut number, mut ended) = (0u64, false);
    Box::new(std::iter::from_fn(move || {
        while !ended {
            let step = match &mut current {
                Some(rows) => rows.next(number),
                None => {
                    let file = waiting.next()?;
                    let end = number.saturating_add(file.rows);
                    if end <= first {
                        number = end;
                        continue;
                    }
                    match FileRows::open(file, first.saturating_sub(number)) {
                        Ok(rows) => {
                            number += rows.done;
                            current = Some(rows);
                            continue;
                        }
                        Err(error) => Err(error),
                    }
                }
            };
            match step {
                Ok(Some(row)) => {
                    number += 1;
                    return Some(Ok(row));
                }
                Ok(None) => current = None,
                Err(error) => {
                    ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }))
}
