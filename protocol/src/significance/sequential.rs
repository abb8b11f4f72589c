//! p-values by resampling that stop early: a hopeless challenger costs a hundredth of a promising one.
//!
//! Source: Besag & Clifford 1991, "Sequential Monte Carlo p-values", Biometrika 78: draw until `h` hits or `N` draws, N
//! chosen before the first; p = h / l where the h-th hit came at draw l, else (hits + 1) / (N + 1). Both are valid: under
//! the null each is below a level no more often than the level says. It does NOT know what a draw is.

use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use utoipa::ToSchema;

/// Hits (h) after which drawing stops. The relative error of a p-value is about 1 / sqrt(h): 18 %, a shift of a twelfth
/// of a standard deviation at the levels that decide.
pub const HITS: u32 = 32;

/// The most draws (N) where a level needs no more. With h = 32 the early stop reaches down to 32 / 19 999 = .0016.
pub const DRAWS_MIN: u32 = 19_999;

/// No level asks for more draws than this: the least p-value is then half a millionth.
pub const DRAWS_MAX: u32 = 1_999_999;

/// Hits that are expected of a p-value at the level, so that missing one by luck is rare.
const HITS_AT_LEVEL: u64 = 10;

/// The level that a p-value is held to: it decides how many draws are needed to meet it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Before sharing, parts per million.
    pub ppm: u32,
    /// By how many it is shared.
    pub shared_by: NonZeroU32,
}

impl Level {
    /// The most draws (N): as many as give ten hits at the level, within [`DRAWS_MIN`] and [`DRAWS_MAX`].
    pub fn draws_max(self) -> u32 {
        let needed = HITS_AT_LEVEL * 1_000_000 * u64::from(self.shared_by.get());
        let needed = needed.checked_div(u64::from(self.ppm)).unwrap_or(u64::MAX);
        u32::try_from(needed).unwrap_or(u32::MAX).clamp(DRAWS_MIN, DRAWS_MAX)
    }
}

/// A p-value as the fraction that it is, so that comparing it with a level is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SequentialP {
    /// Draws that were as bad as the null says (the observed one counts as such when the maximum was reached).
    pub hits: u32,
    /// Draws.
    pub draws: u32,
}

impl SequentialP {
    /// Asks `hit` for draw 0, 1, 2 and so on, until it has said yes [`HITS`] times or was asked `draws_max` times.
    pub fn of(draws_max: u32, mut hit: impl FnMut(u32) -> bool) -> Self {
        let mut hits = 0;
        for draw in 0..draws_max {
            hits += u32::from(hit(draw));
            if hits == HITS {
                return Self { hits, draws: draw + 1 };
            }
        }
        Self { hits: hits + 1, draws: draws_max.saturating_add(1) }
    }

    /// Whether [`SequentialP::of`] as many draws as the level needs is at most the level: the same answer without the
    /// figure. It stops at the first hit that no further draw could make up for.
    pub fn meets(level: Level, mut hit: impl FnMut(u32) -> bool) -> bool {
        let draws_max = level.draws_max();
        let can = |hits, draws| Self { hits, draws }.at_most(level.ppm, level.shared_by.get());
        // The least p that so many hits may still come to, and the least of all that stop early.
        let least = |hits: u32| can(hits + 1, draws_max.saturating_add(1)) || can(HITS, draws_max);
        let mut hits = 0;
        for draw in 0..draws_max {
            hits += u32::from(hit(draw));
            if hits == HITS {
                return can(hits, draw + 1);
            }
            if !least(hits) {
                return false;
            }
        }
        can(hits + 1, draws_max.saturating_add(1))
    }

    /// Whether p <= level / shared_by, without rounding. A level shared by nobody is shared by one.
    pub fn at_most(self, level_ppm: u32, shared_by: u32) -> bool {
        u128::from(self.hits) * 1_000_000 * u128::from(shared_by.max(1))
            <= u128::from(level_ppm) * u128::from(self.draws)
    }

    /// In billionths, for people.
    pub fn ppb(self) -> u64 {
        (u64::from(self.hits) * 1_000_000_000).checked_div(u64::from(self.draws)).unwrap_or(1_000_000_000)
    }
}
