//! The public log as a stranger serves it: keys, notes, checkpoints, proofs, tiles, bundles, entries.

use transparency::merkle::{Hash, leaf_hash};
use transparency::note::Note;
use transparency::proof::{consistency_ranges, inclusion_ranges, roots};
use transparency::tile::{decode_entries, decode_hashes, encode_entries, encode_hashes};
use transparency::{
    AddCheckpoint, Checkpoint, ConsistencyProof, Entry, EntryKind, Envelope, InclusionProof, Latest, LogKey, LogSigner,
    Resource, SignedCheckpoint, Witness, WitnessKey, WitnessSigner,
};

/// When the one cosignature that there is was made.
const COSIGNED_AT: u64 = 1_800_000_000;
/// The log whose proofs are fuzzed has this many leaves.
const LEAVES: u64 = 37;

fn signer() -> LogSigner {
    LogSigner::from_seed("retort.test/log", &[3; 32]).expect("a log's name, because it is written here")
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: "retort.test/log".into(), size: LEAVES, root: root(LEAVES) }
}

/// A key written again is the same text; an opened checkpoint is one that the key signed, and so is one that is cosigned.
pub(super) fn note(input: &[u8]) {
    let text = std::str::from_utf8(input).unwrap_or_default();
    if let Ok(key) = text.parse::<LogKey>() {
        assert_eq!(key.to_string(), text, "a key with two forms");
    }
    if let Ok(note) = Note::parse(input) {
        assert!(note.text.ends_with('\n') && input.starts_with(note.text.as_bytes()), "a text that isn't the note's");
        assert!((1..=64).contains(&note.signatures.len()), "{} signatures", note.signatures.len());
    }
    if let Ok(opened) = SignedCheckpoint::open(input, &signer().key()) {
        assert_eq!((opened.size(), *opened.root()), (LEAVES, root(LEAVES)), "a forged checkpoint");
        assert_eq!(opened.note().as_bytes(), input);
        let forged = |key: WitnessKey| key.find(opened.text(), text).is_some_and(|(_, time)| time != COSIGNED_AT);
        assert!(!forged(witness().key()), "a forged cosignature");
    }
    if let Ok(request) = AddCheckpoint::parse(input) {
        assert_eq!(request.to_string(), text, "a request with two forms");
        let cosigned = Witness::new(witness(), [signer().key()]).judge(&request, None, COSIGNED_AT);
        let is_ours = |seen: &Latest| (seen.checkpoint.size(), *seen.checkpoint.root()) == (LEAVES, root(LEAVES));
        assert!(cosigned.as_ref().map_or(true, is_ours), "a checkpoint that the log didn't sign is cosigned");
    }
}

fn witness() -> WitnessSigner {
    WitnessSigner::from_seed("witness.test", &[5; 32]).expect("a witness's name, because it is written here")
}

pub(super) fn note_seeds() -> Vec<Vec<u8>> {
    let signed = signer().sign(&checkpoint().to_string());
    let cosigned = format!("{signed}{}", witness().cosign(&checkpoint().to_string(), COSIGNED_AT));
    let request = AddCheckpoint { old_size: 0, proof: Vec::new(), note: cosigned.clone() }.to_string();
    let key = signer().key().to_string();
    vec![signed.into_bytes(), cosigned.into_bytes(), request.into_bytes(), key.into_bytes()]
}

fn leaf(index: u64) -> Vec<u8> {
    format!("leaf {index}").into_bytes()
}

fn subtree_root(first: u64, count: u64) -> Hash {
    let leaves: Vec<Hash> = (first..first + count).map(|index| leaf_hash(&leaf(index))).collect();
    transparency::merkle::root_of(&leaves).unwrap_or(transparency::merkle::EMPTY_ROOT)
}

fn root(size: u64) -> Hash {
    subtree_root(0, size)
}

fn hashes(ranges: &[std::ops::Range<u64>]) -> Vec<Hash> {
    let subtree = |part: transparency::merkle::Subtree| {
        Ok::<_, std::convert::Infallible>(subtree_root(part.index << part.level, 1 << part.level))
    };
    match roots(ranges, subtree) {
        Ok(hashes) => hashes,
        Err(never) => match never {},
    }
}

