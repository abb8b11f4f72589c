//! Which items a round shows and what is done to each: everything follows from two seeds.
//!
//! It does not know what the images are, nor who may know the seeds when.
//!
//! # The draw, so that any auditor can write it again
//!
//! Words and `draw(bound)` are those of [`crate::split`]; `range(a, b)` is `a + draw(b - a + 1)`.
//!
//! 1. Sources. `sources(s)` is the permutation of the pool with the key `SHA-256("retort/hidden-sources/1" || s)`. The
//!    fixed items are the first of `sources(fixed_seed)`; the fresh ones are the first of `sources(seed)` that aren't
//!    fixed. Fixed items come first, each part in the order of its permutation.
//! 2. Changes. Each part has its own words, with the key `SHA-256("retort/hidden-changes/1" || s)`. For each item in
//!    order:
//!    1. `draw(1000000) < mixture_ppm` makes it a mixture if the pool has two images or more. A mixture draws its partner
//!       `p = draw(pool_count - 1)`, plus one if `p` is at least the source, and its share
//!       `range(mixture_share_ppm_min, mixture_share_ppm_max)`. From a private pool, partners are the other items of the
//!       same part, in its order: `p = draw(count - 1)`, plus one if `p` is at least the item's place.
//!    2. With `s = shift_px_max` and `n = 2 s + 1`: the cell `k = draw(n n - 1)`, plus one if `k` is at least
//!       `(n n - 1) / 2` (`k = draw(1)` if `s` is 0); `dx = k mod n - s`, `dy = k / n - s`. So the middle cell never comes.
//!    3. rotation `draw(2 r + 1) - r`, scale `range(min, max)`, brightness `range(min, max)`, noise `draw(max + 1)`.
//!    4. noise seed: the next word, plus the word after it times 2^32.
//!    5. cutout side `draw(max + 1)`, its centre `draw(1000000)` across and `draw(1000000)` down.
//!
//! From a private pool the fresh items are the first of `sources(seed)` that are neither fixed nor spent, that is, part of a
//! round before. So a round takes as many images from the pool as it has fresh items, and the first one the fixed ones too.
//!
//! Every draw takes place even where it has one outcome, so that switching off one change leaves the others as they are.

use super::spec::{DrawSpec, WHOLE_PPM};
use crate::{Logits, split};
use protocol::competition::HiddenPool;
use protocol::transforms::{Family, SpecError};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

const SOURCES_DOMAIN: &[u8] = b"retort/hidden-sources/1";
const CHANGES_DOMAIN: &[u8] = b"retort/hidden-changes/1";
/// A permutation of more images than this costs too much memory to draw on a stranger's word.
pub(super) const POOL_COUNT_MAX: u32 = 1 << 24;

/// The items of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Fixed items first, then fresh ones.
    pub items: Vec<DrawnItem>,
    /// How many items are fixed. Once a round is revealed they are known, so only the others may decide a contest.
    pub fixed: u32,
}

/// One item of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrawnItem {
    /// Its position in the pool.
    pub source: u32,
    /// What is done to it.
    pub change: Change,
}

/// What is done to an image of the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It keeps its label.
    Transformed(Transform),
    /// Another image is mixed in before the transform; the teacher decides what it shows.
    Mixture {
        /// The other image's position in the pool.
        with: u32,
        /// Share of the main image.
        share_ppm: u32,
        /// What is done to the mixture.
        then: Transform,
    },
}

/// A transform's exact parameters. [`super::render`] says what each does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transform {
    /// Columns to the right.
    pub dx: i32,
    /// Rows down.
    pub dy: i32,
    /// Rotation, clockwise as seen with rows running down.
    pub rotation_millidegrees: i32,
    /// Magnification about the centre.
    pub scale_ppm: u32,
    /// Factor of pixel values.
    pub brightness_ppm: u32,
    /// Standard deviation of the noise in pixel levels.
    pub noise_levels: u32,
    /// Which noise.
    pub noise_seed: u64,
    /// Side of the blanked square.
    pub cutout_px: u32,
    /// Its centre, as a share of the width.
    pub cutout_x_ppm: u32,
    /// Its centre, as a share of the height.
    pub cutout_y_ppm: u32,
}

