//! The ledger's twin for tests: the same rules, nothing on disk, nothing signed.
//!
//! It does NOT outlive the value, so nothing that pays may use it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::auth::Hotkey;
use protocol::digest::{Digest, canonical_json};

use crate::book::{Book, Record};
use crate::ledger::{Ledger, LedgerError, Registration};

/// A ledger in memory.
#[derive(Debug)]
pub struct MemoryLedger {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    book: Book,
    /// One hash an entry; the first stands for a genesis without an owner.
    hashes: Vec<Digest>,
}

impl MemoryLedger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self { state: Mutex::new(State { book: Book::default(), hashes: vec![Digest::of(b"retort memory ledger")] }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic between two changes can't happen inside this module: each change is one call that doesn't panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryLedger {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn enter(&mut self, record: Record) {
        let bytes = canonical_json(&(self.hashes.last(), &record)).expect("JSON, because a record is plain data");
        let height = self.hashes.len() as u64;
        self.hashes.push(Digest::of(&bytes));
        self.book.enter(record, height);
    }
}

impl Ledger for MemoryLedger {
    fn register(&self, registration: Registration) -> Result<(), LedgerError> {
        Book::check_new([&registration.hotkey].into_iter().chain(&registration.owner))?;
        let mut state = self.state();
        if let Some(record) = state.book.register(registration)? {
            state.enter(record);
        }
        Ok(())
    }

    fn registrations(&self) -> Result<Vec<Registration>, LedgerError> {
        Ok(self.state().book.registrations().to_vec())
    }

    fn set_weights(&self, round: u64, weights_ppm: &[(Hotkey, u32)]) -> Result<(), LedgerError> {
        Book::check_new(weights_ppm.iter().map(|(hotkey, _)| hotkey))?;
        let mut state = self.state();
        if let Some(record) = state.book.set_weights(round, weights_ppm)? {
            state.enter(record);
        }
        Ok(())
    }

    fn weights(&self, round: u64) -> Result<Option<Vec<(Hotkey, u32)>>, LedgerError> {
        Ok(self.state().book.weights(round).map(<[_]>::to_vec))
    }

    fn mark(&self, digest: Digest) -> Result<u64, LedgerError> {
        let mut state = self.state();
        if let Some(record) = state.book.mark(digest) {
            state.enter(record);
        }
        Ok(state.book.marked_at(&digest).expect("marked, because it was just now or before"))
    }

    fn height(&self) -> Result<u64, LedgerError> {
        Ok(self.state().hashes.len() as u64 - 1)
    }

    fn block_hash(&self, height: u64) -> Result<Digest, LedgerError> {
        hash_at(&self.state().hashes, height)
    }
}

/// The hash at `height`, or which height is the latest.
pub(crate) fn hash_at(hashes: &[Digest], height: u64) -> Result<Digest, LedgerError> {
    let found = usize::try_from(height).ok().and_then(|index| hashes.get(index));
    found.copied().ok_or(LedgerError::UnknownHeight { height, latest: (hashes.len() as u64).saturating_sub(1) })
}
