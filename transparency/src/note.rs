//! C2SP signed notes: a text and the signatures under it, and the Ed25519 keys that make and check them.
//!
//! Keys are written as Go's `note` package writes them, so that its tools and witnesses read ours:
//! `name+id+base64(0x01 || public key)`, and `PRIVATE+KEY+name+id+base64(0x01 || seed)`. It does NOT know what a text
//! means, and never prints a private key except where it is asked to.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Ed25519 signatures over the text (C2SP signed-note).
const ED25519: u8 = 1;
/// Ed25519 signatures over the text and a time (C2SP tlog-cosignature).
pub(crate) const COSIGNATURE: u8 = 4;
/// Names are origins, which are addresses without a scheme.
const NAME_BYTES_MAX: usize = 255;
/// C2SP asks for at least 16.
const SIGNATURES_MAX: usize = 64;
const PRIVATE_PREFIX: &str = "PRIVATE+KEY+";

/// The public key of a log, with its name: what a reader is told beforehand.
#[derive(Clone, PartialEq, Eq)]
pub struct LogKey {
    name: String,
    key: VerifyingKey,
}

/// The private key of a log. It is wiped from memory when it is dropped.
#[derive(Clone)]
pub struct LogSigner {
    name: String,
    key: SigningKey,
}

/// Why a text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a name, an id and a key between plus signs.
    #[error("not a key: name+id+base64")]
    Shape,
    /// Names are lines of a checkpoint and parts of a key.
    #[error(
        "the name of a log or a witness has 1 to {NAME_BYTES_MAX} bytes without spaces, control characters and plus signs"
    )]
    Name,
    /// A key of another kind, or no point on the curve.
    #[error("not an Ed25519 key")]
    NotEd25519,
    /// The id isn't the one of this name and key: one of them was mistyped.
    #[error("the id of the key does not belong to its name and key")]
    Id,
    /// A log's key where a witness's belongs.
    #[error("this is the key of a log, not of a witness")]
    NotWitness,
    /// A witness's key where a log's belongs.
    #[error("this is the key of a witness, not of a log")]
    NotLog,
}

/// A text with signatures, of which nothing is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// The text, with its final newline.
    pub text: &'a str,
    /// The signatures, in their order.
    pub signatures: Vec<NoteSignature<'a>>,
}

/// One line under a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature<'a> {
    /// The key's name.
    pub name: &'a str,
    /// The key's id.
    pub id: [u8; 4],
    /// What the key made of the text.
    pub signature: Vec<u8>,
}

/// Why bytes are not a note, or not one of this key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not UTF-8, or with control characters.
    #[error("a note is UTF-8 text without control characters")]
    NotText,
    /// No text, or no signatures behind an empty line.
    #[error("a note is a text, an empty line and signatures")]
    Shape,
    /// A line that isn't a dash, a name and a signature.
    #[error("line {line} of the signatures is not one")]
    SignatureLine {
        /// Which, counted from 1.
        line: usize,
    },
    /// More than a reader wants to look at.
    #[error("more than {SIGNATURES_MAX} signatures")]
    TooMany,
    /// Nothing here is signed by the key.
    #[error("no signature of {name}")]
    Unsigned {
        /// The key's name.
        name: String,
    },
    /// It says that the key signed, and the key didn't sign this.
    #[error("the signature of {name} does not belong to this text")]
    BadSignature {
        /// The key's name.
        name: String,
    },
}

impl LogKey {
    /// The log's name: the origin line of its checkpoints.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256 over name and key: which of a name's keys it is.
    pub fn id(&self) -> [u8; 4] {
        key_id(&self.name, ED25519, &self.key)
    }

    /// Whether the note is signed by this key. Signatures of other keys are passed over; one that claims to be this
    /// key's and isn't refuses the note.
    pub fn verify(&self, note: &Note<'_>) -> Result<(), NoteError> {
        let name = || self.name.clone();
        let id = self.id();
        let mut ours = note.signatures.iter().filter(|line| line.name == self.name && line.id == id).peekable();
        if ours.peek().is_none() {
            return Err(NoteError::Unsigned { name: name() });
        }
        let good = |line: &NoteSignature<'_>| {
            let signature = ed25519_dalek::Signature::from_slice(&line.signature).ok()?;
            self.key.verify_strict(note.text.as_bytes(), &signature).ok()
        };
        match ours.all(|line| good(line).is_some()) {
            true => Ok(()),
            false => Err(NoteError::BadSignature { name: name() }),
        }
    }
}

impl LogSigner {
    /// The key with this seed, for the log of this name. For a new key pass 32 bytes of fresh entropy.
    ///
    /// # Errors
    /// When the name can't be an origin line.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), key: SigningKey::from_bytes(seed) })
    }

    /// The public half.
    pub fn key(&self) -> LogKey {
        LogKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// The text with this key's signature under it. The text ends in a newline and holds no empty line at its end.
    pub fn sign(&self, text: &str) -> String {
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        format!("{text}\n{}", signature_line(&self.name, self.key().id(), &signature))
    }

    /// The private key as text, for a key file and nowhere else.
    pub(crate) fn to_private_text(&self) -> String {
        private_text(&self.name, ED25519, &self.key)
    }

    /// The key in such a text.
    pub(crate) fn from_private_text(text: &str) -> Result<Self, KeyError> {
        let (name, key) = parse_private(text, ED25519)?;
        Ok(Self { name, key })
    }
}

