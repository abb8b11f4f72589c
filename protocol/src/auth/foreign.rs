//! Keys as others keep them, by name: what people have in hand where a hotkey's file belongs.
//!
//! An export of polkadot-js without a password is read. All else is told by what it is. No answer repeats a secret: phrases are
//! counted, words named by their number.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bip39::{Language, Mnemonic};
use serde::Deserialize;
use serde_json::Value;

use super::hotkey::Hotkey;
use super::keypair::Keypair;
use super::wallet::WalletError;

/// PKCS 8 as polkadot-js writes it: what is before the private key, and between it and the public one.
const PKCS8_HEAD: [u8; 16] = [48, 83, 2, 1, 1, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
const PKCS8_BETWEEN: [u8; 5] = [161, 35, 3, 33, 0];

const OF_SEED: &str = "`btcli wallet regen-hotkey --seed` writes the file of its key";
const OF_PRIVATE_KEY: &str =
    "it is the `privateKey` of a JSON object {\"privateKey\": .., \"ss58Address\": ..}, with the hotkey's address";

/// A phrase has so many words.
const PHRASE_WORDS: [usize; 5] = [12, 15, 18, 21, 24];

/// The fields of an export of polkadot-js.
#[derive(Default, Deserialize)]
pub(super) struct Export {
    encoded: Option<Value>,
    encoding: Option<Encoding>,
}

/// How a secret is kept there.
#[derive(Deserialize)]
struct Encoding {
    #[serde(default)]
    content: Value,
    #[serde(default, rename = "type")]
    kind: Value,
}

impl Export {
    /// The key of an export without a password; `None` where it is no export.
    pub(super) fn keypair(&self) -> Result<Option<Keypair>, WalletError> {
        let Some(encoded) = &self.encoded else { return Ok(None) };
        let unusable = |problem| WalletError::PolkadotJsUnusable { problem };
        // A list since version 3, a text before.
        let is_open = |Encoding { kind, .. }: &Encoding| match kind {
            Value::Array(kinds) => kinds.iter().all(|kind| kind == "none") && !kinds.is_empty(),
            kind => kind == "none",
        };
        let Some(encoding) = self.encoding.as_ref().filter(|encoding| is_open(encoding)) else {
            return Err(WalletError::PolkadotJs);
        };
        let content = encoding.content.as_array();
        if content.and_then(|content| content.get(1)).is_none_or(|scheme| scheme != "sr25519") {
            return Err(unusable("its key isn't sr25519, the scheme that signs here"));
        }
        let decoded = encoded.as_str().and_then(|text| match text.strip_prefix("0x") {
            Some(digits) => hex::decode(digits).ok(),
            None => BASE64_STANDARD.decode(text.trim()).ok(),
        });
        let parts = decoded.as_deref().and_then(pkcs8);
        let (private, public) = parts.ok_or_else(|| unusable("its key isn't in the form that polkadot-js writes"))?;
        let derived = [Keypair::from_expanded(private), Keypair::from_private_key(private)];
        let public = Hotkey::from_bytes(*public);
        let own = derived.into_iter().flatten().find(|keypair| keypair.hotkey() == public);
        own.map(Some).ok_or_else(|| unusable("its private key isn't that of its public key"))
    }
}

/// The private and the public key of a PKCS 8 body.
fn pkcs8(bytes: &[u8]) -> Option<(&[u8; 64], &[u8; 32])> {
    let (private, rest) = bytes.strip_prefix(&PKCS8_HEAD)?.split_first_chunk()?;
    Some((private, rest.strip_prefix(&PKCS8_BETWEEN)?.try_into().ok()?))
}

/// What is no JSON object and yet known: nothing, a phrase, a seed, an address, a key of OpenSSL.
pub(super) fn bare(bytes: &[u8]) -> Option<WalletError> {
    let text = str::from_utf8(bytes).ok()?.trim();
    let unquoted = text.trim_matches(is_quote).trim();
    let digits = unquoted.strip_prefix("0x").or_else(|| unquoted.strip_prefix("0X")).unwrap_or(unquoted);
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match digits.len() {
        0 => Some(WalletError::Empty),
        _ if text.starts_with("-----BEGIN ") => Some(WalletError::Pem),
        64 if is_hex => Some(WalletError::RawSecret { what: "seed", instead: OF_SEED }),
        128 if is_hex => Some(WalletError::RawSecret { what: "private key", instead: OF_PRIVATE_KEY }),
        _ if unquoted.starts_with('/') => Some(WalletError::SecretUri),
        _ => match phrase(unquoted) {
            Some(what) => Some(WalletError::PhraseOnly { what }),
            None => unquoted.parse::<Hotkey>().is_ok().then_some(WalletError::PublicOnly),
        },
    }
}

fn is_quote(char: char) -> bool {
    matches!(char, '"' | '\'' | '`' | '\u{2018}'..='\u{201f}')
}

/// A phrase as people write it, in words that repeat none of it; `None` where it is none.
pub(super) fn phrase(text: &str) -> Option<String> {
    let (words, path) = text.split_once('/').map_or((text, None), |(words, path)| (words, Some(path)));
    let words = words.to_lowercase();
    let is_between = |char: char| char.is_whitespace() || is_quote(char) || matches!(char, ',' | ';' | '[' | ']');
    // Numbers before the words are no words.
    let is_number = |word: &str| word.chars().all(|char| char.is_ascii_digit() || matches!(char, '.' | ')' | ':'));
    let words: Vec<&str> = words.split(is_between).filter(|word| !is_number(word)).collect();
    let is_listed = |word: &&str| Language::English.find_word(word).is_some();
    let count = words.len();
    let is_likely = (10..=26).contains(&count) || (count >= 3 && words.iter().all(is_listed));
    if !is_likely || !words.iter().all(|word| word.chars().all(char::is_alphabetic)) {
        return None;
    }
    let wrong = words.iter().position(|word| !is_listed(word)).map(|index| index.saturating_add(1));
    let checked = Mnemonic::parse_in_normalized(Language::English, &words.join(" "));
    let fault = match wrong {
        _ if !PHRASE_WORDS.contains(&count) => ", where phrases have 12, 15, 18, 21 or 24".to_owned(),
        Some(number) => format!(", of which number {number} isn't in the list of BIP 39 (a slip?)"),
        None if checked.is_err() => ", whose checksum is wrong (a word is another, or two changed places)".to_owned(),
        None => String::new(),
    };
    let path = if path.is_some() { " and a derivation path" } else { "" };
    Some(format!("a phrase of {count} words{fault}{path} alone"))
}
