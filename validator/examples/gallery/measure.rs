//! The figures of the pages: how large, how quick, how many a second on one core; and how many may listen.
//!
//! The service runs in a process of its own on core 0, the clients on core 1 (`taskset`). It knows addresses and bytes.

use crate::miner::Miner;
use crate::models;
use crate::package::Package;
use futures::StreamExt;
use protocol::api::CompetitionView;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use validator::Clock;

/// Requests whose first byte is timed.
const REQUESTS: usize = 3_000;
/// How long pages are asked for as fast as they come.
const FLOOD: Duration = Duration::from_secs(10);
/// Connections that ask.
const ASKING: usize = 4;
/// What a score leads to is done after so long.
const SETTLING: Duration = Duration::from_secs(5);
/// Clients that listen.
const LISTENERS: u32 = 1_000;
/// Those of one address: fewer than it may have.
const LISTENERS_PER_ADDRESS: u32 = 25;

/// Measures the validator in `dir`.
pub(crate) async fn measure(dir: &Path) {
    let service = Service::start(dir).await;
    let view: Vec<CompetitionView> = service.get_json("/api/v1/competitions").await;
    let view = &view[0];
    let board = format!("/competitions/{}", view.competition.manifest.id);
    let mut client = Client::open(service.address).await;
    client.get(&board).await;
    println!("memory of the service once a board is kept: {} MiB", service.resident_kib() >> 10);
    for query in ["", "?sort=latency", "?page=5"] {
        let bytes = client.get(&format!("{board}{query}")).await.1;
        println!("{board}{query}: {:.1} kB compressed", bytes as f64 / 1e3);
    }
    quickness(&mut client, &board).await;
    flood(service.address, &board).await;
    listeners(&service, view).await;
}

/// The time to the first byte of a kept page, one after the other.
async fn quickness(client: &mut Client, board: &str) {
    let mut times = Vec::new();
    for _ in 0..REQUESTS {
        times.push(client.get(board).await.0);
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("first byte of {REQUESTS}: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms", at(0.5), at(0.99), at(1.0));
}

/// Pages a second of the one core that the service has.
async fn flood(address: SocketAddr, board: &str) {
    let began = Instant::now();
    let asking = (0..ASKING).map(|_| async {
        let (mut client, mut pages) = (Client::open(address).await, 0_u32);
        while began.elapsed() < FLOOD {
            client.get(board).await;
            pages += 1;
        }
        pages
    });
    let pages: u32 = futures::future::join_all(asking).await.into_iter().sum();
    println!("{:.0} pages a second on one core", f64::from(pages) / began.elapsed().as_secs_f64());
}

/// What a thousand streams take, and when all of them have heard of a score.
async fn listeners(service: &Service, view: &CompetitionView) {
    // A score that nobody hears, so that what follows is the listeners' doing.
    let manifest = &view.competition.manifest;
    let miner = Miner::new(77, &format!("http://{}", service.address), view.validator, &Clock::System);
    let enter = async || {
        // Packages that no earlier run entered.
        let seed = Clock::System.now_ns();
        let package = Package::new(manifest, &models::architecture_of_width(23), seed);
        let id = miner.submit(&manifest.id, &package).await;
        miner.wait(&id).await;
    };
    println!("memory before a score: {} MiB", service.resident_kib() >> 10);
    enter().await;
    tokio::time::sleep(SETTLING).await;
    let before = service.resident_kib();
    println!("memory after a score that nobody heard: {} MiB", before >> 10);
    let mut streams = Vec::new();
    for index in 0..LISTENERS {
        let host = index / LISTENERS_PER_ADDRESS;
        let from = IpAddr::V4(Ipv4Addr::new(127, 5, (host >> 8) as u8, (host & 0xff) as u8 + 1));
        let http = reqwest::Client::builder().local_address(from).build().unwrap();
        let request = http.get(format!("http://{}/api/v1/events", service.address));
        let answer = request.header("accept", "text/event-stream").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut stream = answer.bytes_stream();
        let hello = stream.next().await.unwrap().unwrap();
        assert!(hello.starts_with(b"retry:"));
        streams.push((http, stream));
    }
    let after = service.resident_kib();
    println!(
        "{LISTENERS} listeners: {} MiB in all, {:.1} KiB each",
        after >> 10,
        (after as f64 - before as f64) / f64::from(LISTENERS)
    );
    let heard: Vec<_> = streams
        .into_iter()
        .map(|(http, mut stream)| {
            tokio::spawn(async move {
                let _http = http;
                loop {
                    let words = stream.next().await.unwrap().unwrap();
                    if words.windows(17).any(|part| part == b"\"state\":\"scored\",") {
                        return Instant::now();
                    }
                }
            })
        })
        .collect();
    enter().await;
    let scored = Instant::now();
    let mut late = Vec::new();
    for task in heard {
        let heard = tokio::time::timeout(Duration::from_secs(20), task).await.unwrap().unwrap();
        late.push(heard.saturating_duration_since(scored));
    }
    late.sort_unstable();
    let last = late.last().unwrap().as_secs_f64() * 1e3;
    println!(
        "all of them heard of a score within {last:.0} ms of it; memory then {} MiB",
        service.resident_kib() >> 10
    );
}

/// A connection that is kept alive.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: vec![0; 1 << 20] }
    }

    /// The time to the first byte of the answer, and the bytes of its body as they came.
    async fn get(&mut self, target: &str) -> (Duration, usize) {
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\n\r\n");
        let began = Instant::now();
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let mut filled = self.stream.read(&mut self.buffer).await.unwrap();
        let first = began.elapsed();
        let (head, length) = loop {
            let text = &self.buffer[..filled];
            if let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = std::str::from_utf8(&text[..end]).unwrap().to_lowercase();
                assert!(head.starts_with("http/1.1 200"), "{head}");
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                break (end + 4, length.parse::<usize>().unwrap());
            }
            filled += self.stream.read(&mut self.buffer[filled..]).await.unwrap();
        };
        while filled < head + length {
            filled += self.stream.read(&mut self.buffer[filled..]).await.unwrap();
        }
        (first, length)
    }
}

/// The serving process; it ends with its owner.
struct Service {
    child: Child,
    address: SocketAddr,
}

impl Service {
    async fn start(dir: &Path) -> Self {
        let file = dir.join("address");
        let _ = std::fs::remove_file(&file);
        let program = std::env::current_exe().unwrap();
        let mut service = Command::new("taskset");
        service.args(["-c", "0"]).arg(program).arg("serve").arg(dir).stdout(Stdio::null());
        let child = service.spawn().unwrap();
        let pinned = Command::new("taskset").args(["-a", "-c", "-p", "1", &std::process::id().to_string()]).output();
        assert!(pinned.unwrap().status.success());
        loop {
            match std::fs::read_to_string(&file).ok().and_then(|text| text.parse().ok()) {
                Some(address) => return Self { child, address },
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    async fn get_json<T: serde::de::DeserializeOwned>(&self, target: &str) -> T {
        reqwest::get(format!("http://{}{target}", self.address)).await.unwrap().json().await.unwrap()
    }

    /// Memory in RAM.
    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
