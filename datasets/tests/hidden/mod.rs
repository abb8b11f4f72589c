//! Hidden rounds through their public door, and what the tests share: a pool, terms, a ledger's beacon.

use datasets::commitment::{Commitment, commit};
use datasets::hidden::{
    Beacon, BeaconRule, DrandChain, DrawSpec, Ended, Family, Reveal, RevealError, Secret, Spent, Terms,
};
use datasets::published::Part;
use datasets::{Images, load_digits};
use protocol::competition::HiddenPool;
use protocol::round::RoundRules;

mod commitment;
mod drand;
mod draw;
mod golden;
mod render;
mod reveal;

const POOL_SALT: [u8; 32] = [42; 32];
const COMPETITION: &str = "digits";

/// The first handwritten digits: a pool of 8x8 images.
fn pool(count: u32) -> Images {
    load_digits().expect("the fixture loads").select(&(0..count).collect::<Vec<_>>())
}

fn pool_commitment(pool: &Images) -> Commitment {
    Commitment::new(pool, &POOL_SALT).expect("digits are labelled")
}

fn secret() -> Secret {
    Secret::new([7; 32])
}

fn ledger_beacon(height: u64) -> Beacon {
    Beacon::Ledger { height, hash: [9; 32] }
}

/// What the manifest says: a dozen items a round, more mixtures than usual.
fn rules() -> RoundRules {
    let transforms = Family { mixture_ppm: 300_000, ..Family::default() };
    RoundRules { items: 12, transforms, ..RoundRules::default() }
}

/// Terms of `round` over `pool`.
fn terms(pool: &Images, round: u64) -> Terms {
    Terms {
        competition: COMPETITION.into(),
        round,
        pool_root: commit(pool, &POOL_SALT).expect("digits are labelled"),
        pool_count: pool.count,
        spec: DrawSpec::of(&rules(), pool.count, HiddenPool::Public),
        beacon: BeaconRule::Ledger { height: 50 + round },
    }
}

/// The reveal that a validator writes of a round, read again.
pub(crate) fn reveal_of(
    (terms, secret, beacon): (Terms, Secret, Beacon),
    chain: Option<&DrandChain>,
    (fixed_seed, spent): (Option<&[u8; 32]>, &Spent),
    pool: Commitment,
    items: &Images,
) -> Result<Reveal, RevealError> {
    let items = Part { images: items.clone(), answers: None }.into();
    let (fixed_seed, spent) = (fixed_seed.copied(), spent.clone());
    let mut written = Vec::new();
    Ended { terms, secret, beacon, fixed_seed, spent, pool, items }.reveal(chain, &mut written)?;
    Reveal::from_bytes(&written)
}
