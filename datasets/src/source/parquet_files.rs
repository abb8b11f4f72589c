//! Parquet files with embedded pictures, as Hugging Face's `datasets` writes them: a column of `Image` (a group whose `bytes`
//! hold the encoded picture, or bytes alone) and a column of `ClassLabel` or text. What the schema's metadata says of names
//! is taken from there.
//!
//! It does NOT decode pictures, and reads a few rows at a time. Files aren't vouched for: the reader is a crate of others, so
//! a panic of its own is an error of the file here. One page is at most 2 GiB, by the format.

use super::answers::{ListColumn, list_column, no_list};
use super::{CLASSES_MAX, PICTURE_BYTES_MAX, Part, Row, RowError, Rows, RowsIn, SourceError, Table, part_named};
use parquet::basic::{ConvertedType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use protocol::competition::RowSpec;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walkdir::WalkDir;

/// Rows that are read at once.
pub(super) const BATCH: usize = 32;
/// Names that label columns usually have.
const USUAL_LABELS: [&str; 2] = ["label", "labels"];

/// A file and which of its columns are meant.
#[derive(Clone, Debug)]
pub(super) struct RowsFile {
    path: PathBuf,
    /// Relative to the source.
    origin: String,
    rows: u64,
    picture: Leaf,
    label: Leaf,
    /// The teacher's answers, once it is said that there are any.
    answers: Option<Leaf>,
    /// Names of classes, by label; where the column has numbers without names, none.
    classes: Option<Arc<Vec<String>>>,
}

/// A column of values, as Parquet counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Leaf {
    index: usize,
    /// The column that a user sees.
    name: String,
    kind: Type,
    /// What a value's definition level is, if it isn't null.
    defined: i16,
}

pub(super) fn open(path: &Path, spec: &RowSpec) -> Result<Table, SourceError> {
    let mut files = Vec::new();
    let mut columns = Vec::new();
    for (file, origin) in parquet_files(path)? {
        let metadata = guarded(&file, || Ok(SerializedFileReader::new(opened(&file)?)?.metadata().clone()))?;
        let (read, described) = described(file, origin, &metadata, spec)?;
        if files.is_empty() {
            columns = described;
        }
        files.push(read);
    }
    let classes = classes(&mut files)?.map(|names| names.to_vec());
    let mut by_part: BTreeMap<String, Vec<RowsFile>> = BTreeMap::new();
    for file in files {
        by_part.entry(part_of(&file.origin)).or_default().push(file);
    }
    let parts: Vec<Part> = (by_part.into_iter())
        .map(|(name, files)| Part {
            name,
            rows: files.iter().map(|file| file.rows).sum(),
            rows_in: RowsIn::Parquet(files),
            answers: None,
        })
        .collect();
    if parts.iter().all(|part| part.rows == 0) {
        return Err(SourceError::Empty(path.to_owned()));
    }
    Ok(Table { classes, parts, columns, ignored: 0 })
}

/// The files, each with its name relative to `path`, in the order of their names.
fn parquet_files(path: &Path) -> Result<Vec<(PathBuf, String)>, SourceError> {
    let read = |source| SourceError::Read { path: path.to_owned(), source };
    let root = path.canonicalize().map_err(read)?;
    if root.is_file() {
        let origin = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![(root, origin)]);
    }
    let mut files = Vec::new();
    for entry in WalkDir::new(&root).follow_links(true).sort_by_file_name() {
        let entry = entry.map_err(|error| read(error.into()))?;
        let file = entry.path();
        if !entry.file_type().is_file() || file.extension().is_none_or(|extension| extension != "parquet") {
            continue;
        }
        // So is a Hub's cache refused, whose links lead to blobs beside the folder: `hf download --local-dir` copies them.
        let within = file.canonicalize().map_err(read)?.starts_with(&root);
        if entry.path_is_symlink() && !within {
            return Err(SourceError::Leaves { link: file.to_owned(), folder: root });
        }
        let origin = file.strip_prefix(&root).unwrap_or(file).to_string_lossy().into_owned();
        files.push((file.to_owned(), origin));
    }
    Ok(files)
}

/// The part that a file belongs to, by a folder that it is in or by its own name (`train-00000-of-00002.parquet`).
fn part_of(origin: &str) -> String {
    let named = origin.split('/').find_map(part_named);
    named.unwrap_or("all").to_owned()
}

pub(super) fn opened(path: &Path) -> Result<File, ParquetError> {
    File::open(path).map_err(|error| ParquetError::External(Box::new(error)))
}

