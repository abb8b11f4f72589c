//! Fixed shares for the last five distinct champions, the present one first: a deserved reign is paid for a while after
//! it ended, so nobody holds back a better model to dethrone just before payday.

use super::shares::{Shares, percent};
use super::{BurnWeakMargin, Champion, PastRound, Standing, WHOLE_PPM};
use std::collections::BTreeSet;

/// How many champions are paid.
pub const CHAMPIONS: usize = 5;

/// The shares. An owner counts once, at its latest reign; shares that nobody has come to yet are burnt. With
/// `burn_weak_margin` each keeps its share by its own margin, so that one step in five pays no more than one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastChampions {
    /// For the present champion, the one before it and so on, parts per million.
    pub shares_ppm: [u32; CHAMPIONS],
}

impl Default for LastChampions {
    fn default() -> Self {
        Self { shares_ppm: [400_000, 250_000, 150_000, 120_000, 80_000] }
    }
}

impl LastChampions {
    /// Says what is wrong with the numbers, if anything.
    ///
    /// # Errors
    /// A sentence for the manifest's author.
    pub fn check(&self) -> Result<(), String> {
        let sum: u64 = self.shares_ppm.iter().map(|share| u64::from(*share)).sum();
        if sum > u64::from(WHOLE_PPM) || sum == 0 {
            return Err(format!("shares_ppm sum to {sum}, not to 1 to 1000000"));
        }
        if !self.shares_ppm.is_sorted_by(|a, b| a >= b) {
            return Err("shares_ppm must not rise: a later champion would earn less than an earlier one".into());
        }
        Ok(())
    }

    pub(super) fn share(
        &self,
        past: &[&PastRound],
        present: Option<&Champion>,
        burn: Option<&BurnWeakMargin>,
        standing: &Standing,
        shares: &mut Shares,
    ) {
        let before = past.iter().rev().filter_map(|past| past.champion.as_ref());
        let mut counted = BTreeSet::new();
        let distinct = present
            .into_iter()
            .chain(before)
            .filter(|champion| !standing.is_copy(&champion.submission) && counted.insert(champion.owner));
        let mut paid = BTreeSet::new();
        for ((seat, champion), share_ppm) in distinct.enumerate().zip(self.shares_ppm) {
            let reign =
                if seat == 0 { "the champion".into() } else { format!("champion number {} from the last", seat + 1) };
            let share_ppm = burn.map_or(share_ppm, |burn| burn.kept_of(share_ppm, champion.margin_ppm));
            shares.give(champion.hotkey, share_ppm);
            shares.tell(champion.hotkey, champion.submission.clone(), format!("{} %: {reign}", percent(share_ppm)));
            paid.insert(&champion.submission);
        }
        for entrant in &standing.entrants {
            if entrant.may_earn() && !paid.contains(&entrant.submission) {
                shares.say(entrant, format!("nothing: not one of the last {CHAMPIONS} champions"));
            }
        }
    }
}
