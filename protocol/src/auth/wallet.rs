//! Bittensor wallet files: the JSON that holds a hotkey, read and written as `bittensor-wallet` does.
//!
//! It does NOT read files, so refusing coldkeys and files that others may read is the caller's (`chain::keyfile`), and
//! it decrypts nothing. No error repeats a secret: errors name the field, never its value, but for public addresses.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::hotkey::{Hotkey, HotkeyError};
use super::keypair::{Keypair, KeypairError};

/// No wallet file is larger; those that Bittensor writes have about 500 bytes.
pub const WALLET_FILE_BYTES_MAX: usize = 64 * 1024;

/// `cryptoType` of sr25519.
const CRYPTO_TYPE_SR25519: u8 = 1;

/// A wallet file whose parts agree with each other.
#[derive(Debug, Clone)]
pub struct WalletFile {
    keypair: Keypair,
}

/// Why bytes are not a wallet file that we can sign with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalletError {
    /// Larger than any wallet file.
    #[error("wallet file has {size_bytes} bytes, at most {WALLET_FILE_BYTES_MAX} are read")]
    TooLarge {
        /// The size given.
        size_bytes: usize,
    },
    /// Encrypted with a password: a service can't ask for one.
    #[error("wallet file is encrypted ({format}); a service needs a hotkey that is stored without a password")]
    Encrypted {
        /// `NaCl`, `Ansible Vault` or `Fernet`.
        format: &'static str,
    },
    /// Not a JSON object with the fields of a wallet file.
    #[error(
        "wallet file is not a JSON object as Bittensor's tools write it (line {line}, column {column}); `retort keys new FILE` \
         makes one"
    )]
    NotWalletJson {
        /// Where reading stopped.
        line: usize,
        /// Where reading stopped.
        column: usize,
    },
    /// A `*pub.txt` file, or an address: it holds no secret.
    #[error(
        "wallet file holds no private key and no seed: it is the public half, and what signs is the file of the same name \
         without `pub`"
    )]
    PublicOnly,
    /// The words that a key is made of again.
    #[error(
        "wallet file holds a phrase alone, which isn't read here; `btcli wallet regen-hotkey --mnemonic` writes the file of its \
         key"
    )]
    PhraseOnly,
    /// An export of polkadot-js or Talisman.
    #[error(
        "wallet file is an export of polkadot-js, encrypted with a password; a service needs a hotkey that is stored without \
         one: `retort keys new FILE` or `btcli wallet new-hotkey` makes it"
    )]
    PolkadotJs,
    /// Nothing is in it.
    #[error("wallet file is empty; `retort keys new FILE` makes one where none is")]
    Empty,
    /// Text of another encoding.
    #[error("wallet file begins with the byte order mark of UTF-16: save it as UTF-8")]
    Utf16,
    /// An ed25519 key, which can be verified but does not sign here.
    #[error("wallet file has crypto type {crypto_type}; only sr25519 (1) keys sign here")]
    UnsupportedCrypto {
        /// The `cryptoType` found.
        crypto_type: u8,
    },
    /// Not `0x` and the right number of hex digits.
    #[error("wallet field {field} is not 0x and {bytes} bytes in hex")]
    BadHex {
        /// The name of the field.
        field: &'static str,
        /// How many bytes it must have.
        bytes: usize,
    },
    /// The private key is not in the form that sr25519 wallets use.
    #[error("wallet field privateKey is unusable")]
    BadPrivateKey(#[from] KeypairError),
    /// `ss58Address` is no hotkey.
    #[error("wallet field ss58Address is unusable")]
    BadAddress(#[from] HotkeyError),
    /// Two fields belong to two keys.
    #[error("wallet field {field} belongs to {found}, but the secret to {derived}")]
    Inconsistent {
        /// The name of the field.
        field: &'static str,
        /// The hotkey that the field names.
        found: Hotkey,
        /// The hotkey that the secret derives.
        derived: Hotkey,
    },
}

impl WalletFile {
    /// Reads the bytes of a wallet file and checks that all that it says is about one key.
    pub fn parse(bytes: &[u8]) -> Result<Self, WalletError> {
        if bytes.len() > WALLET_FILE_BYTES_MAX {
            return Err(WalletError::TooLarge { size_bytes: bytes.len() });
        }
        let bytes = unmarked(bytes)?;
        refuse_encrypted(bytes)?;
        let fields: WalletJson = serde_json::from_slice(bytes).map_err(|error| {
            bare(bytes).unwrap_or_else(|| WalletError::NotWalletJson { line: error.line(), column: error.column() })
        })?;
        let crypto_type = fields.crypto_type.unwrap_or(CRYPTO_TYPE_SR25519);
        if crypto_type != CRYPTO_TYPE_SR25519 {
            return Err(WalletError::UnsupportedCrypto { crypto_type });
        }
        let keypair = fields.keypair()?;
        fields.check_names(keypair.hotkey())?;
        Ok(Self { keypair })
    }

    /// The file for this key.
    pub const fn new(keypair: Keypair) -> Self {
        Self { keypair }
    }

    /// The key in the file.
    pub const fn keypair(&self) -> &Keypair {
        &self.keypair
    }

    /// The key in the file, taken out.
    pub fn into_keypair(self) -> Keypair {
        self.keypair
    }

    /// The one line of JSON that Bittensor's own tools read. It holds the secret: write it to a file of mode 0600 only.
    pub fn to_wallet_json(&self) -> String {
        let hotkey = self.keypair.hotkey();
        let public = prefixed_hex(hotkey.as_bytes());
        let fields = WalletJson {
            account_id: Some(public.clone()),
            public_key: Some(public),
            private_key: Some(prefixed_hex(&self.keypair.private_key())),
            secret_seed: self.keypair.seed().map(|seed| prefixed_hex(seed)),
            ss58_address: Some(hotkey.to_string()),
            crypto_type: Some(CRYPTO_TYPE_SR25519),
            secret_phrase: None,
            encoded: None,
        };
        serde_json::to_string(&fields).expect("JSON, because strings and a small number can always be written")
    }
}

/// The fields that we use. Others are passed over: a phrase is never needed to sign.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WalletJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_seed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ss58_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crypto_type: Option<u8>,
    /// Whether there is a phrase, to say what to do where there is nothing else. It is not kept.
    #[serde(default, skip_serializing)]
    secret_phrase: Option<IgnoredAny>,
    /// What polkadot-js keeps a secret in.
    #[serde(default, skip_serializing)]
    encoded: Option<IgnoredAny>,
}

