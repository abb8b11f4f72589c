//! The book: what the entries of a ledger add up to, and the rules by which an entry may join them. Pure.
//!
//! It is shared by every ledger that keeps its own entries, so that what is refused when it is written is refused when
//! it is read back too. It does NOT know how entries are stored, signed or chained.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::{BTreeMap, BTreeSet};

use protocol::auth::Hotkey;
use protocol::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::ledger::{LedgerError, Registration, WEIGHT_PPM_SUM_MAX};

/// The largest integer that canonical JSON (RFC 8785) writes exactly: its numbers are doubles.
const INTEGER_MAX: u64 = (1 << 53) - 1;
/// So many hotkeys share a round at most; it bounds the length of an entry.
const WEIGHTS_MAX: u64 = 4096;

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Record {
    /// The first entry, and only the first: whose ledger this is.
    Genesis { owner: Hotkey },
    /// A hotkey takes part, or its stake is another one now.
    Register(Registration),
    /// The weights of a round, sorted by hotkey.
    SetWeights { round: u64, weights_ppm: Vec<(Hotkey, u32)> },
    /// Something outside the ledger was there before all later entries.
    Mark { digest: Digest },
}

/// The sum of all entries.
#[derive(Debug, Default)]
pub(crate) struct Book {
    registrations: Vec<Registration>,
    /// What each of them was, one after the other.
    registered: Vec<Registration>,
    /// Where each hotkey is in `registrations`.
    index: BTreeMap<Hotkey, usize>,
    weights_ppm: BTreeMap<u64, Vec<(Hotkey, u32)>>,
    /// The height of each mark.
    marks: BTreeMap<Digest, u64>,
}

impl Book {
    /// Refuses keys that anybody can sign for, where something new would name them; what was stored may.
    pub(crate) fn check_new<'a>(hotkeys: impl IntoIterator<Item = &'a Hotkey>) -> Result<(), LedgerError> {
        let mut hotkeys = hotkeys.into_iter();
        hotkeys
            .find(|hotkey| hotkey.is_anybodys())
            .map_or(Ok(()), |hotkey| Err(LedgerError::Anybodys { hotkey: *hotkey }))
    }

    /// The entry that registering makes, or `None` where it would change nothing.
    pub(crate) fn register(&self, registration: Registration) -> Result<Option<Record>, LedgerError> {
        at_most("stake in micro-units", registration.stake_micro, INTEGER_MAX)?;
        let known = self.index.get(&registration.hotkey).and_then(|&index| self.registrations.get(index));
        Ok((known != Some(&registration)).then_some(Record::Register(registration)))
    }

    /// The entry that setting weights makes, or `None` where it would change nothing.
    pub(crate) fn set_weights(&self, round: u64, weights_ppm: &[(Hotkey, u32)]) -> Result<Option<Record>, LedgerError> {
        at_most("round", round, INTEGER_MAX)?;
        at_most("number of weights", weights_ppm.len() as u64, WEIGHTS_MAX)?;
        let mut sorted = weights_ppm.to_vec();
        sorted.sort_unstable();
        match self.weights_ppm.get(&round) {
            Some(set) if *set == sorted => return Ok(None),
            Some(_) => return Err(LedgerError::RoundAlreadySet { round }),
            None => {}
        }
        self.check_weights(round, &sorted)?;
        Ok(Some(Record::SetWeights { round, weights_ppm: sorted }))
    }

    /// The entry that a mark makes, or `None` where it would change nothing.
    pub(crate) fn mark(&self, digest: Digest) -> Option<Record> {
        (!self.marks.contains_key(&digest)).then_some(Record::Mark { digest })
    }

    /// Enters, at `height`, a record that one of the methods above has just made.
    pub(crate) fn enter(&mut self, record: Record, height: u64) {
        match record {
            Record::Genesis { .. } => {}
            Record::Register(registration) => self.enter_registration(registration),
            Record::SetWeights { round, weights_ppm } => {
                self.weights_ppm.insert(round, weights_ppm);
            }
            Record::Mark { digest } => {
                self.marks.insert(digest, height);
            }
        }
    }

    /// Enters a record that was stored, if it is one that this book would have made.
    pub(crate) fn replay(&mut self, record: Record, height: u64) -> Result<(), String> {
        let made = match &record {
            Record::Genesis { .. } => return Err("a second genesis".to_owned()),
            Record::Register(registration) => self.register(*registration),
            Record::SetWeights { round, weights_ppm } => self.set_weights(*round, weights_ppm),
            Record::Mark { digest } => Ok(self.mark(*digest)),
        };
        if made.map_err(|error| error.to_string())?.as_ref() != Some(&record) {
            return Err("an entry that changes nothing or is not in order".to_owned());
        }
        self.enter(record, height);
        Ok(())
    }

    pub(crate) fn registrations(&self) -> &[Registration] {
        &self.registrations
    }

    pub(crate) fn registered(&self) -> &[Registration] {
        &self.registered
    }

    pub(crate) fn all_weights(&self) -> impl Iterator<Item = (u64, &[(Hotkey, u32)])> {
        self.weights_ppm.iter().map(|(round, weights)| (*round, weights.as_slice()))
    }

    pub(crate) fn weights(&self, round: u64) -> Option<&[(Hotkey, u32)]> {
        self.weights_ppm.get(&round).map(Vec::as_slice)
    }

    /// The height of a mark's entry.
    pub(crate) fn marked_at(&self, digest: &Digest) -> Option<u64> {
        self.marks.get(digest).copied()
    }

    fn enter_registration(&mut self, registration: Registration) {
        self.registered.push(registration);
        let next = self.registrations.len();
        let index = *self.index.entry(registration.hotkey).or_insert(next);
        match self.registrations.get_mut(index) {
            Some(known) => *known = registration,
            None => self.registrations.push(registration),
        }
    }

    fn check_weights(&self, round: u64, weights_ppm: &[(Hotkey, u32)]) -> Result<(), LedgerError> {
        let mut seen = BTreeSet::new();
        let mut sum_ppm = 0u64;
        for &(hotkey, weight_ppm) in weights_ppm {
            if !self.index.contains_key(&hotkey) {
                return Err(LedgerError::NotRegistered { hotkey });
            }
            if !seen.insert(hotkey) {
                return Err(LedgerError::DuplicateHotkey { round, hotkey });
            }
            sum_ppm = sum_ppm.saturating_add(u64::from(weight_ppm));
        }
        if sum_ppm > WEIGHT_PPM_SUM_MAX { Err(LedgerError::Overspent { round, sum_ppm }) } else { Ok(()) }
    }
}

fn at_most(what: &'static str, value: u64, limit: u64) -> Result<(), LedgerError> {
    if value > limit { Err(LedgerError::TooLarge { what, value, limit }) } else { Ok(()) }
}
