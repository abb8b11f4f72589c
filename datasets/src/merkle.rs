//! RFC 6962 Merkle trees over SHA-256, as the crate `ct-merkle` computes them, in plain byte arrays.
//!
//! It does not know what a leaf is; `round` does.
//!
//! # The proof of many leaves
//!
//! Walk the tree of RFC 6962 from its root, left before right. A subtree without an opened leaf contributes its hash to
//! the proof and isn't entered; an opened leaf contributes nothing, since its hash follows from the leaf.

#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

use ct_merkle::{InclusionProof, RootHash};
use sha2::{Digest, Sha256};

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// Why a leaf is not shown to lie under a root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// The root is not 64 hexadecimal digits.
    #[error("root {found:?} is not 64 hexadecimal digits")]
    Root {
        /// What was given.
        found: String,
    },
    /// The tree has no such leaf.
    #[error("index {index} is outside a tree of {count} leaves")]
    Index {
        /// The claimed position.
        index: u32,
        /// The claimed number of leaves.
        count: u32,
    },
    /// The hashes do not lead from the leaf to the root.
    #[error("proof of {hashes} hashes does not lead from leaf {index} of {count} to root {root}")]
    Proof {
        /// The claimed position.
        index: u32,
        /// The claimed number of leaves.
        count: u32,
        /// Length of the proof.
        hashes: usize,
        /// The root that was not reached.
        root: String,
    },
    /// Opened leaves aren't in ascending order, or one is given twice.
    #[error("opened leaf {index} does not come after leaf {previous}")]
    Order {
        /// The position of a leaf.
        index: u32,
        /// The position of the leaf before it.
        previous: u32,
    },
    /// The hashes do not lead from the opened leaves to the root.
    #[error("proof of {hashes} hashes does not lead from {opened} leaves of {count} to root {root}")]
    Many {
        /// Number of opened leaves.
        opened: usize,
        /// The claimed number of leaves.
        count: u32,
        /// Length of the proof.
        hashes: usize,
        /// The root that was not reached.
        root: String,
    },
}

/// A tree, of whose leaves it keeps the hashes alone. Their number is part of what has to be published: RFC 6962 roots don't hold
/// it.
#[derive(Debug, Clone)]
pub struct Tree {
    hashes: Vec<Hash>,
}

impl Tree {
    /// The tree over `leaves`, in order.
    pub fn new(leaves: impl IntoIterator<Item = Vec<u8>>) -> Tree {
        Tree { hashes: leaves.into_iter().map(|leaf| leaf_hash(&leaf)).collect() }
    }

    /// The tree over leaves whose hashes these are.
    pub(crate) fn of_hashes(hashes: Vec<Hash>) -> Tree {
        Tree { hashes }
    }

    /// The hash of leaf `index`, if there is one.
    pub(crate) fn leaf_hash(&self, index: u32) -> Option<Hash> {
        self.hashes.get(index as usize).copied()
    }

    /// The root.
    pub fn root(&self) -> Hash {
        match u32::try_from(self.hashes.len()) {
            Ok(0) | Err(_) => Sha256::digest([]).into(),
            Ok(count) => self.subtree(0, count),
        }
    }

    /// The root as 64 lowercase hexadecimal digits.
    pub fn root_hex(&self) -> String {
        hex::encode(self.root())
    }

    /// The hashes that lead from leaf `index` to the root, lowest first (RFC 6962, 2.1.1).
    pub fn proof(&self, index: u32) -> Option<Vec<Hash>> {
        self.hashes.get(index as usize)?;
        let (mut first, mut size, mut path) = (0, u32::try_from(self.hashes.len()).ok()?, Vec::new());
        while size > 1 {
            let left = split(size);
            if index < first + left {
                path.push(self.subtree(first + left, size - left));
                size = left;
            } else {
                path.push(self.subtree(first, left));
                (first, size) = (first + left, size - left);
            }
        }
        path.reverse();
        Some(path)
    }

    /// The hashes that lead from the leaves at `indices`, which ascend, to the root; `None` if there are no such leaves.
    pub fn proof_of_many(&self, indices: &[u32]) -> Option<Vec<Hash>> {
        let count = u32::try_from(self.hashes.len()).ok().filter(|count| *count > 0)?;
        // What is in a leaf that is opened doesn't matter to the hashes beside it.
        let opened: Vec<(u32, Hash)> = indices.iter().map(|&index| (index, Hash::default())).collect();
        ascending(&opened, count).ok()?;
        let mut proof = Vec::new();
        walk(0, count, &opened, &mut |first, size| {
            let hash = self.subtree(first, size);
            proof.push(hash);
            Some(hash)
        })?;
        Some(proof)
    }

