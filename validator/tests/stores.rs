//! The same journey over other stores: a folder, and one that takes uploads past us.

use super::support::{Package, Setup, TestApp};
use futures::future::BoxFuture;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{ObjectStore, ObjectStoreExt};
use protocol::submission::State;
use std::sync::Arc;
use std::time::Duration;
use url::Url;
use validator::objects::Objects;

#[tokio::test]
async fn a_folder_is_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let url = Url::from_directory_path(dir.path().join("objects")).unwrap();
    let objects = Objects::open(&url, dir.path().join("tmp")).unwrap();
    let app = TestApp::with_open_packages(Setup { objects: Some(objects.clone()), ..Setup::default() }).await;
    let (miner, mut package) = (app.miner(1), Package::mlp(&[8], 7));
    let id = miner.submit(&package).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let sha256 = protocol::Digest::of(package.file("model.safetensors"));
    let on_disk = std::fs::read(dir.path().join("objects/sha256").join(sha256.to_string())).unwrap();
    assert_eq!(&on_disk, package.file("model.safetensors"));
    let part = miner.http.get(app.url(&format!("/api/v1/objects/sha256/{sha256}"))).header("range", "bytes=-4");
    assert_eq!(part.send().await.unwrap().bytes().await.unwrap(), on_disk[on_disk.len() - 4..]);
    assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);

    // Bytes that change on the disk are noticed.
    std::fs::write(dir.path().join("objects/sha256").join(sha256.to_string()), b"other").unwrap();
    assert!(objects.get(&sha256).await.unwrap_err().to_string().contains("was announced"));
}

/// Signs as a bucket would, for URLs that nobody serves: the test puts the bytes there by itself.
#[derive(Debug)]
struct Bucket;

impl Signer for Bucket {
    fn signed_url<'a, 'b, 'c>(
        &'a self,
        method: http::Method,
        path: &'b Path,
        _: Duration,
    ) -> BoxFuture<'c, object_store::Result<Url>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        let url = format!("https://bucket.example/{path}?signature={method}");
        Box::pin(async move { Ok(Url::parse(&url).unwrap()) })
    }
}

#[tokio::test]
async fn uploads_to_signed_urls_are_trusted_only_after_reading_them_back() {
    let (bucket, tmp) = (Arc::new(InMemory::new()), tempfile::tempdir().unwrap());
    let store = Arc::clone(&bucket) as Arc<dyn ObjectStore>;
    let objects = Objects::with_store(store, Some(Arc::new(Bucket)), Path::default(), tmp.path().into()).unwrap();
    let app = TestApp::with_competition(Setup { objects: Some(objects), ..Setup::default() }).await;
    let (miner, package) = (app.miner(1), Package::mlp(&[8], 7));
    let created = miner.announce("digits", &package).await.unwrap();
    let put = async |path: &str, bytes: Vec<u8>| {
        let upload = created.uploads.iter().find(|upload| upload.path == path).unwrap();
        let url = Url::parse(&upload.url).unwrap();
        assert_eq!((url.host_str(), url.query()), (Some("bucket.example"), Some("signature=PUT")));
        bucket.put(&Path::from(url.path()), bytes.into()).await.unwrap();
    };
    put("config.json", package.files[0].1.clone()).await;
    let refusal = miner.complete(&created.id).await.unwrap_err();
    assert_eq!(refusal.problem.code, "upload_incomplete");
    put("model.safetensors", b"something else".to_vec()).await;
    let refusal = miner.complete(&created.id).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (422, "size_mismatch"));
    put("model.safetensors", package.files[1].1.clone()).await;
    miner.complete(&created.id).await.unwrap();
    app.wait_for(&created.id, State::Scored).await;
    let incoming = Path::from("incoming");
    let left: Vec<_> = futures::TryStreamExt::try_collect(bucket.list(Some(&incoming))).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}
