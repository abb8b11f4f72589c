//! The checker: every changed byte, hole, cut and second history is found, with its place and whose fault it is.

use crate::support::{delete, entries, entry, files, log_of, open, put, signer, verify};
use object_store::memory::InMemory;
use std::sync::Arc;
use transparency::verify::verify_entries;
use transparency::{Blame, ConsistencyProof, LogSigner, LogStore, SignedCheckpoint, VerifyError, verify_inclusion};

/// A log of numbers in which `changed` is another.
async fn forged(size: u64, changed: u64) -> (Arc<InMemory>, SignedCheckpoint) {
    let store = Arc::new(InMemory::new());
    let mut log = open(&store).await;
    let mut entries = entries(0..size);
    entries[changed as usize] = entry(1_000_000);
    log.append(&entries).await.unwrap();
    (store, log.checkpoint().clone())
}

#[tokio::test]
async fn a_sound_log_is_read_completely_and_in_order() {
    let (store, checkpoints) = log_of(&[3, 600]).await;
    let mut seen = Vec::new();
    let reader = LogStore::new(store.clone(), "log").unwrap();
    let verified = verify_entries(&reader, &signer().key(), Some(&checkpoints[0]), |index, bytes| {
        seen.push((index, bytes.to_vec()));
    })
    .await
    .unwrap();
    assert_eq!(verified.checkpoint, checkpoints[1]);
    assert_eq!(verified.files, 1 + 3 + 3 + 1, "checkpoint, bundles, tiles of level 0 and of level 1");
    let expected = entries(0..600).into_iter().zip(0..).map(|(entry, index)| (index, entry.as_bytes().to_vec()));
    assert!(seen.into_iter().eq(expected));
    for remembered in &checkpoints {
        verify(&store, Some(remembered)).await.unwrap();
    }
}

/// Changes one bit of each `step`-th byte of each file and expects the checker to name that file.
async fn each_change_is_found(sizes: &[u64], step: usize) {
    let (store, checkpoints) = log_of(sizes).await;
    let whole = files(&*store).await;
    for (path, bytes) in &whole {
        for at in (0..bytes.len()).step_by(step) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            put(&*store, path, &changed).await;
            // A partial file of the past is found by whoever remembers its checkpoint.
            let mut found = None;
            for remembered in &checkpoints {
                found = found.or(verify(&store, Some(remembered)).await.err());
            }
            let Some(error) = found else { panic!("byte {at} of {path} was changed and not found") };
            assert_eq!(error.blame(), Blame::Server, "byte {at} of {path}: {error}");
            assert!(error.to_string().contains(path.as_str()), "byte {at} of {path}: {error}");
        }
        put(&*store, path, bytes).await;
    }
    for remembered in &checkpoints {
        verify(&store, Some(remembered)).await.unwrap();
    }
}

#[tokio::test]
async fn each_changed_byte_of_each_file_is_found_and_named() {
    each_change_is_found(&[3, 5, 8], 1).await;
}

#[tokio::test]
async fn changed_bytes_in_a_log_of_two_levels_are_found_and_named() {
    each_change_is_found(&[250, 515], 61).await;
}

#[tokio::test]
async fn holes_and_cuts_are_found_and_named() {
    let (store, checkpoints) = log_of(&[3, 515]).await;
    let whole = files(&*store).await;
    for (path, bytes) in &whole {
        delete(&*store, path).await;
        let error = verify(&store, Some(&checkpoints[0])).await.unwrap_err();
        assert!(matches!(&error, VerifyError::Missing { path: missing } if missing == path), "{path}: {error}");
        for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            put(&*store, path, &bytes[..cut]).await;
            let error = verify(&store, None).await.unwrap_err();
            assert_eq!(error.blame(), Blame::Server, "{path} cut to {cut}: {error}");
        }
        put(&*store, path, &[bytes.as_slice(), b"\0"].concat()).await;
        verify(&store, None).await.unwrap_err();
        put(&*store, path, bytes).await;
    }
    verify(&store, None).await.unwrap();
}

#[tokio::test]
async fn a_file_that_grew_beyond_its_limit_is_not_read() {
    let (store, _) = log_of(&[3]).await;
    put(&*store, "tile/0/000.p/3", &vec![0; 1 << 20]).await;
    let error = verify(&store, None).await.unwrap_err();
    assert!(matches!(error, VerifyError::Unreadable { .. }), "{error}");
}

#[tokio::test]
async fn a_partial_tile_may_have_given_way_to_the_full_one() {
    let (older, checkpoints) = log_of(&[250]).await;
    let (newer, _) = log_of(&[515]).await;
    // As a reader sees it who got the checkpoint just before the log grew.
    put(&*newer, "checkpoint", checkpoints[0].note().as_bytes()).await;
    assert_eq!(verify(&newer, None).await.unwrap().checkpoint, checkpoints[0]);
    drop(older);
}

