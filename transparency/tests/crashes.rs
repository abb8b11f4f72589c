//! A store that fails at its n-th write, for every n: nothing that was promised is lost, nothing is there twice.

use crate::support::{entries, signer, verify};
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use transparency::{Entry, Log, SignedCheckpoint};

/// What happens to the write that fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Failure {
    /// It never arrives.
    Lost,
    /// It arrives, and its answer doesn't.
    AnswerLost,
}

/// A store whose writes fail from one of them on.
#[derive(Debug)]
struct Failing {
    inner: Arc<InMemory>,
    failure: Failure,
    writes: AtomicU64,
    good: u64,
    recovered: AtomicBool,
    /// Whether a checkpoint was ever sent: it is signed, and may have been seen.
    checkpoint_sent: AtomicBool,
}

impl Failing {
    fn new(inner: &Arc<InMemory>, failure: Failure, good: u64) -> Arc<Self> {
        let (recovered, checkpoint_sent) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { inner: inner.clone(), failure, writes: AtomicU64::new(0), good, recovered, checkpoint_sent })
    }

    fn recover(&self) {
        self.recovered.store(true, Ordering::SeqCst);
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a store with {} good writes", self.good)
    }
}

#[async_trait]
impl ObjectStore for Failing {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let before = self.writes.fetch_add(1, Ordering::SeqCst);
        let fails = before >= self.good && !self.recovered.load(Ordering::SeqCst);
        if location.as_ref().ends_with("checkpoint") {
            self.checkpoint_sent.store(true, Ordering::SeqCst);
        }
        if !fails || (before == self.good && self.failure == Failure::AnswerLost) {
            let written = self.inner.put_opts(location, payload, options).await;
            if !fails {
                return written;
            }
        }
        Err(Error::Generic { store: "failing", source: "killed".into() })
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

async fn open(store: Arc<dyn ObjectStore>) -> Log {
    Log::open(store, "log", signer()).await.unwrap()
}

/// A log of `size`, and its checkpoint: what was promised before the crash.
async fn promised(size: u64) -> (Arc<InMemory>, SignedCheckpoint) {
    let store = Arc::new(InMemory::new());
    let mut log = open(store.clone()).await;
    log.append(&entries(0..size)).await.unwrap();
    (store, log.checkpoint().clone())
}

/// Fails at every write in turn, in both ways, and lets `recover` go on; returns how many writes there are.
async fn at_every_write(size: u64, batch: &[Entry], recover: impl AsyncFn(Log, Arc<InMemory>, String)) -> u64 {
    for good in 0.. {
        let mut failed = 0;
        for failure in [Failure::Lost, Failure::AnswerLost] {
            let (store, before) = promised(size).await;
            let failing = Failing::new(&store, failure, good);
            let mut log = open(failing.clone()).await;
            let case = format!("{size} and {} more, write {good} {failure:?}", batch.len());
            if log.append(batch).await.is_err() {
                failed += 1;
                let found = verify(&store, Some(&before)).await.unwrap_or_else(|error| panic!("{case}: {error}"));
                assert!([size, size + batch.len() as u64].contains(&found.checkpoint.size()), "{case}: half a batch");
                recover(log, store.clone(), case.clone()).await;
                verify(&store, Some(&before)).await.unwrap_or_else(|error| panic!("{case}: {error}"));
            }
        }
        if failed == 0 {
            return good;
        }
    }
    unreachable!("a log of this size has fewer writes than u64::MAX");
}

const CASES: [(u64, u64); 7] = [(0, 1), (0, 3), (5, 4), (255, 1), (255, 2), (256, 1), (200, 400)];

#[tokio::test]
async fn a_kill_at_any_write_loses_nothing_and_repeats_nothing() {
    for (size, more) in CASES {
        let batch = entries(size..size + more);
        let writes = at_every_write(size, &batch, async |log, store, case| {
            drop(log);
            let mut log = open(store).await;
            assert_eq!(log.append(&batch).await.unwrap(), (size..size + more).collect::<Vec<_>>(), "{case}");
            assert_eq!(log.checkpoint().size(), size + more, "{case}");
        })
        .await;
        assert!(writes >= 3, "entries, a tile and the checkpoint");
    }
}

#[tokio::test]
async fn after_a_kill_other_entries_may_come_first() {
    for (size, more) in CASES {
        let batch = entries(size..size + more);
        let other = entries(size + 1000..size + 1000 + 2 * more);
        at_every_write(size, &batch, async |log, store, case| {
            drop(log);
            let mut log = open(store).await;
            let size = log.checkpoint().size();
            assert_eq!(log.append(&other).await.unwrap(), (size..size + 2 * more).collect::<Vec<_>>(), "{case}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_writer_whose_store_recovers_goes_on_without_signing_two_histories() {
    for (size, more) in CASES {
        let batch = entries(size..size + more);
        for good in 0..10 {
            for failure in [Failure::Lost, Failure::AnswerLost] {
                let (store, before) = promised(size).await;
                // One write fails, and all after it are good.
                let failing = Failing::new(&store, failure, good);
                let mut log = open(failing.clone()).await;
                let first = log.append(&batch).await;
                let signed = first.is_ok() || failing.checkpoint_sent.load(Ordering::SeqCst);
                failing.recover();
                // Something else comes first; then the caller asks again.
                log.append(&entries(size + 1000..size + 1001)).await.unwrap();
                let places = log.append(&batch).await.unwrap();
                let start = if signed { size } else { size + 1 };
                let case = format!("{size} and {more} more, write {good} {failure:?}");
                assert_eq!(places, (start..start + more).collect::<Vec<_>>(), "{case}");
                assert_eq!(log.checkpoint().size(), size + more + 1, "{case}");
                verify(&store, Some(&before)).await.unwrap_or_else(|error| panic!("{case}: {error}"));
            }
        }
    }
}