impl WalletJson {
    /// The key that the secrets derive; where both are present they must derive the same one.
    fn keypair(&self) -> Result<Keypair, WalletError> {
        let from_seed = match &self.secret_seed {
            Some(text) => Some(Keypair::from_seed(&parse_hex("secretSeed", text)?)),
            None => None,
        };
        let from_private_key = match &self.private_key {
            Some(text) => Some(Keypair::from_private_key(&parse_hex("privateKey", text)?)?),
            None => None,
        };
        match (from_seed, from_private_key) {
            (Some(seeded), Some(private)) if seeded.hotkey() != private.hotkey() => Err(WalletError::Inconsistent {
                field: "secretSeed",
                found: seeded.hotkey(),
                derived: private.hotkey(),
            }),
            // The seeded one is kept where there is one, because it can write both fields again.
            (Some(keypair), _) | (None, Some(keypair)) => Ok(keypair),
            (None, None) if self.encoded.is_some() => Err(WalletError::PolkadotJs),
            (None, None) if self.secret_phrase.is_some() => Err(WalletError::PhraseOnly),
            (None, None) => Err(WalletError::PublicOnly),
        }
    }

    /// Every public field that is present must name the derived key; the address must be present.
    fn check_names(&self, derived: Hotkey) -> Result<(), WalletError> {
        let named = |field, found| if found == derived { Ok(()) } else { Err(inconsistent(field, found, derived)) };
        named("ss58Address", self.ss58_address.as_deref().unwrap_or_default().parse()?)?;
        for (field, text) in [("publicKey", &self.public_key), ("accountId", &self.account_id)] {
            if let Some(text) = text {
                named(field, Hotkey::from_bytes(parse_hex(field, text)?))?;
            }
        }
        Ok(())
    }
}

fn inconsistent(field: &'static str, found: Hotkey, derived: Hotkey) -> WalletError {
    WalletError::Inconsistent { field, found, derived }
}

/// The text without the mark that editors on Windows write before it.
fn unmarked(bytes: &[u8]) -> Result<&[u8], WalletError> {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(WalletError::Utf16),
        [0xef, 0xbb, 0xbf, text @ ..] => Ok(text),
        text => Ok(text),
    }
}

/// What is no JSON and yet known: nothing, a phrase, an address.
fn bare(bytes: &[u8]) -> Option<WalletError> {
    let text = str::from_utf8(bytes).ok()?.trim();
    let words = text.split_whitespace().count();
    let is_phrase = (12..=24).contains(&words) && text.chars().all(|char| char.is_ascii_lowercase() || char == ' ');
    match text {
        "" => Some(WalletError::Empty),
        _ if is_phrase => Some(WalletError::PhraseOnly),
        _ => text.parse::<Hotkey>().is_ok().then_some(WalletError::PublicOnly),
    }
}

/// The three encrypted forms announce themselves in their first bytes.
fn refuse_encrypted(bytes: &[u8]) -> Result<(), WalletError> {
    let forms: [(&[u8], _); 3] = [(b"$NACL", "NaCl"), (b"$ANSIBLE_VAULT", "Ansible Vault"), (b"gAAAAA", "Fernet")];
    match forms.into_iter().find(|(start, _)| bytes.starts_with(start)) {
        Some((_, format)) => Err(WalletError::Encrypted { format }),
        None => Ok(()),
    }
}

fn parse_hex<const N: usize>(field: &'static str, text: &str) -> Result<[u8; N], WalletError> {
    let mut bytes = [0; N];
    let digits = text.strip_prefix("0x").ok_or(WalletError::BadHex { field, bytes: N })?;
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| WalletError::BadHex { field, bytes: N })?;
    Ok(bytes)
}

fn prefixed_hex(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}
