//! RFC 6962 Merkle trees over SHA-256, as the crate `ct-merkle` computes them, in plain byte arrays.
//!
//! It does not know what a leaf is; `round` does.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{InclusionProof, RootHash};
use sha2::Sha256;

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
}

/// A tree that keeps its leaves. Its number of leaves is part of what has to be published: RFC 6962 roots don't hold it.
#[derive(Debug, Clone)]
pub struct Tree {
    tree: MemoryBackedTree<Sha256, Vec<u8>>,
}

impl Tree {
    /// The tree over `leaves`, in order.
    pub fn new(leaves: impl IntoIterator<Item = Vec<u8>>) -> Tree {
        let mut tree = MemoryBackedTree::new();
        leaves.into_iter().for_each(|leaf| tree.push(leaf));
        Tree { tree }
    }

    /// The root as 64 lowercase hexadecimal digits.
    pub fn root_hex(&self) -> String {
        hex::encode(self.tree.root().as_bytes())
    }

    /// The leaf at `index`.
    pub fn leaf(&self, index: u32) -> Option<&[u8]> {
        self.tree.get(index as usize).map(Vec::as_slice)
    }

    /// The hashes that lead from leaf `index` to the root, lowest first (RFC 6962, 2.1.1).
    pub fn proof(&self, index: u32) -> Option<Vec<Hash>> {
        self.leaf(index)?;
        let proof = self.tree.prove_inclusion(index as usize);
        Some(proof.as_bytes().as_chunks().0.to_vec())
    }
}

/// Checks that `leaf` is number `index` of the `count` leaves under `root_hex`.
pub fn verify(root_hex: &str, index: u32, count: u32, leaf: &[u8], proof: &[Hash]) -> Result<(), MerkleError> {
    if index >= count {
        return Err(MerkleError::Index { index, count });
    }
    let mut root: Hash = [0; 32];
    hex::decode_to_slice(root_hex, &mut root).map_err(|_| MerkleError::Root { found: excerpt(root_hex) })?;
    let wrong = |_| MerkleError::Proof { index, count, hashes: proof.len(), root: root_hex.to_owned() };
    let path = InclusionProof::try_from_bytes(proof.as_flattened().to_vec()).map_err(wrong)?;
    RootHash::<Sha256>::new(root.into(), u64::from(count))
        .verify_inclusion(&leaf, u64::from(index), &path)
        .map_err(wrong)
}

/// As much of a hostile string as a log line should hold.
fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}
