//! Bittensor wallet files: the JSON that holds a hotkey, read and written as `bittensor-wallet` does.
//!
//! It does NOT read files, so refusing coldkeys and files that others may read is the caller's (`chain::keyfile`), and
//! it decrypts nothing. No error repeats a secret: errors name the field, never its value, but for public addresses.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::foreign;
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
        "wallet file holds {what}, which isn't read here; `btcli wallet regen-hotkey --mnemonic` writes the file of a phrase's \
         key"
    )]
    PhraseOnly {
        /// How many words, and what is wrong with them; never one of them.
        what: String,
    },
    /// Hex digits alone.
    #[error("wallet file holds a raw {what} in hex alone, which isn't read here; {instead}")]
    RawSecret {
        /// `seed` or `private key`.
        what: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// A path from a phrase or from the well-known one.
    #[error(
        "wallet file holds a secret URI alone, as `subkey` takes it, which isn't read here; `subkey inspect` shows the secret \
         seed of it, and `btcli wallet regen-hotkey --seed` writes the file of that"
    )]
    SecretUri,
    /// A key of OpenSSL, SSH or the like.
    #[error(
        "wallet file is a PEM key, as OpenSSL and SSH write them, and no hotkey; `retort keys new FILE` or `btcli wallet \
         new-hotkey` makes one"
    )]
    Pem,
    /// A key of Ethereum.
    #[error(
        "wallet file is an Ethereum keystore, whose key signs by another scheme; a hotkey is sr25519: `retort keys new FILE` or \
         `btcli wallet new-hotkey` makes one"
    )]
    EthereumKeystore,
    /// An export of polkadot-js or Talisman.
    #[error(
        "wallet file is an export of polkadot-js, encrypted with a password; a service needs a hotkey that is stored without \
         one: `btcli wallet regen-hotkey --json FILE` writes it from the export, `retort keys new FILE` makes a new one"
    )]
    PolkadotJs,
    /// An export of polkadot-js without a password that isn't read.
    #[error(
        "wallet file is an export of polkadot-js without a password, but {problem}; `retort keys new FILE` makes a hotkey"
    )]
    PolkadotJsUnusable {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Some other JSON.
    #[error(
        "wallet file is a JSON object with none of a wallet's fields (secretSeed, privateKey, ss58Address); `retort keys new \
         FILE` makes one"
    )]
    NoWalletFields,
    /// Nothing is in it.
    #[error("wallet file is empty; `retort keys new FILE` makes one where none is")]
    Empty,
    /// Text of another encoding.
    #[error("wallet file is a text in UTF-16: save it as UTF-8")]
    Utf16,
    /// An ed25519 key, which can be verified but does not sign here.
    #[error("wallet file has crypto type {crypto_type}; only sr25519 (1) keys sign here")]
    UnsupportedCrypto {
        /// The `cryptoType` found.
        crypto_type: u8,
    },
    /// Not the right number of hex digits, with or without `0x`.
    #[error("wallet field {field} is not {bytes} bytes in hex")]
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
    /// Nothing public says which key the secret is to derive.
    #[error(
        "wallet file holds a secret and no ss58Address to check it by; it is the secret of {derived}: if that is your hotkey, \
         write \"ss58Address\": \"{derived}\" into the file"
    )]
    NoAddress {
        /// The hotkey that the secret derives.
        derived: Hotkey,
    },
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
            foreign::bare(bytes)
                .unwrap_or_else(|| WalletError::NotWalletJson { line: error.line(), column: error.column() })
        })?;
        let crypto_type = fields.crypto_type.unwrap_or(CRYPTO_TYPE_SR25519);
        if crypto_type != CRYPTO_TYPE_SR25519 {
            return Err(WalletError::UnsupportedCrypto { crypto_type });
        }
        let keypair = match fields.keypair()? {
            Some(keypair) => keypair,
            None => return fields.foreign().map(Self::new),
        };
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
            secret_key_uri: None,
            export: foreign::Export::default(),
            crypto: None,
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
    secret_phrase: Option<Value>,
    /// The same of a path.
    #[serde(default, skip_serializing)]
    secret_key_uri: Option<Value>,
    #[serde(flatten, skip_serializing)]
    export: foreign::Export,
    /// What Ethereum keeps a secret in.
    #[serde(default, skip_serializing, alias = "Crypto")]
    crypto: Option<IgnoredAny>,
}

impl WalletJson {
    /// The key that the secrets derive, if there are any; where both are present they must derive the same one.
    fn keypair(&self) -> Result<Option<Keypair>, WalletError> {
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
            (seeded, private) => Ok(seeded.or(private)),
        }
    }

    /// The key of a file of others, or what that is.
    fn foreign(&self) -> Result<Keypair, WalletError> {
        let has_names = [&self.account_id, &self.public_key, &self.ss58_address].iter().any(|name| name.is_some());
        if let Some(keypair) = self.export.keypair()? {
            return Ok(keypair);
        }
        Err(match (&self.secret_phrase, &self.secret_key_uri) {
            _ if self.crypto.is_some() => WalletError::EthereumKeystore,
            (Some(phrase), _) => {
                let what = phrase.as_str().and_then(foreign::phrase);
                WalletError::PhraseOnly { what: what.unwrap_or_else(|| "a phrase alone".to_owned()) }
            }
            (None, Some(_)) => WalletError::SecretUri,
            (None, None) if has_names => WalletError::PublicOnly,
            (None, None) => WalletError::NoWalletFields,
        })
    }

    /// Every public field that is present must name the derived key, and one must be present.
    fn check_names(&self, derived: Hotkey) -> Result<(), WalletError> {
        let address = self.ss58_address.as_ref();
        let address = address.map(|text| Ok::<_, WalletError>(("ss58Address", text.parse::<Hotkey>()?)));
        let keys = [("publicKey", &self.public_key), ("accountId", &self.account_id)].into_iter();
        let keys = keys.filter_map(|(field, text)| {
            Some(parse_hex(field, text.as_ref()?).map(|bytes| (field, Hotkey::from_bytes(bytes))))
        });
        let mut is_named = false;
        for named in address.into_iter().chain(keys) {
            match named? {
                (_, found) if found == derived => is_named = true,
                (field, found) => return Err(WalletError::Inconsistent { field, found, derived }),
            }
        }
        if is_named { Ok(()) } else { Err(WalletError::NoAddress { derived }) }
    }
}

/// The text without the mark that editors on Windows write before it.
fn unmarked(bytes: &[u8]) -> Result<&[u8], WalletError> {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => Err(WalletError::Utf16),
        [0xef, 0xbb, 0xbf, text @ ..] => Ok(text),
        text => Ok(text),
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
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| WalletError::BadHex { field, bytes: N })?;
    Ok(bytes)
}

fn prefixed_hex(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}
