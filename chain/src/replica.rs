//! Somebody else's ledger, followed from outside: each entry is verified before anything is believed of it.
//!
//! What it can't show is that the owner has one ledger only. Whoever must know that compares a height and its hash with what
//! others saw: the public log states them of every beacon.
//!
//! It does NOT fetch anything.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::ledger::Registration;
use crate::local::{Chain, Refusal};
use protocol::auth::Hotkey;
use protocol::digest::Digest;

/// A verified copy of a local ledger.
#[derive(Debug)]
pub struct Replica(Chain);

/// Why lines aren't the ledger's next entries. Those before them were taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// Not what its owner wrote.
    #[error("the ledger is damaged at entry {height}: {why}")]
    Damaged {
        /// The entry that is wrong.
        height: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The ledger of another key.
    #[error("the ledger belongs to {found}, not to {expected}")]
    WrongOwner {
        /// Whose it was to be.
        expected: Hotkey,
        /// Whose it is.
        found: Hotkey,
    },
}

impl Replica {
    /// Nothing yet of the ledger that belongs to `owner`.
    pub fn new(owner: Hotkey) -> Self {
        Self(Chain::new(owner))
    }

    /// Verifies whole lines, each with its line break, as the next entries; says how many there were.
    ///
    /// # Errors
    /// At the first line that isn't the next entry.
    pub fn take(&mut self, lines: &[u8]) -> Result<u64, ReplicaError> {
        let before = self.0.next_height();
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let height = self.0.next_height();
            let Some(line) = line.strip_suffix(b"\n") else {
                return Err(ReplicaError::Damaged { height, why: "it has no line break".into() });
            };
            self.0.accept(line).map_err(|refusal| match refusal {
                Refusal::Damaged(why) => ReplicaError::Damaged { height, why },
                Refusal::WrongOwner(found) => ReplicaError::WrongOwner { expected: self.0.owner, found },
            })?;
        }
        Ok(self.0.next_height().saturating_sub(before))
    }

    /// The height of the next entry, which isn't there yet.
    pub fn next_height(&self) -> u64 {
        self.0.next_height()
    }

    /// The hash of the entry at `height`.
    pub fn block_hash(&self, height: u64) -> Option<Digest> {
        usize::try_from(height).ok().and_then(|index| self.0.hashes.get(index)).copied()
    }

    /// The weights of `round`, sorted by hotkey.
    pub fn weights(&self, round: u64) -> Option<&[(Hotkey, u32)]> {
        self.0.book.weights(round)
    }

    /// The height of the entry that marks `digest`.
    pub fn marked_at(&self, digest: &Digest) -> Option<u64> {
        self.0.book.marked_at(digest)
    }

    /// All weights that were ever set, by round.
    pub fn all_weights(&self) -> impl Iterator<Item = (u64, &[(Hotkey, u32)])> {
        self.0.book.all_weights()
    }

    /// All registrations as they are now, in the order in which their hotkeys came.
    pub fn registrations(&self) -> &[Registration] {
        self.0.book.registrations()
    }

    /// All registrations that there ever were, in the order in which they came: a hotkey may have had another owner.
    pub fn registered(&self) -> &[Registration] {
        self.0.book.registered()
    }
}
