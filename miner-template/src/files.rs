//! A package folder on a miner's disk: found, bounded and read.

use protocol::api::FileDeclaration;
use protocol::digest::Digest;
use protocol::package::{
    CONFIG_BYTES_MAX, CONFIG_FILE, EXPECTED_BYTES_MAX, EXPECTED_FILE, README_BYTES_MAX, README_FILE, WEIGHTS_FILE,
};
use protocol::submission::{Code, Rejection};
use std::{fs, path::Path};

/// Weights over this size are not even read: far above every competition's limit.
const WEIGHTS_BYTES_MAX: u64 = 8 << 30;

/// The files of a package, in memory.
#[derive(Clone, Debug)]
pub struct PackageFiles {
    /// `config.json`.
    pub config_json: Vec<u8>,
    /// `model.safetensors`.
    pub weights: Vec<u8>,
    /// `README.md`, if there is one.
    pub readme: Option<Vec<u8>>,
    /// `expected.safetensors`, if there is one.
    pub expected: Option<Vec<u8>>,
}

impl PackageFiles {
    /// Reads the package in `folder`.
    ///
    /// # Errors
    /// A [`Rejection`] when a file is missing or too large. Files of other names stay where they are.
    pub fn read(folder: &Path) -> Result<Self, Rejection> {
        Ok(Self {
            config_json: read(folder, CONFIG_FILE, CONFIG_BYTES_MAX)?,
            weights: read(folder, WEIGHTS_FILE, WEIGHTS_BYTES_MAX)?,
            readme: optional(folder, README_FILE, README_BYTES_MAX)?,
            expected: optional(folder, EXPECTED_FILE, EXPECTED_BYTES_MAX)?,
        })
    }

    /// The files by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let readme = self.readme.as_deref().map(|bytes| (README_FILE, bytes));
        let expected = self.expected.as_deref().map(|bytes| (EXPECTED_FILE, bytes));
        let needed = [(CONFIG_FILE, &self.config_json[..]), (WEIGHTS_FILE, &self.weights[..])];
        needed.into_iter().chain(readme).chain(expected)
    }

    /// What a submission announces.
    pub fn declarations(&self) -> Vec<FileDeclaration> {
        self.iter()
            .map(|(path, bytes)| FileDeclaration {
                path: path.to_owned(),
                size: bytes.len() as u64,
                sha256: Digest::of(bytes),
            })
            .collect()
    }
}

/// A file that may be missing. One that says nothing is left out: no validator takes an empty file.
fn optional(folder: &Path, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Rejection> {
    let is_there = fs::metadata(folder.join(name)).is_ok_and(|file| file.len() > 0);
    is_there.then(|| read(folder, name, bytes_max)).transpose()
}

fn read(folder: &Path, name: &str, bytes_max: u64) -> Result<Vec<u8>, Rejection> {
    let path = folder.join(name);
    let missing = |error: std::io::Error| Code::FileMissing.because(format!("{}: {error}", path.display()));
    let size = fs::metadata(&path).map_err(missing)?.len();
    if size > bytes_max {
        return Err(Code::FileTooLarge.because(format!("{} has {size} bytes, limit {bytes_max}", path.display())));
    }
    fs::read(&path).map_err(missing)
}
