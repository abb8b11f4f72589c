//! Commitments: what a validator publishes about hidden items before a round, and how it is held to it afterwards.
//!
//! It does not know when a round is, who may open an item, or what a model made of it.
//!
//! # The leaf of item `index`
//!
//! `item_salt` (32 bytes), then count, channels, height, width (u32, little endian), then the pixels, then the label: one
//! byte where no label of the set is above 255, otherwise two, little endian. `item_salt = SHA-256("retort/item-salt/1" || salt || index as u32, little endian)`, where `salt` is
//! 32 secret random bytes of the round. Leaves are hashed as in RFC 6962.
//!
//! Where the teacher is known by its answers only, its answer to the item comes last: one f32 a class, little endian. Nobody could
//! ask about it again, so what is said of it later is what was committed to. Whether leaves have answers, and of how many
//! classes, the competition's manifest says.
//!
//! Without the salt a commitment would hide nothing: a proof shows the hash of a neighbour, and whoever owns the public
//! data set could hash all of it and look the neighbour up. Opening one item reveals that item's salt and no other's.

use crate::format::{Reader, label_bytes, put_labels};
use crate::merkle::{self, Hash, MerkleError, Tree};
use crate::published::Part;
use crate::{FormatError, Images, Labelled, Logits};
use sha2::{Digest, Sha256};

const SALT_DOMAIN: &[u8] = b"retort/item-salt/1";
const SALT_BYTES: usize = 32;
/// Where the pixels of a leaf begin.
pub(crate) const PIXELS_AT: usize = SALT_BYTES + 4 * 4;

/// Why items can't be committed to, or an opened item is not the one committed to.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CommitmentError {
    /// Labels are what a commitment is for.
    #[error("the {count} hidden images have no labels")]
    Unlabelled {
        /// Number of images.
        count: u32,
    },
    /// The images, or the opened leaf, are malformed.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The images can't be read.
    #[error("the hidden images can't be read: {0}")]
    Unread(String),
    /// The leaf does not lie under the root.
    #[error(transparent)]
    Merkle(#[from] MerkleError),
    /// The leaf was made for a set of another size.
    #[error("leaf belongs to a set of {found} items, not {expected}")]
    Count {
        /// The claimed size.
        expected: u32,
        /// The size in the leaf.
        found: u32,
    },
}

/// A commitment to labelled images, with what is needed to open any of them. It holds secrets: publish only
/// [`Commitment::root_hex`] and [`Commitment::count`].
#[derive(Debug, Clone)]
pub struct Commitment {
    tree: Tree,
    leaves: Leaves,
}

impl Commitment {
    /// Commits to `images` in their order.
    pub fn new(images: &Images, salt: &[u8; 32]) -> Result<Commitment, CommitmentError> {
        if !images.has_labels() {
            return Err(CommitmentError::Unlabelled { count: images.count });
        }
        Self::to(Part { images: images.clone(), answers: None }.into(), salt)
    }

    /// Commits to items and to what the teacher answered to each, if it is known by its answers only. Of the leaves it keeps
    /// hashes, and makes one again when it is opened.
    pub fn to(items: Labelled, salt: &[u8; 32]) -> Result<Commitment, CommitmentError> {
        items.validate()?;
        let leaves = Leaves { each: label_bytes(&items.labels), items, salt: *salt };
        let mut hashes = Vec::with_capacity(leaves.items.labels.len());
        let item_bytes = leaves.items.shape.values().max(1);
        for block in leaves.items.pixels.blocks(item_bytes) {
            let block = block.map_err(|error| CommitmentError::Unread(error.to_string()))?;
            for pixels in block.chunks_exact(item_bytes as usize) {
                hashes.push(merkle::leaf_hash(&leaves.leaf(hashes.len(), pixels)));
            }
        }
        Ok(Commitment { tree: Tree::of_hashes(hashes), leaves })
    }

    /// The Merkle root as 64 lowercase hexadecimal digits.
    pub fn root_hex(&self) -> String {
        self.tree.root_hex()
    }

    /// Number of items, published together with the root.
    pub fn count(&self) -> u32 {
        self.leaves.items.count()
    }

    /// Classes of the teacher's answers in the leaves; 0 where there are none.
    pub fn answer_classes(&self) -> u32 {
        self.leaves.items.answers.as_ref().map_or(0, |answers| answers.classes)
    }

