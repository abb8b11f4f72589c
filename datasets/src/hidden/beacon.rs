//! The public randomness of a round: what a round is bound to before it closes, what came of it, and why another one
//! is refused.
//!
//! It does not fetch anything and has no clock: a ledger's hash must come from the caller's own copy of the ledger.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::drand::{DrandChain, DrandError, DrandRound};
use super::hexadecimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The largest whole number that JSON carries exactly on every machine: 2^53 - 1.
pub(super) const NUMBER_MAX: u64 = (1 << 53) - 1;

/// Seconds between a round's close and its beacon, at least: time for the log to state the close, with everything that
/// was announced before it, and for witnesses to sign that it did.
pub const MARGIN_SECONDS: u64 = 30;

/// Which beacon a round will take, said before it closes, so that nobody picks one among several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum BeaconRule {
    /// The ledger's entry of exactly this height: for a ledger whose heights follow the clock.
    Ledger {
        /// The height, above that of any entry that exists when the rule is written.
        height: u64,
    },
    /// The ledger's latest entry when the round closes, of at least this height: for a ledger whose entries come as
    /// they come. Whoever may write to such a ledger has some choice.
    LedgerFrom {
        /// One more than the height at which the rule was written.
        height_min: u64,
    },
    /// This round of a drand chain.
    Drand {
        /// The chain's hash.
        #[serde(with = "hexadecimal")]
        #[schema(value_type = protocol::Digest)]
        chain: [u8; 32],
        /// Its round; [`BeaconRule::drand_after`] gives the one that belongs to a close.
        round: u64,
    },
}

/// A beacon that came, with its origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Beacon {
    /// An entry of the ledger.
    Ledger {
        /// Its height.
        height: u64,
        /// Its hash.
        #[serde(with = "hexadecimal")]
        #[schema(value_type = protocol::Digest)]
        hash: [u8; 32],
    },
    /// A round of a drand chain.
    Drand {
        /// The chain's hash.
        #[serde(with = "hexadecimal")]
        #[schema(value_type = protocol::Digest)]
        chain: [u8; 32],
        /// What the chain published.
        published: DrandRound,
    },
}

/// Why a beacon isn't the one that a round is bound to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BeaconError {
    /// It existed before the round closed.
    #[error("beacon {found} comes too early: the round is bound to {expected}")]
    TooEarly {
        /// Height or round that was to come.
        expected: u64,
        /// Height or round that is given.
        found: u64,
    },
    /// It came after the one that the round is bound to.
    #[error("beacon {found} is a later one than {expected}, which the round is bound to")]
    TooLate {
        /// Height or round that was to come.
        expected: u64,
        /// Height or round that is given.
        found: u64,
    },
    /// It is of another kind.
    #[error("the round is bound to a beacon of kind {expected}, this one is of kind {found}")]
    Kind {
        /// The kind that was announced.
        expected: &'static str,
        /// The kind that is given.
        found: &'static str,
    },
    /// It is of another chain.
    #[error("the round is bound to drand chain {expected}, this beacon is of chain {found}")]
    Chain {
        /// The chain's hash.
        expected: String,
        /// The other chain's hash.
        found: String,
    },
    /// Nobody told the checker the chain's public key.
    #[error("no public key is known for drand chain {chain}")]
    UnknownChain {
        /// The chain's hash.
        chain: String,
    },
    /// The chain did not publish this.
    #[error(transparent)]
    Drand(#[from] DrandError),
}

impl BeaconRule {
    /// The round of `chain` for a round of ours that closes at `closes_at`, in Unix seconds: the first that comes
    /// [`MARGIN_SECONDS`] after it.
    pub fn drand_after(chain: &DrandChain, closes_at: u64) -> Self {
        BeaconRule::Drand { chain: chain.hash(), round: chain.round_after(closes_at.saturating_add(MARGIN_SECONDS)) }
    }

    /// Checks that a round which closed at `closed_at` is bound to no beacon that was there by then, or so soon after that
    /// nobody else could have seen the close. (A ledger's comes when its owner writes it: nothing shows when.)
    ///
    /// # Errors
    /// [`BeaconError::TooEarly`].
    pub fn check_close(&self, chain: &DrandChain, closed_at: u64) -> Result<(), BeaconError> {
        match (self, Self::drand_after(chain, closed_at)) {
            (BeaconRule::Drand { round: found, .. }, BeaconRule::Drand { round: expected, .. })
                if *found < expected =>
            {
                Err(BeaconError::TooEarly { expected, found: *found })
            }
            _ => Ok(()),
        }
    }

    /// When the beacon comes, in Unix seconds, of a round that closed at `closed_at`. A ledger's is made on the spot.
    pub fn due_at(&self, chain: &DrandChain, closed_at: u64) -> u64 {
        match self {
            BeaconRule::Ledger { .. } | BeaconRule::LedgerFrom { .. } => closed_at,
            BeaconRule::Drand { round, .. } => chain.round_unix(*round).max(closed_at),
        }
    }

    /// Checks that `beacon` is the one that this rule asks for, and a drand beacon's signature against `chain`.
    /// Returns the 32 bytes that nobody could foresee.
    ///
    /// A ledger's hash is taken as given: compare it with a ledger that you trust.
    pub fn check(&self, beacon: &Beacon, chain: Option<&DrandChain>) -> Result<[u8; 32], BeaconError> {
        match (self, beacon) {
            (BeaconRule::Ledger { height: expected }, Beacon::Ledger { height, hash }) => {
                exactly(*expected, *height).map(|()| *hash)
            }
            (BeaconRule::LedgerFrom { height_min }, Beacon::Ledger { height, hash }) => {
                exactly(*height_min, (*height).min(*height_min)).map(|()| *hash)
            }
            (BeaconRule::Drand { chain: expected, round }, Beacon::Drand { chain: found, published }) => {
                if expected != found {
                    return Err(BeaconError::Chain { expected: hex::encode(expected), found: hex::encode(found) });
                }
                exactly(*round, published.round)?;
                let unknown = || BeaconError::UnknownChain { chain: hex::encode(expected) };
                let chain = chain.filter(|chain| chain.hash() == *expected).ok_or_else(unknown)?;
                Ok(chain.verify(published)?)
            }
            _ => Err(BeaconError::Kind { expected: self.kind(), found: beacon.kind() }),
        }
    }

    /// The largest number in it, which JSON must be able to carry.
    pub(super) fn number(&self) -> u64 {
        match self {
            BeaconRule::Ledger { height } | BeaconRule::LedgerFrom { height_min: height } => *height,
            BeaconRule::Drand { round, .. } => *round,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            BeaconRule::Ledger { .. } | BeaconRule::LedgerFrom { .. } => "ledger",
            BeaconRule::Drand { .. } => "drand",
        }
    }
}

impl Beacon {
    /// Height or round.
    pub fn number(&self) -> u64 {
        match self {
            Beacon::Ledger { height, .. } => *height,
            Beacon::Drand { published, .. } => published.round,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Beacon::Ledger { .. } => "ledger",
            Beacon::Drand { .. } => "drand",
        }
    }
}

fn exactly(expected: u64, found: u64) -> Result<(), BeaconError> {
    match found.cmp(&expected) {
        std::cmp::Ordering::Less => Err(BeaconError::TooEarly { expected, found }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(BeaconError::TooLate { expected, found }),
    }
}
