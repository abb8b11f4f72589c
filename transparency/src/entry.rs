//! Entries: what the log is about, as canonical JSON in a small envelope.
//!
//! It does NOT know what a body means: the log keeps bytes, and whoever reads them asks `protocol`.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use protocol::digest::canonical_json;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The format of entries that this version writes and reads.
pub const ENTRY_FORMAT: &str = "retort-log/1";
/// A bundle writes lengths in 16 bits, and the weights of 256 hotkeys have 24 KB. What is larger is stored as an object
/// and logged by its digest.
pub const ENTRY_BYTES_MAX: usize = 32 * 1024;

/// What an entry states.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", parse_err_ty = String, parse_err_fn = no_kind)]
pub enum EntryKind {
    /// A competition appeared: its digest, and so its rules, data and models.
    Competition,
    /// A package was announced: whose it is, and that it came before whatever follows.
    Commitment,
    /// A measurement is about to begin: which one it is, and a digest of its seed.
    Attempt,
    /// A signed receipt: one evaluation.
    Receipt,
    /// A submission came to an end without a receipt: its code and whom it blames.
    Ended,
    /// A round began: what it commits to before anybody knows what it will draw.
    RoundOpened,
    /// A round takes no more entries; which beacon it waits for.
    RoundClosed,
    /// The beacon of a round came: what nobody could know before.
    RoundBeacon,
    /// A round ended without a draw, and whose fault that is.
    RoundAbandoned,
    /// A round's entries were measured and compared.
    RoundJudged,
    /// The weights of a round.
    Reward,
    /// What a round kept secret until it was over.
    RoundRevealed,
    /// A submission takes no part in a round, and why.
    LeftOut,
    /// A submission's owner objects.
    Appeal,
    /// What the operator answers to that.
    Answer,
    /// What an operator did by hand: a new log, a disqualification, a repeated evaluation, a change of keys.
    Administration,
}

/// The bytes of an entry. To the log they are opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry(Arc<[u8]>);

/// An entry that was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// [`ENTRY_FORMAT`].
    pub format: String,
    /// What it states.
    pub kind: EntryKind,
    /// Its own name, such as `receipt/` and a submission: a log never states the same thing twice.
    pub key: String,
    /// The statement. Its canonical JSON is what was signed, where something was.
    pub body: serde_json::Value,
}

/// Why something is not an entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Nothing, or more than a bundle may hold.
    #[error("an entry of {bytes} bytes, not 1 to {ENTRY_BYTES_MAX}")]
    Size {
        /// How many.
        bytes: usize,
    },
    /// Not the JSON of an envelope.
    #[error("not an entry")]
    Malformed(#[from] serde_json::Error),
    /// A version that this one doesn't know.
    #[error("entry format {found:?}, not {ENTRY_FORMAT:?}")]
    Format {
        /// The format named.
        found: String,
    },
}

impl Entry {
    /// The entry that states `body` under the name `key`.
    ///
    /// # Errors
    /// When it is too large or JSON can't hold it.
    pub fn new(kind: EntryKind, key: &str, body: &impl Serialize) -> Result<Self, EntryError> {
        let (format, key, body) = (ENTRY_FORMAT.to_owned(), key.to_owned(), serde_json::to_value(body)?);
        Self::from_bytes(&canonical_json(&Envelope { format, kind, key, body })?)
    }

    /// Bytes as they are.
    ///
    /// # Errors
    /// When there are none or too many.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EntryError> {
        let fits = (1..=ENTRY_BYTES_MAX).contains(&bytes.len());
        fits.then(|| Self(bytes.into())).ok_or(EntryError::Size { bytes: bytes.len() })
    }

    /// The bytes that are hashed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl EntryKind {
    /// All kinds.
    pub const ALL: [Self; 16] = [
        Self::Competition,
        Self::Commitment,
        Self::Attempt,
        Self::Receipt,
        Self::Ended,
        Self::RoundOpened,
        Self::RoundClosed,
        Self::RoundBeacon,
        Self::RoundAbandoned,
        Self::RoundJudged,
        Self::Reward,
        Self::RoundRevealed,
        Self::LeftOut,
        Self::Appeal,
        Self::Answer,
        Self::Administration,
    ];

    /// The name, as in JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

fn no_kind(text: &str) -> String {
    format!("no kind of entry is called {text:?}")
}

impl Envelope {
    /// Reads an entry.
    ///
    /// # Errors
    /// When the bytes are not an envelope of this version.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EntryError::Size { bytes: bytes.len() });
        }
        let envelope: Self = serde_json::from_slice(bytes)?;
        match envelope.format == ENTRY_FORMAT {
            true => Ok(envelope),
            false => Err(EntryError::Format { found: envelope.format.chars().take(80).collect() }),
        }
    }
}
