//! Uploads under attack, measured: `cargo run --release -p validator --example pressure [-- DRIBBLERS UPLOADS]`.
//!
//! A validator with its default settings and a scripted engine serves in a process of its own. A thousand sockets from
//! forty addresses send a byte a second of requests that never end and begin anew when they are closed; meanwhile 64
//! miners upload 50 MB each, and `/healthz` is asked all the time. Printed are what went in, the validator's peak memory,
//! and how long health took. The clients share the machine with what they measure.

#![expect(clippy::unwrap_used, reason = "a measurement whose setting up fails has failed")]

mod large;

use bytes::Bytes;
use large::package::Package;
use large::{HIDDEN, load, publish, runtime, serve, start};
use protocol::api::{CompetitionView, FileDeclaration, SubmissionCreated, SubmissionRequest, SubmissionStatus};
use protocol::auth::{Keypair, OutgoingRequest, sign_request};
use protocol::{Digest, Hotkey};
use reqwest::{Client, Method, Response};
use sha2::{Digest as _, Sha256};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use validator::Home;

/// Sockets of one attacking address: fewer than it may have, so that all of them get in.
const SOCKETS_PER_ADDRESS: u32 = 25;
/// How often a dribbling socket sends a byte.
const DRIBBLE: Duration = Duration::from_secs(1);
/// Bytes of one piece of an upload.
const PIECE: usize = 64 << 10;
/// Bytes at the end of the weights in which miners differ.
const TAIL: usize = 4;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // As `retort validator serve` does.
    sandbox::give_memory_back();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", home] => runtime().block_on(serve(&Home::new(home))),
        _ => {
            let number = |index: usize, default: u32| words.get(index).map_or(default, |word| word.parse().unwrap());
            runtime().block_on(measure(number(0, 1_000), number(1, 64)));
        }
    }
}

async fn measure(dribblers: u32, uploads: u32) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path().join("validator"));
    publish(dir.path(), &home, &[32]).await;
    let service = Service::start(&home);
    let (address, before) = (service.address, service.peak_mib());
    descriptors();
    let counts = Arc::new(Counts::default());
    let dribbling: Vec<_> =
        (0..dribblers).map(|index| tokio::spawn(dribble(address, index, Arc::clone(&counts)))).collect();
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!("load average at the start: {}", load());
    let pings = tokio::spawn(ping(address));
    let package = Arc::new(Large::make());
    let began = Instant::now();
    let miners: Vec<_> = (0..uploads).map(|index| tokio::spawn(submit(address, Arc::clone(&package), index))).collect();
    let mut ids = Vec::new();
    let mut retries = 0;
    for miner in miners {
        let (id, again) = miner.await.unwrap();
        retries += again;
        ids.push(id);
    }
    let seconds = began.elapsed().as_secs_f64();
    let bytes = uploads as usize * package.weights.len();
    println!(
        "{uploads} submissions of 50 MB went in: {:.0} MB in {seconds:.1} s, {retries} refusals on the way",
        bytes as f64 / 1e6
    );
    println!("  validator's peak memory: {} MiB ({before} MiB before)", service.peak_mib());
    pings.abort();
    println!("  /healthz meanwhile: {}", quantiles());
    for id in &ids {
        while !status(address, id).await.state.is_terminal() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    let scored = tally(address, &ids).await;
    println!(
        "  {scored} of them scored after {:.1} s; peak memory {} MiB",
        began.elapsed().as_secs_f64(),
        service.peak_mib()
    );
    let (opened, closed, sent) = (&counts.opened, &counts.closed, &counts.bytes);
    println!(
        "  {dribblers} dribbling sockets: opened {} times, closed on {} times, {} bytes sent",
        opened.load(Ordering::Relaxed),
        closed.load(Ordering::Relaxed),
        sent.load(Ordering::Relaxed)
    );
    println!("load average at the end: {}", load());
    dribbling.iter().for_each(tokio::task::JoinHandle::abort);
}

