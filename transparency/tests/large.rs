//! A log of a million entries: what a proof costs. Prints figures; run in release with `--ignored --nocapture`.

use crate::support::signer;
use object_store::local::LocalFileSystem;
use std::sync::Arc;
use std::time::{Duration, Instant};
use transparency::{Entry, Log, LogStore, verify_log};

const ENTRIES: u64 = 1_000_000;
const BATCH: u64 = 10_000;

/// As long as a logged receipt is.
fn entry(number: u64) -> Entry {
    Entry::from_bytes(format!("{number:0>1900}").as_bytes()).unwrap()
}

#[tokio::test]
#[ignore = "writes two gigabytes"]
async fn a_proof_in_a_log_of_a_million_takes_less_than_ten_milliseconds() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalFileSystem::new_with_prefix(dir.path()).unwrap());
    let started = Instant::now();
    let mut log = Log::open(store.clone(), "log", signer()).await.unwrap();
    for first in (0..ENTRIES).step_by(BATCH as usize) {
        let batch: Vec<Entry> = (first..first + BATCH).map(entry).collect();
        log.append(&batch).await.unwrap();
    }
    println!("{ENTRIES} entries appended in batches of {BATCH} in {:.1?}", started.elapsed());

    let started = Instant::now();
    let mut log = Log::open(store.clone(), "log", signer()).await.unwrap();
    println!("opened in {:.2?}", started.elapsed());
    let view = log.view();
    let (mut inclusion, mut consistency) = (Vec::new(), Vec::new());
    for number in 0..1_000u64 {
        let index = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % ENTRIES;
        let started = Instant::now();
        let proof = view.prove_inclusion(index).await.unwrap();
        inclusion.push(started.elapsed());
        assert_eq!(proof.verify(entry(index).as_bytes(), view.checkpoint().root()), Ok(()));
        let old_root = view.root_at(index).await.unwrap();
        let started = Instant::now();
        let proof = view.prove_consistency(index).await.unwrap();
        consistency.push(started.elapsed());
        assert_eq!(proof.verify(&old_root, view.checkpoint().root()), Ok(()));
    }
    print("inclusion", &mut inclusion);
    print("consistency", &mut consistency);

    let mut appends: Vec<Duration> = Vec::new();
    for number in ENTRIES..ENTRIES + 200 {
        let started = Instant::now();
        log.append(&[entry(number)]).await.unwrap();
        appends.push(started.elapsed());
    }
    print("append of one, without fsync", &mut appends);
    let started = Instant::now();
    let reader = LogStore::new(store, "log").unwrap();
    let verified = verify_log(&reader, &signer().key(), Some(view.checkpoint())).await.unwrap();
    println!("verified {} files, {} bytes in {:.1?}", verified.files, verified.bytes, started.elapsed());
    let worst = inclusion.last().max(consistency.last()).copied().unwrap_or_default();
    assert!(worst < Duration::from_millis(10), "{worst:?}");
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!("{what}: p50 {:.2?}, p99 {:.2?}, max {:.2?} of {}", at(50), at(99), at(100), times.len());
}
