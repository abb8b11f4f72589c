//! One line of the local ledger: sealed when it is written, unsealed when it is read. Pure.
//!
//! A line is accepted only if it is byte for byte what sealing would write around the same content, so no byte of it
//! can change unnoticed. It does NOT know files, nor whether a record fits those before it.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use protocol::auth::{Hotkey, Keypair, Scheme, Signature};
use protocol::digest::{Digest, canonical_json};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use crate::book::Record;

/// The version of the line format. Another one needs a reader for both.
const VERSION: u32 = 1;
/// What is signed begins with this, so that a signature from the ledger means nothing elsewhere.
const SIGNING_DOMAIN: &[u8] = b"retort-ledger/1\n";
/// How every line begins in canonical form.
const LINE_START: &[u8] = br#"{"body":{"height":"#;

/// Why a line is not the next entry.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It isn't what was written.
    Damaged(String),
    /// It begins the ledger of another key.
    WrongOwner(Hotkey),
}

/// A line.
#[derive(Serialize, Deserialize)]
struct Entry {
    body: Body,
    /// The owner's, over the domain and the body in canonical JSON.
    signature: Signature,
}

/// The part that is signed.
#[derive(Serialize, Deserialize)]
struct Body {
    version: u32,
    height: u64,
    /// The hash of the line before.
    previous: Digest,
    record: Record,
}

/// The line for a record, without its line break.
pub(super) fn seal(owner: &Keypair, height: u64, previous: Digest, record: &Record) -> Vec<u8> {
    let body = Body { version: VERSION, height, previous, record: record.clone() };
    let signature = owner.sign(&signed_bytes(&body));
    canonical(&Entry { body, signature })
}

/// The record in a line, if the line is the entry at `height` after `previous` and `owner` signed it.
pub(super) fn unseal(line: &[u8], owner: Hotkey, height: u64, previous: Digest) -> Result<Record, Refusal> {
    let entry: Entry =
        serde_json::from_slice(line).map_err(|error| Refusal::Damaged(format!("not an entry: {error}")))?;
    let Entry { body, signature } = &entry;
    check(body.version == VERSION, || format!("version {} is not known, only {VERSION} is", body.version))?;
    check(canonical(&entry) == line, || "not in canonical form".to_owned())?;
    check(body.height == height, || format!("it says that its height is {}", body.height))?;
    check(body.previous == previous, || format!("it follows {}, not {previous}", body.previous))?;
    let signer = signer(&body.record, height, owner).map_err(Refusal::Damaged)?;
    let signed = signer.verify(Scheme::Sr25519, &signed_bytes(body), signature);
    signed.map_err(|error| Refusal::Damaged(error.to_string()))?;
    // Only now it is known that the genesis is genuine, and another's.
    if signer == owner { Ok(entry.body.record) } else { Err(Refusal::WrongOwner(signer)) }
}

/// Whether a crash while a line was written can have left these bytes: some of its beginning, perhaps followed by
/// zeros where the file system had made room.
pub(super) fn is_beginning(bytes: &[u8]) -> bool {
    let written = bytes.iter().rposition(|&byte| byte != 0).and_then(|last| bytes.get(..=last)).unwrap_or_default();
    let like_any_line = LINE_START.iter().zip(written).all(|(expected, found)| expected == found);
    let parsed = serde_json::from_slice::<IgnoredAny>(written);
    like_any_line && parsed.is_err_and(|error| error.classify() == Category::Eof)
}

/// Whose signature an entry needs: the genesis names its own signer, and is the first entry.
fn signer(record: &Record, height: u64, owner: Hotkey) -> Result<Hotkey, String> {
    match (record, height) {
        (Record::Genesis { owner }, 0) => Ok(*owner),
        (_, 0) => Err("the first entry is not a genesis".to_owned()),
        _ => Ok(owner),
    }
}

fn check(holds: bool, why: impl FnOnce() -> String) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::Damaged(why())) }
}

fn signed_bytes(body: &Body) -> Vec<u8> {
    [SIGNING_DOMAIN, &canonical(body)].concat()
}

fn canonical(value: &impl Serialize) -> Vec<u8> {
    canonical_json(value).expect("JSON, because an entry is plain data")
}
