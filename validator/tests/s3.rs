//! Real S3 servers on loopback: uploads and downloads go past the validator by signed URLs, and nothing sent there is
//! believed before it is read back.

use super::crash::miners::{Failed, Miner};
use super::crash::service::Arena;
use super::support::{Package, Setup, TestApp};
use futures::stream::BoxStream;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use protocol::Digest;
use protocol::submission::State;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use std::collections::{HashMap, HashSet};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use validator::doctor;
use validator::objects::{ObjectError, Objects};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "a secret of this test";
const BUCKET: &str = "arena";
const PREFIX: &str = "validators/one";

/// An S3 server that checks every signature, over a folder; its address.
pub(crate) async fn server(folder: &std::path::Path) -> String {
    std::fs::create_dir_all(folder.join(BUCKET)).unwrap();
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).unwrap());
    service.set_auth(SimpleAuth::from_single(KEY, SECRET));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            let serve = async move {
                let http = Builder::new(TokioExecutor::new());
                let _ = http.serve_connection(TokioIo::new(socket), service).await;
            };
            tokio::spawn(serve);
        }
    });
    address
}

fn bucket(address: &str) -> Arc<AmazonS3> {
    let s3 = AmazonS3Builder::new().with_endpoint(address).with_allow_http(true).with_region("us-east-1");
    Arc::new(s3.with_bucket_name(BUCKET).with_access_key_id(KEY).with_secret_access_key(SECRET).build().unwrap())
}

/// What a validator with `s3://arena/validators/one` uses.
pub(crate) fn objects(address: &str, tmp: &std::path::Path) -> (Objects, PrefixStore<Arc<dyn ObjectStore>>) {
    let (s3, prefix) = (bucket(address), Path::from(PREFIX));
    let store = || PrefixStore::new(Arc::clone(&s3) as Arc<dyn ObjectStore>, prefix.clone());
    let signer = Arc::clone(&s3) as Arc<dyn object_store::signer::Signer>;
    (Objects::with_store(Arc::new(store()), Some(signer), prefix.clone(), tmp.into()).unwrap(), store())
}

#[tokio::test]
async fn a_model_goes_through_a_bucket_without_passing_the_validator() {
    let dir = tempfile::tempdir().unwrap();
    let address = server(&dir.path().join("s3")).await;
    let (objects, store) = objects(&address, &dir.path().join("tmp"));
    let mut app = TestApp::with_open_packages(Setup { objects: Some(objects.clone()), ..Setup::default() }).await;
    let (miner, mut package) = (app.miner(1), Package::mlp(&[8], 7));

    let created = miner.announce("digits", &package).await.unwrap();
    for upload in &created.uploads {
        assert!(upload.url.starts_with(&format!("{address}/{BUCKET}/{PREFIX}/incoming/")), "{}", upload.url);
        assert!(upload.url.contains("X-Amz-Signature="), "{}", upload.url);
        // The signature is for this place and no other.
        let stolen = upload.url.replace("incoming", "sha256");
        assert_eq!(miner.http.put(stolen).body("x").send().await.unwrap().status(), 403);
    }
    miner.upload_all(&created, &package).await.unwrap();
    miner.complete(&created.id).await.unwrap();
    app.wait_for(&created.id, State::Scored).await;

    // What is written after that is read by nobody: the object has its bytes under its digest.
    let weights = package.file("model.safetensors").clone();
    let sha256 = Digest::of(&weights);
    let again = created.uploads.iter().find(|upload| upload.path == "model.safetensors").unwrap();
    assert_eq!(miner.http.put(&again.url).body("something else").send().await.unwrap().status(), 200);
    assert_eq!(objects.get(&sha256).await.unwrap(), weights);
    assert_eq!(store.head(&Path::from(format!("sha256/{sha256}"))).await.unwrap().size, weights.len() as u64);

    // Downloads are sent to the bucket, ranges included.
    let target = app.url(&format!("/api/v1/objects/sha256/{sha256}"));
    let patient = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let sent = patient.get(&target).send().await.unwrap();
    assert_eq!((sent.status().as_u16(), &sent.headers()["cache-control"]), (307, &"no-store".parse().unwrap()));
    assert!(sent.headers()["location"].to_str().unwrap().starts_with(&format!("{address}/{BUCKET}/{PREFIX}/sha256/")));
    assert_eq!(miner.http.get(&target).send().await.unwrap().bytes().await.unwrap(), weights);
    let part = miner.http.get(&target).header("range", "bytes=8-15").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap()), (206, weights[8..16].to_vec().into()));
    // What is nobody's to read has no way to it either.
    let secret = app.app.db.evaluation(&created.id).await.unwrap().unwrap().logits_sha256;
    let refused = patient.get(app.url(&format!("/api/v1/objects/sha256/{secret}"))).send().await.unwrap();
    assert_eq!(refused.status(), 404);

    // An upload that nobody completed is removed in time; one that is waited for isn't.
    let abandoned = miner.announce("digits", &Package::mlp(&[9], 8)).await.unwrap();
    miner.http.put(&abandoned.uploads[0].url).body("half").send().await.unwrap();
    let waiting = app.app.db.awaiting_upload().await.unwrap();
    assert_eq!(waiting, HashSet::from([abandoned.id.clone()]));
    // The stray write above is the one that goes.
    assert_eq!(objects.remove_abandoned(&waiting, Duration::ZERO).await.unwrap(), 1);
    assert_eq!(objects.remove_abandoned(&HashSet::new(), Duration::from_secs(3_600)).await.unwrap(), 0, "too young");
    assert_eq!(objects.remove_abandoned(&HashSet::new(), Duration::ZERO).await.unwrap(), 1);
    app.leave_unfinished();
}

