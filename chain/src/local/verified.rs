//! Entries of a local ledger that were verified one after the other: what its owner opens, and what anybody may follow.
//!
//! It does NOT know where lines come from.

use super::entry::{self, Refusal};
use crate::book::Book;
use protocol::auth::Hotkey;
use protocol::digest::Digest;

/// The verified entries, as far as they were read.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) owner: Hotkey,
    pub(crate) book: Book,
    /// The hash of each entry.
    pub(crate) hashes: Vec<Digest>,
}

impl Chain {
    /// Nothing yet, of this owner's ledger.
    pub(crate) fn new(owner: Hotkey) -> Self {
        Self { owner, book: Book::default(), hashes: Vec::new() }
    }

    /// Verifies one line, without its line break, as the next entry.
    pub(crate) fn accept(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let record = entry::unseal(line, self.owner, self.next_height(), self.latest_hash())?;
        // The genesis was compared with the owner while unsealing; it adds nothing to the book.
        if !self.hashes.is_empty() {
            self.book.replay(record, self.next_height()).map_err(Refusal::Damaged)?;
        }
        self.hashes.push(Digest::of(line));
        Ok(())
    }

    pub(crate) fn next_height(&self) -> u64 {
        self.hashes.len() as u64
    }

    /// The hash that the next entry builds on; zeros before the first.
    pub(crate) fn latest_hash(&self) -> Digest {
        self.hashes.last().copied().unwrap_or(Digest::from([0; 32]))
    }
}