/// What the reader answers, whatever it does with damaged bytes.
pub(super) fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, SourceError> {
    let answer = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(ParquetError::General("damaged".into())));
    answer.map_err(|error| SourceError::Parquet { path: path.to_owned(), problem: error.to_string() })
}

impl RowsFile {
    /// Takes the teacher's answers from this column.
    pub(super) fn take_answers(&mut self, column: &str) -> Result<(), SourceError> {
        let path = self.path.clone();
        let (found, columns) = guarded(&path, || {
            let reader = SerializedFileReader::new(opened(&path)?)?;
            let schema = reader.metadata().file_metadata().schema_descr();
            let found = list_column(&reader, column).map(|at| leaf((at, &schema.column(at))));
            let fields = schema.root_schema().get_fields().iter();
            Ok((found, fields.map(|field| field.name().to_owned()).collect::<Vec<_>>().join(", ")))
        })?;
        self.answers = Some(found.ok_or_else(|| SourceError::Column { path, problem: no_list(column), columns })?);
        Ok(())
    }
}

/// Which columns of a file are meant, and all its columns for people.
fn described(
    path: PathBuf,
    origin: String,
    metadata: &ParquetMetaData,
    spec: &RowSpec,
) -> Result<(RowsFile, Vec<(String, String)>), SourceError> {
    let schema = metadata.file_metadata().schema_descr();
    let features = features(metadata);
    let leaves: Vec<Arc<ColumnDescriptor>> = schema.columns().to_vec();
    let columns: Vec<(String, String)> = schema
        .root_schema()
        .get_fields()
        .iter()
        .map(|field| (field.name().to_owned(), kind(&features, field)))
        .collect();
    let listed = columns.iter().map(|(name, kind)| format!("{name} ({kind})")).collect::<Vec<_>>().join(", ");
    let column = |what: &str, found: Vec<Leaf>, named: &Option<String>, usual: &dyn Fn(&Leaf) -> bool| {
        one(found, named.as_deref(), usual).map_err(|problem| SourceError::Column {
            path: path.clone(),
            problem: format!("{problem} column of {what}; `data.rows` can name it"),
            columns: listed.clone(),
        })
    };
    let is_class = |leaf: &Leaf| features[&leaf.name]["_type"] == "ClassLabel";
    let pictures = leaves.iter().enumerate().filter(|(_, leaf)| is_picture(leaf)).map(leaf).collect();
    let picture = column("pictures", pictures, &spec.image, &|leaf| features[&leaf.name]["_type"] == "Image")?;
    let labels: Vec<Leaf> = leaves.iter().enumerate().filter(|(_, leaf)| is_label(leaf)).map(leaf).collect();
    let usual = |leaf: &Leaf| is_class(leaf) || USUAL_LABELS.contains(&leaf.name.as_str());
    let label = column("labels", labels, &spec.label, &usual)?;
    let names = features[&label.name]["names"].as_array();
    let classes = names.map(|names| Arc::new(names.iter().map(text).collect()));
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
    Ok((RowsFile { path, origin, rows, picture, label, answers: None, classes }, columns))
}

/// What `datasets` wrote about the columns, by their names; null where it wrote nothing.
fn features(metadata: &ParquetMetaData) -> Value {
    let written = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    let text = written.filter(|pair| pair.key == "huggingface").find_map(|pair| pair.value.as_deref());
    let parsed = text.and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
    parsed["info"]["features"].clone()
}

fn text(name: &Value) -> String {
    name.as_str().map_or_else(|| name.to_string(), str::to_owned)
}

/// A column's type in the words of `datasets`, else in Parquet's.
fn kind(features: &Value, field: &parquet::schema::types::Type) -> String {
    match features[field.name()]["_type"].as_str() {
        Some("ClassLabel") => {
            let classes = features[field.name()]["names"].as_array().map_or(0, Vec::len);
            format!("ClassLabel of {classes}")
        }
        Some(kind) => kind.to_owned(),
        None if field.is_group() => "group".to_owned(),
        None => format!("{:?}", field.get_physical_type()).to_lowercase(),
    }
}

fn leaf((index, column): (usize, &Arc<ColumnDescriptor>)) -> Leaf {
    Leaf {
        index,
        name: column.path().parts().first().cloned().unwrap_or_default(),
        kind: column.physical_type(),
        defined: column.max_def_level(),
    }
}

fn is_text(column: &ColumnDescriptor) -> bool {
    column.physical_type() == Type::BYTE_ARRAY && column.converted_type() == ConvertedType::UTF8
}

