//! Which earlier model each model counts as.
//!
//! A model joins the cluster of the earliest model that it, or an earlier model that it copies, is a copy of. Only
//! earlier models decide: a latecomer that copies two independent models joins the older one's cluster and can't pull
//! the younger one into it, so nobody loses a reward to a submission made to link them.

use std::collections::{BTreeMap, BTreeSet};

/// The head of each member's cluster, itself where it copies nobody. Members are named by their place in the order of
/// commitment, smallest first; `copies` holds pairs in any order, and pairs with strangers are ignored.
pub fn clusters<T: Copy + Ord>(members: &BTreeSet<T>, copies: &[(T, T)]) -> BTreeMap<T, T> {
    let mut earlier: BTreeMap<T, Vec<T>> = BTreeMap::new();
    for &(a, b) in copies.iter().filter(|(a, b)| a != b && members.contains(a) && members.contains(b)) {
        earlier.entry(a.max(b)).or_default().push(a.min(b));
    }
    let mut heads: BTreeMap<T, T> = BTreeMap::new();
    for &member in members {
        let originals = earlier.get(&member).into_iter().flatten();
        // Earlier members come first in a BTreeSet, so their heads are known.
        let head = originals.filter_map(|original| heads.get(original)).min().copied();
        heads.insert(member, head.unwrap_or(member));
    }
    heads
}