impl<'a> Note<'a> {
    /// Splits a note into its text and its signatures.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NoteError> {
        let all = str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        if all.chars().any(|char| char < ' ' && char != '\n') {
            return Err(NoteError::NotText);
        }
        let (text, signatures) = all.rsplit_once("\n\n").ok_or(NoteError::Shape)?;
        let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Shape)?;
        // The newline that ends the text is the first of the two.
        let text = all.get(..text.len().saturating_add(1)).ok_or(NoteError::Shape)?;
        if signatures.split('\n').count() > SIGNATURES_MAX {
            return Err(NoteError::TooMany);
        }
        let lines = signatures.split('\n').zip(1..);
        let parsed = lines.map(|(line, number)| parse_signature(line).ok_or(NoteError::SignatureLine { line: number }));
        Ok(Self { text, signatures: parsed.collect::<Result<_, _>>()? })
    }
}

fn parse_signature(line: &str) -> Option<NoteSignature<'_>> {
    let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    check_name(name).ok()?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (id, signature) = bytes.split_first_chunk()?;
    (!signature.is_empty()).then(|| NoteSignature { name, id: *id, signature: signature.to_vec() })
}

pub(crate) fn check_name(name: &str) -> Result<(), KeyError> {
    let good = |char: char| !char.is_whitespace() && !char.is_control() && char != '+';
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(good);
    if fits { Ok(()) } else { Err(KeyError::Name) }
}

/// A line under a text.
pub(crate) fn signature_line(name: &str, id: [u8; 4], signature: &[u8]) -> String {
    format!("\u{2014} {name} {}\n", STANDARD.encode([id.as_slice(), signature].concat()))
}

/// The first four bytes of SHA-256 over name, kind and key.
pub(crate) fn key_id(name: &str, kind: u8, key: &VerifyingKey) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update([b'\n', kind]).chain_update(key.as_bytes());
    let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
    [a, b, c, d]
}

/// A verifier key as text.
pub(crate) fn public_text(name: &str, kind: u8, key: &VerifyingKey) -> String {
    key_text(name, key_id(name, kind, key), kind, key.as_bytes())
}

/// A private key as text, for a key file and nowhere else.
pub(crate) fn private_text(name: &str, kind: u8, key: &SigningKey) -> String {
    let id = key_id(name, kind, &key.verifying_key());
    format!("{PRIVATE_PREFIX}{}", key_text(name, id, kind, key.as_bytes()))
}

fn key_text(name: &str, id: [u8; 4], kind: u8, key: &[u8; 32]) -> String {
    let encoded = STANDARD.encode([&[kind], key.as_slice()].concat());
    format!("{name}+{:08x}+{encoded}", u32::from_be_bytes(id))
}

/// The name and the key in the text of a verifier key of this kind.
pub(crate) fn parse_public(text: &str, kind: u8) -> Result<(String, VerifyingKey), KeyError> {
    let (name, id, key) = parse_key(text, kind)?;
    let key = VerifyingKey::from_bytes(&key).map_err(|_| KeyError::NotEd25519)?;
    if key_id(name, kind, &key) == id { Ok((name.to_owned(), key)) } else { Err(KeyError::Id) }
}

/// The name and the key in the text of a private key of this kind.
pub(crate) fn parse_private(text: &str, kind: u8) -> Result<(String, SigningKey), KeyError> {
    let (name, id, seed) = parse_key(text.strip_prefix(PRIVATE_PREFIX).ok_or(KeyError::Shape)?, kind)?;
    let key = SigningKey::from_bytes(&seed);
    if key_id(name, kind, &key.verifying_key()) == id { Ok((name.to_owned(), key)) } else { Err(KeyError::Id) }
}

/// The name, the id as claimed, and the 32 bytes of a key.
fn parse_key(text: &str, kind: u8) -> Result<(&str, [u8; 4], [u8; 32]), KeyError> {
    let (name, rest) = text.split_once('+').ok_or(KeyError::Shape)?;
    let (id, encoded) = rest.split_once('+').ok_or(KeyError::Shape)?;
    check_name(name)?;
    let lower = id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let id = u32::from_str_radix(id, 16).ok().filter(|_| lower).ok_or(KeyError::Shape)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| KeyError::Shape)?;
    let (found, key) = bytes.split_first().ok_or(KeyError::NotEd25519)?;
    match *found {
        found if found == kind => Ok((name, id.to_be_bytes(), key.try_into().map_err(|_| KeyError::NotEd25519)?)),
        ED25519 => Err(KeyError::NotWitness),
        COSIGNATURE => Err(KeyError::NotLog),
        _ => Err(KeyError::NotEd25519),
    }
}

impl FromStr for LogKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, key) = parse_public(text, ED25519)?;
        Ok(Self { name, key })
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&public_text(&self.name, ED25519, &self.key))
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey({self})")
    }
}

impl fmt::Debug for LogSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSigner").field("key", &self.key()).finish_non_exhaustive()
    }
}
