//! Hashing and proofs: the published vectors, and every proof of every size against an independent reading of RFC 6962.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::Range;
use std::slice;
use std::time::Instant;
use transparency::frontier::Frontier;
use transparency::merkle::{EMPTY_ROOT, Hash, Subtree, TREE_SIZE_MAX, leaf_hash, node_hash, subtrees};
use transparency::proof::{consistency_ranges, inclusion_ranges, roots};
use transparency::{ConsistencyProof, InclusionProof, ProofError};

/// The leaves of the test vectors of Certificate Transparency's reference implementation.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// Its roots of the first one to eight of them.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Its audit paths: leaf, size, hashes.
const PATHS: [(u64, u64, &[&str]); 5] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

/// Its consistency proofs: older size, size, hashes.
const GROWTHS: [(u64, u64, &[&str]); 4] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().as_chunks::<2>().0;
    digits.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn hash(text: &str) -> Hash {
    unhex(text).try_into().unwrap()
}

/// Leaves and the hashes of all perfect subtrees over them.
struct Forest {
    entries: Vec<Vec<u8>>,
    levels: Vec<Vec<Hash>>,
}

impl Forest {
    fn new(entries: Vec<Vec<u8>>) -> Self {
        let mut levels = vec![entries.iter().map(|entry| leaf_hash(entry)).collect::<Vec<Hash>>()];
        while levels.last().unwrap().len() > 1 {
            let row = levels.last().unwrap().as_chunks().0;
            levels.push(row.iter().map(|[left, right]| node_hash(left, right)).collect());
        }
        Self { entries, levels }
    }

    fn roots(&self, ranges: &[Range<u64>]) -> Vec<Hash> {
        let subtree = |Subtree { level, index }| Ok(self.levels[level as usize][index as usize]);
        roots(ranges, subtree).unwrap_or_else(|never: Infallible| match never {})
    }

    fn inclusion(&self, index: u64, size: u64) -> InclusionProof {
        InclusionProof { index, size, hashes: self.roots(&inclusion_ranges(index, size).unwrap()) }
    }

    fn consistency(&self, old_size: u64, size: u64) -> ConsistencyProof {
        ConsistencyProof { old_size, size, hashes: self.roots(&consistency_ranges(old_size, size).unwrap()) }
    }
}

/// RFC 6962, 2.1, as it is written: recursive, over ranges of leaves.
struct Oracle<'a> {
    forest: &'a Forest,
    known: HashMap<Range<u64>, Hash>,
}

impl Oracle<'_> {
    fn mth(&mut self, leaves: Range<u64>) -> Hash {
        match leaves.end - leaves.start {
            0 => return EMPTY_ROOT,
            1 => return self.forest.levels[0][leaves.start as usize],
            _ => {}
        }
        if let Some(known) = self.known.get(&leaves) {
            return *known;
        }
        let split = split(&leaves);
        let hash = node_hash(&self.mth(leaves.start..split), &self.mth(split..leaves.end));
        self.known.insert(leaves, hash);
        hash
    }

    fn path(&mut self, index: u64, leaves: Range<u64>) -> Vec<Hash> {
        if leaves.end - leaves.start <= 1 {
            return Vec::new();
        }
        let split = split(&leaves);
        let (mine, other) = if index < split {
            (leaves.start..split, split..leaves.end)
        } else {
            (split..leaves.end, leaves.start..split)
        };
        let mut path = self.path(index, mine);
        path.push(self.mth(other));
        path
    }

    /// `SUBPROOF(m, D[leaves], whole)`.
    fn growth(&mut self, old_size: u64, leaves: Range<u64>, whole: bool) -> Vec<Hash> {
        if old_size == leaves.end {
            return if whole { Vec::new() } else { vec![self.mth(leaves)] };
        }
        let split = split(&leaves);
        let (mut proof, other) = if old_size <= split {
            (self.growth(old_size, leaves.start..split, whole), split..leaves.end)
        } else {
            (self.growth(old_size, split..leaves.end, false), leaves.start..split)
        };
        proof.push(self.mth(other));
        proof
    }
}