/// Bytes in a column of their own, or called `bytes` in a group.
fn is_picture(column: &ColumnDescriptor) -> bool {
    let in_place = match column.path().parts() {
        [_] => true,
        [_, name] => name == "bytes",
        _ => false,
    };
    in_place && column.max_rep_level() == 0 && column.physical_type() == Type::BYTE_ARRAY && !is_text(column)
}

fn is_label(column: &ColumnDescriptor) -> bool {
    let is_number = matches!(column.physical_type(), Type::INT32 | Type::INT64);
    column.path().parts().len() == 1 && column.max_rep_level() == 0 && (is_number || is_text(column))
}

/// The column that is named, else the only usual one, else the only one.
fn one(found: Vec<Leaf>, named: Option<&str>, usual: &dyn Fn(&Leaf) -> bool) -> Result<Leaf, &'static str> {
    let chosen: Vec<Leaf> = match named {
        Some(name) => found.into_iter().filter(|leaf| leaf.name == name).collect(),
        None if found.iter().any(usual) => found.into_iter().filter(usual).collect(),
        None => found,
    };
    match <[Leaf; 1]>::try_from(chosen) {
        Ok([leaf]) => Ok(leaf),
        Err(none) if none.is_empty() => Err("there is no such"),
        Err(_) => Err("there is more than one"),
    }
}

/// The classes of all files together, which have to be the same; those of texts are the texts, sorted.
fn classes(files: &mut [RowsFile]) -> Result<Option<Arc<Vec<String>>>, SourceError> {
    let Some(first) = files.first().cloned() else { return Ok(None) };
    for file in files.iter() {
        let what = match file {
            file if file.classes != first.classes => "names of classes",
            file if file.label.name != first.label.name => "column of labels",
            file if file.picture.name != first.picture.name => "column of pictures",
            file if (file.label.kind == Type::BYTE_ARRAY) != (first.label.kind == Type::BYTE_ARRAY) => "kind of labels",
            _ => continue,
        };
        return Err(SourceError::Differ { first: first.path, second: file.path.clone(), what: what.to_owned() });
    }
    let classes = if first.label.kind == Type::BYTE_ARRAY { Some(texts(files)?) } else { first.classes };
    let found = classes.as_ref().map_or(0, |names| names.len());
    if found > CLASSES_MAX {
        return Err(SourceError::TooManyClasses { found });
    }
    files.iter_mut().for_each(|file| file.classes.clone_from(&classes));
    Ok(classes)
}

/// All texts that are labels.
fn texts(files: &[RowsFile]) -> Result<Arc<Vec<String>>, SourceError> {
    let mut texts = BTreeSet::new();
    for file in files {
        guarded(&file.path, || {
            let reader = SerializedFileReader::new(opened(&file.path)?)?;
            for group in 0..reader.num_row_groups() {
                let mut column =
                    Column::<ByteArrayType>::new(reader.get_row_group(group)?.get_column_reader(file.label.index)?)?;
                while let read = column.read(file.label.defined)?
                    && !read.is_empty()
                {
                    texts.extend(read.iter().flatten().map(|text| String::from_utf8_lossy(text.data()).into_owned()));
                    if texts.len() > CLASSES_MAX {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })?;
    }
    Ok(Arc::new(texts.into_iter().collect()))
}

/// A column of one row group, read in step with others.
pub(super) struct Column<T: DataType>(ColumnReaderImpl<T>);

impl<T: DataType> Column<T> {
    pub(super) fn new(reader: ColumnReader) -> Result<Self, ParquetError> {
        let found = T::get_physical_type();
        T::get_column_reader(reader).map(Self).ok_or_else(|| ParquetError::General(format!("a column isn't {found}")))
    }

    /// The next rows' values; none at the end. `defined` is the definition level of what isn't null.
    pub(super) fn read(&mut self, defined: i16) -> Result<Vec<Option<T::T>>, ParquetError> {
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

impl FileRows<'_> {
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

pub(super) fn rows(files: &[RowsFile]) -> Rows<'_> {
    let mut waiting = files.iter();
    let mut current: Option<FileRows<'_>> = None;
    let (mut number, mut ended) = (0, false);
    Box::new(std::iter::from_fn(move || {
        while !ended {
            let step = match &mut current {
                Some(rows) => rows.next(number),
                None => {
                    let file = waiting.next()?;
                    match guarded(&file.path, || SerializedFileReader::new(opened(&file.path)?)) {
                        Ok(reader) => {
                            current = Some(FileRows {
                                file,
                                reader,
                                group: 0,
                                columns: None,
                                read: VecDeque::new(),
                                done: 0,
                            });
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
