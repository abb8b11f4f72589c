//! Data of one's own: a folder of class folders, or Parquet files with embedded pictures, as a [`Table`] of rows that are read
//! one after the other.
//!
//! It does NOT know models, competitions, or how rows become public and hidden items. What lies in the files is not vouched
//! for: each row is decoded by itself, and one that can't be read says which it is and why.

mod answers;
mod error;
mod folder;
mod items;
mod parquet_files;
mod pixels;

pub use answers::AnswersError;
pub use error::SourceError;
pub use items::{Items, Opened, Wanted};

use crate::picture::{Picture, PictureError};
use protocol::architecture::{CLASSES_MAX, ImageShape};
use protocol::competition::{PictureSpec, RowSpec};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An encoded picture may have this many bytes.
pub const PICTURE_BYTES_MAX: u64 = 256 << 20;

/// Words for parts of a data set, as folders and files are named, and what each is called here.
const PARTS: [(&str, &str); 10] = [
    ("train", "train"),
    ("training", "train"),
    ("test", "test"),
    ("testing", "test"),
    ("validation", "validation"),
    ("valid", "validation"),
    ("val", "validation"),
    ("dev", "validation"),
    ("eval", "test"),
    ("evaluation", "test"),
];

/// Where data of one's own lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder of class folders, below one folder for each part or at once.
    Folder(PathBuf),
    /// A file of Parquet, or a folder with such files.
    Parquet(PathBuf),
}

/// Rows in parts, with what their labels mean.
#[derive(Debug)]
pub struct Table {
    /// The names of classes, in the order of labels; none where the source has numbers alone.
    pub classes: Option<Vec<String>>,
    /// At least one, in the order of their names.
    pub parts: Vec<Part>,
    /// Columns with their types, for people.
    pub columns: Vec<(String, String)>,
    /// Files that are no rows, such as notes beside pictures.
    pub ignored: u64,
}

/// Some rows of a table: those to train on, or those to be judged by.
#[derive(Debug)]
pub struct Part {
    /// `train`, `test`, `validation`, or what the source calls it.
    pub name: String,
    /// How many rows.
    pub rows: u64,
    rows_in: RowsIn,
    /// The teacher's, where it is known by them only.
    answers: Option<answers::Answers>,
}

/// Where the rows of a part are.
#[derive(Clone, Debug)]
enum RowsIn {
    Files(Arc<[folder::PictureFile]>),
    Parquet(Vec<parquet_files::RowsFile>),
}

/// A row as it lies in its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// From 0, within its part.
    pub number: u64,
    /// Where it is, for people: a file, or a file and the row in it.
    pub origin: String,
    /// The class.
    pub label: u16,
    /// The encoded picture.
    pub picture: Vec<u8>,
    /// What the teacher answered, where a column has that.
    pub answer: Option<Vec<f32>>,
}

/// A row that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// From 0, within its part.
    pub number: u64,
    /// Where it is, for people.
    pub origin: String,
    /// Why.
    pub problem: String,
}

/// The rows of a part, in order. An error of the source itself ends them.
pub type Rows<'a> = Box<dyn Iterator<Item = Result<Result<Row, RowError>, SourceError>> + 'a>;

impl Source {
    /// What a text such as `folder:pictures` or `parquet:data/train.parquet` means, relative to `base`; `None` if it is
    /// another kind of source.
    pub fn of(text: &str, base: &Path) -> Option<Self> {
        let (kind, path) = text.split_once(':')?;
        match kind {
            "folder" => Some(Self::Folder(base.join(path))),
            "parquet" => Some(Self::Parquet(base.join(path))),
            _ => None,
        }
    }

    /// What somebody means who names a file or folder alone: Parquet if it is such a file or has such files in it.
    pub fn guessed(path: &Path) -> Self {
        let is_parquet = |path: &Path| path.extension().is_some_and(|extension| extension == "parquet");
        let has_parquet = || {
            let files = walkdir::WalkDir::new(path).max_depth(2).into_iter().flatten();
            files.into_iter().any(|entry| is_parquet(entry.path()))
        };
        if is_parquet(path) || has_parquet() { Self::Parquet(path.to_owned()) } else { Self::Folder(path.to_owned()) }
    }

    /// Looks at what there is, without decoding a picture.
    ///
    /// # Errors
    /// When there is nothing, or something that contradicts itself.
    pub fn open(&self, spec: &RowSpec) -> Result<Table, SourceError> {
        match self {
            Self::Folder(path) => folder::open(path),
            Self::Parquet(path) => parquet_files::open(path, spec),
        }
    }
}

impl Table {
    /// The part of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn part(&self, name: &str) -> Result<&Part, SourceError> {
        self.parts.iter().find(|part| part.name == name).ok_or_else(|| SourceError::NoPart {
            wanted: name.to_owned(),
            there: self.parts.iter().map(|part| format!("`{}`", part.name)).collect::<Vec<_>>().join(", "),
        })
    }

    /// The part to train on and the part to take items from, as `spec` says; the same part twice where there is but one.
    ///
    /// # Errors
    /// When a part that is named isn't there, or none of the usual ones is.
    pub fn training_and_evaluation(&self, spec: &RowSpec) -> Result<[&Part; 2], SourceError> {
        if let ([only], None, None) = (self.parts.as_slice(), &spec.training, &spec.evaluation) {
            return Ok([only, only]);
        }
        let training = self.part(spec.training.as_deref().unwrap_or("train"))?;
        let evaluation = match &spec.evaluation {
            Some(name) => self.part(name)?,
            None => self.part("test").or_else(|_| self.part("validation"))?,
        };
        Ok([training, evaluation])
    }
}

