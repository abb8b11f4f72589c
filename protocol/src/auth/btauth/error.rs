//! Why a signed request is refused, by the names that the protocol gives to it.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::super::hotkey::{Hotkey, HotkeyError};
use super::super::keypair::{BadSignature, SignatureFormatError};
use super::{HEADER_VALUE_BYTES_MAX, NS_PER_S, VERSION};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Why a request is not authentic. The messages hold nothing secret and may be sent to the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The headers do not have the shape of `btauth/1`.
    #[error(transparent)]
    MalformedAuth(#[from] MalformedAuth),
    /// Signed for another receiver, or for none.
    #[error("request is signed for receiver {found}, this is {expected}")]
    WrongReceiver {
        /// The receiver that the request names, `-` for none.
        found: String,
        /// The hotkey of this verifier.
        expected: Hotkey,
    },
    /// Outside the freshness window.
    #[error("{}", off(*nonce_ns, *now_ns))]
    StaleRequest {
        /// The nonce of the request.
        nonce_ns: u64,
        /// The time at which it was judged.
        now_ns: u64,
    },
    /// The signature is not the claimed hotkey's over this request.
    #[error(transparent)]
    BadSignature(#[from] BadSignature),
    /// This hotkey and nonce were accepted before.
    #[error("nonce {nonce_ns} of hotkey {hotkey} was already used")]
    ReplayedRequest {
        /// Who signed the request.
        hotkey: Hotkey,
        /// Its nonce.
        nonce_ns: u64,
    },
    /// Too many requests within the retention: accepting one more would mean forgetting one. Ours to fix, not a replay.
    #[error("nonce window is full with {entries} requests")]
    NonceWindowFull {
        /// How many requests are remembered.
        entries: usize,
    },
}

/// What is wrong with the shape of a signed request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedAuth {
    /// A required header is absent.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// A header occurs twice, and two readers could pick different ones.
    #[error("header {0} occurs more than once")]
    Repeated(&'static str),
    /// A header is not ASCII text of a reasonable length.
    #[error("header {0} is not printable text of at most {HEADER_VALUE_BYTES_MAX} bytes")]
    NotText(&'static str),
    /// Another version of the protocol.
    #[error("version {0:?} is not supported, only {VERSION:?} is")]
    Version(String),
    /// The sender is no hotkey.
    #[error("sender is unusable: {0}")]
    Sender(#[from] HotkeyError),
    /// The nonce is not a decimal number of nanoseconds.
    #[error("nonce {0:?} is not a decimal number of nanoseconds")]
    Nonce(String),
    /// An unknown signature scheme.
    #[error("signature scheme {0:?} is not known")]
    Crypto(String),
    /// The signature is not 64 bytes in hex.
    #[error(transparent)]
    Signature(#[from] SignatureFormatError),
    /// A method or target that HTTP can't carry: a line break in it would shift the signed lines.
    #[error("request line holds a control character or a space")]
    RequestLine,
}

impl AuthError {
    /// The name that the protocol gives to this outcome: a stable code.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::MalformedAuth(_) => "MalformedAuth",
            Self::WrongReceiver { .. } => "WrongReceiver",
            Self::StaleRequest { .. } => "StaleRequest",
            Self::BadSignature(_) => "BadSignature",
            Self::ReplayedRequest { .. } => "ReplayedRequest",
            Self::NonceWindowFull { .. } => "NonceWindowFull",
        }
    }
}

/// By how much a request's clock and the verifier's differ, in which direction, and both as people write them.
fn off(nonce_ns: u64, now_ns: u64) -> String {
    let way = if nonce_ns < now_ns { "behind" } else { "ahead of" };
    let tenths = nonce_ns.abs_diff(now_ns) / (NS_PER_S / 10);
    let written = |ns: u64| {
        let time = OffsetDateTime::from_unix_timestamp_nanos(ns.into()).ok();
        let time = time.and_then(|time| time.replace_nanosecond(0).ok());
        time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{ns} ns"))
    };
    format!(
        "the request's clock is {}.{} s {way} this one's: it was signed at {} and came at {}",
        tenths / 10,
        tenths % 10,
        written(nonce_ns),
        written(now_ns)
    )
}
