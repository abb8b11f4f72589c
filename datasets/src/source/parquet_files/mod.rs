//! Parquet files with embedded pictures, as Hugging Face's `datasets` writes them: a column of `Image` (a group whose `bytes`
//! hold the encoded picture, or bytes alone) and a column of `ClassLabel` or text. What the schema's metadata says of names
//! is taken from there.
//!
//! It does NOT decode pictures, and reads a few rows at a time. Files aren't vouched for: the reader is a crate of others, so
//! a panic of its own is an error of the file here. One page is at most 2 GiB, by the format.

mod columns;
mod rows;

pub(super) use rows::{BATCH, Column, rows};

use super::answers::{list_column, no_list};
use super::{CLASSES_MAX, Part, RowsIn, SourceError, Table, part_named};
use columns::{Leaf, described, leaf};
use parquet::basic::Type;
use parquet::data_type::ByteArrayType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use protocol::competition::RowSpec;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walkdir::WalkDir;

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
    /// The file without the teacher's answers.
    pub(super) fn unanswered(&self) -> Self {
        Self { answers: None, ..self.clone() }
    }

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
