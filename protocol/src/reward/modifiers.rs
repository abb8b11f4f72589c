//! What is taken from a policy's weights and burnt: part of a weak winner's share, and what exceeds an owner's cap.
//!
//! A modifier never makes a better place earn less than a worse one. It does NOT know which policy made the weights.

use super::shares::{Shares, percent};
use super::{Champion, Standing, WHOLE_PPM};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Burns part of the champion's share while the margin is weak by which it passed the best hidden result paid before it:
///
/// kept = kept_ppm + (1 - kept_ppm) min(1, margin / full_ppm), and never less than the next owner's weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BurnWeakMargin {
    /// The margin of composites from which nothing is burnt, parts per million.
    pub full_ppm: u32,
    /// The part of the share that is kept at a margin of 0, parts per million.
    pub kept_ppm: u32,
}

impl Default for BurnWeakMargin {
    /// Five points of the composite pay in full, less pays in proportion.
    fn default() -> Self {
        Self { full_ppm: 50_000, kept_ppm: 0 }
    }
}

impl BurnWeakMargin {
    /// Says what is wrong with the numbers, if anything.
    ///
    /// # Errors
    /// A sentence for the manifest's author.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=WHOLE_PPM).contains(&self.full_ppm) {
            return Err(format!("burn_weak_margin.full_ppm is {}, not 1 to {WHOLE_PPM}", self.full_ppm));
        }
        if self.kept_ppm >= WHOLE_PPM {
            return Err(format!("burn_weak_margin.kept_ppm is {}, so nothing is ever burnt", self.kept_ppm));
        }
        Ok(())
    }

    /// The part that is kept at a margin, parts per million.
    pub fn kept_ppm_at(&self, margin_ppm: i64) -> u32 {
        let (whole, full) = (u64::from(WHOLE_PPM), u64::from(self.full_ppm.max(1)));
        let margin = u64::try_from(margin_ppm).unwrap_or(0).min(full);
        let kept = u64::from(self.kept_ppm) + whole.saturating_sub(self.kept_ppm.into()) * margin / full;
        u32::try_from(kept).unwrap_or(WHOLE_PPM)
    }

    /// What is kept of a share. A margin that nobody knows keeps all.
    pub(super) fn kept_of(&self, share_ppm: u32, margin_ppm: Option<i64>) -> u32 {
        let Some(margin_ppm) = margin_ppm else { return share_ppm };
        let kept = u64::from(share_ppm) * u64::from(self.kept_ppm_at(margin_ppm)) / u64::from(WHOLE_PPM);
        u32::try_from(kept).unwrap_or(share_ppm).min(share_ppm)
    }

    pub(super) fn apply(&self, champion: &Champion, shares: &mut Shares) {
        let Some(margin_ppm) = champion.margin_ppm else { return };
        let others = shares.weights_ppm.iter().filter(|(hotkey, _)| **hotkey != champion.hotkey);
        let next_ppm = others.map(|(_, weight_ppm)| *weight_ppm).max().unwrap_or(0);
        let Some(weight_ppm) = shares.weights_ppm.get_mut(&champion.hotkey) else { return };
        let kept = self.kept_of(*weight_ppm, Some(margin_ppm)).max(next_ppm).min(*weight_ppm);
        let burnt = *weight_ppm - kept;
        *weight_ppm = kept;
        if burnt > 0 {
            let [burnt, full] = [burnt, self.full_ppm].map(percent);
            let margin = percent(u64::try_from(margin_ppm).unwrap_or(0));
            let sentence = format!(
                "{burnt} % burnt: it passed the best paid before by {margin} points, and {full} count as clear"
            );
            shares.tell(champion.hotkey, champion.submission.clone(), sentence);
        }
    }
}

/// Burns what a hotkey has above the cap.
pub(super) fn cap(cap_ppm: u32, standing: &Standing, shares: &mut Shares) {
    let mut cut = Vec::new();
    for (hotkey, weight_ppm) in &mut shares.weights_ppm {
        if *weight_ppm > cap_ppm {
            cut.push((*hotkey, *weight_ppm - cap_ppm));
            *weight_ppm = cap_ppm;
        }
    }
    for (hotkey, burnt) in cut {
        let own = standing.entrants.iter().filter(|entrant| entrant.hotkey == hotkey);
        if let Some(entrant) = own.min_by_key(|entrant| (entrant.rank, entrant.arrival, &entrant.submission)) {
            shares.say(entrant, format!("{} % burnt: an owner gets at most {} %", percent(burnt), percent(cap_ppm)));
        }
    }
}
