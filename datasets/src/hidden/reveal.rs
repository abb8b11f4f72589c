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

pub use error::RevealError;

use super::beacon::Beacon;
use super::commitment::{RoundCommitment, Terms, canonical};
use super::drand::DrandChain;
use super::draw::{Change, Draw, DrawError, DrawnItem, Spent, draw_unspent};
use super::render::render;
use super::secret::{Secret, fixed_seed, seed};
use super::spec::DrawSpec;
use crate::format::{Reader, label_bytes, put_labels};
use crate::merkle::{self, Hash};
use crate::published::Part;
use crate::round;
use crate::{FormatError, Images, Logits};
use protocol::competition::HiddenPool;
use protocol::round::RoundRules;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

/// By bytes of a label, less one.
const MAGICS: [[u8; 8]; 2] = [*b"RTREV1\0\0", *b"RTREV2\0\0"];
/// Terms and beacons are short; this bounds what the JSON parser sees.
const JSON_BYTES_MAX: usize = 16_384;

/// A finished round, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    pub leaves: Vec<Vec<u8>>,
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
#[derive(Debug, Clone, PartialEq)]
pub struct Revealed {
    /// The items as they were shown to models, with the labels that counted.
    pub images: Images,
    /// What the teacher answered to each, as the pool's commitment has it, where it is known by its answers only.
    pub answers: Option<Logits>,
    /// Where each comes from.
    pub draw: Draw,
    /// The seed of the fixed part, for checking the next round.
    pub fixed_seed: [u8; 32],
}

impl Reveal {
    /// Writes the file format.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RevealError> {
        let leaf_bytes = self.leaves.first().map_or(0, Vec::len);
        if self.leaves.iter().any(|leaf| leaf.len() != leaf_bytes) {
            return Err(RevealError::Shape);
        }
        let mut bytes = self.head(self.leaves.len(), leaf_bytes)?;
        self.leaves.iter().for_each(|leaf| bytes.extend(leaf));
        bytes.extend(self.tail()?);
        Ok(bytes)
    }

    /// What the file has before its leaves, of which there are `count` of so many bytes.
    pub(super) fn head(&self, count: usize, leaf_bytes: usize) -> Result<Vec<u8>, RevealError> {
        let each = label_bytes(&self.labels);
        let mut bytes = if each == 1 { MAGICS[0] } else { MAGICS[1] }.to_vec();
        for json in [canonical(&self.terms), canonical(&self.beacon)] {
            put_length(&mut bytes, json.len())?;
            bytes.extend(json);
        }
        bytes.extend(self.secret.expose());
        bytes.extend(self.fixed_seed);
        put_length(&mut bytes, self.labels.len())?;
        put_labels(&mut bytes, &self.labels, each);
        bytes.extend(self.items_sha256);
        put_length(&mut bytes, count)?;
        put_length(&mut bytes, leaf_bytes)?;
        Ok(bytes)
    }

    /// And behind them.
    pub(super) fn tail(&self) -> Result<Vec<u8>, RevealError> {
        let mut bytes = Vec::new();
        put_length(&mut bytes, self.proof.len())?;
        bytes.extend(self.proof.as_flattened());
        Ok(bytes)
    }

    /// Reads the file format from bytes that nobody vouches for. Nothing is allocated beyond a small multiple of the
    /// input's own length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Reveal, RevealError> {
        let (mut reader, each) = match bytes.starts_with(&MAGICS[1]) {
            true => (Reader::after_magic(bytes, MAGICS[1])?, 2),
            false => (Reader::after_magic(bytes, MAGICS[0])?, 1),
        };
        let terms = json("terms", &mut reader)?;
        let beacon = json("beacon", &mut reader)?;
        let secret = Secret::new(reader.array("secret")?);
        let fixed_seed = reader.array("fixed seed")?;
        let labels = reader.u32("label count")? as usize;
        let labels = reader.labels("labels", labels, each)?;
        if each > label_bytes(&labels) {
            return Err(FormatError::WideLabels.into());
        }
        let items_sha256 = reader.array("digest of items")?;
        let (count, leaf_bytes) = (reader.u32("leaf count")? as usize, reader.u32("leaf length")? as usize);
        if (count == 0) != (leaf_bytes == 0) {
            return Err(FormatError::Zero { what: "leaf count or length" }.into());
        }
        let leaves = reader.take("leaves", count.saturating_mul(leaf_bytes))?;
        let leaves = leaves.chunks(leaf_bytes.max(1)).map(<[u8]>::to_vec).collect();
        let hashes = reader.u32("hash count")? as usize;
        let proof = reader.take("proof", hashes.saturating_mul(32))?.as_chunks().0.to_vec();
        reader.finish()?;
        Ok(Reveal { terms, beacon, secret, fixed_seed, labels, items_sha256, leaves, proof })
    }
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
    let Part { images, answers } = items_again(reveal, &draw, expected.answer_classes)?;
    Ok(Revealed { images, answers, draw, fixed_seed })
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
fn items_again(reveal: &Reveal, draw: &Draw, answer_classes: u32) -> Result<Part, RevealError> {
    let Part { mut images, answers } = render_opened(reveal, draw, answer_classes)?;
    take_labels(&mut images.labels, draw, &reveal.labels)?;
    let digest: Hash = Sha256::digest(images.to_bytes()?).into();
    if digest != reveal.items_sha256 {
        let (expected, found) = (hex::encode(reveal.items_sha256), hex::encode(digest));
        return Err(RevealError::Items { expected, found });
    }
    Ok(Part { images, answers })
}

