//! What can go wrong with an object, and whether that is its own fault or everybody's.

use crate::disk;
use protocol::Digest;
use std::io;
use std::path::PathBuf;

/// What went wrong with an object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The store has none of this digest.
    #[error("the store has no object {0}")]
    Missing(Digest),
    /// More or fewer bytes than announced.
    #[error("{received} bytes were received, {expected} were announced")]
    Size {
        /// Bytes announced.
        expected: u64,
        /// Bytes received; the rest isn't read.
        received: u64,
    },
    /// Other bytes than announced.
    #[error("the bytes have SHA-256 {received}, {expected} was announced")]
    Digest {
        /// As announced.
        expected: Digest,
        /// As received.
        received: Digest,
    },
    /// The sender stopped before the end, or was silent for too long.
    #[error("the upload broke off after {received} bytes: {problem}")]
    BrokenOff {
        /// Bytes that came.
        received: u64,
        /// Why no more did.
        problem: String,
    },
    /// The store takes a write that must not happen.
    #[error(
        "the store overwrites an object although it was told not to (If-None-Match): use one that honours conditional \
         writes, as S3, R2, MinIO and Ceph do"
    )]
    Overwrites,
    /// The folder of the objects isn't there at the moment; nothing is lost.
    #[error("the folder of objects {} is not there, empty, or another: is its disk mounted?", .0.display())]
    Away(PathBuf),
    /// A folder of this machine that can't be written.
    #[error("write into {}{}: {source}", path.display(), disk::owner(path))]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// There is no space for more.
    #[error("the disk is full")]
    Full,
    /// The store refused.
    #[error("the object store: {0}")]
    Store(object_store::Error),
    /// The temporary file couldn't be used.
    #[error("a temporary file: {0}")]
    Io(io::Error),
    /// The store's URL names nothing that this build knows.
    #[error("object store {url}: {problem}")]
    Url {
        /// The URL without secrets, as it is in the settings.
        url: String,
        /// Why.
        problem: String,
    },
}

impl From<object_store::Error> for ObjectError {
    fn from(error: object_store::Error) -> Self {
        match error {
            error if disk::is_full(&error) => Self::Full,
            object_store::Error::Generic { source, .. } if source.is::<Self>() => match source.downcast::<Self>() {
                Ok(away) => *away,
                Err(source) => Self::Store(object_store::Error::Generic { store: "folder", source }),
            },
            error => Self::Store(error),
        }
    }
}

impl ObjectError {
    /// Whether it says something of the store or its folders, and nothing of an object.
    pub(super) fn is_everybodys(&self) -> bool {
        match self {
            Self::Away(_) | Self::Unwritable { .. } | Self::Full | Self::Store(_) | Self::Io(_) => true,
            Self::Missing(_)
            | Self::Size { .. }
            | Self::Digest { .. }
            | Self::BrokenOff { .. }
            | Self::Overwrites
            | Self::Url { .. } => false,
        }
    }
}

impl From<io::Error> for ObjectError {
    fn from(error: io::Error) -> Self {
        if disk::is_full(&error) { Self::Full } else { Self::Io(error) }
    }
}
