//! What a validator publishes before a round closes, and how it opens any part of it afterwards.
//!
//! It does not know where commitments are published or when a round closes.
//!
//! # The tree
//!
//! Six leaves under an RFC 6962 root, each a 32-byte salt and then its content: 0 the competition's name, 1 the round
//! (u64, little endian), 2 the pool's root as 64 hexadecimal digits and its count (u32, little endian), 3 the draw's
//! specification and 4 the beacon's rule, both in canonical JSON (RFC 8785), 5 the SHA-256 of the secret. The salt of
//! leaf `i` is `SHA-256("retort/hidden-salt/1" || secret || i as u32)`, so that one part can be opened (the family for
//! curious miners, say) while nothing can be guessed about the others.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::beacon::{BeaconRule, NUMBER_MAX};
use super::hexadecimal;
use super::secret::Secret;
use super::spec::DrawSpec;
use crate::merkle::{self, Hash, MerkleError, Tree};
use protocol::transforms::SpecError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The format of commitments that this version writes and reads.
const FORMAT: &str = "retort-round-commitment/1";
/// A competition's name is short; this bounds what a hostile one can cost.
const COMPETITION_BYTES_MAX: usize = 256;
const LEAVES: u32 = 6;

/// What a round is bound to before it closes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The competition's name.
    pub competition: String,
    /// The round's number.
    pub round: u64,
    /// The root of the pool of images, as [`crate::commitment::commit`] made it.
    pub pool_root: String,
    /// How many images the pool has.
    pub pool_count: u32,
    /// How many items are drawn and what is done to them.
    pub spec: DrawSpec,
    /// Which beacon decides.
    pub beacon: BeaconRule,
}

/// The public part: publish it before the round closes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoundCommitment {
    /// `retort-round-commitment/1`.
    pub format: String,
    /// The competition's name.
    pub competition: String,
    /// The round's number.
    pub round: u64,
    /// The Merkle root.
    #[serde(with = "hexadecimal")]
    #[schema(value_type = protocol::Digest)]
    pub root: Hash,
}

/// The leaves of a commitment, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermsPart {
    /// The competition's name.
    Competition,
    /// The round's number.
    Round,
    /// The pool's root and count.
    Pool,
    /// The draw's specification.
    Spec,
    /// The beacon's rule.
    Beacon,
    /// The SHA-256 of the secret.
    Secret,
}

/// One opened leaf with its way to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Salt and content.
    pub leaf: Vec<u8>,
    /// Hashes, lowest first.
    pub proof: Vec<Hash>,
}

/// Why terms can't be committed to, or a commitment is not theirs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The draw makes no sense.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The pool's root is not 64 lower-case hexadecimal digits.
    #[error("pool root {found:?} is not 64 lower-case hexadecimal digits")]
    PoolRoot {
        /// What was given, shortened.
        found: String,
    },
    /// The draw wants more items than the pool has.
    #[error("a round of {items} items can't be drawn from a pool of {pool_count}")]
    PoolTooSmall {
        /// Items of a round.
        items: u32,
        /// Images of the pool.
        pool_count: u32,
    },
    /// The competition's name is empty or too long.
    #[error("the competition's name has {bytes} bytes, expected 1 to {COMPETITION_BYTES_MAX}")]
    Competition {
        /// Its length.
        bytes: usize,
    },
    /// A number that JSON can't carry exactly.
    #[error("{what} {found} is larger than 2^53 - 1")]
    Number {
        /// Which number.
        what: &'static str,
        /// The number.
        found: u64,
    },
    /// The commitment is of another format, competition or round.
    #[error("commitment has {what} {found:?}, expected {expected:?}")]
    Other {
        /// The field.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What it says.
        found: String,
    },
    /// The root is not that of these terms and this secret.
    #[error("commitment {expected} is not to these terms and this secret, whose root is {found}")]
    Root {
        /// The published root.
        expected: String,
        /// The root of what was revealed.
        found: String,
    },
    /// The opened leaf does not lie under the root.
    #[error(transparent)]
    Merkle(#[from] MerkleError),
    /// The opened leaf is shorter than a salt.
    #[error("leaf has {bytes} bytes, fewer than a salt")]
    Leaf {
        /// Its length.
        bytes: usize,
    },
}