    /// The items that are committed to.
    pub(crate) fn items(&self) -> &Labelled {
        &self.leaves.items
    }

    /// The leaf that opens item `index`, if there is one, and it can be read and is still the same.
    pub fn leaf(&self, index: u32) -> Option<Vec<u8>> {
        let each = self.leaves.items.shape.values();
        let start = each.checked_mul(index.into())?;
        let pixels = self.leaves.items.pixels.read(start..start.checked_add(each)?).ok()?;
        let leaf = self.leaves.leaf(index as usize, &pixels);
        (self.tree.leaf_hash(index)? == merkle::leaf_hash(&leaf)).then_some(leaf)
    }

    /// The hashes that lead from that leaf to the root.
    pub fn proof(&self, index: u32) -> Option<Vec<Hash>> {
        self.tree.proof(index)
    }

    /// The hashes that lead from the leaves at `indices`, which ascend, to the root.
    pub fn proof_of_many(&self, indices: &[u32]) -> Option<Vec<Hash>> {
        self.tree.proof_of_many(indices)
    }
}

/// The root alone, for whoever keeps images and salt and needs no proofs now.
pub fn commit(images: &Images, salt: &[u8; 32]) -> Result<String, CommitmentError> {
    Commitment::new(images, salt).map(|commitment| commitment.root_hex())
}

/// Checks that `leaf` is item `index` of the `count` items committed to by `root_hex`, and returns that one labelled
/// image.
pub fn verify(root_hex: &str, index: u32, count: u32, leaf: &[u8], proof: &[Hash]) -> Result<Images, CommitmentError> {
    merkle::verify(root_hex, index, count, leaf, proof)?;
    Ok(read_leaf(leaf, count, 0)?.images)
}

/// The labelled image in a leaf of a set of `count` items, with the teacher's answer of so many classes, if any.
pub(crate) fn read_leaf(leaf: &[u8], count: u32, classes: u32) -> Result<Part, CommitmentError> {
    let mut reader = Reader::new(leaf);
    reader.take("item salt", SALT_BYTES)?;
    let found = reader.u32("count")?;
    if found != count {
        return Err(CommitmentError::Count { expected: count, found });
    }
    let mut item = Images {
        count: 1,
        channels: reader.u32("channels")?,
        height: reader.u32("height")?,
        width: reader.u32("width")?,
        pixels: vec![],
        labels: vec![],
    };
    item.pixels = reader.take("pixels", item.image_bytes())?.to_vec();
    let answer_bytes = 4usize.saturating_mul(classes as usize);
    let each = reader.left().saturating_sub(answer_bytes).clamp(1, 2);
    item.labels = reader.labels("label", 1, each)?;
    let answer = reader.take("the teacher's answer", answer_bytes)?;
    reader.finish()?;
    item.validate()?;
    let values: Vec<f32> = answer.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
    let answers = (classes > 0).then_some(Logits { count: 1, classes, values });
    answers.as_ref().map(Logits::validate).transpose()?;
    Ok(Part { images: item, answers })
}

/// What leaves are made of.
#[derive(Debug, Clone)]
struct Leaves {
    items: Labelled,
    /// Bytes of each label.
    each: usize,
    salt: [u8; 32],
}

impl Leaves {
    fn leaf(&self, item: usize, pixels: &[u8]) -> Vec<u8> {
        let Labelled { shape, labels, answers, .. } = &self.items;
        let mut bytes = Vec::with_capacity(PIXELS_AT + pixels.len() + self.each);
        bytes.extend_from_slice(&item_salt(&self.salt, item as u32));
        let dims = [self.items.count(), shape.channels, shape.height, shape.width];
        bytes.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
        bytes.extend_from_slice(pixels);
        put_labels(&mut bytes, labels.get(item..=item).unwrap_or_default(), self.each);
        let answer = answers.as_ref().map(|answers| answers.row(item)).unwrap_or_default();
        bytes.extend(answer.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }
}

fn item_salt(salt: &[u8; 32], index: u32) -> [u8; SALT_BYTES] {
    Sha256::new().chain_update(SALT_DOMAIN).chain_update(salt).chain_update(index.to_le_bytes()).finalize().into()
}