/// Why a round can't be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DrawError {
    /// The specification makes no sense.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// There are fewer images than items.
    #[error("a round of {items} items can't be drawn from a pool of {pool_count}")]
    PoolTooSmall {
        /// Items of a round.
        items: u32,
        /// Images of the pool.
        pool_count: u32,
    },
    /// A private pool that has too few images left that no round showed.
    #[error("a round of {fresh} fresh items can't be drawn from a private pool that has {left} images left")]
    PoolSpent {
        /// Fresh items of a round.
        fresh: u32,
        /// Images that were in no round.
        left: u32,
    },
    /// More images than are ever drawn from.
    #[error("a pool of {pool_count} images is larger than {POOL_COUNT_MAX}")]
    PoolTooLarge {
        /// Images of the pool.
        pool_count: u32,
    },
}

impl DrawnItem {
    /// The other image, if it is a mixture.
    pub fn partner(&self) -> Option<u32> {
        match self.change {
            Change::Transformed(_) => None,
            Change::Mixture { with, .. } => Some(with),
        }
    }

    /// The transform, whether of one image or of a mixture.
    pub fn transform(&self) -> &Transform {
        match &self.change {
            Change::Transformed(transform) | Change::Mixture { then: transform, .. } => transform,
        }
    }
}

impl Draw {
    /// What the teacher answered to the items, of what it answered to the pool: to images as they are.
    ///
    /// # Panics
    /// When the draw is of a larger pool, which is a bug in the caller.
    pub fn answers(&self, to_pool: &Logits) -> Logits {
        to_pool.select(&self.items.iter().map(|item| item.source).collect::<Vec<u32>>())
    }

    /// The positions of all images that the items are made of, ascending, each once.
    pub fn sources(&self) -> Vec<u32> {
        let mut sources: Vec<u32> =
            self.items.iter().flat_map(|item| std::iter::once(item.source).chain(item.partner())).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }
}

impl Transform {
    /// Changes nothing.
    pub fn identity() -> Self {
        Transform {
            dx: 0,
            dy: 0,
            rotation_millidegrees: 0,
            scale_ppm: WHOLE_PPM,
            brightness_ppm: WHOLE_PPM,
            noise_levels: 0,
            noise_seed: 0,
            cutout_px: 0,
            cutout_x_ppm: 0,
            cutout_y_ppm: 0,
        }
    }
}

/// The images of a private pool that earlier rounds showed: everybody has them now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent(BTreeSet<u32>);

impl Spent {
    /// Adds what a round showed.
    pub fn add(&mut self, draw: &Draw) {
        self.0.extend(draw.sources());
    }
}

/// Draws a round: `spec.items` of the `pool_count` images, the fixed part from `fixed_seed`, the others from `seed`. It is
/// the first round of a private pool; later ones are [`draw_unspent`]'s.
pub fn draw(seed: &[u8; 32], fixed_seed: &[u8; 32], pool_count: u32, spec: &DrawSpec) -> Result<Draw, DrawError> {
    draw_unspent(seed, fixed_seed, pool_count, spec, &Spent::default())
}

/// Draws a round after those that spent so much of its pool, which makes no difference to a public one.
pub fn draw_unspent(
    seed: &[u8; 32],
    fixed_seed: &[u8; 32],
    pool_count: u32,
    spec: &DrawSpec,
    spent: &Spent,
) -> Result<Draw, DrawError> {
    spec.check()?;
    if pool_count > POOL_COUNT_MAX {
        return Err(DrawError::PoolTooLarge { pool_count });
    }
    if spec.items > pool_count {
        return Err(DrawError::PoolTooSmall { items: spec.items, pool_count });
    }
    let fixed = spec.fixed_items();
    let mut fixed_sources = sources(fixed_seed, pool_count);
    fixed_sources.truncate(fixed as usize);
    let mut taken = vec![false; pool_count as usize];
    fixed_sources.iter().for_each(|source| taken[*source as usize] = true);
    let private = spec.hidden_pool == HiddenPool::Private;
    if private {
        spent.0.range(..pool_count).for_each(|source| taken[*source as usize] = true);
    }
    let fresh = sources(seed, pool_count).into_iter().filter(|source| !taken[*source as usize]);
    let fresh_sources: Vec<u32> = fresh.take((spec.items - fixed) as usize).collect();
    if fresh_sources.len() < (spec.items - fixed) as usize {
        return Err(DrawError::PoolSpent { fresh: spec.items - fixed, left: fresh_sources.len() as u32 });
    }

    let partners = |own| if private { Partners::Part(own) } else { Partners::Pool(pool_count) };
    let mut items = changed(fixed_seed, &fixed_sources, partners(&fixed_sources), &spec.family);
    items.extend(changed(seed, &fresh_sources, partners(&fresh_sources), &spec.family));
    Ok(Draw { items, fixed })
}

