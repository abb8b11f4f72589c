//! What several modules need: a key, entries, logs in memory, and a look at their files. It holds no test.

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use transparency::{Entry, EntryKind, Log, LogSigner, LogStore, SignedCheckpoint, Verified, VerifyError, verify_log};

pub(crate) const ORIGIN: &str = "retort.test/log";

pub(crate) fn signer() -> LogSigner {
    LogSigner::from_seed(ORIGIN, &[3; 32]).unwrap()
}

pub(crate) fn entry(number: u64) -> Entry {
    Entry::new(EntryKind::Receipt, &format!("receipt/{number}"), &serde_json::json!({ "number": number })).unwrap()
}

pub(crate) fn entries(numbers: std::ops::Range<u64>) -> Vec<Entry> {
    numbers.map(entry).collect()
}

pub(crate) async fn open(store: &Arc<InMemory>) -> Log {
    Log::open(store.clone(), "log", signer()).await.unwrap()
}

/// A log of the numbers up to the last of `sizes`, with a checkpoint at each of them.
pub(crate) async fn log_of(sizes: &[u64]) -> (Arc<InMemory>, Vec<SignedCheckpoint>) {
    let store = Arc::new(InMemory::new());
    let mut log = open(&store).await;
    let mut checkpoints = Vec::new();
    for size in sizes {
        log.append(&entries(log.checkpoint().size()..*size)).await.unwrap();
        checkpoints.push(log.checkpoint().clone());
    }
    (store, checkpoints)
}

pub(crate) async fn verify(
    store: &Arc<InMemory>,
    remembered: Option<&SignedCheckpoint>,
) -> Result<Verified, VerifyError> {
    verify_log(&LogStore::new(store.clone(), "log").unwrap(), &signer().key(), remembered).await
}

/// All files, by their path under the log's prefix.
pub(crate) async fn files(store: &dyn ObjectStore) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![Path::from("log")];
    while let Some(folder) = folders.pop() {
        let listed = store.list_with_delimiter(Some(&folder)).await.unwrap();
        folders.extend(listed.common_prefixes);
        for object in listed.objects {
            let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
            files.insert(object.location.as_ref().strip_prefix("log/").unwrap().to_owned(), bytes.to_vec());
        }
    }
    files
}

pub(crate) async fn put(store: &dyn ObjectStore, path: &str, bytes: &[u8]) {
    store.put(&Path::parse(format!("log/{path}")).unwrap(), bytes.to_vec().into()).await.unwrap();
}

pub(crate) async fn delete(store: &dyn ObjectStore, path: &str) {
    store.delete(&Path::parse(format!("log/{path}")).unwrap()).await.unwrap();
}
