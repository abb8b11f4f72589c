//! Commitments: the reference vectors of RFC 6962 trees, honest openings, and every way to cheat.

use datasets::commitment::{self, Commitment, CommitmentError};
use datasets::merkle::{self, MerkleError, Tree};
use datasets::{Images, load_digits};
use proptest::prelude::*;
use std::sync::LazyLock;

const SALT: [u8; 32] = [42; 32];

/// Leaves, roots by size, and proofs of the Certificate Transparency reference tests (transparency-dev/merkle,
/// testonly/reference_test.go).
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
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

fn reference_tree(size: usize) -> Tree {
    Tree::new((0..size).map(leaf))
}

fn leaf(index: usize) -> Vec<u8> {
    hex::decode(LEAVES[index]).expect("the table is hexadecimal")
}

fn some_digits(count: u32) -> Images {
    static DIGITS: LazyLock<Images> = LazyLock::new(|| load_digits().expect("the fixture loads"));
    DIGITS.select(&(0..count).collect::<Vec<_>>())
}

#[test]
fn roots_are_those_of_certificate_transparency() {
    let roots: Vec<String> = (1..=8).map(|size| reference_tree(size).root_hex()).collect();
    assert_eq!(roots, ROOTS);
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(Tree::new([]).root_hex(), empty);
}

#[test]
fn proofs_are_those_of_certificate_transparency() {
    let proof = reference_tree(5).proof(1).unwrap();
    let expected = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ];
    assert_eq!(proof.iter().map(hex::encode).collect::<Vec<_>>(), expected);
    for size in 1..=8 {
        let tree = reference_tree(size);
        for index in 0..size as u32 {
            let proof = tree.proof(index).unwrap();
            merkle::verify(ROOTS[size - 1], index, size as u32, &leaf(index as usize), &proof).unwrap();
        }
        assert_eq!(tree.proof(size as u32), None);
    }
}

#[test]
fn opened_item_gives_back_its_pixels_and_its_label() {
    let images = some_digits(37);
    let commitment = Commitment::new(&images, &SALT).unwrap();
    let root = commitment.root_hex();
    assert_eq!(root, commitment::commit(&images, &SALT).unwrap());
    for index in 0..37 {
        let (leaf, proof) = (commitment.leaf(index).unwrap(), commitment.proof(index).unwrap());
        let item = commitment::verify(&root, index, commitment.count(), &leaf, &proof).unwrap();
        assert_eq!(item, images.select(&[index]));
    }
}

#[test]
fn labels_above_255_are_committed_to_and_opened() {
    let mut images = some_digits(9);
    images.labels[3] = 300;
    let commitment = Commitment::new(&images, &SALT).unwrap();
    let root = commitment.root_hex();
    for index in 0..9 {
        let (leaf, proof) = (commitment.leaf(index).unwrap(), commitment.proof(index).unwrap());
        assert_eq!(commitment::verify(&root, index, 9, &leaf, &proof).unwrap(), images.select(&[index]));
    }
    images.labels[3] -= 256;
    assert_ne!(commitment::commit(&images, &SALT).unwrap(), root, "no byte of a label is left out");
}

#[test]
fn commitment_of_fixed_items_never_changes() {
    let root = commitment::commit(&some_digits(5), &SALT).unwrap();
    assert_eq!(root, "d0604b9d7406fa1435985deaa30809cb94ee60e5e1b95e1e99af7aa5506f3c89");
}

#[test]
fn commitment_depends_on_every_pixel_label_position_shape_and_salt() {
    let images = some_digits(9);
    let root = commitment::commit(&images, &SALT).unwrap();
    let mut pixel = images.clone();
    pixel.pixels[64] ^= 1;
    let mut label = images.clone();
    label.labels[8] ^= 1;
    let order = images.select(&[1, 0, 2, 3, 4, 5, 6, 7, 8]);
    let shape = Images { height: 4, width: 16, ..images.clone() };
    for changed in [pixel, label, order, shape] {
        assert_ne!(commitment::commit(&changed, &SALT).unwrap(), root);
    }
    assert_ne!(commitment::commit(&images, &[43; 32]).unwrap(), root);
}

#[test]
fn opening_is_refused_when_any_claim_is_false() {
    let commitment = Commitment::new(&some_digits(9), &SALT).unwrap();
    let (root, leaf, proof) = (commitment.root_hex(), commitment.leaf(3).unwrap(), commitment.proof(3).unwrap());
    let mut other_label = leaf.clone();
    *other_label.last_mut().unwrap() ^= 1;
    let mut other_hash = proof.clone();
    other_hash[0][0] ^= 1;

    let refused = [
        commitment::verify(&root, 2, 9, &leaf, &proof),
        commitment::verify(&root, 9, 9, &leaf, &proof),
        commitment::verify(&root, 3, 90, &leaf, &proof),
        commitment::verify(&root, 3, 0, &leaf, &proof),
        commitment::verify(&root, 3, 9, &other_label, &proof),
        commitment::verify(&root, 3, 9, &leaf, &other_hash),
        commitment::verify(&root, 3, 9, &leaf, &proof[1..]),
        commitment::verify(&"0".repeat(64), 3, 9, &leaf, &proof),
    ];
    assert!(refused.iter().all(|result| matches!(result, Err(CommitmentError::Merkle(_)))), "{refused:?}");
    let error = commitment::verify("not a root", 3, 9, &leaf, &proof).unwrap_err();
    assert_eq!(error, CommitmentError::Merkle(MerkleError::Root { found: "not a root".into() }));
}

