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
    /// The empty tree has one root, and this isn't it.
    #[error("the root of an empty log is another")]
    EmptyRoot,
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
    /// Not 32 bytes in base64.
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

    /// The first three lines of a text, and whether there are others.
    fn parse(text: &str) -> Result<(Self, bool), CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Shape)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Shape);
        };
        let mut extensions = lines.peekable();
        let is_extended = extensions.peek().is_some();
        if extensions.any(str::is_empty) {
            return Err(CheckpointError::Shape);
        }
        let parsed: Option<u64> = size.parse().ok().filter(|size| *size <= TREE_SIZE_MAX);
        let number = parsed
            .filter(|number| number.to_string() == size)
            .ok_or_else(|| CheckpointError::Size { found: excerpt(size) })?;
        let bytes: Option<Hash> = STANDARD.decode(root).ok().and_then(|bytes| bytes.try_into().ok());
        let root = bytes.ok_or_else(|| CheckpointError::Root { found: excerpt(root) })?;
        if number == 0 && root != EMPTY_ROOT {
            return Err(CheckpointError::EmptyRoot);
        }
        Ok((Self { origin: origin.to_owned(), size: number, root }, is_extended))
    }
}

impl SignedCheckpoint {
    /// Reads a checkpoint that `key` signed, under its own name. Signatures of others, such as witnesses, are passed over.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn open(bytes: &[u8], key: &LogKey) -> Result<Self, CheckpointError> {
        match Self::open_extended(bytes, key)? {
            (checkpoint, false) => Ok(checkpoint),
            // Extension lines can't be audited, so none are taken.
            (_, true) => Err(CheckpointError::Shape),
        }
    }

    /// As [`Self::open`], for any log: one that adds lines of its own, too. Says whether this one does.
    pub(crate) fn open_extended(bytes: &[u8], key: &LogKey) -> Result<(Self, bool), CheckpointError> {
        if bytes.len() > CHECKPOINT_BYTES_MAX {
            return Err(CheckpointError::TooLarge { bytes: bytes.len() });
        }
        let note = Note::parse(bytes)?;
        key.verify(&note)?;
        let (checkpoint, is_extended) = Checkpoint::parse(note.text)?;
        if checkpoint.origin != key.name() {
            return Err(CheckpointError::Origin {
                expected: key.name().to_owned(),
                found: excerpt(&checkpoint.origin),
            });
        }
        Ok((Self { checkpoint, note: String::from_utf8_lossy(bytes).into_owned() }, is_extended))
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

    /// What was signed: origin, size, root and whatever the log adds.
    pub fn text(&self) -> &str {
        self.note.rsplit_once("\n\n").and_then(|(text, _)| self.note.get(..text.len().saturating_add(1))).unwrap_or("")
    }

    /// The note with further lines of signatures under it, each with its newline.
    pub fn cosigned<'a>(&self, lines: impl IntoIterator<Item = &'a str>) -> String {
        lines.into_iter().fold(self.note.clone(), |note, line| note + line)
    }

    /// The same checkpoint without the signatures of others than `key`.
    pub(crate) fn signed_only_by(self, key: &LogKey) -> Self {
        let lines = self.note.get(self.text().len()..).unwrap_or_default();
        let prefix = format!("\u{2014} {} ", key.name());
        let id = key.id();
        let is_ours = |line: &&str| {
            let encoded = line.strip_prefix(&prefix).and_then(|rest| STANDARD.decode(rest.trim_end()).ok());
            encoded.is_some_and(|bytes| bytes.starts_with(&id))
        };
        let ours: String = lines.split_inclusive('\n').filter(is_ours).collect();
        let note = format!("{}\n{ours}", self.text());
        Self { checkpoint: self.checkpoint, note }
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
