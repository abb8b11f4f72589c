//! Appending, opening again, reading and proving.

use crate::support::{delete, entries, entry, files, log_of, open, put, signer, verify};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use std::sync::Arc;
use transparency::merkle::EMPTY_ROOT;
use transparency::{Entry, KnownEntries, Log, LogError, LogSigner, LogStore, ProofError, Resource, repair, restore};

#[tokio::test]
async fn a_new_log_is_empty_and_signed() {
    let store = Arc::new(InMemory::new());
    let log = open(&store).await;
    assert_eq!((log.checkpoint().size(), *log.checkpoint().root()), (0, EMPTY_ROOT));
    assert_eq!(files(&*store).await.into_keys().collect::<Vec<_>>(), ["checkpoint"]);
    assert_eq!(verify(&store, None).await.unwrap().checkpoint, *log.checkpoint());
    assert!(matches!(log.view().entry(0).await, Err(LogError::Proof(ProofError::Index { index: 0, size: 0 }))));
}

#[tokio::test]
async fn the_same_entries_make_the_same_files_in_any_batches() {
    let (all_at_once, _) = log_of(&[600]).await;
    let (one_by_one, _) = log_of(&(1..=600).collect::<Vec<_>>()).await;
    let (expected, found) = (files(&*all_at_once).await, files(&*one_by_one).await);
    for (path, bytes) in &expected {
        assert_eq!(found.get(path), Some(bytes), "{path}");
    }
    // The partial files of full tiles are gone, those of the last tile are there.
    let partial = found.keys().filter(|path| path.contains(".p/")).count();
    assert_eq!(partial, 88 + 88 + 2, "level 0, entries, and widths 1 and 2 of level 1");
    assert_eq!(expected.len(), 1 + 3 + 3 + 1);
}

#[tokio::test]
async fn an_opened_log_goes_on_where_it_was() {
    for size in [1, 255, 256, 257, 511, 512, 513] {
        let store = Arc::new(InMemory::new());
        let places = open(&store).await.append(&entries(0..size)).await.unwrap();
        assert_eq!(places, (0..size).collect::<Vec<_>>());
        let mut log = open(&store).await;
        assert_eq!(log.checkpoint().size(), size);
        assert_eq!(log.append(&entries(size..size + 3)).await.unwrap(), [size, size + 1, size + 2]);
        assert_eq!(log.view().entry(size - 1).await.unwrap(), entry(size - 1));
        verify(&store, None).await.unwrap();
    }
}

#[tokio::test]
async fn entries_that_are_there_keep_their_places() {
    let store = Arc::new(InMemory::new());
    let mut log = open(&store).await;
    assert_eq!(log.append(&[entry(1), entry(2), entry(1)]).await.unwrap(), [0, 1, 0]);
    let checkpoint = log.checkpoint().clone();
    assert_eq!(log.append(&[entry(2)]).await.unwrap(), [1]);
    assert!(log.append(&[]).await.unwrap().is_empty());
    assert_eq!(*log.checkpoint(), checkpoint);
    let mut log = open(&store).await;
    assert_eq!(log.append(&[entry(3), entry(2)]).await.unwrap(), [2, 1]);
    // Some full tiles later, after opening again, they are still known.
    log.append(&entries(1000..4000)).await.unwrap();
    assert_eq!(open(&store).await.append(&[entry(2)]).await.unwrap(), [1]);
    // In the far past they aren't: that is the documented window.
    log.append(&entries(4000..14_000)).await.unwrap();
    let size = log.checkpoint().size();
    assert_eq!(open(&store).await.append(&[entry(2)]).await.unwrap(), [size]);
    assert_eq!(open(&store).await.append(&[entry(13_999)]).await.unwrap(), [size - 1]);
}

#[tokio::test]
async fn proofs_out_of_tiles_hold() {
    let (store, _) = log_of(&[66_000]).await;
    let view = open(&store).await.view();
    let root = view.checkpoint().root();
    for index in [0, 1, 255, 256, 4_095, 32_768, 65_535, 65_536, 65_791, 65_792, 65_999] {
        let proof = view.prove_inclusion(index).await.unwrap();
        assert_eq!(proof.verify(view.entry(index).await.unwrap().as_bytes(), root), Ok(()), "{index}");
        assert!(proof.verify(entry(index + 1).as_bytes(), root).is_err(), "{index}");
    }
    for old_size in [0, 1, 2, 255, 256, 257, 300, 65_535, 65_536, 65_537, 65_999, 66_000] {
        let old_root = view.root_at(old_size).await.unwrap();
        let proof = view.prove_consistency(old_size).await.unwrap();
        assert_eq!(proof.verify(&old_root, root), Ok(()), "{old_size}");
    }
    let small = log_of(&[300]).await.1;
    assert_eq!(view.root_at(300).await.unwrap(), *small[0].root());
    assert!(matches!(view.prove_inclusion(66_000).await, Err(LogError::Proof(ProofError::Index { .. }))));
    assert!(matches!(view.prove_consistency(66_001).await, Err(LogError::Proof(ProofError::Shrunk { .. }))));
    verify(&store, Some(&small[0])).await.unwrap();
}

