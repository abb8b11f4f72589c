//! The local ledger: one append-only file, hash-chained and signed by its owner.
//!
//! Each line is an entry in canonical JSON; it holds its height, the SHA-256 of the line before it and the owner's
//! signature. Opening verifies every line, so a file that opens is the one that was written, with one exception that
//! no file can exclude by itself: whole lines missing at its end. Whoever must notice that keeps a height and its
//! [`block_hash`](Ledger::block_hash) elsewhere.
//!
//! An entry is durable (fsync) before a method returns. What a crash leaves of an unfinished one is never dropped
//! silently: see [`Recovery`]. The file is locked while it is open.
//!
//! It does NOT know the time, and its hashes are no randomness that its owner could not influence.

mod entry;
mod file;
mod verified;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use protocol::auth::{Hotkey, Keypair};
use protocol::digest::Digest;

use crate::book::{Book, Record};
use crate::ledger::{Ledger, LedgerError, Registration};
use crate::memory::hash_at;
pub(crate) use entry::Refusal;
pub(crate) use file::sync_parent;
use file::{LedgerFile, Tail};
pub(crate) use verified::Chain;

/// A ledger in a file on this machine.
#[derive(Debug)]
pub struct LocalLedger {
    path: PathBuf,
    owner: Keypair,
    recovery: Option<Recovery>,
    state: Mutex<State>,
}

/// What opening did about an entry that a crash had cut short. Nobody was told that the entry was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovery {
    /// Only the line break was missing: the entry is valid and now part of the ledger.
    Finished {
        /// The height of the entry.
        height: u64,
    },
    /// Part of the entry was missing: its bytes were moved out of the ledger.
    CutOff {
        /// The new file with the bytes that were cut off.
        saved_to: PathBuf,
        /// How many they are.
        size_bytes: u64,
    },
}

#[derive(Debug)]
struct State {
    file: LedgerFile,
    chain: Chain,
}

impl LocalLedger {
    /// Opens the ledger at `path` and verifies all of it, or begins a new one that belongs to `owner`.
    pub fn open(path: &Path, owner: Keypair) -> Result<Self, LedgerError> {
        let mut file = LedgerFile::open(path)?;
        let mut chain = Chain::new(owner.hotkey());
        let tail = file.read_lines(|line| chain.accept(line).map_err(|refusal| refused(&chain, path, refusal)))?;
        let recovery = match tail {
            Some(tail) => Some(recover(&mut file, &mut chain, &tail)?),
            None => None,
        };
        let mut state = State { file, chain };
        state.file.note_change()?;
        if state.chain.hashes.is_empty() {
            state.append(&owner, Record::Genesis { owner: owner.hotkey() })?;
        }
        Ok(Self { path: path.to_owned(), owner, recovery, state: Mutex::new(state) })
    }

    /// What opening had to repair after a crash: worth a line in the log.
    pub fn recovery(&self) -> Option<&Recovery> {
        self.recovery.as_ref()
    }

    /// A panic in the middle of a change may have left file and memory apart, so there is no going on after one.
    fn state(&self) -> Result<MutexGuard<'_, State>, LedgerError> {
        self.state.lock().map_err(|_| LedgerError::Poisoned { path: self.path.clone() })
    }
}

impl Ledger for LocalLedger {
    fn register(&self, registration: Registration) -> Result<(), LedgerError> {
        Book::check_new([&registration.hotkey].into_iter().chain(&registration.owner))?;
        let mut state = self.state()?;
        match state.chain.book.register(registration)? {
            Some(record) => state.append(&self.owner, record),
            None => Ok(()),
        }
    }

    fn registrations(&self) -> Result<Vec<Registration>, LedgerError> {
        Ok(self.state()?.chain.book.registrations().to_vec())
    }

    fn set_weights(&self, round: u64, weights_ppm: &[(Hotkey, u32)]) -> Result<(), LedgerError> {
        Book::check_new(weights_ppm.iter().map(|(hotkey, _)| hotkey))?;
        let mut state = self.state()?;
        match state.chain.book.set_weights(round, weights_ppm)? {
            Some(record) => state.append(&self.owner, record),
            None => Ok(()),
        }
    }

    fn weights(&self, round: u64) -> Result<Option<Vec<(Hotkey, u32)>>, LedgerError> {
        Ok(self.state()?.chain.book.weights(round).map(<[_]>::to_vec))
    }

    fn mark(&self, digest: Digest) -> Result<u64, LedgerError> {
        let mut state = self.state()?;
        if let Some(record) = state.chain.book.mark(digest) {
            state.append(&self.owner, record)?;
        }
        Ok(state.chain.book.marked_at(&digest).expect("marked, because it was just now or before"))
    }

    fn height(&self) -> Result<u64, LedgerError> {
        // A ledger that is open has its genesis.
        Ok(self.state()?.chain.next_height() - 1)
    }

    fn block_hash(&self, height: u64) -> Result<Digest, LedgerError> {
        hash_at(&self.state()?.chain.hashes, height)
    }

    fn check(&self) -> Result<(), LedgerError> {
        self.state()?.check()
    }

    fn lines(&self, from: u64, bytes_max: u64) -> Result<Vec<u8>, LedgerError> {
        self.state()?.file.lines(from, bytes_max)
    }
}

impl State {
    /// Sees whether the file still is the one that was written, in its place.
    fn check(&mut self) -> Result<(), LedgerError> {
        self.file.check()?;
        if !self.file.was_touched()? {
            return Ok(());
        }
        let mut known = self.chain.hashes.iter();
        for (height, piece) in (0..).zip(self.file.pieces()?) {
            let line = piece.strip_suffix(b"\n").map(Digest::of);
            if line.as_ref() != known.next() {
                return Err(LedgerError::Changed { path: self.file.path().to_owned(), height });
            }
        }
        // Its name or its rights changed, and nothing in it.
        self.file.note_change()
    }

    /// Makes a record durable, then part of the book. On an error it is neither, or the file refuses all after it.
    fn append(&mut self, owner: &Keypair, record: Record) -> Result<(), LedgerError> {
        self.check()?;
        let height = self.chain.next_height();
        let line = entry::seal(owner, height, self.chain.latest_hash(), &record);
        self.file.append(&[&line[..], b"\n"].concat())?;
        self.chain.hashes.push(Digest::of(&line));
        self.chain.book.enter(record, height);
        Ok(())
    }
}

/// What a refused line means for the file.
fn refused(chain: &Chain, path: &Path, refusal: Refusal) -> LedgerError {
    let path = path.to_owned();
    match refusal {
        Refusal::Damaged(why) => LedgerError::Damaged { path, height: chain.next_height(), why },
        Refusal::WrongOwner(found) => LedgerError::WrongOwner { path, expected: chain.owner, found },
    }
}

/// Decides about bytes after the last line break. A crash leaves a beginning of an entry, or all of it without its line
/// break; anything else is damage, and cutting it off could lose an entry that was accepted.
fn recover(file: &mut LedgerFile, chain: &mut Chain, tail: &Tail) -> Result<Recovery, LedgerError> {
    if entry::is_beginning(&tail.bytes) {
        return file.cut_off(tail);
    }
    let height = chain.next_height();
    chain.accept(&tail.bytes).map_err(|refusal| refused(chain, file.path(), refusal))?;
    file.finish(tail)?;
    Ok(Recovery::Finished { height })
}
