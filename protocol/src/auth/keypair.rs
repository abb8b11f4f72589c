//! Signing and verifying bytes: the sr25519 keypair that signs, and the two schemes that can be verified.
//!
//! It does NOT know what is signed, and it never prints a secret: `Debug` of a keypair shows the hotkey alone.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use schnorrkel::MiniSecretKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Sha256;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::hotkey::Hotkey;

/// The context under which Substrate chains sign with sr25519.
const SIGNING_CONTEXT: &[u8] = b"substrate";
/// The bytes of a signature in either scheme.
const SIGNATURE_BYTES: usize = 64;

/// The signature schemes that a request may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Schnorr signatures on Ristretto: the default of Bittensor.
    Sr25519,
    /// Ed25519, verified strictly (no small-order keys, no malleable signatures).
    Ed25519,
}

/// A signature of either scheme, written as `0x` and lowercase hex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; SIGNATURE_BYTES]);

/// An sr25519 key that signs. Its secret parts are wiped from memory when it is dropped.
#[derive(Clone)]
pub struct Keypair {
    keys: schnorrkel::Keypair,
    /// The seed that the key was expanded from, where it is known: a wallet file then holds it too.
    seed: Option<MiniSecretKey>,
}

/// The signature does not belong to this hotkey and message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signature does not verify against hotkey {hotkey}")]
pub struct BadSignature {
    /// The hotkey that was claimed to have signed.
    pub hotkey: Hotkey,
}

/// Why a text is not a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFormatError {
    /// A signature has 64 bytes.
    #[error("signature text is {chars} bytes long, not 128 hex digits after an optional 0x")]
    WrongLength {
        /// The length of the text in bytes.
        chars: usize,
    },
    /// A character that is no hex digit.
    #[error("signature is not hex")]
    NotHex,
}

/// Why bytes are not a private key. It never repeats the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeypairError {
    /// The first 32 bytes are not a scalar in canonical form; the ed25519-expanded form of an sr25519 key looks so.
    #[error("private key does not begin with a canonical scalar")]
    NotCanonical,
    /// The scalar is zero: everybody has this key.
    #[error("private key is zero, which everybody knows")]
    Zero,
}

impl Scheme {
    /// The name in headers and in signed bytes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sr25519 => "sr25519",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The scheme with this name, exactly as written.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sr25519, Self::Ed25519].into_iter().find(|scheme| scheme.name() == name)
    }
}

impl Hotkey {
    /// Whether anybody can sign for this key: nobody needs a secret for the identity of sr25519, which is 32 bytes of zero and
    /// the account that Substrate falls back to, nor for the points of small order of ed25519. Such a key signs nothing, owns
    /// nothing and is paid nothing; a chain may well list it.
    pub fn is_anybodys(&self) -> bool {
        let identity = schnorrkel::PublicKey::default();
        *self.as_bytes() == identity.to_bytes()
            || ed25519_dalek::VerifyingKey::from_bytes(self.as_bytes()).is_ok_and(|key| key.is_weak())
    }

    /// Whether `signature` is this key's over `message`, under this scheme only.
    pub fn verify(&self, scheme: Scheme, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        let verified = match scheme {
            _ if self.is_anybodys() => None,
            Scheme::Sr25519 => verify_sr25519(self.as_bytes(), message, &signature.0),
            Scheme::Ed25519 => verify_ed25519(self.as_bytes(), message, &signature.0),
        };
        verified.ok_or(BadSignature { hotkey: *self })
    }
}

impl Keypair {
    /// The key that this 32-byte seed expands to, as Substrate does. For a new key pass 32 bytes of fresh entropy.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let seed = MiniSecretKey::from_bytes(seed).expect("32 bytes, because any 32 bytes are a seed");
        Self { keys: seed.expand_to_keypair(MiniSecretKey::ED25519_MODE), seed: Some(seed) }
    }

    /// The key with this private key: canonical scalar, then nonce seed, 32 bytes each.
    pub fn from_private_key(private_key: &[u8; 64]) -> Result<Self, KeypairError> {
        let secret = schnorrkel::SecretKey::from_bytes(private_key).map_err(|_| KeypairError::NotCanonical)?;
        let keypair = Self { keys: secret.to_keypair(), seed: None };
        if keypair.hotkey().is_anybodys() { Err(KeypairError::Zero) } else { Ok(keypair) }
    }

    /// The key with this private key in the form that polkadot-js keeps it in, whose scalar is eight times ours.
    pub(super) fn from_expanded(private_key: &[u8; 64]) -> Result<Self, KeypairError> {
        let secret = schnorrkel::SecretKey::from_ed25519_bytes(private_key).map_err(|_| KeypairError::NotCanonical)?;
        Self::from_private_key(&secret.to_bytes())
    }

    /// The public half.
    pub fn hotkey(&self) -> Hotkey {
        Hotkey::from_bytes(self.keys.public.to_bytes())
    }

    /// An sr25519 signature over `message`. It differs every time.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.keys.sign_simple(SIGNING_CONTEXT, message).to_bytes())
    }

    /// Whether `signature` is this key's over `message`.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        self.hotkey().verify(Scheme::Sr25519, message, signature)
    }

    /// A key for another purpose that only whoever has this one can make again: HMAC-SHA256 of the purpose's name under the
    /// private key (RFC 2104). It says nothing about this key, nor about that of another purpose.
    pub fn key_for(&self, purpose: &str) -> [u8; 32] {
        let key = self.private_key();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a MAC, because HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// The private key for a wallet file, and nowhere else.
    pub(super) fn private_key(&self) -> [u8; 64] {
        self.keys.secret.to_bytes()
    }

    /// The seed for a wallet file, where it is known.
    pub(super) fn seed(&self) -> Option<&[u8; 32]> {
        self.seed.as_ref().map(MiniSecretKey::as_bytes)
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keypair").field("hotkey", &self.hotkey()).finish_non_exhaustive()
    }
}

impl Signature {
    /// The signature with these bytes. Whether it verifies is another question.
    pub const fn from_bytes(bytes: [u8; SIGNATURE_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes of the signature.
    pub const fn as_bytes(&self) -> &[u8; SIGNATURE_BYTES] {
        &self.0
    }
}

impl FromStr for Signature {
    type Err = SignatureFormatError;

    fn from_str(text: &str) -> Result<Self, SignatureFormatError> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if digits.bytes().any(|byte| !byte.is_ascii_hexdigit()) {
            return Err(SignatureFormatError::NotHex);
        }
        let mut bytes = [0; SIGNATURE_BYTES];
        hex::decode_to_slice(digits, &mut bytes)
            .map_err(|_| SignatureFormatError::WrongLength { chars: text.len() })?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl PartialSchema for Signature {
    fn schema() -> RefOr<Schema> {
        let description = "An sr25519 or ed25519 signature: `0x` and 128 lower-case hex digits.";
        crate::schema::text(description, "^0x[0-9a-f]{128}$", &format!("0x{}", "5e".repeat(SIGNATURE_BYTES)))
    }
}

impl ToSchema for Signature {}

/// `None` for a key that is no point, a signature without sr25519's marker bit, and one that does not verify.
fn verify_sr25519(key: &[u8; 32], message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Option<()> {
    let key = schnorrkel::PublicKey::from_bytes(key).ok()?;
    let signature = schnorrkel::Signature::from_bytes(signature).ok()?;
    key.verify_simple(SIGNING_CONTEXT, message, &signature).ok()
}

/// `None` for a key that is no point or of small order, and for a signature that does not verify.
fn verify_ed25519(key: &[u8; 32], message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Option<()> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(key).ok()?;
    key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).ok()
}