#[test]
fn count_that_happens_to_need_the_same_path_is_refused_by_the_leaf() {
    // The path of leaf 3 is equally long among 9 and among 16 leaves, so the tree alone can't tell.
    let commitment = Commitment::new(&some_digits(9), &SALT).unwrap();
    let (root, leaf, proof) = (commitment.root_hex(), commitment.leaf(3).unwrap(), commitment.proof(3).unwrap());
    merkle::verify(&root, 3, 16, &leaf, &proof).unwrap();
    let error = commitment::verify(&root, 3, 16, &leaf, &proof).unwrap_err();
    assert_eq!(error, CommitmentError::Count { expected: 16, found: 9 });
}

#[test]
fn inner_node_can_not_pose_as_a_leaf() {
    let tree = reference_tree(2);
    let both = [tree.proof(1).unwrap(), tree.proof(0).unwrap()].concat().concat();
    assert!(merkle::verify(ROOTS[1], 0, 1, &both, &[]).is_err());
}

#[test]
fn many_leaves_share_one_proof_in_trees_of_every_size() {
    for size in 1..=8u32 {
        let tree = reference_tree(size as usize);
        for chosen in 0u32..1 << size {
            let indices: Vec<u32> = (0..size).filter(|index| chosen >> index & 1 == 1).collect();
            let leaves: Vec<Vec<u8>> = indices.iter().map(|&index| leaf(index as usize)).collect();
            let opened: Vec<(u32, &[u8])> = indices.iter().copied().zip(leaves.iter().map(Vec::as_slice)).collect();
            let proof = tree.proof_of_many(&indices).unwrap();
            merkle::verify_many(ROOTS[size as usize - 1], size, &opened, &proof).unwrap();
            if let [index] = indices[..] {
                let mut single = tree.proof(index).unwrap();
                let mut joint = proof.clone();
                single.sort_unstable();
                joint.sort_unstable();
                assert_eq!(joint, single, "the proof of one leaf is the audit path in another order");
            }
        }
        assert_eq!(tree.proof_of_many(&[size]), None);
    }
    assert_eq!(reference_tree(0).proof_of_many(&[]), None);
}

#[test]
fn joint_proof_is_refused_when_any_claim_is_false() {
    let tree = reference_tree(8);
    let leaves = [1u32, 5, 6].map(|index| (index, leaf(index as usize)));
    let opened: Vec<(u32, &[u8])> = leaves.iter().map(|(index, leaf)| (*index, leaf.as_slice())).collect();
    let proof = tree.proof_of_many(&[1, 5, 6]).unwrap();
    let root = ROOTS[7];
    let wrong = |opened: &[(u32, &[u8])], count, proof: &[merkle::Hash]| {
        merkle::verify_many(root, count, opened, proof).unwrap_err()
    };
    assert_eq!(merkle::verify_many(root, 8, &opened, &proof), Ok(()));
    for index in 0..proof.len() {
        let mut changed = proof.clone();
        changed[index][0] ^= 1;
        assert!(matches!(wrong(&opened, 8, &changed), MerkleError::Many { .. }));
    }
    assert!(matches!(wrong(&opened, 8, &proof[1..]), MerkleError::Many { .. }));
    assert!(matches!(wrong(&opened, 8, &[&proof[..], &[[0; 32]]].concat()), MerkleError::Many { .. }));
    assert!(matches!(wrong(&opened, 7, &proof), MerkleError::Many { .. }));
    assert!(matches!(wrong(&opened[..2], 8, &proof), MerkleError::Many { .. }));
    assert_eq!(wrong(&opened, 6, &proof), MerkleError::Index { index: 6, count: 6 });
    let swapped = [opened[1], opened[0]];
    assert_eq!(wrong(&swapped, 8, &proof), MerkleError::Order { index: 1, previous: 5 });
    let twice = [opened[0], opened[0]];
    assert_eq!(wrong(&twice, 8, &proof), MerkleError::Order { index: 1, previous: 1 });
    assert!(matches!(wrong(&[], 0, &[]), MerkleError::Many { .. }));
}

#[test]
fn images_without_labels_can_not_be_committed_to() {
    let error = Commitment::new(&some_digits(3).without_labels(), &SALT).unwrap_err();
    assert_eq!(error, CommitmentError::Unlabelled { count: 3 });
}

proptest! {
    #[test]
    fn arbitrary_claims_never_panic_and_never_hold(index: u32, count: u32, leaf in prop::collection::vec(any::<u8>(), 0..100), proof in prop::collection::vec(any::<[u8; 32]>(), 0..40)) {
        prop_assert!(commitment::verify(ROOTS[7], index, count, &leaf, &proof).is_err());
    }

    #[test]
    fn every_item_of_every_size_opens(count in 1u32..70, pick in any::<prop::sample::Index>(), salt: [u8; 32]) {
        let images = some_digits(count);
        let commitment = Commitment::new(&images, &salt).unwrap();
        let index = pick.index(count as usize) as u32;
        let leaf = commitment.leaf(index).unwrap();
        let item = commitment::verify(&commitment.root_hex(), index, count, &leaf, &commitment.proof(index).unwrap());
        prop_assert_eq!(item, Ok(images.select(&[index])));
    }
}