#[tokio::test]
async fn a_view_serves_what_its_checkpoint_promises_and_no_more() {
    let store = Arc::new(InMemory::new());
    let mut log = open(&store).await;
    log.append(&entries(0..3)).await.unwrap();
    let view = log.view();
    log.append(&entries(3..5)).await.unwrap();
    let read = async |view: &transparency::LogView, path: &str| {
        view.read(&Resource::parse(path).unwrap()).await.unwrap().is_some()
    };
    assert!(read(&view, "tile/entries/000.p/3").await);
    assert!(!read(&view, "tile/entries/000.p/5").await, "a later checkpoint's");
    assert!(read(&log.view(), "tile/entries/000.p/5").await);
    assert!(read(&log.view(), "tile/0/000.p/3").await, "an older checkpoint's");
    assert!(!read(&log.view(), "tile/0/000").await);
    let note = view.read(&Resource::Checkpoint).await.unwrap().unwrap();
    assert_eq!(note, view.checkpoint().note().as_bytes());
}

#[tokio::test]
async fn a_second_writer_is_noticed() {
    let store = Arc::new(InMemory::new());
    let (mut one, mut other) = (open(&store).await, open(&store).await);
    one.append(&entries(0..2)).await.unwrap();
    let refused = other.append(&[entry(7)]).await;
    assert!(matches!(&refused, Err(LogError::AnotherWriter { ours: 0, found }) if found == "2"), "{refused:?}");
    verify(&store, Some(one.checkpoint())).await.unwrap();
}

#[tokio::test]
async fn what_is_not_this_keys_whole_log_is_not_opened() {
    let (store, _) = log_of(&[300]).await;
    let stranger = LogSigner::from_seed("retort.test/other", &[3; 32]).unwrap();
    let refused = Log::open(store.clone(), "log", stranger).await;
    assert!(matches!(refused, Err(LogError::Checkpoint(_))), "{refused:?}");

    let whole = files(&*store).await;
    let again = async || Log::open(store.clone(), "log", signer()).await.map(drop);
    for path in ["tile/0/001.p/44", "tile/1/000.p/1"] {
        delete(&*store, path).await;
        assert!(matches!(again().await, Err(LogError::Missing { path: missing }) if missing == path));
        let mut changed = whole[path].clone();
        changed[5] ^= 1;
        put(&*store, path, &changed).await;
        assert!(matches!(again().await, Err(LogError::WrongRoot { what: "tiles" })));
        put(&*store, path, &whole[path][1..]).await;
        assert!(matches!(again().await, Err(LogError::Damaged { .. })));
        put(&*store, path, &whole[path]).await;
    }
    let bundle = "tile/entries/001.p/44";
    let mut changed = whole[bundle].clone();
    changed[20] ^= 1;
    put(&*store, bundle, &changed).await;
    assert!(matches!(again().await, Err(LogError::WrongRoot { what: "entries" })));
    put(&*store, bundle, &whole[bundle]).await;
    delete(&*store, "checkpoint").await;
    assert!(
        matches!(again().await, Err(LogError::CheckpointMissing)),
        "it must not begin anew and sign another history"
    );
}

#[tokio::test]
async fn tiles_are_mended_from_entries_and_entries_are_not() {
    let (store, _) = log_of(&[300]).await;
    let whole = files(&*store).await;
    let log_files = LogStore::new(store.clone(), "log").unwrap();
    let mend = async || repair(&log_files, &signer().key()).await;
    assert_eq!(mend().await.unwrap(), Vec::<String>::new());
    let tiles = ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"];
    delete(&*store, tiles[0]).await;
    put(&*store, tiles[1], b"short").await;
    put(&*store, tiles[2], &[0; 100]).await;
    assert_eq!(mend().await.unwrap(), tiles);
    assert_eq!(files(&*store).await, whole);

    let mut changed = whole["tile/entries/000"].clone();
    changed[20] ^= 1;
    put(&*store, "tile/entries/000", &changed).await;
    assert!(matches!(mend().await, Err(LogError::WrongRoot { what: "entries" })));
}

/// Somebody who knows the entries of the first `0` places, and says them otherwise from place `1` on.
struct Knows(u64, u64);

impl KnownEntries for Knows {
    type Error = LogError;

    async fn entries(&self, places: std::ops::Range<u64>) -> Result<Option<Vec<Entry>>, LogError> {
        let moved = u64::from(places.end > self.1);
        Ok((places.end <= self.0).then(|| entries(places.start + moved..places.end + moved)))
    }
}

#[tokio::test]
async fn entries_come_back_from_whoever_knows_them_if_all_has_the_signed_root() {
    let (store, _) = log_of(&[300]).await;
    let whole = files(&*store).await;
    let log_files = LogStore::new(store.clone(), "log").unwrap();
    let restore = async |knows| restore(&log_files, &signer().key(), &knows).await;
    let lost = ["tile/entries/000", "tile/entries/001.p/44", "tile/0/000"];
    let damage = async || {
        put(&*store, lost[0], b"short").await;
        delete(&*store, lost[1]).await;
        delete(&*store, lost[2]).await;
    };
    damage().await;
    let damaged = files(&*store).await;
    assert!(restore(Knows(256, 300)).await.is_err(), "the last bundle is nowhere");
    assert!(matches!(restore(Knows(300, 256)).await, Err(LogError::WrongRoot { what: "entries" })));
    assert_eq!(files(&*store).await, damaged, "nothing is written that was not signed");
    assert_eq!(restore(Knows(300, 300)).await.unwrap(), lost);
    assert_eq!(files(&*store).await, whole);
    assert_eq!(restore(Knows(300, 300)).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_log_on_a_file_system_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(dir.path()).unwrap().with_fsync(true));
    for (size, next) in [(0, 1), (1, 2), (2, 257), (257, 260)] {
        let mut log = Log::open(store.clone(), "log", signer()).await.unwrap();
        log.append(&entries(size..next)).await.unwrap();
    }
    let (memory, _) = log_of(&[1, 2, 257, 260]).await;
    assert_eq!(files(&*store).await, files(&*memory).await);
}
