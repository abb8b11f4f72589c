//! Signed requests: the `btauth/1` protocol of Bittensor, building and verifying.
//!
//! Verifying has three steps, so that a server can refuse before it reads a body and judge freshness when the head
//! arrives, however long the upload takes:
//!
//! 1. [`Claim::from_headers`]: the headers have the right shape;
//! 2. [`Claim::admit`]: the request is meant for us, and fresh;
//! 3. [`AdmittedClaim::verify`]: the signature covers method, target and the hash of the body that was received.
//!
//! [`verify`] takes all three at once. Replay is the fourth check: give the result to a
//! [`NonceWindow`](super::NonceWindow), after the signature so that nobody can burn another's nonces.
//!
//! It does NOT know HTTP types, read the clock or hash bodies. The target is the one sent on the wire, percent-encoded
//! path and query, before any router has stripped a prefix.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod error;

pub use error::{AuthError, MalformedAuth};

use super::hotkey::Hotkey;
use super::keypair::{Keypair, Scheme, Signature};
use crate::digest::Digest;
use serde::{Deserialize, Serialize};

/// The version of the protocol: `1`.
pub const HEADER_VERSION: &str = "X-Bittensor-Version";
/// The hotkey of the sender.
pub const HEADER_HOTKEY: &str = "X-Bittensor-Hotkey";
/// The hotkey that the request is meant for.
pub const HEADER_RECEIVER: &str = "X-Bittensor-Receiver";
/// Unix time in nanoseconds, decimal.
pub const HEADER_NONCE: &str = "X-Bittensor-Nonce";
/// The signature scheme; sr25519 where it is absent.
pub const HEADER_CRYPTO: &str = "X-Bittensor-Crypto";
/// The signature, `0x` and hex.
pub const HEADER_SIGNATURE: &str = "X-Bittensor-Signature";

const PROTOCOL: &str = "btauth/1";
const VERSION: &str = "1";
/// The receiver line of a request that is bound to nobody.
const NO_RECEIVER: &str = "-";
/// The longest value, a signature, has 130 characters; a longer one is not looked at.
const HEADER_VALUE_BYTES_MAX: usize = 256;
const NS_PER_S: u64 = 1_000_000_000;

/// What a verifier accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// A nonce this far back is the oldest that is still fresh.
    pub max_age_ns: u64,
    /// A nonce this far ahead is the latest that is still believed.
    pub allowed_skew_ns: u64,
    /// Whether a request must name its receiver. One that names another is refused either way.
    pub require_receiver: bool,
}

/// What is signed about a request.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingRequest<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// Path and query exactly as they will be sent.
    pub target: &'a str,
    /// SHA-256 of the raw body; of no bytes where there is none.
    pub body_sha256: Digest,
    /// Who the request is meant for.
    pub receiver: Option<Hotkey>,
    /// Unix time in nanoseconds. Every attempt needs a nonce of its own.
    pub nonce_ns: u64,
}

/// A request as it was received.
#[derive(Debug, Clone, Copy)]
pub struct RequestParts<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// Path and query exactly as they came.
    pub target: &'a str,
    /// All headers, or at least those named in this module; names in any case.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// SHA-256 of the raw body.
    pub body_sha256: Digest,
}

/// What the headers of a request claim. Nothing about it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    sender: Hotkey,
    /// The text as sent: it is compared with our own hotkey's and signed, never decoded.
    receiver: Option<String>,
    nonce_ns: u64,
    scheme: Scheme,
    signature: Signature,
}

/// A claim that is meant for us and fresh. The signature is still unproven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmittedClaim(Claim);

/// What a sender signed, kept for whoever asks later: the eight lines of `btauth/1` and the signature under them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedText {
    text: String,
    signature: Signature,
}

/// A request whose signature verifies. Only this module makes one. It may still be a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedRequest {
    /// Who signed the request.
    pub hotkey: Hotkey,
    /// Its nonce: unix time in nanoseconds.
    pub nonce_ns: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { max_age_ns: 10 * NS_PER_S, allowed_skew_ns: 2 * NS_PER_S, require_receiver: true }
    }
}