/// A proof that holds must be true: SHA-256 collisions are not among what a fuzzer finds. Of the right tree, that is: its
/// size comes from a signed checkpoint, not from whoever brings the proof, and other sizes may have the same path.
pub(super) fn proof(input: &[u8]) {
    let Some((numbers, rest)) = input.split_first_chunk::<24>() else { return };
    let (words, _) = numbers.as_chunks::<8>();
    let [index, size, old_size] = std::array::from_fn(|at| words.get(at).map_or(0, |word| u64::from_le_bytes(*word)));
    let hashes: Vec<Hash> = rest.as_chunks().0.to_vec();
    let inclusion = InclusionProof { index, size, hashes: hashes.clone() };
    for claimed in [0, 5, 36] {
        if inclusion.verify(&leaf(claimed), &root(LEAVES)).is_ok() {
            assert!(size != LEAVES || index == claimed, "leaf {claimed} proved to be {index} of {size}");
        }
    }
    let consistency = ConsistencyProof { old_size, size, hashes };
    for old in [0, 1, 5, 32] {
        if consistency.verify(&root(old), &root(LEAVES)).is_ok() {
            assert!(size != LEAVES || old_size == old, "a tree of {old} proved to be one of {old_size}");
        }
    }
    // Numbers from anyone go in here too, before any hash is fetched.
    let _ = inclusion_ranges(index, size);
    let _ = consistency_ranges(old_size, size);
}

pub(super) fn proof_seeds() -> Vec<Vec<u8>> {
    let input = |index: u64, size: u64, old_size: u64, hashes: Vec<Hash>| {
        let numbers = [index, size, old_size].map(u64::to_le_bytes);
        [numbers.as_flattened(), hashes.as_flattened()].concat()
    };
    let inclusion = [0, 5, 36].map(|index| {
        let ranges = inclusion_ranges(index, LEAVES).expect("a proof, because the leaf is there");
        input(index, LEAVES, 0, hashes(&ranges))
    });
    let consistency = [1, 5, 32].map(|old| {
        let ranges = consistency_ranges(old, LEAVES).expect("a proof, because the log grew");
        input(0, LEAVES, old, hashes(&ranges))
    });
    inclusion.into_iter().chain(consistency).chain([input(u64::MAX, u64::MAX, u64::MAX, Vec::new())]).collect()
}

/// Each path, tile and bundle has one form.
pub(super) fn tile(input: &[u8]) {
    let text = std::str::from_utf8(input).unwrap_or_default();
    if let Some(resource) = Resource::parse(text) {
        assert_eq!(resource.to_string(), text, "a path with two forms");
        let _ = (resource.bytes_max(), resource.lies_in(LEAVES), resource.lies_in(u64::MAX));
    }
    let width = usize::from(input.first().copied().unwrap_or_default()) + 1;
    let rest = input.get(1..).unwrap_or_default();
    if let Ok(hashes) = decode_hashes(rest, width) {
        assert_eq!(encode_hashes(&hashes), rest);
    }
    if let Ok(entries) = decode_entries(rest, width) {
        assert_eq!(entries.len(), width);
        assert_eq!(encode_entries(entries), rest, "a bundle with two forms");
    }
    if let Ok(envelope) = Envelope::parse(input) {
        let again = Entry::new(envelope.kind, &envelope.key, &envelope.body);
        // Canonical JSON escapes more than a writer must, so a long entry can outgrow its limit.
        if let Ok(again) = again {
            // Numbers beyond 2^53 are rounded by canonical JSON; what is left is stable.
            let parsed = Envelope::parse(again.as_bytes()).expect("an entry, because it was just written");
            let third = Entry::new(parsed.kind, &parsed.key, &parsed.body);
            assert_eq!(third.ok(), Some(again), "an entry that changes when it is written");
        }
    }
}

pub(super) fn tile_seeds() -> Vec<Vec<u8>> {
    let entry = Entry::new(EntryKind::Receipt, "receipt/1", &serde_json::json!({"number": 1, "text": "é\n"}));
    let entry = entry.expect("an entry, because it is small");
    let two = encode_entries([entry.as_bytes(), b"x"]);
    let paths = ["checkpoint", "tile/0/000", "tile/1/x001/234.p/7", "tile/entries/x999/x999/999.p/255", "tile/63/000"];
    let paths = paths.into_iter().map(|path| path.as_bytes().to_vec());
    paths.chain([entry.as_bytes().to_vec(), [&[1][..], &two].concat(), vec![1; 65]]).collect()
}
