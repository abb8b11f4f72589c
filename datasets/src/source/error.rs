//! Why data of one's own can't be used, as its owner reads it.

use super::{AnswersError, RowError};
use protocol::architecture::CLASSES_MAX;
use std::io;
use std::path::PathBuf;

/// Why a source can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file system's answer.
    #[error("read {}: {source}", path.display())]
    Read {
        /// File or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("{} has neither folders of classes with pictures in them, nor such folders below `train` and `test`", .0.display())]
    NoClasses(PathBuf),
    /// Pictures and class folders beside each other, or pictures without a class.
    #[error("{} lies in no class folder; each picture's label is the name of the folder that it is in", .0.display())]
    NoClass(PathBuf),
    /// A link to somewhere else.
    #[error("{} leads out of the folder {}; copy what it leads to", link.display(), folder.display())]
    Leaves {
        /// The link.
        link: PathBuf,
        /// What all must lie in.
        folder: PathBuf,
    },
    /// A file that isn't Parquet, or is damaged.
    #[error("{}: {problem}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        problem: String,
    },
    /// No file, or no rows.
    #[error("{} has no rows; are there files that end in .parquet?", .0.display())]
    Empty(PathBuf),
    /// Which column is meant isn't clear.
    #[error("{}: {problem}; its columns are {columns}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// What is missing or there twice.
        problem: String,
        /// What there is.
        columns: String,
    },
    /// Files of one data set that differ.
    #[error("{} and {} don't have the same columns and classes: {what}", first.display(), second.display())]
    Differ {
        /// A file.
        first: PathBuf,
        /// Another.
        second: PathBuf,
        /// In what.
        what: String,
    },
    /// More classes than labels can tell apart.
    #[error("{found} classes, limit {CLASSES_MAX}")]
    TooManyClasses {
        /// Classes that there are.
        found: usize,
    },
    /// A label that no class of the data has.
    #[error("no class of the data is called `{label}`, as a label of the manifest is; the classes are {classes}")]
    NoItems {
        /// The label.
        label: String,
        /// What the data names.
        classes: String,
    },
    /// A class that is no label.
    #[error("class `{class}` of the data is no label of the manifest")]
    Unnamed {
        /// The class.
        class: String,
    },
    /// No part has this name.
    #[error("there is no part `{wanted}`; the parts are {there}")]
    NoPart {
        /// What was asked for.
        wanted: String,
        /// What there is.
        there: String,
    },
    /// A row that can't be read, one more than may be left out.
    #[error("part `{part}`, row {} ({}): {}; {skipped} were left out before it, `data.rows.unreadable_max` says how many may be", row.number, row.origin, row.problem)]
    Unreadable {
        /// The part.
        part: String,
        /// Which.
        row: RowError,
        /// How many couldn't be read before it.
        skipped: u32,
    },
    /// The teacher's answers aren't to these rows.
    #[error("part `{part}`: {problem}")]
    Answers {
        /// The part.
        part: String,
        /// Why.
        problem: AnswersError,
    },
    /// There is no room for a block of inputs.
    #[error("keep inputs in a file in {} (TMPDIR names another folder): {source}", std::env::temp_dir().display())]
    Spool {
        /// The system's answer.
        source: io::Error,
    },
    /// Pictures that were read before and can't be any more.
    #[error("read the pictures again: {0}")]
    Again(io::Error),
    /// More bytes than whoever asks holds in memory.
    #[error("part `{part}` has {rows} rows, which are {bytes} bytes as inputs; limit {limit}")]
    TooLarge {
        /// The part.
        part: String,
        /// Its rows.
        rows: u64,
        /// Bytes of all its inputs.
        bytes: u64,
        /// How many may be.
        limit: u64,
    },
}