impl RowsIn {
    /// The same without the teacher's answers.
    fn unanswered(&self) -> Self {
        match self {
            Self::Files(files) => Self::Files(Arc::clone(files)),
            Self::Parquet(files) => Self::Parquet(files.iter().map(parquet_files::RowsFile::unanswered).collect()),
        }
    }

    /// The rows of these numbers, which ascend.
    fn at<'a>(&'a self, numbers: &'a [u64]) -> Rows<'a> {
        match self {
            Self::Files(files) => folder::rows(files, numbers.iter().copied()),
            Self::Parquet(files) => {
                let mut wanted = numbers.iter().peekable();
                let rows = parquet_files::rows(files, numbers.first().copied().unwrap_or(0));
                Box::new(rows.filter(move |row| match row {
                    Ok(row) => wanted.next_if(|wanted| **wanted == number(row)).is_some(),
                    Err(_) => true,
                }))
            }
        }
    }
}

impl Part {
    /// Its rows, in order.
    ///
    /// # Errors
    /// When a file can't be opened any more.
    pub fn read(&self) -> Result<Rows<'_>, SourceError> {
        match &self.rows_in {
            RowsIn::Files(files) => Ok(folder::rows(files, 0..files.len() as u64)),
            RowsIn::Parquet(files) => Ok(parquet_files::rows(files, 0)),
        }
    }

    /// All its rows as inputs of a model. `progress` hears how many are done, of how many.
    ///
    /// # Errors
    /// When more rows can't be read than may be left out, or the inputs are more bytes than `bytes_max`.
    pub fn inputs(
        &self,
        shape: ImageShape,
        spec: &RowSpec,
        bytes_max: u64,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Inputs, SourceError> {
        let item =
            [shape.channels, shape.height, shape.width].iter().fold(1, |n: u64, d| n.saturating_mul((*d).into()));
        let bytes = item.saturating_mul(self.rows);
        if bytes > bytes_max || self.rows > u64::from(u32::MAX) {
            return Err(SourceError::TooLarge { part: self.name.clone(), rows: self.rows, bytes, limit: bytes_max });
        }
        let mut pixels = Vec::new();
        let inputs = self.rows_into(shape, spec, &mut pixels, progress)?;
        Ok(Inputs { pixels, ..inputs })
    }

    /// The same, of which the pixels go elsewhere, however many there are.
    fn rows_into(
        &self,
        shape: ImageShape,
        spec: &RowSpec,
        pixels: &mut dyn Write,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Inputs, SourceError> {
        let mut inputs = Inputs::default();
        for row in self.read()? {
            let row = row?;
            let answer = row.as_ref().map_or(Ok(None), |row| self.answer(row));
            let answer = answer.map_err(|problem| SourceError::Answers { part: self.name.clone(), problem })?;
            match row.and_then(|row| input(row, shape, spec.pictures)) {
                Ok((label, planes)) => {
                    inputs.labels.push(label);
                    pixels.write_all(&planes).map_err(SourceError::Again)?;
                    inputs.answers.extend(answer.unwrap_or_default());
                }
                Err(row) if inputs.left_out.len() < spec.unreadable_max as usize => inputs.left_out.push(row),
                Err(row) => {
                    let skipped = u32::try_from(inputs.left_out.len()).unwrap_or(u32::MAX);
                    return Err(SourceError::Unreadable { part: self.name.clone(), row, skipped });
                }
            }
            progress(inputs.done(), self.rows);
        }
        Ok(inputs)
    }
}

/// Rows as a model takes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs {
    /// Item-major, then channel, row, column.
    pub pixels: Vec<u8>,
    /// One for each item.
    pub labels: Vec<u16>,
    /// What the teacher answered to each, item-major, where the part has that.
    pub answers: Vec<f32>,
    /// Rows that couldn't be read.
    pub left_out: Vec<RowError>,
}

impl Inputs {
    fn done(&self) -> u64 {
        (self.labels.len() + self.left_out.len()) as u64
    }
}

/// Which row it is, whether or not it can be read.
fn number(row: &Result<Row, RowError>) -> u64 {
    row.as_ref().map_or_else(|row| row.number, |row| row.number)
}

fn input(row: Row, shape: ImageShape, pictures: PictureSpec) -> Result<(u16, Vec<u8>), RowError> {
    let pixels = Picture::decode(&row.picture).and_then(|picture| picture.fitted(shape, pictures));
    match pixels {
        Ok(pixels) => Ok((row.label, pixels)),
        Err(problem) => Err(RowError { number: row.number, origin: row.origin, problem: hinted(&problem) }),
    }
}

/// What to do next where somebody's manifest can say it.
fn hinted(problem: &PictureError) -> String {
    match problem {
        PictureError::Size { .. } => {
            format!(
                "{problem}; `data.rows.pictures.fit = \"crop\"`, `\"pad\"` or `\"stretch\"` says what becomes of it"
            )
        }
        _ => problem.to_string(),
    }
}

/// Which part a folder's or a file's name means: one of the usual words, alone or before `-`, `_` or `.`.
fn part_named(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let word = lower.split(['-', '_', '.']).next().unwrap_or_default();
    PARTS.iter().find(|(usual, _)| *usual == word).map(|(_, part)| *part)
}
