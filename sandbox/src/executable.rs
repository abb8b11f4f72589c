//! A program that is kept open, so that every worker is the very file that was there at the start: whoever replaces or
//! removes it later, as an upgrade does, changes nothing for a process that runs already. It doesn't know what it does.

use crate::JailError;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// This process's own program, even if another file has its name by now.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// An open program.
#[derive(Clone, Debug)]
pub struct Executable {
    path: PathBuf,
    file: Arc<File>,
}

impl Executable {
    /// The program at `path`, which should be absolute: messages name it.
    ///
    /// # Errors
    /// [`JailError::Program`] when it can't be opened.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, JailError> {
        let path = path.into();
        match File::open(&path) {
            Ok(file) => Ok(Self { path, file: Arc::new(file) }),
            Err(source) => Err(JailError::Program { path, source }),
        }
    }

    /// The running program.
    ///
    /// # Errors
    /// When the system doesn't say where it is, or doesn't let us read it.
    pub fn running() -> io::Result<Self> {
        let file = Arc::new(File::open(OWN_PROGRAM)?);
        Ok(Self { path: std::env::current_exe()?, file })
    }

    /// What it was called when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}
