//! Fixed shares for the first eight groups of models that can't be told apart, by rank.
//!
//! Equals don't multiply: a group has one rung, and the champion, or else the earliest, takes it. So whoever adds a hair to
//! another's model earns nothing until the difference is real.

use super::Standing;
use super::shares::{Shares, percent};

/// The rungs in parts per million: 30, 20, 14, 11, 9, 7, 5 and 4 %.
pub const LADDER_PPM: [u32; 8] = [300_000, 200_000, 140_000, 110_000, 90_000, 70_000, 50_000, 40_000];

/// A rung for each hotkey. The first is kept free for a champion that could not be measured, and burnt: whoever breaks
/// the champion's measurement gains nothing.
pub(super) fn share(standing: &Standing, shares: &mut Shares) {
    let absent = standing.champion.is_some() && standing.paid_champion().is_none();
    let places = standing.places();
    let rungs = LADDER_PPM.iter().enumerate().skip(usize::from(absent));
    for (entrant, (rung, share_ppm)) in places.iter().zip(rungs) {
        shares.give(entrant.hotkey, *share_ppm);
        shares.say(entrant, format!("{} %: rung {} of {}", percent(*share_ppm), rung + 1, LADDER_PPM.len()));
    }
    let paid = places.len().min(LADDER_PPM.len() - usize::from(absent));
    for entrant in standing.entrants.iter().filter(|entrant| entrant.may_earn()) {
        match places.iter().position(|place| place.owner == entrant.owner) {
            Some(place) if places.get(place).is_some_and(|best| best.submission != entrant.submission) => {
                shares.say(entrant, "nothing: its owner has a better entry".into());
            }
            None => {
                shares.say(entrant, "nothing: another of its group, which can't be told from it, has the rung".into());
            }
            Some(place) if place >= paid => {
                shares.say(entrant, format!("nothing: the ladder has {} rungs", LADDER_PPM.len()));
            }
            _ => {}
        }
    }
}
