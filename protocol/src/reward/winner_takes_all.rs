//! Everything to the holder of the seat. Being better is not enough: `referee::bout` decides who holds it.

use super::shares::Shares;
use super::{Standing, WHOLE_PPM};

/// All to the champion; all burnt where the seat is empty or its holder could not be measured.
pub(super) fn share(standing: &Standing, shares: &mut Shares) {
    let champion = standing.paid_champion();
    if let Some(champion) = champion {
        shares.give(champion.hotkey, WHOLE_PPM);
    }
    for entrant in standing.entrants.iter().filter(|entrant| entrant.may_earn()) {
        let is_champion = champion.is_some_and(|champion| champion.submission == entrant.submission);
        let sentence = if is_champion { "100 %: the champion" } else { "nothing: the champion takes all" };
        shares.say(entrant, sentence.into());
    }
}
