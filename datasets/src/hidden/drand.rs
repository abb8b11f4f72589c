//! drand: a public chain of random values, each a threshold signature that anyone can check against one public key.
//!
//! It does not fetch anything. What a chain publishes (`GET /{chain}/public/{round}`) is read strictly; BLS signatures
//! on BLS12-381 are checked by the crate `drand-verify`.
//!
//! The default is quicknet of the League of Entropy: unchained, a round every 3 seconds, signatures on G1 as in
//! RFC 9380. A chain's hash is `SHA-256(period as u32 || genesis time as i64 || public key || group hash || beacon id)`,
//! big endian, the id left out when it is `default`: so the hash alone fixes all parameters.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::hexadecimal;
use drand_verify::{G1Pubkey, G2PubkeyRfc, Pubkey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// What a round may weigh as JSON: the longest that a chain publishes has some 500 bytes.
const ROUND_JSON_BYTES_MAX: usize = 4_096;
/// Bytes of a signature on G1 and on G2.
const SIGNATURE_BYTES: [usize; 2] = [48, 96];

/// How a chain signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// Each round signs its number; signatures on G1.
    #[serde(rename = "bls-unchained-g1-rfc9380")]
    UnchainedG1,
    /// Each round signs its number and the signature before; signatures on G2.
    #[serde(rename = "pedersen-bls-chained")]
    Chained,
}

/// A chain's parameters: whoever trusts these trusts the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrandChain {
    /// How it signs.
    pub scheme: Scheme,
    /// Its public key, compressed: 96 bytes for [`Scheme::UnchainedG1`], 48 for [`Scheme::Chained`].
    pub public_key: Vec<u8>,
    /// Seconds between rounds, at least 1.
    pub period_seconds: u32,
    /// When round 1 came, in Unix seconds.
    pub genesis_unix: u64,
    /// The hash of the group that made the key.
    pub group_hash: [u8; 32],
    /// The chain's name, such as `quicknet`.
    pub beacon_id: String,
}

/// A round as a chain publishes it. Unknown fields, upper-case digits and other lengths are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DrandRound {
    /// Its number, from 1.
    pub round: u64,
    /// SHA-256 of the signature.
    #[serde(with = "hexadecimal")]
    #[schema(value_type = protocol::Digest)]
    pub randomness: [u8; 32],
    /// The signature, in lower-case hexadecimal digits.
    pub signature: String,
    /// The signature of the round before; a chained scheme has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub previous_signature: Option<String>,
}

/// Why a round was not published by a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DrandError {
    /// The text isn't what a chain publishes.
    #[error("a drand round can't be read: {why}")]
    Json {
        /// What the parser says.
        why: String,
    },
    /// The parameters name no point of the curve.
    #[error("drand chain {chain} has no valid public key")]
    PublicKey {
        /// The chain's hash.
        chain: String,
    },
    /// A signature isn't hexadecimal, or has another length.
    #[error("{what} of drand round {round} is malformed")]
    Malformed {
        /// Which field.
        what: &'static str,
        /// The round.
        round: u64,
    },
    /// The signature isn't the chain's.
    #[error("drand round {round} is forged: its signature isn't the chain's")]
    Forged {
        /// The round.
        round: u64,
    },
    /// The randomness isn't the hash of the signature.
    #[error("drand round {round} is forged: its randomness isn't the SHA-256 of its signature")]
    Randomness {
        /// The round.
        round: u64,
    },
}

impl DrandRound {
    /// Reads what `GET /{chain}/public/{round}` answers.
    pub fn from_json(json: &[u8]) -> Result<DrandRound, DrandError> {
        if json.len() > ROUND_JSON_BYTES_MAX {
            return Err(DrandError::Json { why: format!("{} bytes, more than {ROUND_JSON_BYTES_MAX}", json.len()) });
        }
        serde_json::from_slice(json).map_err(|error| DrandError::Json { why: error.to_string() })
    }

    fn malformed(&self, what: &'static str) -> DrandError {
        DrandError::Malformed { what, round: self.round }
    }
}