#[derive(Default)]
struct Counts {
    opened: AtomicU64,
    closed: AtomicU64,
    bytes: AtomicU64,
}

/// A socket that sends a byte a second: half of them never end a head, half of them never end a body.
async fn dribble(target: SocketAddr, index: u32, counts: Arc<Counts>) {
    let host = index / SOCKETS_PER_ADDRESS;
    let from = Ipv4Addr::new(127, 1, (host >> 8) as u8, (host & 0xff) as u8 + 1);
    let start: &[u8] = if index.is_multiple_of(2) {
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "
    } else {
        b"POST /api/v1/submissions HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\nX-Slow: "
    };
    loop {
        let Some(mut stream) = connect(from.into(), target).await else {
            tokio::time::sleep(DRIBBLE).await;
            continue;
        };
        counts.opened.fetch_add(1, Ordering::Relaxed);
        let mut sent = stream.write_all(start).await;
        while sent.is_ok() {
            tokio::time::sleep(DRIBBLE).await;
            sent = stream.write_all(b"a").await;
            counts.bytes.fetch_add(1, Ordering::Relaxed);
        }
        counts.closed.fetch_add(1, Ordering::Relaxed);
    }
}

async fn connect(from: IpAddr, to: SocketAddr) -> Option<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::new(from, 0)).ok()?;
    socket.connect(to).await.ok()
}

static PINGS: std::sync::Mutex<Vec<Duration>> = std::sync::Mutex::new(Vec::new());

/// Asks after health on a connection that is kept alive, less often than an address may.
async fn ping(address: SocketAddr) {
    let client = Client::new();
    loop {
        let began = Instant::now();
        let answer = client.get(format!("http://{address}/healthz")).send().await;
        assert_eq!(answer.unwrap().status(), 200);
        PINGS.lock().unwrap().push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(12)).await;
    }
}

fn quantiles() -> String {
    let mut pings = PINGS.lock().unwrap();
    pings.sort_unstable();
    let at = |ppm: usize| pings[(pings.len() * ppm / 1_000_000).min(pings.len() - 1)].as_secs_f64() * 1e3;
    let (p50, p99, longest) = (at(500_000), at(990_000), at(1_000_000));
    format!("p50 {p50:.1} ms, p99 {p99:.1} ms, longest {longest:.1} ms ({} requests)", pings.len())
}

/// A package whose weights miners share but for their tail.
struct Large {
    config_json: Bytes,
    weights: Bytes,
    /// SHA-256 of all but the tail.
    hashed: Sha256,
}

impl Large {
    fn make() -> Self {
        let mut package = Package::mlp(&HIDDEN, 1);
        let config_json = std::mem::take(package.file("config.json")).into();
        let weights: Bytes = std::mem::take(package.file("model.safetensors")).into();
        let hashed = Sha256::new_with_prefix(&weights[..weights.len() - TAIL]);
        Self { config_json, weights, hashed }
    }

    /// A small weight that no other miner has.
    fn tail(index: u32) -> [u8; TAIL] {
        (index as f32 / 1_024.0).to_le_bytes()
    }

    fn declarations(&self, index: u32) -> Vec<FileDeclaration> {
        let sha256 = self.hashed.clone().chain_update(Self::tail(index)).finalize();
        let file = |path: &str, size: usize, sha256| FileDeclaration { path: path.into(), size: size as u64, sha256 };
        vec![
            file("config.json", self.config_json.len(), Digest::of(&self.config_json)),
            file("model.safetensors", self.weights.len(), Digest::from(<[u8; 32]>::from(sha256))),
        ]
    }

    /// The weights as a stream that copies none of them.
    fn body(&self, index: u32) -> reqwest::Body {
        let (all, end) = (self.weights.clone(), self.weights.len() - TAIL);
        let pieces = (0..end).step_by(PIECE).map(move |from| all.slice(from..(from + PIECE).min(end)));
        let pieces = pieces.chain(std::iter::once(Bytes::copy_from_slice(&Self::tail(index))));
        reqwest::Body::wrap_stream(futures::stream::iter(pieces.map(Ok::<_, std::io::Error>)))
    }
}