/// What is mixed in.
#[derive(Clone, Copy)]
enum Partners<'a> {
    /// Any other image of a pool of so many.
    Pool(u32),
    /// Any other item of the same part.
    Part(&'a [u32]),
}

impl Partners<'_> {
    fn count(self) -> u32 {
        match self {
            Self::Pool(count) => count,
            Self::Part(sources) => sources.len() as u32,
        }
    }

    /// The `drawn`-th of those that aren't the item itself.
    fn other(self, drawn: u32, place: usize, source: u32) -> u32 {
        match self {
            Self::Pool(_) => drawn + u32::from(drawn >= source),
            Self::Part(sources) => sources[drawn as usize + usize::from(drawn as usize >= place)],
        }
    }
}

fn sources(seed: &[u8; 32], pool_count: u32) -> Vec<u32> {
    split::permutation(&key(SOURCES_DOMAIN, seed), pool_count)
}

fn changed(seed: &[u8; 32], sources: &[u32], partners: Partners<'_>, family: &Family) -> Vec<DrawnItem> {
    let mut words = Words(ChaCha20Rng::from_seed(key(CHANGES_DOMAIN, seed)));
    sources.iter().enumerate().map(|(place, &source)| words.item(source, place, partners, family)).collect()
}

fn key(domain: &[u8], seed: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(domain).chain_update(seed).finalize().into()
}

/// The words of one part.
struct Words(ChaCha20Rng);

impl Words {
    fn item(&mut self, source: u32, place: usize, partners: Partners<'_>, family: &Family) -> DrawnItem {
        let mixed = self.below(WHOLE_PPM) < family.mixture_ppm && partners.count() > 1;
        let change = if mixed {
            let with = partners.other(self.below(partners.count() - 1), place, source);
            let share_ppm = self.range(family.mixture_share_ppm_min, family.mixture_share_ppm_max);
            Change::Mixture { with, share_ppm, then: self.transform(family) }
        } else {
            Change::Transformed(self.transform(family))
        };
        DrawnItem { source, change }
    }

    fn transform(&mut self, family: &Family) -> Transform {
        let (dx, dy) = self.shift(family.shift_px_max);
        Transform {
            dx,
            dy,
            rotation_millidegrees: self.around_zero(family.rotation_millidegrees_max),
            scale_ppm: self.range(family.scale_ppm_min, family.scale_ppm_max),
            brightness_ppm: self.range(family.brightness_ppm_min, family.brightness_ppm_max),
            noise_levels: self.range(0, family.noise_levels_max),
            noise_seed: u64::from(self.0.next_u32()) | u64::from(self.0.next_u32()) << 32,
            cutout_px: self.range(0, family.cutout_px_max),
            cutout_x_ppm: self.below(WHOLE_PPM),
            cutout_y_ppm: self.below(WHOLE_PPM),
        }
    }

    /// A shift that isn't none, unless none is the only one.
    fn shift(&mut self, px_max: u32) -> (i32, i32) {
        let side = 2 * px_max + 1;
        let middle = (side * side - 1) / 2;
        let cell = self.below((side * side - 1).max(1));
        let cell = cell + u32::from(px_max > 0 && cell >= middle);
        (
            cell.cast_signed() % side.cast_signed() - px_max.cast_signed(),
            (cell / side).cast_signed() - px_max.cast_signed(),
        )
    }

    fn around_zero(&mut self, max: u32) -> i32 {
        self.below(2 * max + 1).cast_signed() - max.cast_signed()
    }

    fn range(&mut self, min: u32, max: u32) -> u32 {
        min + self.below(max - min + 1)
    }

    fn below(&mut self, bound: u32) -> u32 {
        split::draw(&mut self.0, bound)
    }
}
