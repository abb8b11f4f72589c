//! The hotkey: a 32-byte public key and its ss58 text form, decoded strictly.
//!
//! It does NOT know which scheme the key belongs to: sr25519 unless a request says otherwise, so whether the bytes are
//! a point on a curve is found out when a signature is verified.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;
use std::str::FromStr;

use blake2::{Blake2b512, Digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The ss58 network prefix of every hotkey we accept: 42, "generic Substrate", the one that Bittensor uses.
const SS58_PREFIX: u8 = 42;
/// What the ss58 checksum hashes in front of prefix and key.
const SS58_CHECKSUM_CONTEXT: &[u8] = b"SS58PRE";
/// Prefix, key and the first two bytes of the checksum.
const SS58_BYTES: usize = 1 + 32 + 2;
/// The text of 35 bytes in base58 has at most 48 characters; decoding base58 takes quadratic time, so longer text is
/// refused before it is decoded.
const SS58_TEXT_CHARS_MAX: usize = 48;

/// A public key that signs requests, written as ss58 text with prefix 42.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hotkey([u8; 32]);

/// Why a text is not a hotkey.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HotkeyError {
    /// Longer than any ss58 text of a 32-byte key.
    #[error("hotkey text is {chars} bytes long, at most {SS58_TEXT_CHARS_MAX} are possible")]
    TooLong {
        /// The length of the text in bytes.
        chars: usize,
    },
    /// A character outside the base58 alphabet, or nothing at all.
    #[error("hotkey {text:?} is not base58")]
    NotBase58 {
        /// The text as given.
        text: String,
    },
    /// Not prefix, 32-byte key and two bytes of checksum.
    #[error("hotkey {text:?} decodes to {bytes} bytes, not {SS58_BYTES}")]
    WrongLength {
        /// The text as given.
        text: String,
        /// How many bytes it decodes to.
        bytes: usize,
    },
    /// An address of another network.
    #[error("hotkey {text:?} has ss58 prefix {prefix}, not {SS58_PREFIX}")]
    WrongPrefix {
        /// The text as given.
        text: String,
        /// The prefix found.
        prefix: u8,
    },
    /// A mistyped address.
    #[error("hotkey {text:?} has a wrong checksum")]
    WrongChecksum {
        /// The text as given.
        text: String,
    },
}

impl Hotkey {
    /// The hotkey with these public key bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The public key bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Hotkey {
    type Err = HotkeyError;

    fn from_str(text: &str) -> Result<Self, HotkeyError> {
        if text.len() > SS58_TEXT_CHARS_MAX {
            return Err(HotkeyError::TooLong { chars: text.len() });
        }
        let text_owned = || text.to_owned();
        let bytes = bs58::decode(text).into_vec().map_err(|_| HotkeyError::NotBase58 { text: text_owned() })?;
        let bytes: [u8; SS58_BYTES] = bytes
            .try_into()
            .map_err(|bytes: Vec<u8>| HotkeyError::WrongLength { text: text_owned(), bytes: bytes.len() })?;
        let [prefix, key @ .., sum_0, sum_1] = bytes;
        if prefix != SS58_PREFIX {
            return Err(HotkeyError::WrongPrefix { text: text_owned(), prefix });
        }
        if checksum(&key) != [sum_0, sum_1] {
            return Err(HotkeyError::WrongChecksum { text: text_owned() });
        }
        Ok(Self(key))
    }
}

impl fmt::Display for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; SS58_BYTES];
        bytes[0] = SS58_PREFIX;
        bytes[1..33].copy_from_slice(&self.0);
        bytes[33..].copy_from_slice(&checksum(&self.0));
        f.pad(&bs58::encode(bytes).into_string())
    }
}

impl fmt::Debug for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hotkey({self})")
    }
}

impl Serialize for Hotkey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hotkey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl PartialSchema for Hotkey {
    fn schema() -> RefOr<Schema> {
        // 35 bytes of which the first is 42 are always 48 characters, and the first of those is always a 5.
        let (pattern, example) = ("^5[1-9A-HJ-NP-Za-km-z]{47}$", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
        crate::schema::text("A hotkey: an ss58 address with prefix 42.", pattern, example)
    }
}

impl ToSchema for Hotkey {}

/// The first two bytes of BLAKE2b-512 over context, prefix and key.
fn checksum(key: &[u8; 32]) -> [u8; 2] {
    let hash: [u8; 64] = Blake2b512::new()
        .chain_update(SS58_CHECKSUM_CONTEXT)
        .chain_update([SS58_PREFIX])
        .chain_update(key)
        .finalize()
        .into();
    let [first, second, ..] = hash;
    [first, second]
}