/// Submits as a miner does that waits as long as it is told to; its submission, and how often it was told to.
async fn submit(address: SocketAddr, package: Arc<Large>, index: u32) -> (protocol::SubmissionId, u32) {
    let from = IpAddr::V4(Ipv4Addr::new(127, 2, (index >> 8) as u8, (index & 0xff) as u8 + 1));
    let http = Client::builder().local_address(from).build().unwrap();
    let base = format!("http://{address}");
    let view = http.get(format!("{base}/api/v1/competitions/digits")).send().await.unwrap();
    let view: CompetitionView = view.json().await.unwrap();
    let keypair = Keypair::from_seed(Digest::of(&index.to_le_bytes()).as_bytes());
    let files = package.declarations(index);
    let request = SubmissionRequest { competition: "digits".parse().unwrap(), files, invite: None, name: None };
    let body = serde_json::to_vec(&request).unwrap();
    let mut retries = 0;
    let post = async |target: &str, body: &[u8], retries: &mut u32| loop {
        let signed = sign(&keypair, view.validator, target, body);
        let mut request = http.request(Method::POST, format!("{base}{target}")).body(body.to_vec());
        for (name, value) in signed {
            request = request.header(name, value);
        }
        if let Some(response) = unless_refused(request.send().await.unwrap(), retries).await {
            return response;
        }
    };
    let created: SubmissionCreated = post("/api/v1/submissions", &body, &mut retries).await.json().await.unwrap();
    for upload in &created.uploads {
        loop {
            let body =
                if upload.path == "config.json" { package.config_json.clone().into() } else { package.body(index) };
            let sent = http.put(format!("{base}{}", upload.url)).body(body).send().await.unwrap();
            if unless_refused(sent, &mut retries).await.is_some() {
                break;
            }
        }
    }
    post(&format!("/api/v1/submissions/{}/complete", created.id), b"", &mut retries).await;
    (created.id, retries)
}

/// The answer if it is a good one; `None` after the time that a refusal asks for.
async fn unless_refused(response: Response, retries: &mut u32) -> Option<Response> {
    let status = response.status();
    if status.is_success() {
        return Some(response);
    }
    assert!([429, 503].contains(&status.as_u16()), "{status}: {}", response.text().await.unwrap());
    let seconds = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    *retries += 1;
    None
}

fn sign(keypair: &Keypair, receiver: Hotkey, target: &str, body: &[u8]) -> Vec<(&'static str, String)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let request = OutgoingRequest {
        method: "POST",
        target,
        body_sha256: Digest::of(body),
        receiver: Some(receiver),
        nonce_ns: now_ns + COUNTER.fetch_add(1, Ordering::Relaxed),
    };
    sign_request(keypair, &request)
}

async fn status(address: SocketAddr, id: &protocol::SubmissionId) -> SubmissionStatus {
    let url = format!("http://{address}/api/v1/submissions/{id}");
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

async fn tally(address: SocketAddr, ids: &[protocol::SubmissionId]) -> usize {
    let mut scored = 0;
    for id in ids {
        let status = status(address, id).await;
        scored += usize::from(status.score.is_some());
        if let Some(reason) = status.reason {
            println!("  {id}: {} {}", reason.code, reason.detail);
        }
    }
    scored
}

/// The serving process; it dies with its owner.
struct Service {
    child: Child,
    address: SocketAddr,
}

impl Service {
    fn start(home: &Home) -> Self {
        let (child, address) = start(home);
        Self { child, address }
    }

    /// The most memory that it ever had in RAM.
    fn peak_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This process needs a descriptor for each socket.
fn descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum.or(Some(65_536)), maximum }).unwrap();
}