/// Checks the opened leaves and makes the items of them.
fn render_opened(reveal: &Reveal, draw: &Draw, answer_classes: u32) -> Result<Part, RevealError> {
    let (sources, terms) = (draw.sources(), &reveal.terms);
    if sources.len() != reveal.leaves.len() {
        return Err(RevealError::Opened { expected: sources.len(), found: reveal.leaves.len() });
    }
    let opened: Vec<(u32, &[u8])> = sources.iter().copied().zip(reveal.leaves.iter().map(Vec::as_slice)).collect();
    merkle::verify_many(&terms.pool_root, terms.pool_count, &opened, &reveal.proof)?;
    let mut pool: Option<Part> = None;
    for leaf in &reveal.leaves {
        let item = round::read_leaf(leaf, terms.pool_count, answer_classes)?;
        match &mut pool {
            None => pool = Some(item),
            Some(pool) => append(pool, item)?,
        }
    }
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
    let pool = pool.ok_or(RevealError::Opened { expected: sources.len(), found: 0 })?;
    Ok(Part { images: render(&pool.images, &moved)?, answers: pool.answers.map(|answers| moved.answers(&answers)) })
}

fn append(pool: &mut Part, item: Part) -> Result<(), RevealError> {
    let shape = |images: &Images| (images.channels, images.height, images.width);
    let (images, image) = (&mut pool.images, item.images);
    if shape(images) != shape(&image) {
        return Err(RevealError::Shape);
    }
    images.count = images.count.saturating_add(1);
    images.pixels.extend(image.pixels);
    images.labels.extend(image.labels);
    if let (Some(answers), Some(answer)) = (&mut pool.answers, item.answers) {
        answers.count = answers.count.saturating_add(1);
        answers.values.extend(answer.values);
    }
    Ok(())
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

fn json<T: Serialize + DeserializeOwned>(what: &'static str, reader: &mut Reader<'_>) -> Result<T, RevealError> {
    let length = reader.u32(what)? as usize;
    if length > JSON_BYTES_MAX {
        return Err(RevealError::TooLong { what, found: length, max: JSON_BYTES_MAX });
    }
    let bytes = reader.take(what, length)?;
    let value = serde_json::from_slice(bytes).map_err(|error| RevealError::Json { what, why: error.to_string() })?;
    if canonical(&value) == bytes { Ok(value) } else { Err(RevealError::NotCanonical { what }) }
}

fn put_length(bytes: &mut Vec<u8>, length: usize) -> Result<(), RevealError> {
    let max = u32::MAX as usize;
    let length = u32::try_from(length).map_err(|_| RevealError::TooLong { what: "a part", found: length, max })?;
    bytes.extend(length.to_le_bytes());
    Ok(())
}
