//! Proofs: that an entry is in a log, and that a log only grew.
//!
//! Which nodes a proof needs, and whether hashes prove what they should, is the business of the crate `ct-merkle`; here
//! its node numbers become ranges of leaves, so that any source of subtree hashes will do. It does NOT read tiles.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::merkle::{EMPTY_ROOT, Hash, Subtree, TREE_SIZE_MAX, fold, subtrees};
use ct_merkle::{ConsistencyProof as Path, InclusionProof as AuditPath, RootHash};
use sha2::Sha256;
use std::ops::Range;

/// That an entry has a place in a tree (RFC 6962, 2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The entry's place.
    pub index: u64,
    /// Leaves in the tree.
    pub size: u64,
    /// The hashes beside the way from the leaf to the root, lowest first.
    pub hashes: Vec<Hash>,
}

/// That a tree begins with all of an older one (RFC 6962, 2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// Leaves in the older tree.
    pub old_size: u64,
    /// Leaves in the newer tree.
    pub size: u64,
    /// Hashes that lead to both roots.
    pub hashes: Vec<Hash>,
}

/// Why a proof doesn't exist or doesn't hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// No tree is that large.
    #[error("a tree of {size} leaves is larger than {TREE_SIZE_MAX}")]
    TooLarge {
        /// The size claimed.
        size: u64,
    },
    /// The tree has no such leaf.
    #[error("leaf {index} is outside a tree of {size} leaves")]
    Index {
        /// The leaf.
        index: u64,
        /// Leaves in the tree.
        size: u64,
    },
    /// A log doesn't shrink.
    #[error("a tree of {old_size} leaves is no beginning of one of {size}")]
    Shrunk {
        /// Leaves in the older tree.
        old_size: u64,
        /// Leaves in the newer tree.
        size: u64,
    },
    /// The hashes don't lead to the root.
    #[error("the {hashes} hashes of the proof do not lead to the root of {size} leaves")]
    Wrong {
        /// Hashes in the proof.
        hashes: usize,
        /// Leaves in the tree.
        size: u64,
    },
}

/// The ranges of leaves whose roots prove that leaf `index` is in a tree of `size` leaves.
///
/// # Errors
/// When there is no such leaf or tree.
pub fn inclusion_ranges(index: u64, size: u64) -> Result<Vec<Range<u64>>, ProofError> {
    check_size(size)?;
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    Ok(ct_merkle::indices_for_inclusion_proof(size, index).into_iter().map(|node| leaves_of(node, size)).collect())
}

/// The ranges of leaves whose roots prove that a tree of `size` leaves begins with one of `old_size`.
///
/// # Errors
/// When there is no such tree or the older one is larger.
pub fn consistency_ranges(old_size: u64, size: u64) -> Result<Vec<Range<u64>>, ProofError> {
    check_size(size)?;
    let additions = size.checked_sub(old_size).ok_or(ProofError::Shrunk { old_size, size })?;
    if old_size == 0 {
        return Ok(Vec::new());
    }
    let nodes = ct_merkle::indices_for_consistency_proof(old_size, additions);
    Ok(nodes.into_iter().map(|node| leaves_of(node, size)).collect())
}

/// The root of each range, out of the hashes of perfect subtrees.
///
/// # Errors
/// The first that `subtree` gives.
pub fn roots<E>(ranges: &[Range<u64>], mut subtree: impl FnMut(Subtree) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    let root = |range: &Range<u64>| -> Result<Hash, E> {
        let hashes: Vec<Hash> = subtrees(range.clone()).into_iter().map(&mut subtree).collect::<Result<_, E>>()?;
        Ok(fold(&hashes).unwrap_or(EMPTY_ROOT))
    };
    ranges.iter().map(root).collect()
}

impl InclusionProof {
    /// Whether `entry` is where the proof says, in the tree with this root.
    ///
    /// `size` must be what the signed checkpoint says beside `root`. A root doesn't hold its tree's size, and RFC 9162's
    /// check knows it from the verifier: the hashes that prove entry 36 of 37 prove it to be entry 5 of 6 as well.
    ///
    /// # Errors
    /// When it isn't, or there is no such place.
    pub fn verify(&self, entry: &[u8], root: &Hash) -> Result<(), ProofError> {
        let Self { index, size, hashes } = self;
        check_size(*size)?;
        if index >= size {
            return Err(ProofError::Index { index: *index, size: *size });
        }
        let wrong = |_| ProofError::Wrong { hashes: hashes.len(), size: *size };
        let path = AuditPath::try_from_bytes(hashes.as_flattened().to_vec()).map_err(wrong)?;
        RootHash::<Sha256>::new((*root).into(), *size).verify_inclusion(&entry, *index, &path).map_err(wrong)
    }
}

impl ConsistencyProof {
    /// Whether the tree with `root` begins with all of the tree with `old_root`. As with inclusion, both sizes must be
    /// those of the signed checkpoints.
    ///
    /// # Errors
    /// When it doesn't, or the sizes are out of order.
    pub fn verify(&self, old_root: &Hash, root: &Hash) -> Result<(), ProofError> {
        let Self { old_size, size, hashes } = self;
        check_size(*size)?;
        if old_size > size {
            return Err(ProofError::Shrunk { old_size: *old_size, size: *size });
        }
        let error = ProofError::Wrong { hashes: hashes.len(), size: *size };
        if *old_size == 0 {
            // Every tree begins with the empty one; ct-merkle leaves this case to its callers.
            return (hashes.is_empty() && *old_root == EMPTY_ROOT).then_some(()).ok_or(error);
        }
        let path = Path::try_from_bytes(hashes.as_flattened().to_vec()).map_err(|_| error)?;
        let old = RootHash::<Sha256>::new((*old_root).into(), *old_size);
        RootHash::<Sha256>::new((*root).into(), *size).verify_consistency(&old, &path).map_err(|_| error)
    }
}

fn check_size(size: u64) -> Result<(), ProofError> {
    if size > TREE_SIZE_MAX { Err(ProofError::TooLarge { size }) } else { Ok(()) }
}

/// The leaves under a node, as RFC 9420 numbers the nodes of a tree in an array: a node of height h ends in h ones.
fn leaves_of(node: u64, size: u64) -> Range<u64> {
    let height = node.trailing_ones();
    // Trees have fewer than 2^41 nodes, so no shift drops a bit.
    let start = (node >> height >> 1) << height;
    start..start.saturating_add(1 << height).min(size)
}
