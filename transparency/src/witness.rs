//! The witness protocol (C2SP tlog-witness): what a log asks, and what a witness has to check before it cosigns.
//!
//! Pure: [`AddCheckpoint`] is the body of a request, [`Witness::judge`] the decision. It does NOT keep what was cosigned
//! (`witness_state` does), and knows HTTP by its status codes only.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::cosignature::{WitnessKey, WitnessSigner};
use crate::merkle::{Hash, TREE_SIZE_MAX};
use crate::note::{LogKey, Note, NoteError};
use crate::proof::ConsistencyProof;
use crate::tile::CHECKPOINT_BYTES_MAX;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::fmt;

/// C2SP: hashes that a proof may have.
const PROOF_HASHES_MAX: usize = 63;
/// A larger request is none: an old size, 63 hashes of 45 bytes, a checkpoint.
pub const REQUEST_BYTES_MAX: usize = CHECKPOINT_BYTES_MAX + 4 * 1024;
/// The media type of the size in an answer with status 409.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// The body of `POST …/add-checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size of the checkpoint that the witness cosigned last, as the log believes; 0 if none.
    pub old_size: u64,
    /// That the new checkpoint begins with all of the old.
    pub proof: Vec<Hash>,
    /// The checkpoint, with its signatures.
    pub note: String,
}

/// A witness: its key and the logs that it knows. What it has seen of them is kept elsewhere.
#[derive(Clone, Debug)]
pub struct Witness {
    signer: WitnessSigner,
    /// By origin: a log that changes its key has several for a while.
    logs: BTreeMap<String, Vec<LogKey>>,
}

/// What a witness cosigned last of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    /// The checkpoint: its text and the log's own signatures.
    pub checkpoint: SignedCheckpoint,
    /// When, in Unix seconds.
    pub time: u64,
    /// The cosignature, as a line under a note.
    pub line: String,
}

/// Why a witness doesn't cosign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a request.
    #[error("not an add-checkpoint request: {0}")]
    Malformed(&'static str),
    /// Not a checkpoint.
    #[error("not a checkpoint: {0}")]
    Checkpoint(CheckpointError),
    /// An old size behind the new one.
    #[error("the old size {old_size} is larger than the checkpoint's, {size}")]
    OldSize {
        /// The old size.
        old_size: u64,
        /// The checkpoint's.
        size: u64,
    },
    /// Nobody asked us to witness this log.
    #[error("this witness knows no log called {origin:?}")]
    UnknownLog {
        /// The log's name.
        origin: String,
    },
    /// The log's key didn't sign this.
    #[error("not signed by the log: {0}")]
    Unsigned(NoteError),
    /// What was cosigned last has another size; asking again from there may help.
    #[error("the last checkpoint that was cosigned has {size} entries")]
    Conflict {
        /// Entries in it; 0 if there is none.
        size: u64,
    },
    /// The checkpoint contradicts what was cosigned before, or nothing shows that it doesn't.
    #[error("not shown to be a continuation of the {size} entries that were cosigned")]
    Inconsistent {
        /// Entries in what was cosigned.
        size: u64,
    },
    /// A cosignature now would claim a time before the last one's.
    #[error("the clock of this witness stands before its last cosignature")]
    ClockBehind,
}

impl AddCheckpoint {
    /// Reads a request.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let text = str::from_utf8(bytes).map_err(|_| Refusal::Malformed("it is not UTF-8"))?;
        let (head, note) = text.split_once("\n\n").ok_or(Refusal::Malformed("no empty line before a checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old = old.ok_or(Refusal::Malformed("its first line is not `old` and a size"))?;
        let size: Option<u64> = old.parse().ok().filter(|size| *size <= TREE_SIZE_MAX);
        let old_size = size.filter(|size| size.to_string() == old).ok_or(Refusal::Malformed("not an old size"))?;
        let hash = |line: &str| STANDARD.decode(line).ok().and_then(|bytes| bytes.try_into().ok());
        let proof: Option<Vec<Hash>> = lines.map(hash).collect();
        let proof = proof.ok_or(Refusal::Malformed("a line of the proof is not a hash in base64"))?;
        if proof.len() > PROOF_HASHES_MAX {
            return Err(Refusal::Malformed("more than 63 hashes"));
        }
        Ok(Self { old_size, proof, note: note.to_owned() })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        for hash in &self.proof {
            writeln!(f, "{}", STANDARD.encode(hash))?;
        }
        write!(f, "\n{}", self.note)
    }
}

impl Witness {
    /// The witness with this key, of these logs.
    pub fn new(signer: WitnessSigner, keys: impl IntoIterator<Item = LogKey>) -> Self {
        let mut logs: BTreeMap<String, Vec<LogKey>> = BTreeMap::new();
        for key in keys {
            logs.entry(key.name().to_owned()).or_default().push(key);
        }
        Self { signer, logs }
    }

    /// The public key.
    pub fn key(&self) -> WitnessKey {
        self.signer.key()
    }

    /// The names of the logs that it knows.
    pub fn origins(&self) -> impl Iterator<Item = &str> {
        self.logs.keys().map(String::as_str)
    }

