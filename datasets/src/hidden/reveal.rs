//! A finished round, opened: everything that lets anyone compute its items again and compare.
//!
//! It does not know where reveals are published, nor what any model made of the items.
//!
//! File format `RTREV1`, or `RTREV2` where a label is above 255, little endian, nothing before, between or after:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | `RTREV1\0\0`, or `RTREV2\0\0` |
//! | 4 + n | length, then the terms in canonical JSON |
//! | 4 + n | length, then the beacon in canonical JSON |
//! | 32 | the secret |
//! | 32 | the seed of the fixed part |
//! | 4 + n | count, then one label an item, of one byte (`RTREV1`) or two (`RTREV2`), fixed items first |
//! | 32 | SHA-256 of the items with those labels as an `RTIMG1` file |
//! | 4 + 4 + count x length | count and length of leaves, then the pool's leaves that the draw takes, ascending |
//! | 4 + 32 x count | count, then the hashes of their joint proof ([`crate::merkle`]) |
//!
//! Which leaves those are follows from terms, secret and beacon, so the file doesn't say it.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod error;
mod file;
mod leaves;

pub use error::RevealError;
pub use leaves::Leaves;

use super::beacon::Beacon;
use super::commitment::{RoundCommitment, Terms, canonical};
use super::drand::DrandChain;
use super::draw::{Change, Draw, DrawError, DrawnItem, Spent, draw_unspent};
use super::render::rendered;
use super::secret::{Secret, fixed_seed, seed};
use super::spec::DrawSpec;
use crate::Labelled;
use crate::merkle::{self, Hash};
use protocol::competition::HiddenPool;
use protocol::digest::Hasher;
use protocol::round::RoundRules;

/// A finished round, opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Reveal {
    /// What the round was bound to.
    pub terms: Terms,
    /// The beacon that came.
    pub beacon: Beacon,
    /// No longer one.
    pub secret: Secret,
    /// The seed of the fixed part, the same in all rounds of a competition.
    pub fixed_seed: [u8; 32],
    /// The label of each item: the pool's, or the teacher's for a mixture.
    pub labels: Vec<u16>,
    /// SHA-256 of the labelled items as an `RTIMG1` file.
    pub items_sha256: Hash,
    /// The pool's leaves that the draw takes, ascending.
    pub leaves: Leaves,
    /// Their joint proof.
    pub proof: Vec<Hash>,
}

/// What a checker knows from elsewhere and holds a reveal against.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The competition's name.
    pub competition: &'a str,
    /// The round's number.
    pub round: u64,
    /// The pool's root, published with the competition.
    pub pool_root: &'a str,
    /// The pool's count, published with it.
    pub pool_count: u32,
    /// What the manifest says of rounds.
    pub rules: &'a RoundRules,
    /// What it says of the pool.
    pub hidden_pool: HiddenPool,
    /// Classes of the teacher's answers that the pool's leaves have, where it is known by those only; otherwise 0.
    pub answer_classes: u32,
    /// What the rounds before this one showed, from their own reveals; nothing is needed of a public pool.
    pub spent: &'a Spent,
    /// What was published before the round closed.
    pub commitment: &'a RoundCommitment,
    /// The beacon as the checker got it from the ledger or the chain itself. Without it a ledger's hash is taken on
    /// trust; a drand beacon's signature is checked in any case.
    pub beacon: Option<&'a Beacon>,
    /// The drand chain that the checker trusts, if the round is bound to one.
    pub chain: Option<&'a DrandChain>,
    /// The fixed seed that the competition's first reveal showed; `None` if this is the first.
    pub fixed_seed: Option<&'a [u8; 32]>,
}

/// What a reveal proves.
#[derive(Debug, Clone)]
pub struct Revealed {
    /// The items as they were shown to models, with the labels that counted, and with the teacher's answers as the pool's commitment
    /// has them where it is known by these only. They are made of the reveal's leaves as they are read.
    pub items: Labelled,
    /// Where each comes from.
    pub draw: Draw,
    /// The seed of the fixed part, for checking the next round.
    pub fixed_seed: [u8; 32],
}

