//! Files whose bytes are known in advance: found in one folder, read with a limit, and checked by SHA-256.
//!
//! It knows no file format and fetches nothing; when a file is missing or damaged it says how to get it back.

use crate::idx::IdxError;
use sha2::{Digest, Sha256};
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Names the folder that holds `fashion-mnist/` and `digits/`, when it is not the one in the repository.
pub const DATA_DIR_VARIABLE: &str = "RETORT_DATA_DIR";

/// Why a data set could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// There is no such file.
    #[error("{} is missing; {remedy}, or set {DATA_DIR_VARIABLE} to a folder that has it", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// How to get it.
        remedy: &'static str,
    },
    /// The file is there and cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file has another length than the published one, which no read is needed to see.
    #[error("{} has {found_bytes} bytes, expected {expected_bytes}; {remedy}", path.display())]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Published length.
        expected_bytes: u64,
        /// Length on disk.
        found_bytes: u64,
        /// How to get the right one.
        remedy: &'static str,
    },
    /// The file's content is not the published one.
    #[error("{} has sha256 {found}, expected {expected}; {remedy}", path.display())]
    WrongDigest {
        /// The file.
        path: PathBuf,
        /// Published SHA-256.
        expected: &'static str,
        /// SHA-256 of the file.
        found: String,
        /// How to get the right one.
        remedy: &'static str,
    },
    /// The published bytes do not decode: our table of digests is wrong.
    #[error("cannot decode {}, although its sha256 is the expected one; this is a bug", path.display())]
    Decode {
        /// The file, or the first of a pair.
        path: PathBuf,
        /// What is wrong with it.
        source: IdxError,
    },
    /// A line of the digits table is not 64 pixels and a label.
    #[error("{} line {line} is not 64 values of 0..=16 and a digit, although its sha256 is the expected one; this is a bug", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
}

/// The folder with the data sets: `$RETORT_DATA_DIR`, or else the one in the repository this was built from.
pub fn data_dir() -> PathBuf {
    data_dir_or_default(env::var_os(DATA_DIR_VARIABLE))
}

fn data_dir_or_default(chosen: Option<OsString>) -> PathBuf {
    chosen.filter(|dir| !dir.is_empty()).map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}

/// A file as it was published.
pub(crate) struct PinnedFile {
    pub(crate) name: &'static str,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: &'static str,
    pub(crate) remedy: &'static str,
}

impl PinnedFile {
    /// The published bytes, or the reason why they are not in `dir`.
    pub(crate) fn read(&self, dir: &Path) -> Result<Vec<u8>, DataError> {
        let path = dir.join(self.name);
        let bytes = match self.read_bounded(&path) {
            Ok(bytes) => bytes?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(DataError::Missing { path, remedy: self.remedy });
            }
            Err(source) => return Err(DataError::Read { path, source }),
        };
        let found = hex::encode(Sha256::digest(&bytes));
        if found != self.sha256 {
            return Err(DataError::WrongDigest { path, expected: self.sha256, found, remedy: self.remedy });
        }
        Ok(bytes)
    }

    /// Reads no more than the published length, so that a device or a growing file can't fill memory.
    fn read_bounded(&self, path: &Path) -> io::Result<Result<Vec<u8>, DataError>> {
        let file = File::open(path)?;
        let found_bytes = file.metadata()?.len();
        if found_bytes != self.size_bytes {
            return Ok(Err(DataError::WrongSize {
                path: path.to_owned(),
                expected_bytes: self.size_bytes,
                found_bytes,
                remedy: self.remedy,
            }));
        }
        let mut bytes = Vec::new();
        file.take(self.size_bytes).read_to_end(&mut bytes)?;
        Ok(Ok(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_overrides_the_repository_unless_it_is_empty() {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(data_dir_or_default(Some("/data".into())), PathBuf::from("/data"));
        assert_eq!(data_dir_or_default(Some("".into())), here);
        assert_eq!(data_dir_or_default(None), here);
    }
}
