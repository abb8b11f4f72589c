//! Hidden rounds through their public door, and what the tests share: a pool, terms, a ledger's beacon.

use datasets::hidden::{Beacon, BeaconRule, DrawSpec, Family, Secret, Terms};
use datasets::round::{self, Commitment};
use datasets::{Images, load_digits};

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

/// Terms of `round` over `pool`: a dozen items, some of them mixtures.
fn terms(pool: &Images, round: u64) -> Terms {
    Terms {
        competition: COMPETITION.into(),
        round,
        pool_root: round::commit(pool, &POOL_SALT).expect("digits are labelled"),
        pool_count: pool.count,
        spec: DrawSpec { family: Family { mixture_ppm: 300_000, ..Family::default() }, ..DrawSpec::of_items(12) },
        beacon: BeaconRule::Ledger { height: 50 + round },
    }
}