/// Computes a finished round again, from its commitment to its pixels, and compares everything.
///
/// Labels of mixtures are the teacher's, which bytes alone can't show: compare them with [`super::relabel`] and the
/// teacher's own logits on the images that this returns.
pub fn verify_reveal(reveal: &Reveal, expected: &Expected<'_>) -> Result<Revealed, RevealError> {
    let terms = &reveal.terms;
    same("competition", expected.competition, &terms.competition)?;
    same("round", &expected.round.to_string(), &terms.round.to_string())?;
    same("pool_root", expected.pool_root, &terms.pool_root)?;
    same("pool_count", &expected.pool_count.to_string(), &terms.pool_count.to_string())?;
    expected.commitment.check(terms, &reveal.secret)?;
    if terms.spec != DrawSpec::of(expected.rules, expected.pool_count, expected.hidden_pool) {
        return Err(RevealError::OtherSpec { found: String::from_utf8_lossy(&canonical(&terms.spec)).into_owned() });
    }
    if expected.beacon.is_some_and(|beacon| *beacon != reveal.beacon) {
        return Err(RevealError::OtherBeacon { found: reveal.beacon.number() });
    }
    let value = terms.beacon.check(&reveal.beacon, expected.chain)?;
    let first = || fixed_seed(&value, &reveal.secret, &terms.competition, terms.round);
    let fixed_seed = expected.fixed_seed.copied().unwrap_or_else(first);
    if fixed_seed != reveal.fixed_seed {
        let (expected, found) = (hex::encode(fixed_seed), hex::encode(reveal.fixed_seed));
        return Err(RevealError::FixedSeed { expected, found });
    }
    let draw = draw_on(terms, &value, &reveal.secret, &fixed_seed, expected.spent)?;
    let items = items_again(reveal, &draw, expected.answer_classes)?;
    Ok(Revealed { items, draw, fixed_seed })
}

pub(super) fn draw_on(
    terms: &Terms,
    beacon: &[u8; 32],
    secret: &Secret,
    fixed_seed: &[u8; 32],
    spent: &Spent,
) -> Result<Draw, DrawError> {
    let seed = seed(beacon, secret, &terms.competition, terms.round);
    draw_unspent(&seed, fixed_seed, terms.pool_count, &terms.spec, spent)
}

/// Makes the items of the opened leaves, with the reveal's labels, and compares their digest.
fn items_again(reveal: &Reveal, draw: &Draw, answer_classes: u32) -> Result<Labelled, RevealError> {
    let mut items = render_opened(reveal, draw, answer_classes)?;
    take_labels(&mut items.labels, draw, &reveal.labels)?;
    let found = digest(&items)?;
    if found != reveal.items_sha256 {
        let (expected, found) = (hex::encode(reveal.items_sha256), hex::encode(found));
        return Err(RevealError::Items { expected, found });
    }
    Ok(items)
}

/// Checks the opened leaves, of which the items are made when somebody reads them.
fn render_opened(reveal: &Reveal, draw: &Draw, answer_classes: u32) -> Result<Labelled, RevealError> {
    let (sources, terms, leaves) = (draw.sources(), &reveal.terms, &reveal.leaves);
    if sources.len() != leaves.count() {
        return Err(RevealError::Opened { expected: sources.len(), found: leaves.count() });
    }
    let hashed = sources.iter().zip(leaves.iter()).map(|(source, leaf)| Ok((*source, merkle::leaf_hash(&leaf?))));
    let opened = hashed.collect::<Result<Vec<_>, RevealError>>()?;
    merkle::verify_hashes(&terms.pool_root, terms.pool_count, &opened, &reveal.proof)?;
    // The opened images lie in a small pool of their own: the draw's positions become positions there.
    let place = |source: u32| sources.binary_search(&source).map_or(u32::MAX, |place| place as u32);
    let moved = |item: &DrawnItem| DrawnItem {
        source: place(item.source),
        change: match item.change {
            Change::Transformed(transform) => Change::Transformed(transform),
            Change::Mixture { with, share_ppm, then } => Change::Mixture { with: place(with), share_ppm, then },
        },
    };
    let moved = Draw { items: draw.items.iter().map(moved).collect(), fixed: draw.fixed };
    Ok(rendered(&leaves.images(terms.pool_count, answer_classes)?, &moved)?)
}

/// Of labelled items as a file of images.
pub(super) fn digest(items: &Labelled) -> Result<Hash, RevealError> {
    let mut hasher = Hasher::default();
    items.write_images(&mut hasher).map_err(|error| RevealError::Io(error.to_string()))?;
    Ok(*hasher.finish().as_bytes())
}

/// Puts the reveal's labels in, which may differ from the pool's for mixtures only.
pub(super) fn take_labels(of_pool: &mut [u16], draw: &Draw, labels: &[u16]) -> Result<(), RevealError> {
    if labels.len() != of_pool.len() {
        return Err(RevealError::Labels { expected: of_pool.len(), found: labels.len() });
    }
    for (index, (item, (label, &found))) in draw.items.iter().zip(of_pool.iter_mut().zip(labels)).enumerate() {
        if item.partner().is_none() && *label != found {
            return Err(RevealError::Label { index, expected: *label, found });
        }
        *label = found;
    }
    Ok(())
}

pub(super) fn same(what: &'static str, expected: &str, found: &str) -> Result<(), RevealError> {
    if expected == found {
        return Ok(());
    }
    let short = |text: &str| text.chars().take(80).collect();
    Err(RevealError::Other { what, expected: short(expected), found: short(found) })
}