/// The largest power of two below the number of leaves, from their beginning.
fn split(leaves: &Range<u64>) -> u64 {
    leaves.start + (1 << (leaves.end - leaves.start - 1).ilog2())
}

#[test]
fn the_published_roots_and_proofs_come_out() {
    let forest = Forest::new(LEAVES.iter().map(|leaf| unhex(leaf)).collect());
    let mut frontier = Frontier::default();
    assert_eq!(frontier.root(), EMPTY_ROOT);
    for (leaf, root) in forest.levels[0].iter().zip(ROOTS) {
        frontier.push(*leaf, |_, _| ());
        assert_eq!(frontier.root(), hash(root));
        let whole = 0..frontier.size();
        assert_eq!(forest.roots(slice::from_ref(&whole)), [hash(root)]);
    }
    for (index, size, hashes) in PATHS {
        let proof = forest.inclusion(index, size);
        assert_eq!(proof.hashes, hashes.iter().map(|text| hash(text)).collect::<Vec<_>>(), "{index} in {size}");
        let root = hash(ROOTS[size as usize - 1]);
        assert_eq!(proof.verify(&forest.entries[index as usize], &root), Ok(()), "{index} in {size}");
    }
    for (old_size, size, hashes) in GROWTHS {
        let proof = forest.consistency(old_size, size);
        assert_eq!(proof.hashes, hashes.iter().map(|text| hash(text)).collect::<Vec<_>>(), "{old_size} to {size}");
        let roots = [old_size, size].map(|size| hash(ROOTS[size as usize - 1]));
        assert_eq!(proof.verify(&roots[0], &roots[1]), Ok(()), "{old_size} to {size}");
    }
}

/// Every proof of trees of these sizes: it is RFC 6962's, it holds, and with one bit changed it doesn't.
fn exhaustive(sizes: Range<u64>) {
    let started = Instant::now();
    let forest = Forest::new((0..sizes.end).map(|number| number.to_be_bytes().to_vec()).collect());
    let mut oracle = Oracle { forest: &forest, known: HashMap::new() };
    let roots: Vec<Hash> = (0..sizes.end).map(|size| oracle.mth(0..size)).collect();
    let mut proofs = 0u64;
    for size in sizes.clone() {
        let root = &roots[size as usize];
        for index in 0..size {
            let entry = &forest.entries[index as usize];
            let mut proof = forest.inclusion(index, size);
            assert_eq!(proof.hashes, oracle.path(index, 0..size), "leaf {index} of {size}");
            assert_eq!(proof.verify(entry, root), Ok(()), "leaf {index} of {size}");
            assert!(proof.verify(entry, &changed(root, proofs)).is_err(), "leaf {index} of {size}");
            if change(&mut proof.hashes, proofs) {
                assert!(proof.verify(entry, root).is_err(), "leaf {index} of {size}");
            }
            proofs += 1;
        }
        for old_size in 0..=size {
            let old_root = &roots[old_size as usize];
            let mut proof = forest.consistency(old_size, size);
            let expected = if old_size == 0 { Vec::new() } else { oracle.growth(old_size, 0..size, true) };
            assert_eq!(proof.hashes, expected, "{old_size} to {size}");
            assert_eq!(proof.verify(old_root, root), Ok(()), "{old_size} to {size}");
            assert!(proof.verify(&changed(old_root, proofs), root).is_err(), "{old_size} to {size}");
            if old_size > 0 {
                assert!(proof.verify(old_root, &changed(root, proofs)).is_err(), "{old_size} to {size}");
            }
            if change(&mut proof.hashes, proofs) {
                assert!(proof.verify(old_root, root).is_err(), "{old_size} to {size}");
            }
            proofs += 1;
        }
    }
    println!("{proofs} proofs of sizes {sizes:?} in {:.1?}", started.elapsed());
}

fn changed(hash: &Hash, seed: u64) -> Hash {
    let mut hash = *hash;
    hash[seed as usize % 32] ^= 1 << (seed / 32 % 8);
    hash
}

/// Changes one bit of one hash; false if there is none.
fn change(hashes: &mut [Hash], seed: u64) -> bool {
    let Some(number) = (seed as usize).checked_rem(hashes.len()) else { return false };
    hashes[number] = changed(&hashes[number], seed);
    true
}