    fn subtree(&self, first: u32, size: u32) -> Hash {
        if size == 1 {
            return self.hashes.get(first as usize).copied().unwrap_or_default();
        }
        let left = split(size);
        node_hash(&self.subtree(first, left), &self.subtree(first + left, size - left))
    }
}

/// Checks that `leaf` is number `index` of the `count` leaves under `root_hex`.
pub fn verify(root_hex: &str, index: u32, count: u32, leaf: &[u8], proof: &[Hash]) -> Result<(), MerkleError> {
    if index >= count {
        return Err(MerkleError::Index { index, count });
    }
    let root = parse_root(root_hex)?;
    let wrong = |_| MerkleError::Proof { index, count, hashes: proof.len(), root: root_hex.to_owned() };
    let path = InclusionProof::try_from_bytes(proof.as_flattened().to_vec()).map_err(wrong)?;
    RootHash::<Sha256>::new(root.into(), u64::from(count))
        .verify_inclusion(&leaf, u64::from(index), &path)
        .map_err(wrong)
}

/// Checks that `opened`, positions in ascending order with their leaves, are among the `count` leaves under `root_hex`.
pub fn verify_many(root_hex: &str, count: u32, opened: &[(u32, &[u8])], proof: &[Hash]) -> Result<(), MerkleError> {
    let hashes: Vec<(u32, Hash)> = opened.iter().map(|(index, leaf)| (*index, leaf_hash(leaf))).collect();
    verify_hashes(root_hex, count, &hashes, proof)
}

/// The same, of the leaves' hashes.
pub(crate) fn verify_hashes(
    root_hex: &str,
    count: u32,
    opened: &[(u32, Hash)],
    proof: &[Hash],
) -> Result<(), MerkleError> {
    let root = parse_root(root_hex)?;
    ascending(opened, count)?;
    let mut left = proof.iter();
    let reached = if count == 0 { None } else { walk(0, count, opened, &mut |_, _| left.next().copied()) };
    if reached == Some(root) && left.as_slice().is_empty() {
        return Ok(());
    }
    Err(MerkleError::Many { opened: opened.len(), count, hashes: proof.len(), root: root_hex.to_owned() })
}

/// The hash of the subtree of `size` leaves from leaf `first`, where `closed` gives the hashes of subtrees without
/// opened leaves. It goes as deep as the tree is high: 32 levels at most.
fn walk(
    first: u32,
    size: u32,
    opened: &[(u32, Hash)],
    closed: &mut impl FnMut(u32, u32) -> Option<Hash>,
) -> Option<Hash> {
    match opened {
        [] => closed(first, size),
        [(_, hash), ..] if size == 1 => Some(*hash),
        _ => {
            let left = split(size);
            let (before, after) = opened.split_at(opened.partition_point(|(index, _)| *index < first + left));
            let left_hash = walk(first, left, before, closed)?;
            Some(node_hash(&left_hash, &walk(first + left, size - left, after, closed)?))
        }
    }
}

/// The largest power of two below `size`, which is at least 2 (RFC 6962, 2.1).
fn split(size: u32) -> u32 {
    1 << (size - 1).ilog2()
}

/// What stands for a leaf.
pub(crate) fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

fn ascending(opened: &[(u32, Hash)], count: u32) -> Result<(), MerkleError> {
    let pairs = opened.iter().zip(opened.iter().skip(1));
    if let Some(((previous, _), (index, _))) = pairs.into_iter().find(|((a, _), (b, _))| a >= b) {
        return Err(MerkleError::Order { index: *index, previous: *previous });
    }
    match opened.last() {
        Some(&(index, _)) if index >= count => Err(MerkleError::Index { index, count }),
        _ => Ok(()),
    }
}

fn parse_root(root_hex: &str) -> Result<Hash, MerkleError> {
    let mut root: Hash = [0; 32];
    hex::decode_to_slice(root_hex, &mut root).map_err(|_| MerkleError::Root { found: excerpt(root_hex) })?;
    Ok(root)
}

/// As much of a hostile string as a log line should hold.
fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}