/// The headers that make `request` a signed one.
pub fn sign_request(keypair: &Keypair, request: &OutgoingRequest<'_>) -> Vec<(&'static str, String)> {
    let sender = keypair.hotkey();
    let receiver = request.receiver.map(|receiver| receiver.to_string());
    let payload = signing_payload(
        Scheme::Sr25519,
        request.method,
        request.target,
        request.body_sha256,
        request.nonce_ns,
        &sender,
        receiver.as_deref(),
    );
    let mut headers = vec![
        (HEADER_VERSION, VERSION.to_owned()),
        (HEADER_HOTKEY, sender.to_string()),
        (HEADER_NONCE, request.nonce_ns.to_string()),
        (HEADER_SIGNATURE, keypair.sign(payload.as_bytes()).to_string()),
    ];
    headers.extend(receiver.map(|receiver| (HEADER_RECEIVER, receiver)));
    headers
}

/// Shape, receiver, freshness and signature, in this order.
pub fn verify(
    request: &RequestParts<'_>,
    self_hotkey: &Hotkey,
    now_ns: u64,
    policy: &Policy,
) -> Result<VerifiedRequest, AuthError> {
    Claim::from_headers(request.headers.iter().copied())?.admit(self_hotkey, now_ns, policy)?.verify(
        request.method,
        request.target,
        request.body_sha256,
    )
}

impl Claim {
    /// Reads the headers of a signed request; others are passed over, names compare without case.
    pub fn from_headers<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, MalformedAuth> {
        let found = AuthHeaders::collect(headers)?;
        let version = found.version.ok_or(MalformedAuth::Missing(HEADER_VERSION))?;
        if version != VERSION {
            return Err(MalformedAuth::Version(version.to_owned()));
        }
        let sender = found.hotkey.ok_or(MalformedAuth::Missing(HEADER_HOTKEY))?.parse()?;
        let nonce_ns = parse_nonce(found.nonce.ok_or(MalformedAuth::Missing(HEADER_NONCE))?)?;
        let scheme = match found.crypto {
            Some(name) => Scheme::from_name(name).ok_or_else(|| MalformedAuth::Crypto(name.to_owned()))?,
            None => Scheme::Sr25519,
        };
        let signature = found.signature.ok_or(MalformedAuth::Missing(HEADER_SIGNATURE))?.parse()?;
        Ok(Self { sender, receiver: found.receiver.map(str::to_owned), nonce_ns, scheme, signature })
    }

    /// Whether the request is meant for us and fresh; an age of exactly the maximum still is.
    pub fn admit(self, self_hotkey: &Hotkey, now_ns: u64, policy: &Policy) -> Result<AdmittedClaim, AuthError> {
        let wrong_receiver = |found: &str| AuthError::WrongReceiver { found: found.to_owned(), expected: *self_hotkey };
        match &self.receiver {
            None if policy.require_receiver => return Err(wrong_receiver(NO_RECEIVER)),
            Some(receiver) if *receiver != self_hotkey.to_string() => return Err(wrong_receiver(receiver)),
            _ => {}
        }
        let age_ns = now_ns.saturating_sub(self.nonce_ns);
        let ahead_ns = self.nonce_ns.saturating_sub(now_ns);
        if age_ns > policy.max_age_ns || ahead_ns > policy.allowed_skew_ns {
            return Err(AuthError::StaleRequest { nonce_ns: self.nonce_ns, now_ns });
        }
        Ok(AdmittedClaim(self))
    }
}

impl AdmittedClaim {
    /// Who claims to have sent the request: good for a quota before the body is read, never for a right.
    pub fn claimed_hotkey(&self) -> Hotkey {
        self.0.sender
    }

    /// What the claimed sender would have signed of this method, target and body: proven once [`AdmittedClaim::verify`] is.
    pub fn signed_text(&self, method: &str, target: &str, body_sha256: Digest) -> SignedText {
        let Claim { sender, receiver, nonce_ns, scheme, signature } = &self.0;
        let text = signing_payload(*scheme, method, target, body_sha256, *nonce_ns, sender, receiver.as_deref());
        SignedText { text, signature: *signature }
    }

