//! The seam: what any ledger does, and how it can refuse.
//!
//! It does NOT know where a ledger keeps its entries.

use std::io;
use std::path::{Path, PathBuf};

use protocol::auth::Hotkey;
use protocol::digest::Digest;
use serde::{Deserialize, Serialize};

/// The weights of a round sum to at most this; what is missing to it is burnt.
pub const WEIGHT_PPM_SUM_MAX: u64 = 1_000_000;

/// Stake, registrations, the weights of each round and marks, in an order that never changes.
///
/// Each change is one entry. Entries are numbered from height 0, and the hash of an entry fixes all before it. What a
/// method has returned `Ok` for is durable.
pub trait Ledger: Send + Sync {
    /// Registers a hotkey, or restates owner and stake of one that is registered. Saying the same again changes nothing.
    fn register(&self, registration: Registration) -> Result<(), LedgerError>;

    /// All registrations, in the order in which they came.
    fn registrations(&self) -> Result<Vec<Registration>, LedgerError>;

    /// Sets the weights of `round`, once: equal weights in any order change nothing, different ones are refused.
    fn set_weights(&self, round: u64, weights_ppm: &[(Hotkey, u32)]) -> Result<(), LedgerError>;

    /// The weights of `round`, sorted by hotkey; `None` where they aren't set.
    fn weights(&self, round: u64) -> Result<Option<Vec<(Hotkey, u32)>>, LedgerError>;

    /// Puts `digest` on record and returns the height of its entry; the same again is the same entry. Nobody outside
    /// knows the hash of that entry before it is there, so a round that was committed to earlier takes it as its beacon.
    fn mark(&self, digest: Digest) -> Result<u64, LedgerError>;

    /// The height of the latest entry.
    fn height(&self) -> Result<u64, LedgerError>;

    /// Sees whether the ledger still is where it was, with all that was written.
    fn check(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    /// The hash of the entry at `height`.
    fn block_hash(&self, height: u64) -> Result<Digest, LedgerError>;

    /// The entries from height `from` on as their owner signed them, a line each: as many whole ones as fit into
    /// `bytes_max`, and one at least while there are any. [`crate::Replica`] checks them. A ledger that signs nothing
    /// itself has none to show.
    fn lines(&self, from: u64, bytes_max: u64) -> Result<Vec<u8>, LedgerError> {
        let _ = (from, bytes_max);
        Ok(Vec::new())
    }
}

/// A hotkey that takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Who.
    pub hotkey: Hotkey,
    /// With how much stake, in millionths.
    pub stake_micro: u64,
    /// The key that owns it, a coldkey; `None` where it owns itself. An owner has one place in a round, with however many
    /// hotkeys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Hotkey>,
}

impl Registration {
    /// A hotkey that owns itself.
    pub fn own(hotkey: Hotkey, stake_micro: u64) -> Self {
        Self { hotkey, stake_micro, owner: None }
    }

    /// The owner: another key, or the hotkey itself. A key that anybody signs for owns nothing, whatever a chain says.
    pub fn owner(&self) -> Hotkey {
        self.owner.filter(|owner| !owner.is_anybodys()).unwrap_or(self.hotkey)
    }
}

/// Why a ledger refused.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Weights name somebody who isn't registered.
    #[error("hotkey {hotkey} is not registered")]
    NotRegistered {
        /// The hotkey that has to register first.
        hotkey: Hotkey,
    },
    /// A key that anybody can sign for would take part, own or be paid. What a chain lists of it is readable all the same.
    #[error("anybody can sign for {hotkey}: it can't take part, own or be paid; use a key that was drawn at random")]
    Anybodys {
        /// The key.
        hotkey: Hotkey,
    },
    /// Weights name somebody twice.
    #[error("weights of round {round} name hotkey {hotkey} twice")]
    DuplicateHotkey {
        /// The round.
        round: u64,
        /// The hotkey that occurs twice.
        hotkey: Hotkey,
    },
    /// Weights give away more than there is.
    #[error("weights of round {round} sum to {sum_ppm} ppm, more than {WEIGHT_PPM_SUM_MAX}")]
    Overspent {
        /// The round.
        round: u64,
        /// The sum of the weights.
        sum_ppm: u64,
    },
    /// The weights of this round are set, and they are different ones.
    #[error("weights of round {round} are already set, and differently")]
    RoundAlreadySet {
        /// The round.
        round: u64,
    },
    /// More of something than one ledger takes.
    #[error("{what} {value} is more than the limit of {limit}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much was given.
        value: u64,
        /// How much is taken.
        limit: u64,
    },
    /// No entry has this height yet.
    #[error("ledger has no entry at height {height}, its latest is {latest}")]
    UnknownHeight {
        /// The height asked for.
        height: u64,
        /// The height of the latest entry.
        latest: u64,
    },
    /// Another process, or another part of this one, has the ledger open.
    #[error("ledger {path} is open elsewhere")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file of an open ledger is gone, or another lies in its place: what would be written would be lost.
    #[error("ledger {path} is gone or another one while it is in use; {}", left(saved_to.as_deref()))]
    Vanished {
        /// The file.
        path: PathBuf,
        /// What was known of it, in a new file; `None` where none can be made, its folder being gone as well.
        saved_to: Option<PathBuf>,
    },
    /// The file of an open ledger has fewer bytes than were written to it.
    #[error(
        "ledger {path} has {found} bytes and had {expected}: somebody cut it off while it was in use; put it back from a \
         backup, and start again"
    )]
    Shrunk {
        /// The file.
        path: PathBuf,
        /// Bytes that it has.
        found: u64,
        /// Bytes that were written.
        expected: u64,
    },
    /// The file of an open ledger was written to by somebody else: what would be written behind that could not be read again.
    #[error(
        "ledger {path} was changed by somebody else while it was in use: entry {height} isn't what was written there; put the \
         file back from a backup, and start again"
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// The first entry that is another, or one too many.
        height: u64,
    },
    /// The ledger belongs to another key.
    #[error("ledger {path} belongs to {found}, not to {expected}")]
    WrongOwner {
        /// The file.
        path: PathBuf,
        /// The key that was to open it.
        expected: Hotkey,
        /// The key that signs it.
        found: Hotkey,
    },
    /// The ledger isn't what was written: changed by hand, by another program, or by a failing disk. Nothing was
    /// repaired; restore the file from a copy.
    #[error("ledger {path} is damaged at entry {height}: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The entry that is wrong.
        height: u64,
        /// What is wrong with it.
        why: String,
    },
    /// An earlier write left the file in an unknown state. Open the ledger again.
    #[error("ledger {path} takes no entries after a failed write; open it again")]
    Poisoned {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("ledger {path}: can't {doing}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The file system's answer.
        source: io::Error,
    },
}

/// What an operator can do about a ledger that is gone.
fn left(saved_to: Option<&Path>) -> String {
    match saved_to {
        Some(saved_to) => format!(
            "its entries were saved to {}: see what became of it, move that file to its place, and start again",
            saved_to.display()
        ),
        None => "nor can its entries be saved beside it: put its folder back, or a backup, and start again".to_owned(),
    }
}