#[tokio::test]
async fn two_histories_of_one_size_are_the_signers_fault() {
    let (store, ours) = log_of(&[8]).await;
    let (_, theirs) = forged(8, 2).await;
    let error = verify(&store, Some(&theirs)).await.unwrap_err();
    assert_eq!(error.blame(), Blame::Signer);
    let VerifyError::SplitView { size: 8, notes } = error else { panic!("{error}") };
    for (note, checkpoint) in notes.iter().zip([&theirs, &ours[0]]) {
        assert_eq!(SignedCheckpoint::open(note.as_bytes(), &signer().key()).unwrap(), *checkpoint);
    }
}

#[tokio::test]
async fn a_rewritten_past_is_the_signers_fault() {
    let (_, remembered) = log_of(&[8]).await;
    let (store, _) = forged(300, 2).await;
    let error = verify(&store, Some(&remembered[0])).await.unwrap_err();
    assert!(matches!(&error, VerifyError::Rewritten { size: 8, .. }), "{error}");
    assert_eq!(error.blame(), Blame::Signer);
    // Whoever remembers nothing can't see it; whoever remembers what lies before the change neither.
    verify(&store, None).await.unwrap();
    let (_, early) = log_of(&[2]).await;
    verify(&store, Some(&early[0])).await.unwrap();
}

#[tokio::test]
async fn a_forged_copy_under_a_sound_checkpoint_is_the_servers_fault() {
    let (sound, checkpoints) = log_of(&[8]).await;
    let (store, _) = forged(8, 2).await;
    put(&*store, "checkpoint", checkpoints[0].note().as_bytes()).await;
    let error = verify(&store, None).await.unwrap_err();
    assert!(matches!(&error, VerifyError::WrongRoot { size: 8, .. }), "{error}");
    assert_eq!(error.blame(), Blame::Server);
    verify(&sound, None).await.unwrap();
}

#[tokio::test]
async fn a_log_that_shrank_or_is_anothers_is_refused() {
    let (_, later) = log_of(&[9]).await;
    let (store, _) = log_of(&[8]).await;
    let error = verify(&store, Some(&later[0])).await.unwrap_err();
    assert!(matches!(error, VerifyError::Shrunk { remembered: 9, found: 8 }), "{error}");

    let other = LogSigner::from_seed("retort.test/other", &[3; 32]).unwrap();
    let note = other.sign("retort.test/other\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
    let other = SignedCheckpoint::open(note.as_bytes(), &other.key()).unwrap();
    let error = verify(&store, Some(&other)).await.unwrap_err();
    assert!(matches!(&error, VerifyError::OtherLog { .. }), "{error}");
    assert_eq!(error.blame(), Blame::Caller);
}

#[tokio::test]
async fn people_who_compare_notes_need_no_files() {
    let (store, checkpoints) = log_of(&[3, 300]).await;
    let [older, newer] = checkpoints.as_slice() else { panic!("two checkpoints") };
    let proof = open(&store).await.view().prove_consistency(3).await.unwrap();
    newer.follows(older, &proof).unwrap();
    let (_, forged_older) = forged(3, 1).await;
    let error = newer.follows(&forged_older, &proof).unwrap_err();
    assert!(matches!(error, VerifyError::NoProof { .. }), "{error}");
    let other = ConsistencyProof { old_size: 2, ..proof.clone() };
    assert!(matches!(newer.follows(older, &other), Err(VerifyError::NoProof { .. })));
    assert!(matches!(older.follows(newer, &proof), Err(VerifyError::Shrunk { .. })));
    let (_, forged_newer) = forged(300, 1).await;
    let split = newer.follows(&forged_newer, &proof).unwrap_err();
    assert_eq!(split.blame(), Blame::Signer);
}

#[tokio::test]
async fn an_entry_is_shown_to_be_in_a_log_out_of_its_files_alone() {
    for size in [1, 2, 5, 255, 256, 257, 700] {
        let (store, _) = log_of(&[size]).await;
        let files = LogStore::new(store.clone(), "log").unwrap();
        for index in [0, size / 2, size - 1] {
            let checkpoint = verify_inclusion(&files, &signer().key(), index, entry(index).as_bytes()).await.unwrap();
            assert_eq!(checkpoint.size(), size);
            let other = verify_inclusion(&files, &signer().key(), index, entry(index + 1).as_bytes()).await;
            assert!(matches!(other, Err(VerifyError::NotIncluded { .. })), "{size} {index}: {other:?}");
        }
        let beyond = verify_inclusion(&files, &signer().key(), size, entry(size).as_bytes()).await;
        assert!(matches!(beyond, Err(VerifyError::NotIncluded { .. })), "{beyond:?}");
    }
}
