//! RFC 6962 hashing: leaves, nodes, and the root of any range of leaves out of the hashes of perfect subtrees.
//!
//! It does NOT know where hashes come from or what a leaf means.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use sha2::{Digest, Sha256};
use std::ops::Range;

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// The root of the tree without leaves: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// More leaves than any log of ours will have, and few enough that no shift or sum of sizes overflows.
pub const TREE_SIZE_MAX: u64 = 1 << 40;

/// Hashes in a full tile.
pub const TILE_WIDTH: usize = 256;
/// Levels of the tree in one tile: 2^8 hashes.
pub const TILE_HEIGHT: u32 = 8;

/// A perfect subtree: the `2^level` leaves from `index * 2^level` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// Its height; at most 40.
    pub level: u32,
    /// Its number among the subtrees of this height.
    pub index: u64,
}

/// The hash of a leaf: SHA-256 of a zero byte and the entry.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// The hash of an inner node: SHA-256 of a one byte and both children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The perfect subtrees that make up a range of leaves, left to right, largest first. The range begins where a perfect
/// subtree at least as long as the range could begin, as every node's range does.
pub fn subtrees(range: Range<u64>) -> Vec<Subtree> {
    let mut parts = Vec::new();
    let mut start = range.start;
    while let Some(level) = range.end.saturating_sub(start).checked_ilog2() {
        let level = level.min(start.trailing_zeros());
        parts.push(Subtree { level, index: start >> level });
        start = start.saturating_add(1 << level);
    }
    parts
}

/// The root over the subtrees of a range, given left to right; `None` without any.
pub fn fold(hashes: &[Hash]) -> Option<Hash> {
    let (last, rest) = hashes.split_last()?;
    Some(rest.iter().rev().fold(*last, |right, left| node_hash(left, &right)))
}

/// The root of any number of consecutive nodes of one height, as RFC 6962 splits them; `None` without any.
pub fn root_of(nodes: &[Hash]) -> Option<Hash> {
    fold(&perfect_roots(nodes))
}

/// The roots of the perfect subtrees over a row of nodes, left to right.
pub(crate) fn perfect_roots(nodes: &[Hash]) -> Vec<Hash> {
    let mut rest = nodes;
    let mut roots = Vec::new();
    while let Some(height) = rest.len().checked_ilog2() {
        let (part, tail) = rest.split_at(1 << height);
        roots.extend(perfect_root(part));
        rest = tail;
    }
    roots
}

/// The root of a power of two of nodes.
pub(crate) fn perfect_root(nodes: &[Hash]) -> Option<Hash> {
    let mut row = nodes.to_vec();
    while row.len() > 1 {
        row = row.as_chunks().0.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied()
}
