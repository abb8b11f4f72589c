//! Cosignatures (C2SP tlog-cosignature, Ed25519): a witness's word that, at a time, this was the longest history of a log
//! that it had seen, and that nothing of what it saw before was rewritten.
//!
//! Witness keys are written as C2SP has them, `name+id+base64(0x04 || public key)`, so that neither kind of key passes for
//! the other. It does NOT know what a witness has to check before it signs: `witness` does. It reads no clock.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::note::{
    COSIGNATURE, KeyError, Note, NoteError, NoteSignature, check_name, key_id, parse_private, parse_public,
    private_text, public_text, signature_line,
};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use std::fmt;
use std::str::FromStr;

/// C2SP: a time must not exceed 2^63 - 1.
const TIME_MAX: u64 = i64::MAX as u64;

/// The public key of a witness, with its name: what whoever trusts it is told beforehand.
#[derive(Clone, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    key: VerifyingKey,
}

/// The private key of a witness. It is wiped from memory when it is dropped.
#[derive(Clone)]
pub struct WitnessSigner {
    name: String,
    key: SigningKey,
}

impl WitnessKey {
    /// The witness's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256 over name and key: which of a name's keys it is.
    pub fn id(&self) -> [u8; 4] {
        key_id(&self.name, COSIGNATURE, &self.key)
    }

    /// When this witness cosigned the note, in Unix seconds: the earliest time, if it did so more than once; `None` if
    /// it didn't.
    ///
    /// # Errors
    /// When a line claims to be this witness's and isn't. Such a note is to be refused as a whole.
    pub fn cosigned(&self, note: &Note<'_>) -> Result<Option<u64>, NoteError> {
        let id = self.id();
        let ours = note.signatures.iter().filter(|line| line.name == self.name && line.id == id);
        let times = ours.map(|line| self.time_of(note.text, line));
        let times: Option<Vec<u64>> = times.collect();
        let times = times.ok_or_else(|| NoteError::BadSignature { name: self.name.clone() })?;
        Ok(times.into_iter().min())
    }

    /// The line of this witness among `lines`, and its time in Unix seconds, if it cosigned a checkpoint's `text` in one of
    /// them. All others are passed over: what a witness answers may hold signatures of keys that we don't know.
    pub fn find<'a>(&self, text: &str, lines: &'a str) -> Option<(&'a str, u64)> {
        lines.split_inclusive('\n').find_map(|line| {
            let note = format!("{text}\n{line}");
            let time = self.cosigned(&Note::parse(note.as_bytes()).ok()?).ok().flatten()?;
            Some((line, time))
        })
    }

    /// The time in a line under `text`, if the line is this key's.
    fn time_of(&self, text: &str, line: &NoteSignature<'_>) -> Option<u64> {
        let (time, signature) = line.signature.split_first_chunk()?;
        let time = u64::from_be_bytes(*time);
        let signature = Signature::from_slice(signature).ok()?;
        // Zero stands for no statement about time.
        let is_time = (1..=TIME_MAX).contains(&time);
        is_time.then(|| self.key.verify_strict(message(text, time).as_bytes(), &signature).ok()).flatten()?;
        Some(time)
    }
}

impl WitnessSigner {
    /// The key with this seed, for the witness of this name. For a new key pass 32 bytes of fresh entropy.
    ///
    /// # Errors
    /// When the name can't be one.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), key: SigningKey::from_bytes(seed) })
    }

    /// The public half.
    pub fn key(&self) -> WitnessKey {
        WitnessKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// The signature line for a checkpoint's text at `time`, in Unix seconds. Whoever calls this has checked that the
    /// checkpoint follows all that it cosigned before.
    pub fn cosign(&self, text: &str, time: u64) -> String {
        let time = time.clamp(1, TIME_MAX);
        let signature = self.key.sign(message(text, time).as_bytes()).to_bytes();
        signature_line(&self.name, self.key().id(), &[time.to_be_bytes().as_slice(), &signature].concat())
    }

    /// The private key as text, for a key file and nowhere else.
    pub(crate) fn to_private_text(&self) -> String {
        private_text(&self.name, COSIGNATURE, &self.key)
    }

    /// The key in such a text.
    pub(crate) fn from_private_text(text: &str) -> Result<Self, KeyError> {
        let (name, key) = parse_private(text, COSIGNATURE)?;
        Ok(Self { name, key })
    }
}

/// What is signed.
fn message(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

impl FromStr for WitnessKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, key) = parse_public(text, COSIGNATURE)?;
        Ok(Self { name, key })
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&public_text(&self.name, COSIGNATURE, &self.key))
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessKey({self})")
    }
}

impl fmt::Debug for WitnessSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WitnessSigner").field("key", &self.key()).finish_non_exhaustive()
    }
}