#[test]
fn every_proof_of_every_size_to_256_is_the_rfcs() {
    exhaustive(1..257);
}

#[test]
#[ignore = "a million proofs"]
fn every_proof_of_every_size_to_1000_is_the_rfcs() {
    exhaustive(1..1001);
}

#[test]
fn proofs_of_what_is_not_there_have_their_errors() {
    assert_eq!(inclusion_ranges(0, 0), Err(ProofError::Index { index: 0, size: 0 }));
    assert_eq!(inclusion_ranges(5, 5), Err(ProofError::Index { index: 5, size: 5 }));
    assert_eq!(consistency_ranges(6, 5), Err(ProofError::Shrunk { old_size: 6, size: 5 }));
    let size = u64::MAX;
    assert_eq!(inclusion_ranges(size - 1, size), Err(ProofError::TooLarge { size }));
    assert_eq!(consistency_ranges(1, size), Err(ProofError::TooLarge { size }));
    let hostile = InclusionProof { index: size - 1, size, hashes: vec![] };
    assert_eq!(hostile.verify(b"", &EMPTY_ROOT), Err(ProofError::TooLarge { size }));
    let hostile = ConsistencyProof { old_size: size, size, hashes: vec![] };
    assert_eq!(hostile.verify(&EMPTY_ROOT, &EMPTY_ROOT), Err(ProofError::TooLarge { size }));
    let size = TREE_SIZE_MAX;
    let long = InclusionProof { index: 3, size, hashes: vec![[0; 32]; 10_000] };
    assert_eq!(long.verify(b"", &EMPTY_ROOT), Err(ProofError::Wrong { hashes: 10_000, size }));
    let from_nothing = ConsistencyProof { old_size: 0, size: 3, hashes: vec![] };
    assert_eq!(from_nothing.verify(&EMPTY_ROOT, &[1; 32]), Ok(()));
    assert_eq!(from_nothing.verify(&[0; 32], &[1; 32]), Err(ProofError::Wrong { hashes: 0, size: 3 }));
}

/// Found by a fuzzer. RFC 9162's checks know sizes from whoever verifies, so they must come from signed checkpoints.
#[test]
fn a_path_holds_for_other_sizes_of_the_same_shape_too() {
    let forest = Forest::new((0_u64..37).map(|index| index.to_le_bytes().to_vec()).collect());
    let mut oracle = Oracle { forest: &forest, known: HashMap::new() };
    let (old_root, root) = (oracle.mth(0..32), oracle.mth(0..37));
    let inclusion = forest.inclusion(36, 37);
    assert_eq!(inclusion.verify(&forest.entries[36], &root), Ok(()));
    let elsewhere = InclusionProof { index: 5, size: 6, ..inclusion };
    assert_eq!(elsewhere.verify(&forest.entries[36], &root), Ok(()), "entry 36 of 37 is entry 5 of 6");
    let consistency = forest.consistency(32, 37);
    assert_eq!(consistency.verify(&old_root, &root), Ok(()));
    let larger = ConsistencyProof { old_size: 32 << 16, size: 37 << 16, ..consistency };
    assert_eq!(larger.verify(&old_root, &root), Ok(()), "32 of 37 are 2097152 of 2424832");
}

#[test]
fn a_frontier_is_of_its_size_only() {
    assert_eq!(Frontier::new(3, vec![vec![[0; 32]; 3]]).unwrap().size(), 3);
    assert_eq!(Frontier::new(3, vec![vec![[0; 32]; 2]]), None);
    assert_eq!(Frontier::new(256, vec![vec![[0; 32]; 256]]), None);
    assert!(Frontier::new(256, vec![vec![], vec![[0; 32]]]).is_some());
    assert_eq!(Frontier::new(TREE_SIZE_MAX + 1, vec![]), None);
    let whole = subtrees(0..7);
    assert_eq!(whole.iter().map(|part| (part.level, part.index)).collect::<Vec<_>>(), [(2, 0), (1, 2), (0, 6)]);
}