impl DrandChain {
    /// quicknet of the League of Entropy, chain hash 52db9ba7...84e971.
    pub fn quicknet() -> DrandChain {
        DrandChain {
            scheme: Scheme::UnchainedG1,
            public_key: constant(
                "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c\
                 8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb\
                 5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a",
            ),
            period_seconds: 3,
            genesis_unix: 1_692_803_367,
            group_hash: group("f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e"),
            beacon_id: "quicknet".into(),
        }
    }

    /// The first main network of the League of Entropy, chain hash 8990e7a9...51b2ce: chained, a round in 30 seconds.
    pub fn mainnet() -> DrandChain {
        DrandChain {
            scheme: Scheme::Chained,
            public_key: constant(
                "868f005eb8e6e4ca0a47c8a77ceaa5309a47978a7c71bc5cce96366b5d7a5699\
                 37c529eeda66c7293784a9402801af31",
            ),
            period_seconds: 30,
            genesis_unix: 1_595_431_050,
            group_hash: group("176f93498eac9ca337150b46d21dd58673ea4e3581185f869672e59fa4cb390a"),
            beacon_id: "default".into(),
        }
    }

    /// The chain's hash, which names it.
    pub fn hash(&self) -> [u8; 32] {
        let hash = Sha256::new()
            .chain_update(self.period_seconds.to_be_bytes())
            .chain_update(self.genesis_unix.to_be_bytes())
            .chain_update(&self.public_key)
            .chain_update(self.group_hash);
        let id = if self.beacon_id == "default" { "" } else { &self.beacon_id };
        hash.chain_update(id).finalize().into()
    }

    /// The first round that comes strictly after `unix_seconds`.
    pub fn round_after(&self, unix_seconds: u64) -> u64 {
        match unix_seconds.checked_sub(self.genesis_unix) {
            None => 1,
            Some(since) => since.checked_div(u64::from(self.period_seconds)).unwrap_or(since).saturating_add(2),
        }
    }

    /// When `round` comes, in Unix seconds.
    pub fn round_unix(&self, round: u64) -> u64 {
        let since = round.saturating_sub(1).saturating_mul(u64::from(self.period_seconds));
        self.genesis_unix.saturating_add(since)
    }

    /// Checks signature and randomness of a round and returns the randomness.
    pub fn verify(&self, published: &DrandRound) -> Result<[u8; 32], DrandError> {
        let signature = signature(&published.signature).ok_or_else(|| published.malformed("signature"))?;
        let previous = match (self.scheme, &published.previous_signature) {
            (Scheme::UnchainedG1, None) => Vec::new(),
            (Scheme::Chained, Some(text)) => {
                let genesis = (published.round == 1).then(|| hexadecimal::decode::<32>(text)).flatten();
                let previous = genesis.map(Vec::from).or_else(|| self::signature(text));
                previous.ok_or_else(|| published.malformed("previous signature"))?
            }
            _ => return Err(published.malformed("previous signature")),
        };
        match self.holds(published.round, &previous, &signature)? {
            false => Err(DrandError::Forged { round: published.round }),
            true if Sha256::digest(&signature)[..] != published.randomness => {
                Err(DrandError::Randomness { round: published.round })
            }
            true => Ok(published.randomness),
        }
    }

    fn holds(&self, round: u64, previous: &[u8], signature: &[u8]) -> Result<bool, DrandError> {
        let no_key = |_| DrandError::PublicKey { chain: hex::encode(self.hash()) };
        let verified = match self.scheme {
            Scheme::UnchainedG1 => {
                G2PubkeyRfc::from_variable(&self.public_key).map_err(no_key)?.verify(round, previous, signature)
            }
            Scheme::Chained => {
                G1Pubkey::from_variable(&self.public_key).map_err(no_key)?.verify(round, previous, signature)
            }
        };
        // A signature that is no point of the curve is as forged as one that doesn't hold.
        verified.or(Ok(false))
    }
}

fn signature(text: &str) -> Option<Vec<u8>> {
    let lower = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let bytes = hex::decode(text).ok().filter(|bytes| SIGNATURE_BYTES.contains(&bytes.len()))?;
    lower.then_some(bytes)
}

fn constant(digits: &str) -> Vec<u8> {
    hex::decode(digits).expect("the constants above are hexadecimal; anything else is a bug")
}

fn group(digits: &str) -> [u8; 32] {
    hexadecimal::decode(digits).expect("the constants above have 64 digits; anything else is a bug")
}