    /// The log that a request is about. Nothing is verified.
    ///
    /// # Errors
    /// When it isn't about a checkpoint of a log that this witness knows.
    pub fn origin(&self, request: &AddCheckpoint) -> Result<&str, Refusal> {
        let note = Note::parse(request.note.as_bytes()).map_err(|error| Refusal::Checkpoint(error.into()))?;
        let named = note.text.split('\n').next().unwrap_or_default();
        let known = self.logs.get_key_value(named).map(|(origin, _)| origin.as_str());
        known.ok_or_else(|| Refusal::UnknownLog { origin: named.chars().take(80).collect() })
    }

    /// Whether the checkpoint may follow what was cosigned last of its log; if so the cosignature at `now`, in Unix
    /// seconds. It must be kept before anybody is told of it, and nothing else be judged for this log in between.
    ///
    /// # Errors
    /// Why not.
    pub fn judge(&self, request: &AddCheckpoint, latest: Option<&Latest>, now: u64) -> Result<Latest, Refusal> {
        let origin = self.origin(request)?;
        let keys = self.logs.get(origin).map(Vec::as_slice).unwrap_or_default();
        let checkpoint = open(&request.note, keys)?;
        let (old_size, size) = (request.old_size, checkpoint.size());
        if old_size > size {
            return Err(Refusal::OldSize { old_size, size });
        }
        let known = latest.map_or(0, |latest| latest.checkpoint.size());
        if old_size != known {
            return Err(Refusal::Conflict { size: known });
        }
        if !follows(&checkpoint, &request.proof, latest.map(|latest| &latest.checkpoint)) {
            return Err(Refusal::Inconsistent { size: known });
        }
        if latest.is_some_and(|latest| latest.time > now) {
            return Err(Refusal::ClockBehind);
        }
        let line = self.signer.cosign(checkpoint.text(), now);
        Ok(Latest { checkpoint, time: now, line })
    }

    /// What was cosigned last, out of the note that [`Latest::note`] wrote.
    ///
    /// # Errors
    /// When it isn't one that this witness cosigned, of a log that it knows.
    pub fn recall(&self, note: &str) -> Result<Latest, Refusal> {
        let request = AddCheckpoint { old_size: 0, proof: Vec::new(), note: note.to_owned() };
        let keys = self.logs.get(self.origin(&request)?).map(Vec::as_slice).unwrap_or_default();
        let checkpoint = open(note, keys)?;
        let parsed = Note::parse(note.as_bytes()).map_err(|error| Refusal::Checkpoint(error.into()))?;
        let key = self.key();
        let unsigned = || Refusal::Unsigned(NoteError::Unsigned { name: key.name().to_owned() });
        let time = key.cosigned(&parsed).map_err(Refusal::Unsigned)?.ok_or_else(unsigned)?;
        let line = self.signer.cosign(checkpoint.text(), time);
        Ok(Latest { checkpoint, time, line })
    }
}

impl Latest {
    /// The checkpoint with the log's signature and the cosignature: what is kept, and shown to monitors.
    pub fn note(&self) -> String {
        self.checkpoint.cosigned([self.line.as_str()])
    }
}

/// The checkpoint, if one of the keys signed it and none that signed it did so falsely. Of the signatures under it only
/// the log's are kept.
fn open(note: &str, keys: &[LogKey]) -> Result<SignedCheckpoint, Refusal> {
    let mut opened = Err(Refusal::Malformed("no key of this log"));
    for key in keys {
        match SignedCheckpoint::open_extended(note.as_bytes(), key) {
            Ok((checkpoint, _)) => opened = Ok(checkpoint.signed_only_by(key)),
            Err(CheckpointError::Note(error @ NoteError::BadSignature { .. })) => return Err(Refusal::Unsigned(error)),
            Err(CheckpointError::Note(error @ NoteError::Unsigned { .. })) => {
                opened = opened.or(Err(Refusal::Unsigned(error)));
            }
            // C2SP has a status of its own for it.
            Err(CheckpointError::EmptyRoot) => return Err(Refusal::Inconsistent { size: 0 }),
            Err(error) => return Err(Refusal::Checkpoint(error)),
        }
    }
    opened
}

/// Whether `checkpoint` begins with all of `older`.
fn follows(checkpoint: &SignedCheckpoint, proof: &[Hash], older: Option<&SignedCheckpoint>) -> bool {
    let size = checkpoint.size();
    match older.filter(|older| older.size() > 0) {
        None => proof.is_empty(),
        Some(older) if older.size() == size => proof.is_empty() && older.root() == checkpoint.root(),
        Some(older) => {
            let proof = ConsistencyProof { old_size: older.size(), size, hashes: proof.to_vec() };
            proof.verify(older.root(), checkpoint.root()).is_ok()
        }
    }
}

impl Refusal {
    /// The HTTP status that C2SP gives it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::Checkpoint(_) | Self::OldSize { .. } => 400,
            Self::Unsigned(_) => 403,
            Self::UnknownLog { .. } => 404,
            Self::Conflict { .. } => 409,
            Self::Inconsistent { .. } => 422,
            Self::ClockBehind => 503,
        }
    }
}