    /// Whether the claimed sender signed this method, target and body.
    pub fn verify(self, method: &str, target: &str, body_sha256: Digest) -> Result<VerifiedRequest, AuthError> {
        if [method, target].iter().any(|part| part.bytes().any(|byte| byte <= b' ' || byte == 0x7f)) {
            return Err(MalformedAuth::RequestLine.into());
        }
        let Claim { sender, receiver, nonce_ns, scheme, signature } = self.0;
        let payload = signing_payload(scheme, method, target, body_sha256, nonce_ns, &sender, receiver.as_deref());
        sender.verify(scheme, payload.as_bytes(), &signature)?;
        Ok(VerifiedRequest { hotkey: sender, nonce_ns })
    }
}

impl SignedText {
    /// Whether `sender` asked `receiver` for `method` on a target that ends in `path`, which may stand behind a proxy's prefix.
    pub fn asks(&self, sender: &Hotkey, receiver: &Hotkey, (method, path): (&str, &str)) -> bool {
        let lines: Vec<&str> = self.text.split('\n').collect();
        let [protocol, scheme, asked, target, _body, _nonce, from, to] = lines.as_slice() else { return false };
        let Some(scheme) = Scheme::from_name(scheme) else { return false };
        (*protocol, *asked) == (PROTOCOL, method)
            && target.ends_with(path)
            && (*from, *to) == (sender.to_string().as_str(), receiver.to_string().as_str())
            && sender.verify(scheme, self.text.as_bytes(), &self.signature).is_ok()
    }
}

/// The signed text: eight lines, no line break at the end.
pub fn signing_payload(
    scheme: Scheme,
    method: &str,
    target: &str,
    body_sha256: Digest,
    nonce_ns: u64,
    sender: &Hotkey,
    receiver: Option<&str>,
) -> String {
    [
        PROTOCOL,
        scheme.name(),
        &method.to_ascii_uppercase(),
        target,
        &body_sha256.to_string(),
        &nonce_ns.to_string(),
        &sender.to_string(),
        receiver.unwrap_or(NO_RECEIVER),
    ]
    .join("\n")
}

/// The values of our headers, each at most once.
#[derive(Default)]
struct AuthHeaders<'a> {
    version: Option<&'a str>,
    hotkey: Option<&'a str>,
    receiver: Option<&'a str>,
    nonce: Option<&'a str>,
    crypto: Option<&'a str>,
    signature: Option<&'a str>,
}

impl<'a> AuthHeaders<'a> {
    fn collect(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, MalformedAuth> {
        let mut found = Self::default();
        for (name, value) in headers {
            let Some((name, slot)) = found.slot(name) else { continue };
            if slot.is_some() {
                return Err(MalformedAuth::Repeated(name));
            }
            *slot = Some(printable(value).ok_or(MalformedAuth::NotText(name))?);
        }
        Ok(found)
    }

    /// The canonical name of one of our headers and the place for its value.
    fn slot(&mut self, name: &str) -> Option<(&'static str, &mut Option<&'a str>)> {
        let slots = [
            (HEADER_VERSION, &mut self.version),
            (HEADER_HOTKEY, &mut self.hotkey),
            (HEADER_RECEIVER, &mut self.receiver),
            (HEADER_NONCE, &mut self.nonce),
            (HEADER_CRYPTO, &mut self.crypto),
            (HEADER_SIGNATURE, &mut self.signature),
        ];
        slots.into_iter().find(|(ours, _)| ours.eq_ignore_ascii_case(name))
    }
}

fn printable(value: &[u8]) -> Option<&str> {
    let short = value.len() <= HEADER_VALUE_BYTES_MAX;
    (short && value.iter().all(|byte| (b' '..=b'~').contains(byte))).then(|| std::str::from_utf8(value).ok()).flatten()
}

/// A nonce in the one form that is signed: no sign, no leading zero, no space.
fn parse_nonce(text: &str) -> Result<u64, MalformedAuth> {
    let nonce_ns: Option<u64> = text.parse().ok();
    nonce_ns.filter(|nonce_ns| nonce_ns.to_string() == text).ok_or_else(|| MalformedAuth::Nonce(text.to_owned()))
}
