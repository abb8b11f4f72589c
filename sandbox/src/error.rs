//! Why no worker was started.

use std::ffi::NulError;
use std::io;
use std::path::PathBuf;

/// Why no worker was started.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// The program isn't there.
    #[error("open {}: {source}", path.display())]
    Program {
        /// Where it should be.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another user can't run it.
    #[error(
        "execute {} as nobody: {source}; let others read and execute it, or run this as an ordinary user",
        path.display()
    )]
    NotForOthers {
        /// The program.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// An argument with a zero byte.
    #[error("an argument or variable of the worker: {0}")]
    Argument(#[from] NulError),
    /// The system refused.
    #[error("{step}: {source}")]
    System {
        /// What was being done.
        step: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}
