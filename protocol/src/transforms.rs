//! Which changes a round may make to its hidden items: the family of transforms, as a manifest names it.
//!
//! It does NOT know how a change is drawn or made (`datasets::hidden`), nor how many items a round has ([`crate::round`]).

use crate::pool::HiddenPool;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One whole in parts per million.
const WHOLE_PPM: u32 = 1_000_000;

/// Bounds beyond which a change surely doesn't keep a label.
const SHIFT_PX_MAX: u32 = 64;
const ROTATION_MILLIDEGREES_MAX: u32 = 45_000;
const FACTOR_PPM: (u32, u32) = (500_000, 2_000_000);
const NOISE_LEVELS_MAX: u32 = 64;
const CUTOUT_PX_MAX: u32 = 64;

/// Label-preserving changes and their ranges. An item undergoes all of them, each with its own drawn strength.
///
/// Integers only, so that its canonical JSON has one spelling on every machine. A manifest names what differs from the
/// default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Transforms)]
pub struct Family {
    /// Columns and rows by which an item is shifted, at most. If it isn't 0, no item stays in place. 0 to 64.
    pub shift_px_max: u32,
    /// Rotation in either direction, at most, in thousandths of a degree. 0 to 45,000.
    pub rotation_millidegrees_max: u32,
    /// Smallest magnification. 500,000 to 1,000,000.
    pub scale_ppm_min: u32,
    /// Largest magnification. 1,000,000 to 2,000,000.
    pub scale_ppm_max: u32,
    /// Smallest factor of pixel values. 500,000 to 1,000,000.
    pub brightness_ppm_min: u32,
    /// Largest factor of pixel values. 1,000,000 to 2,000,000.
    pub brightness_ppm_max: u32,
    /// Standard deviation of the noise in pixel levels, at most. 0 to 64.
    pub noise_levels_max: u32,
    /// Side of the square that is blanked, at most. 0 to 64.
    pub cutout_px_max: u32,
    /// Share of items that are a mixture of two images.
    pub mixture_ppm: u32,
    /// The smallest share of a mixture's main image. 500,001 to 1,000,000.
    pub mixture_share_ppm_min: u32,
    /// The largest share of a mixture's main image.
    pub mixture_share_ppm_max: u32,
}

/// Why a family or a draw makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A number is outside its range.
    #[error("{what} is {found}, expected {min} to {max}")]
    Range {
        /// The field.
        what: &'static str,
        /// Its value.
        found: u32,
        /// The least that it may be.
        min: u32,
        /// The most that it may be.
        max: u32,
    },
    /// Nothing is changed, so that hidden items of a public pool would be public ones.
    #[error("the family changes nothing: hidden items would be those that everybody knows")]
    Unchanged,
}

impl SpecError {
    /// Holds a number to its range.
    ///
    /// # Errors
    /// [`SpecError::Range`] of a number outside.
    pub fn unless_within(what: &'static str, found: u32, (min, max): (u32, u32)) -> Result<(), Self> {
        if (min..=max).contains(&found) { Ok(()) } else { Err(Self::Range { what, found, min, max }) }
    }
}

impl Default for Family {
    /// Mild enough for clothes in 28x28 pixels: docs/HIDDEN_ROUNDS.md has what it costs the teacher and a memoriser.
    fn default() -> Self {
        Family {
            shift_px_max: 2,
            rotation_millidegrees_max: 4_000,
            scale_ppm_min: 970_000,
            scale_ppm_max: 1_030_000,
            brightness_ppm_min: 850_000,
            brightness_ppm_max: 1_150_000,
            noise_levels_max: 5,
            cutout_px_max: 4,
            mixture_ppm: 150_000,
            mixture_share_ppm_min: 600_000,
            mixture_share_ppm_max: 800_000,
        }
    }
}

impl Family {
    /// The family that changes nothing: items of a private pool as they are. It is where a family of few changes starts from.
    pub fn identity() -> Self {
        Family {
            shift_px_max: 0,
            rotation_millidegrees_max: 0,
            scale_ppm_min: WHOLE_PPM,
            scale_ppm_max: WHOLE_PPM,
            brightness_ppm_min: WHOLE_PPM,
            brightness_ppm_max: WHOLE_PPM,
            noise_levels_max: 0,
            cutout_px_max: 0,
            mixture_ppm: 0,
            mixture_share_ppm_min: WHOLE_PPM,
            mixture_share_ppm_max: WHOLE_PPM,
        }
    }

    /// Checks every range, and that items which everybody knows are changed.
    ///
    /// # Errors
    /// The first number outside its range, or [`SpecError::Unchanged`].
    pub fn check(&self, pool: HiddenPool) -> Result<(), SpecError> {
        let (factor_min, factor_max) = FACTOR_PPM;
        let half = WHOLE_PPM / 2 + 1;
        let ranges = [
            ("shift_px_max", self.shift_px_max, 0, SHIFT_PX_MAX),
            ("rotation_millidegrees_max", self.rotation_millidegrees_max, 0, ROTATION_MILLIDEGREES_MAX),
            ("scale_ppm_min", self.scale_ppm_min, factor_min, WHOLE_PPM),
            ("scale_ppm_max", self.scale_ppm_max, WHOLE_PPM, factor_max),
            ("brightness_ppm_min", self.brightness_ppm_min, factor_min, WHOLE_PPM),
            ("brightness_ppm_max", self.brightness_ppm_max, WHOLE_PPM, factor_max),
            ("noise_levels_max", self.noise_levels_max, 0, NOISE_LEVELS_MAX),
            ("cutout_px_max", self.cutout_px_max, 0, CUTOUT_PX_MAX),
            ("mixture_ppm", self.mixture_ppm, 0, WHOLE_PPM),
            ("mixture_share_ppm_min", self.mixture_share_ppm_min, half, WHOLE_PPM),
            ("mixture_share_ppm_max", self.mixture_share_ppm_max, self.mixture_share_ppm_min, WHOLE_PPM),
        ];
        ranges.into_iter().try_for_each(|(what, found, min, max)| SpecError::unless_within(what, found, (min, max)))?;
        let shares = (self.mixture_share_ppm_min, self.mixture_share_ppm_max);
        let unmixed = Family { mixture_share_ppm_min: WHOLE_PPM, mixture_share_ppm_max: WHOLE_PPM, ..*self };
        let mixes_all = self.mixture_ppm == WHOLE_PPM && shares != (WHOLE_PPM, WHOLE_PPM);
        let changes = Family { mixture_ppm: 0, ..unmixed } != Family::identity();
        let are_known = pool == HiddenPool::Public;
        if changes || mixes_all || !are_known { Ok(()) } else { Err(SpecError::Unchanged) }
    }
}
