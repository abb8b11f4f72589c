//! The validator's secret of a round, and the seeds that a beacon makes of it.
//!
//! It does not know where secrets are kept or what a beacon is: 32 bytes that nobody could foresee.
//!
//! `seed = SHA-256("retort/hidden-seed/1" || beacon || secret || round as u64 || competition)`, little endian. The
//! validator can't choose it: its secret is committed to before the beacon exists. A miner can't know it: the secret is
//! not revealed before the round is over. `fixed_seed` is the same of a competition's first round, under the name
//! `retort/hidden-fixed/1`; it is what later rounds draw their fixed part from.

use sha2::{Digest, Sha256};
use std::fmt;

const SEED_DOMAIN: &[u8] = b"retort/hidden-seed/1";
const FIXED_DOMAIN: &[u8] = b"retort/hidden-fixed/1";
const SALT_DOMAIN: &[u8] = b"retort/hidden-salt/1";

/// 32 random bytes that a validator keeps to itself until the round is revealed. Printing shows none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Wraps random bytes, or those that a reveal holds.
    pub fn new(bytes: [u8; 32]) -> Self {
        Secret(bytes)
    }

    /// The bytes, for whoever keeps them.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The SHA-256 that the commitment holds.
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    /// `SHA-256("retort/hidden-salt/1" || secret || index as u32)`: what hides leaf `index` of the commitment.
    pub(super) fn salt(&self, index: u32) -> [u8; 32] {
        Sha256::new().chain_update(SALT_DOMAIN).chain_update(self.0).chain_update(index.to_le_bytes()).finalize().into()
    }
}

impl From<[u8; 32]> for Secret {
    fn from(bytes: [u8; 32]) -> Self {
        Secret(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The seed of a round's fresh items.
pub fn seed(beacon: &[u8; 32], secret: &Secret, competition: &str, round: u64) -> [u8; 32] {
    derive(SEED_DOMAIN, beacon, secret, competition, round)
}

/// The seed of the fixed items, from beacon, secret and number of the competition's *first* hidden round.
pub fn fixed_seed(first_beacon: &[u8; 32], first_secret: &Secret, competition: &str, first_round: u64) -> [u8; 32] {
    derive(FIXED_DOMAIN, first_beacon, first_secret, competition, first_round)
}

/// All parts but the last have a fixed length, so no two inputs run together.
fn derive(domain: &[u8], beacon: &[u8; 32], secret: &Secret, competition: &str, round: u64) -> [u8; 32] {
    let hash = Sha256::new().chain_update(domain).chain_update(beacon).chain_update(secret.0);
    hash.chain_update(round.to_le_bytes()).chain_update(competition).finalize().into()
}