#[tokio::test]
async fn the_doctor_refuses_a_store_that_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    let address = server(&dir.path().join("s3")).await;
    let (objects, _) = objects(&address, &dir.path().join("tmp"));
    let honours = objects.probe_conditional_writes().await;
    let careless = Objects::with_store(Arc::new(Careless::default()), None, Path::default(), dir.path().join("tmp2"));
    let careless = careless.unwrap();
    assert!(matches!(careless.probe_conditional_writes().await, Err(ObjectError::Overwrites)));
    let app = TestApp::start(Setup { objects: Some(careless), ..Setup::default() }).await;
    let findings = doctor::examine(&app.app).await;
    let store = findings.iter().find(|finding| finding.name == "object store").unwrap();
    assert!(!store.healthy && store.detail.contains("If-None-Match"), "{}", store.detail);
    // Whatever s3s-fs does, it is said in so many words.
    assert!(matches!(honours, Ok(()) | Err(ObjectError::Overwrites)), "{honours:?}");
}

/// A store that overwrites though it is told not to, as some S3 servers do.
#[derive(Debug, Default)]
struct Careless(InMemory);

impl std::fmt::Display for Careless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("careless")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Careless {
    async fn put_opts(&self, location: &Path, payload: PutPayload, _: PutOptions) -> Result<PutResult> {
        self.0.put_opts(location, payload, PutOptions::default()).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}

/// A program of the Python environment `s3`, which is made on first use.
fn python(module: &[&str]) -> Command {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/python.sh");
    let made = std::process::Command::new(script).arg("s3").output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut command = Command::new(String::from_utf8_lossy(&made.stdout).trim());
    command.args(module).env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", SECRET).kill_on_drop(true);
    command
}

/// The first line that a process prints and that has an address.
pub(crate) async fn first_line(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = async {
        loop {
            match lines.next_line().await.unwrap().unwrap() {
                line if line.contains("127.0.0.1") && !line.contains(' ') => return line,
                _ => {}
            }
        }
    };
    let line = tokio::time::timeout(Duration::from_secs(60), address).await.unwrap();
    // The pipe stays open.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    line
}

/// A second implementation of S3, seen by a third party's client, under a validator that is a process of its own.
#[tokio::test]
async fn another_server_holds_what_boto3_finds_there() {
    const SERVE: &str = "
import boto3, time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer('127.0.0.1', 0)
server.start()
address = 'http://%s:%s' % server.get_host_and_port()
boto3.client('s3', endpoint_url=address, region_name='us-east-1').create_bucket(Bucket='arena')
print(address, flush=True)
time.sleep(600)
";
    const LIST: &str = "
import boto3, hashlib, sys
bucket = boto3.resource('s3', endpoint_url=sys.argv[1], region_name='us-east-1').Bucket('arena')
for found in bucket.objects.filter(Prefix='validators/one/'):
    print(found.key, hashlib.sha256(found.get()['Body'].read()).hexdigest())
";
    let moto = python(&["-c", SERVE]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut moto = moto.unwrap();
    // Printed when the bucket is there.
    let address = first_line(&mut moto).await;

    let arena = Arena::new("");
    let settings = std::fs::read_to_string(arena.home.config()).unwrap();
    let settings = format!("object_store = \"s3://{BUCKET}/{PREFIX}\"\n{settings}");
    std::fs::write(arena.home.config(), settings).unwrap();
    arena.add("digits", |toml| toml);
    let mut validator = Command::new(env!("CARGO_BIN_EXE_scripted-validator"))
        .arg("serve")
        .arg(arena.home.path())
        .env("AWS_ENDPOINT", &address)
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("SCRIPTED_MS", "5")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let base = format!("http://{}", first_line(&mut validator).await);
    let mut miner = Miner::new(1, &arena);
    let mut package = Package::mlp(&[8], 7);
    miner.begin("digits", package.clone());
    while let Err(failed) = miner.go_on(&base).await {
        // The competition is on its way, and nothing else is wrong.
        assert!(matches!(failed, Failed::Refused { status: 404, .. }), "{failed:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    arena.until_done(&miner, &base).await;

    let listed = python(&["-c", LIST, &address]).output().await.unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let found: HashMap<&str, &str> = listed.lines().filter_map(|line| line.split_once(' ')).collect();
    for file in ["config.json", "model.safetensors"] {
        let sha256 = Digest::of(package.file(file)).to_string();
        assert_eq!(found.get(&*format!("{PREFIX}/sha256/{sha256}")), Some(&&*sha256), "{file}");
    }
    assert!(found.contains_key(&*format!("{PREFIX}/log/checkpoint")), "the public log is in the bucket: {listed}");
    assert!(!listed.contains("/incoming/"), "{listed}");
    let objects = found.iter().filter(|(key, _)| key.contains("/sha256/"));
    for (key, sha256) in objects {
        assert!(key.ends_with(sha256), "{key} has the bytes of {sha256}");
    }
}
