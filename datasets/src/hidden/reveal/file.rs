//! The file that a reveal is: written from its parts, and read from bytes that nobody vouches for. Its leaves stay where they lie.
//!
//! [`super`] says what is in it. It does not know whether a reveal holds.

use super::super::commitment::canonical;
use super::super::secret::Secret;
use super::{Leaves, Reveal, RevealError};
use crate::FormatError;
use crate::format::{Reader, label_bytes, put_labels};
use crate::labelled::Placed;
use protocol::pixels::Pixels;
use serde::{Serialize, de::DeserializeOwned};
use std::fs::File;

/// By bytes of a label, less one.
const MAGICS: [[u8; 8]; 2] = [*b"RTREV1\0\0", *b"RTREV2\0\0"];
/// Terms and beacons are short; this bounds what the JSON parser sees.
const JSON_BYTES_MAX: usize = 16_384;

impl Reveal {
    /// Writes the file format.
    ///
    /// # Errors
    /// When a part is too long, or the leaves can't be read where they lie.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RevealError> {
        let mut bytes = self.head(self.leaves.count(), self.leaves.each())?;
        for leaf in self.leaves.iter() {
            bytes.extend(leaf?);
        }
        bytes.extend(self.tail()?);
        Ok(bytes)
    }

    /// What the file has before its leaves, of which there are `count` of so many bytes.
    pub(in super::super) fn head(&self, count: usize, leaf_bytes: usize) -> Result<Vec<u8>, RevealError> {
        let each = label_bytes(&self.labels);
        let mut bytes = if each == 1 { MAGICS[0] } else { MAGICS[1] }.to_vec();
        for json in [canonical(&self.terms), canonical(&self.beacon)] {
            put_length(&mut bytes, json.len())?;
            bytes.extend(json);
        }
        bytes.extend(self.secret.expose());
        bytes.extend(self.fixed_seed);
        put_length(&mut bytes, self.labels.len())?;
        put_labels(&mut bytes, &self.labels, each);
        bytes.extend(self.items_sha256);
        put_length(&mut bytes, count)?;
        put_length(&mut bytes, leaf_bytes)?;
        Ok(bytes)
    }

    /// And behind them.
    pub(in super::super) fn tail(&self) -> Result<Vec<u8>, RevealError> {
        let mut bytes = Vec::new();
        put_length(&mut bytes, self.proof.len())?;
        bytes.extend(self.proof.as_flattened());
        Ok(bytes)
    }

    /// Opens the file format where it lies.
    ///
    /// # Errors
    /// When it isn't that, or can't be read.
    pub fn open(file: File) -> Result<Self, RevealError> {
        let file = Placed::new(file).map_err(|error| RevealError::Io(error.to_string()))?;
        Self::read(file.whole())
    }

    /// Reads the file format from memory. Nothing is allocated beyond a small multiple of the input's own length.
    ///
    /// # Errors
    /// When it isn't that.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RevealError> {
        Self::read(bytes.to_vec().into())
    }

    fn read(file: Pixels) -> Result<Self, RevealError> {
        let mut file = Unread { file, at: 0 };
        let magic = file.array("magic")?;
        let each = match MAGICS.iter().position(|known| *known == magic) {
            Some(place) => place.saturating_add(1),
            None => return Err(FormatError::Magic { expected: MAGICS[0], found: magic }.into()),
        };
        let terms = file.json("terms")?;
        let beacon = file.json("beacon")?;
        let secret = Secret::new(file.array("secret")?);
        let fixed_seed = file.array("fixed seed")?;
        let labels = file.u32("label count")? as usize;
        let labels = Reader::new(&file.take("labels", labels.saturating_mul(each))?).labels("labels", labels, each)?;
        if each > label_bytes(&labels) {
            return Err(FormatError::WideLabels.into());
        }
        let items_sha256 = file.array("digest of items")?;
        let (count, leaf_bytes) = (file.u32("leaf count")? as usize, file.u32("leaf length")? as usize);
        if (count == 0) != (leaf_bytes == 0) {
            return Err(FormatError::Zero { what: "leaf count or length" }.into());
        }
        let leaves = Leaves::new(file.pass("leaves", count.saturating_mul(leaf_bytes))?, leaf_bytes);
        let hashes = file.u32("hash count")? as usize;
        let proof = file.take("proof", hashes.saturating_mul(32))?.as_chunks().0.to_vec();
        file.finish()?;
        Ok(Self { terms, beacon, secret, fixed_seed, labels, items_sha256, leaves, proof })
    }
}

/// A file from some place on.
struct Unread {
    file: Pixels,
    at: u64,
}

impl Unread {
    fn left(&self) -> u64 {
        self.file.bytes().saturating_sub(self.at)
    }

    /// The next bytes, where they lie.
    fn pass(&mut self, what: &'static str, needed: usize) -> Result<Pixels, RevealError> {
        if needed as u64 > self.left() {
            let left = usize::try_from(self.left()).unwrap_or(usize::MAX);
            return Err(FormatError::Truncated { what, needed, left }.into());
        }
        let end = self.at.saturating_add(needed as u64);
        let passed = self.file.part(self.at..end);
        self.at = end;
        Ok(passed)
    }

    /// The next bytes. Nothing is allocated for what isn't there.
    fn take(&mut self, what: &'static str, needed: usize) -> Result<Vec<u8>, RevealError> {
        let passed = self.pass(what, needed)?;
        passed.read(0..needed as u64).map_err(|error| RevealError::Io(error.to_string()))
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], RevealError> {
        Ok(Reader::new(&self.take(what, N)?).array(what)?)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, RevealError> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn json<T: Serialize + DeserializeOwned>(&mut self, what: &'static str) -> Result<T, RevealError> {
        let length = self.u32(what)? as usize;
        if length > JSON_BYTES_MAX {
            return Err(RevealError::TooLong { what, found: length, max: JSON_BYTES_MAX });
        }
        let bytes = self.take(what, length)?;
        let value =
            serde_json::from_slice(&bytes).map_err(|error| RevealError::Json { what, why: error.to_string() })?;
        if canonical(&value) == bytes { Ok(value) } else { Err(RevealError::NotCanonical { what }) }
    }

    fn finish(self) -> Result<(), RevealError> {
        match usize::try_from(self.left()).unwrap_or(usize::MAX) {
            0 => Ok(()),
            count => Err(FormatError::Trailing { count }.into()),
        }
    }
}

fn put_length(bytes: &mut Vec<u8>, length: usize) -> Result<(), RevealError> {
    let max = u32::MAX as usize;
    let length = u32::try_from(length).map_err(|_| RevealError::TooLong { what: "a part", found: length, max })?;
    bytes.extend(length.to_le_bytes());
    Ok(())
}
