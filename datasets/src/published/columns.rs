//! Columns of a published part, read as we write them: uncompressed, every value as it is, and not more of them than there may be.
//!
//! It does not know which columns there are. The reader is a crate of others: a panic of its own is an error of the file here.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::TableError;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is read, whatever the reader does with damaged bytes.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, TableError>) -> Result<T, TableError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(TableError::Damaged))
}

/// Whose file it is.
#[derive(Clone, Copy)]
pub(super) enum Trust {
    /// The reader's own: however it is written.
    Own,
    /// Nobody's: as we write it, with so many values at most.
    Nobody { values_max: usize },
}

/// A column of a row group, to be read on.
pub(super) fn column<R: ChunkReader + 'static, T: DataType>(
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
pub(super) struct Values<T: DataType> {
    pub(super) values: Vec<T::T>,
    pub(super) defined: Vec<i16>,
    pub(super) repeated: Vec<i16>,
    /// The level at which a value is there.
    pub(super) full: i16,
}

impl<T: DataType> Values<T> {
    /// The next rows.
    pub(super) fn next(column: &mut ColumnReaderImpl<T>, full: i16, rows: usize) -> Result<Self, TableError> {
        let mut read = Self { values: Vec::new(), defined: Vec::new(), repeated: Vec::new(), full };
        let (defined, repeated) = (Some(&mut read.defined), Some(&mut read.repeated));
        let (records, _, _) = column.read_records(rows, defined, repeated, &mut read.values)?;
        if records == rows { Ok(read) } else { Err(TableError::Damaged) }
    }

    /// A value of each row.
    pub(super) fn all(self, what: &'static str, rows: usize) -> Result<Vec<T::T>, TableError> {
        match self.values.len() == rows && self.defined.iter().all(|level| *level == self.full) {
            true => Ok(self.values),
            false => Err(TableError::Missing { what }),
        }
    }
}

pub(super) fn full_level<R: ChunkReader + 'static>(reader: &SerializedFileReader<R>, column: usize) -> i16 {
    reader.metadata().file_metadata().schema_descr().column(column).max_def_level()
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