impl Terms {
    /// Checks that a round could be drawn on these terms.
    pub fn check(&self) -> Result<(), CommitError> {
        self.spec.check()?;
        if hexadecimal::decode::<32>(&self.pool_root).is_none() {
            return Err(CommitError::PoolRoot { found: self.pool_root.chars().take(80).collect() });
        }
        if self.spec.items > self.pool_count {
            return Err(CommitError::PoolTooSmall { items: self.spec.items, pool_count: self.pool_count });
        }
        if !(1..=COMPETITION_BYTES_MAX).contains(&self.competition.len()) {
            return Err(CommitError::Competition { bytes: self.competition.len() });
        }
        let numbers = [("round", self.round), ("the beacon's number", self.beacon.number())];
        match numbers.into_iter().find(|(_, number)| *number > NUMBER_MAX) {
            Some((what, found)) => Err(CommitError::Number { what, found }),
            None => Ok(()),
        }
    }

    /// The commitment to these terms and `secret`.
    pub fn commit(&self, secret: &Secret) -> Result<RoundCommitment, CommitError> {
        self.check()?;
        Ok(RoundCommitment {
            format: FORMAT.into(),
            competition: self.competition.clone(),
            round: self.round,
            root: self.tree(secret).root(),
        })
    }

    /// Opens one part alone, for instance the family while the secret stays one.
    pub fn open(&self, secret: &Secret, part: TermsPart) -> Result<Opening, CommitError> {
        self.check()?;
        let (leaf, proof) = (self.leaves(secret).into_iter().nth(part as usize), self.tree(secret).proof(part as u32));
        let opening = leaf.zip(proof);
        let (leaf, proof) = opening.expect("the tree has a leaf for each part; anything else is a bug");
        Ok(Opening { leaf, proof })
    }

    fn tree(&self, secret: &Secret) -> Tree {
        Tree::new(self.leaves(secret))
    }

    fn leaves(&self, secret: &Secret) -> Vec<Vec<u8>> {
        let pool = [self.pool_root.as_bytes(), &self.pool_count.to_le_bytes()].concat();
        let contents = [
            self.competition.as_bytes().to_vec(),
            self.round.to_le_bytes().to_vec(),
            pool,
            canonical(&self.spec),
            canonical(&self.beacon),
            secret.digest().to_vec(),
        ];
        (0..).zip(contents).map(|(index, content)| [&secret.salt(index)[..], &content].concat()).collect()
    }
}

impl RoundCommitment {
    /// Checks that this is the commitment to `terms` and `secret`.
    pub fn check(&self, terms: &Terms, secret: &Secret) -> Result<(), CommitError> {
        let made = terms.commit(secret)?;
        let texts = [
            ("format", made.format, &self.format),
            ("competition", made.competition, &self.competition),
            ("round", made.round.to_string(), &self.round.to_string()),
        ];
        for (what, expected, found) in texts {
            if expected != *found {
                return Err(CommitError::Other { what, expected, found: found.chars().take(80).collect() });
            }
        }
        if made.root != self.root {
            return Err(CommitError::Root { expected: hex::encode(self.root), found: hex::encode(made.root) });
        }
        Ok(())
    }

    /// Checks one opened part and returns its content without the salt.
    pub fn check_opening<'a>(&self, part: TermsPart, opening: &'a Opening) -> Result<&'a [u8], CommitError> {
        merkle::verify(&hex::encode(self.root), part as u32, LEAVES, &opening.leaf, &opening.proof)?;
        opening.leaf.get(32..).ok_or(CommitError::Leaf { bytes: opening.leaf.len() })
    }
}

/// Canonical JSON of a value of this module.
pub(super) fn canonical(value: &impl Serialize) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).expect("structs of numbers and strings are JSON; anything else is a bug")
}
