//! The right edge of a tree: all that is needed to append leaves and to know the root. Pure.
//!
//! It does NOT keep full tiles: whoever appends does.

use crate::merkle::{EMPTY_ROOT, Hash, TILE_HEIGHT, TILE_WIDTH, TREE_SIZE_MAX, fold, perfect_root, perfect_roots};
use crate::tile::{Tile, edge_widths};

/// The tree's right edge, in rows of up to 256 hashes as tiles have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// The hashes of each row that no full tile holds yet, leaves first.
    rows: Vec<Vec<Hash>>,
}

impl Frontier {
    /// The frontier of a tree of `size` leaves, whose rows are the hashes of its partial tiles, level 0 first; `None` if
    /// their widths are others.
    pub fn new(size: u64, rows: Vec<Vec<Hash>>) -> Option<Self> {
        let fits = size <= TREE_SIZE_MAX && rows.iter().map(Vec::len).eq(edge_widths(size));
        fits.then_some(Self { size, rows })
    }

    /// Leaves in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of each partial tile, level 0 first; a row may be empty.
    pub fn rows(&self) -> &[Vec<Hash>] {
        &self.rows
    }

    /// Appends a leaf's hash. Rows that become full are given to `full` as tiles, lowest first, and leave the frontier.
    pub fn push(&mut self, leaf: Hash, mut full: impl FnMut(Tile, &[Hash])) {
        self.size += 1;
        let mut carried = Some(leaf);
        for level in 0.. {
            let Some(hash) = carried.take() else { return };
            if level == self.rows.len() {
                self.rows.push(Vec::new());
            }
            let Some(row) = self.rows.get_mut(level) else { return };
            row.push(hash);
            if row.len() == TILE_WIDTH {
                let level = level as u32;
                let index = (self.size >> (TILE_HEIGHT * (level + 1))) - 1;
                full(Tile { level, index, width: TILE_WIDTH }, row);
                carried = perfect_root(row);
                row.clear();
            }
        }
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        // The higher a row, the further left it lies.
        let parts: Vec<Hash> = self.rows.iter().rev().flat_map(|row| perfect_roots(row)).collect();
        fold(&parts).unwrap_or(EMPTY_ROOT)
    }
}
