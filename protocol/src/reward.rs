//! Reward policies: pure functions from a ranking to the weights that the ledger takes.
//!
//! Weights are parts per million and sum to at most one million; the rest is burnt. A hotkey is paid once, for its best
//! entry: splitting a model over several submissions of one key earns nothing more.

use crate::Hotkey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The shares of `ladder`, in parts per million.
pub const LADDER_PPM: [u32; 8] = [300_000, 200_000, 140_000, 110_000, 90_000, 70_000, 50_000, 40_000];

/// How ranks become weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "policy", rename_all = "snake_case", deny_unknown_fields)]
pub enum RewardPolicy {
    /// Everything to the first.
    #[default]
    WinnerTakesAll,
    /// 30, 20, 14, 11, 9, 7, 5 and 4 % to the first eight.
    Ladder,
}

/// What one hotkey gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// Who.
    pub hotkey: Hotkey,
    /// Share of the round's reward in parts per million.
    pub weight_ppm: u32,
}

impl RewardPolicy {
    /// Says what is wrong with the numbers, if anything.
    ///
    /// # Errors
    /// A sentence for the manifest's author.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::WinnerTakesAll | Self::Ladder => Ok(()),
        }
    }

    /// Weights for hotkeys ranked best first. Only entries with a score above 0 may be given.
    pub fn weights(&self, ranked: &[Hotkey]) -> Vec<Weight> {
        let shares: &[u32] = match self {
            Self::WinnerTakesAll => &[1_000_000],
            Self::Ladder => &LADDER_PPM,
        };
        let mut paid = BTreeSet::new();
        let distinct = ranked.iter().filter(|hotkey| paid.insert(**hotkey));
        distinct.zip(shares).map(|(hotkey, share)| Weight { hotkey: *hotkey, weight_ppm: *share }).collect()
    }
}
