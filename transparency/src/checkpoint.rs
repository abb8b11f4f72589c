//! Checkpoints: a log's size and root, signed (C2SP tlog-checkpoint).
//!
//! A [`SignedCheckpoint`] exists only with a verified signature, and it keeps its note: two of them that contradict each
//! other are evidence that anyone can check. It does NOT know whether a log really has that root.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::merkle::{EMPTY_ROOT, Hash, TREE_SIZE_MAX};
use crate::note::{LogKey, LogSigner, Note, NoteError};
use crate::tile::CHECKPOINT_BYTES_MAX;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// A log at one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// Entries in the log.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

/// A checkpoint whose signature was verified, with the note that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: String,
}

/// Why bytes are not a checkpoint of a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// More bytes than any checkpoint has.
    #[error("a checkpoint of {bytes} bytes, more than {CHECKPOINT_BYTES_MAX}")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Not a note, or not one that the log's key signed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Not three lines: origin, size, root.
    #[error("a checkpoint has three lines: origin, size and root")]
    Shape,
    /// Another log's.
    #[error("a checkpoint of {found}, not of {expected}")]
    Origin {
        /// The log expected.
        expected: String,
        /// The log named.
        found: String,
    },
    /// Not a number in its shortest form, or too large.
    #[error("{found:?} is not the size of a log")]
    Size {
        /// The line.
        found: String,
    },
    /// Not 32 bytes in base64, or not the root of the empty tree at size 0.
    #[error("{found:?} is not the root of such a log")]
    Root {
        /// The line.
        found: String,
    },
}

impl Checkpoint {
    /// Signs. A log must never sign two that contradict each other.
    pub(crate) fn sign(self, signer: &LogSigner) -> SignedCheckpoint {
        let note = signer.sign(&self.to_string());
        SignedCheckpoint { checkpoint: self, note }
    }

    fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Shape)?.split('\n');
        // Extension lines can't be audited, so none are taken.
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Shape);
        };
        let parsed: Option<u64> = size.parse().ok().filter(|size| *size <= TREE_SIZE_MAX);
        let number = parsed
            .filter(|number| number.to_string() == size)
            .ok_or_else(|| CheckpointError::Size { found: excerpt(size) })?;
        let bytes: Option<Hash> = STANDARD.decode(root).ok().and_then(|bytes| bytes.try_into().ok());
        let hash = bytes
            .filter(|hash| number > 0 || *hash == EMPTY_ROOT)
            .ok_or_else(|| CheckpointError::Root { found: excerpt(root) })?;
        Ok(Self { origin: origin.to_owned(), size: number, root: hash })
    }
}

impl SignedCheckpoint {
    /// Reads a checkpoint that `key` signed, under its own name.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn open(bytes: &[u8], key: &LogKey) -> Result<Self, CheckpointError> {
        if bytes.len() > CHECKPOINT_BYTES_MAX {
            return Err(CheckpointError::TooLarge { bytes: bytes.len() });
        }
        let note = Note::parse(bytes)?;
        key.verify(&note)?;
        let checkpoint = Checkpoint::parse(note.text)?;
        if checkpoint.origin != key.name() {
            return Err(CheckpointError::Origin {
                expected: key.name().to_owned(),
                found: excerpt(&checkpoint.origin),
            });
        }
        Ok(Self { checkpoint, note: String::from_utf8_lossy(bytes).into_owned() })
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.checkpoint.origin
    }

    /// Entries in the log.
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// The root of the tree over them.
    pub fn root(&self) -> &Hash {
        &self.checkpoint.root
    }

    /// The bytes as they were signed: what is stored, served and shown as evidence.
    pub fn note(&self) -> &str {
        &self.note
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }
}

/// As much of a hostile string as a log line should hold.
fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}
