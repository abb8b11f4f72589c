//! A round that ended, opened by its validator: the reveal is written from the pool's file and the items', neither of which is held.
//!
//! It writes what [`super::Reveal::from_bytes`] reads, and does not know where that is published.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::beacon::Beacon;
use super::commitment::Terms;
use super::drand::DrandChain;
use super::draw::Spent;
use super::render::rendered;
use super::reveal::{Leaves, Reveal, RevealError, digest, draw_on, same, take_labels};
use super::secret::{Secret, fixed_seed};
use crate::Labelled;
use crate::commitment::Commitment;
use std::io::{self, Write};

/// A round with all that its validator alone has of it.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What it was bound to.
    pub terms: Terms,
    /// What it was committed to by.
    pub secret: Secret,
    /// The beacon that came.
    pub beacon: Beacon,
    /// The fixed seed of the competition; `None` in its first round, where it follows from this round's beacon.
    pub fixed_seed: Option<[u8; 32]>,
    /// What earlier rounds of a private pool showed.
    pub spent: Spent,
    /// The pool that its items were drawn from.
    pub pool: Commitment,
    /// The items that were shown to models, with the labels that counted.
    pub items: Labelled,
}

impl Ended {
    /// Writes the reveal. What is in it was computed again and compared, so a validator never publishes one that doesn't hold.
    ///
    /// # Errors
    /// When it wouldn't, or something can't be read or written.
    pub fn reveal(&self, chain: Option<&DrandChain>, to: &mut dyn Write) -> Result<(), RevealError> {
        let Self { terms, secret, beacon, pool, items, .. } = self;
        let failed = |error: io::Error| RevealError::Io(error.to_string());
        terms.check()?;
        same("pool_root", &pool.root_hex(), &terms.pool_root)?;
        same("pool_count", &pool.count().to_string(), &terms.pool_count.to_string())?;
        let value = terms.beacon.check(beacon, chain)?;
        let first = || fixed_seed(&value, secret, &terms.competition, terms.round);
        let fixed_seed = self.fixed_seed.unwrap_or_else(first);
        let draw = draw_on(terms, &value, secret, &fixed_seed, &self.spent)?;
        let mut again = rendered(pool.items(), &draw)?;
        take_labels(&mut again.labels, &draw, &items.labels)?;
        let items_sha256 = digest(items)?;
        let found = digest(&again)?;
        if found != items_sha256 {
            return Err(RevealError::Items { expected: hex::encode(items_sha256), found: hex::encode(found) });
        }
        let sources = draw.sources();
        let mut leaves = sources.iter().map(|source| pool.leaf(*source).ok_or_else(|| changed(*source))).peekable();
        let leaf_bytes = leaves.peek().map_or(0, |leaf| leaf.as_ref().map_or(0, Vec::len));
        let reveal = Reveal {
            terms: terms.clone(),
            beacon: beacon.clone(),
            secret: secret.clone(),
            fixed_seed,
            labels: items.labels.clone(),
            items_sha256,
            leaves: Leaves::of(&[])?,
            proof: pool.proof_of_many(&sources).unwrap_or_default(),
        };
        to.write_all(&reveal.head(sources.len(), leaf_bytes)?).map_err(failed)?;
        for leaf in leaves {
            to.write_all(&leaf?).map_err(failed)?;
        }
        to.write_all(&reveal.tail()?).map_err(failed)
    }
}

fn changed(item: u32) -> RevealError {
    RevealError::Io(format!("item {item} of the pool isn't what it was when it was committed to"))
}
