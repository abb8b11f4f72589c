//! What the service holds, measured on the real binary: `cargo bench -p retort --bench service [-- uploads|board]`.
//!
//! `uploads`: 64 miners submit 50 MB each at the same moment; printed are the errors, the validator's peak memory and how
//! long `/healthz` took meanwhile. `board`: a board of a thousand scored rows is asked for again and again while the
//! validator has one core. The clients run in this process and share the machine with what they measure.

#![expect(clippy::unwrap_used, reason = "a measurement whose setting up fails has failed")]

#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../tests/support.rs"]
mod support;

use miner_template::client::{Announcing, Client};
use miner_template::files::PackageFiles;
use models::Weights;
use protocol::auth::Keypair;
use protocol::outcomes::{OutcomeValues, Outcomes};
use protocol::package::{Format, ModelKind, PackageConfig};
use protocol::significance::{Basis, Part, Replicates};
use protocol::submission::State;
use protocol::{CompetitionId, Digest, Report, SubmissionId};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::{Service, manifest, repository, retort};
use validator::db::{Db, evaluations, replicates, submissions};

const MINERS: u8 = 64;
const ROWS: u32 = 1_000;
/// Different models among those rows.
const LEVELS: u32 = 40;
const BOARD_CLIENTS: u32 = 8;
const BOARD_REQUESTS: u32 = 20_000;
const BOARD: &str = "/api/v1/competitions/fashion-mnist/leaderboard";

fn main() {
    // Cargo adds `--bench`; a test run (`cargo test --benches`) must not take minutes.
    let words: Vec<String> = std::env::args().skip(1).collect();
    if !words.iter().any(|word| word == "--bench") {
        return;
    }
    let asked = |name: &str| words.iter().all(|word| word.starts_with('-')) || words.iter().any(|word| word == name);
    if asked("uploads") {
        uploads();
    }
    if asked("board") {
        board();
    }
}

/// All clients have the address of this machine, for which a validator has limits.
fn from_one_address(mut command: Command) -> Command {
    for limit in
        ["CONNECTIONS_PER_ADDRESS", "ADDRESS_REQUESTS_PER_SECOND", "ADDRESS_REQUESTS_BURST", "ADDRESS_WRITES_BURST"]
    {
        command.env(format!("RETORT_LIMITS_{limit}_MAX"), "1000000");
    }
    command
}

/// 64 uploads at once.
fn uploads() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start_as(from_one_address(retort()), &published(dir.path()));
    let memory_before = peak_memory_mib(service.child.id());
    let began = Instant::now();
    let done = AtomicBool::new(false);
    let (sent, mut pings) = thread::scope(|scope| {
        let pings = scope.spawn(|| {
            let mut connection = Connection::open(&service.address);
            let mut pings = Vec::new();
            while !done.load(Ordering::Relaxed) {
                pings.push(connection.get("/healthz").0);
                thread::sleep(Duration::from_millis(5));
            }
            pings
        });
        let address = service.address.as_str();
        let miners: Vec<_> = (1..=MINERS).map(|seed| scope.spawn(move || submit(address, seed))).collect();
        let sent: Vec<Result<usize, String>> = miners.into_iter().map(|miner| miner.join().unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        (sent, pings.join().unwrap())
    });
    let seconds = began.elapsed().as_secs_f64();
    let bytes: usize = sent.iter().flatten().sum();
    println!("uploads: {} of {MINERS} submissions of 50 MB went in", sent.iter().flatten().count());
    println!("  {:.0} MB in {seconds:.1} s, the clients' making of the weights included", bytes as f64 / 1e6);
    sent.iter().filter_map(|sent| sent.as_ref().err()).for_each(|error| println!("  error: {error}"));
    println!("  validator's peak memory: {} MiB ({memory_before} MiB before)", peak_memory_mib(service.child.id()));
    println!("  /healthz meanwhile: {}", quantiles(&mut pings));
}

/// Submits a perceptron of 12.4 million parameters; the bytes of its weights, or what went wrong.
fn submit(address: &str, seed: u8) -> Result<usize, String> {
    let mut config: serde_json::Value =
        serde_json::from_slice(&fs::read(repository("models/fixtures/mlp/config.json")).unwrap()).unwrap();
    config["architecture"] = serde_json::json!({"kind": "mlp", "hidden": [3600, 2660]});
    let config_json = config.to_string().into_bytes();
    let plan = PackageConfig::from_json(&config_json).unwrap().plan().unwrap();
    let weights = Weights::random(&plan, &mut SmallRng::seed_from_u64(u64::from(seed))).to_safetensors().unwrap();
    let package = PackageFiles { format: Format::Catalogue, config_json, weights, readme: None, expected: None };
    let hotkey = Keypair::from_seed(&[seed; 32]);
    let sent = Client::new(address).submit(&competition(), &package, &Announcing::default(), &hotkey, &|_| {});
    sent.map(|_| package.weights.len()).map_err(|error| error.to_string())
}

/// A thousand rows, on one core.
fn board() {
    let dir = tempfile::tempdir().unwrap();
    let home = published(dir.path());
    tokio::runtime::Runtime::new().unwrap().block_on(fill_board(&home.join("data.sqlite")));
    let mut pinned = from_one_address(Command::new("taskset"));
    pinned.args(["--cpu-list", "0"]).arg(retort().get_program());
    let service = Service::start_as(pinned, &home);
    let (first, size) = Connection::open(&service.address).get(BOARD);
    let began = Instant::now();
    let mut latencies: Vec<Duration> = thread::scope(|scope| {
        let client = || {
            let mut connection = Connection::open(&service.address);
            (0..BOARD_REQUESTS / BOARD_CLIENTS).map(|_| connection.get(BOARD).0).collect::<Vec<_>>()
        };
        let clients: Vec<_> = (0..BOARD_CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let rate = f64::from(BOARD_REQUESTS) / began.elapsed().as_secs_f64();
    println!("board: {ROWS} rows, {size} bytes, {BOARD_CLIENTS} connections, validator on one core");
    println!("  ranked anew from kept replicates, rank groups and all, in {} ms", first.as_millis());
    println!("  {rate:.0} requests/s, {}", quantiles(&mut latencies));
}

/// Writes a thousand scored submissions, as evaluations would.
async fn fill_board(database: &Path) {
    let db = Db::open(database).await.unwrap();
    let stored = db.competition(&competition()).await.unwrap().unwrap();
    let reference = db.models(&competition()).await.unwrap().remove(1).report;
    let teacher = &stored.competition.teacher;
    let ceiling = teacher.ceiling();
    let config = &stored.competition.reference.config;
    let costs = config.plan().unwrap().costs().unwrap();
    let rules = &stored.competition.manifest.score;
    let round = Basis { part: Part::Public, seed: stored.sha256, ceiling, rules };
    let levels: Vec<Replicates> = (0..LEVELS).map(|level| resampled(&reference, level, &round)).collect();
    let mut tx = db.write().await.unwrap();
    for row in 0..ROWS {
        let level = row % LEVELS;
        let report = reference_with(&reference, level);
        let digest = Digest::of(&row.to_le_bytes());
        let submission = submissions::Submission {
            arrival: 0,
            id: SubmissionId::new(u64::from(row), 0),
            competition: competition(),
            hotkey: Keypair::from_seed(digest.as_bytes()).hotkey(),
            name: None,
            origin: Default::default(),
            package_sha256: digest,
            state: State::Scored,
            created_at: 0,
            changed_at: 0,
            upload_until: 0,
            first_byte_until: None,
            attempt: 0,
            failures: 0,
            reason: None,
            architecture: None,
            costs: None,
        };
        submissions::insert(&mut tx, &submission, &[]).await.unwrap();
        let kind = ModelKind::Catalogue(config.architecture.clone());
        submissions::set_admitted(&mut tx, &submission.id, &kind, &costs).await.unwrap();
        let evaluation = evaluations::StoredEvaluation {
            submission: submission.id,
            competition: competition(),
            score: protocol::score::score(&report, ceiling, &stored.competition.manifest.score),
            report,
            report_sha256: digest,
            logits_sha256: digest,
            outcomes_sha256: digest,
            probe_logits_sha256: digest,
            receipt_sha256: digest,
            duration_ms: 1,
            evaluated_at: 0,
            worker: None,
        };
        evaluations::insert(&mut tx, &evaluation).await.unwrap();
        replicates::put(&mut tx, &evaluation.submission, &levels[level as usize]).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// The reference with three right answers fewer a level.
fn reference_with(reference: &Report, level: u32) -> Report {
    let mut report = reference.clone();
    report.quality.correct -= 3 * level;
    report.quality.public_correct = report.quality.correct;
    report
}

/// What resampling makes of such a model.
fn resampled(reference: &Report, level: u32, round: &Basis<'_>) -> Replicates {
    let report = reference_with(reference, level);
    let items = report.data.items;
    let wrong = items - report.quality.correct;
    let ratio = report.latency.ratio.value_ppm as f64 / 1e6;
    let outcomes = Outcomes::new(OutcomeValues {
        images_sha256: report.data.images_sha256,
        size_bytes: report.cost.size_bytes,
        public_items: items,
        right: (0..items).map(|item| item * 7_919 % items >= wrong).collect(),
        js_micronats: vec![report.fidelity.js_micronats as u32; items as usize],
        log_ratio_nanos: vec![(ratio.ln() * 1e9) as i64; 15],
    });
    Replicates::draw(&outcomes.unwrap(), round).unwrap()
}

/// A validator's directory with a published competition that takes packages of 50 MB.
fn published(dir: &Path) -> PathBuf {
    let home = dir.join("validator");
    assert!(retort().args(["validator", "init", "--dir"]).arg(&home).status().unwrap().success());
    let manifest = manifest(dir);
    let text = fs::read_to_string(&manifest).unwrap();
    let limits = ["size_bytes_max = 2000000", "parameters_max = 469000", "macs_max = 15500000"];
    let text = text.replacen("title =", "teacher_distance = \"none\"\ntitle =", 1);
    let text = limits.iter().fold(text, |text, limit| text.replacen(limit, &format!("{limit}00"), 1));
    fs::write(&manifest, text).unwrap();
    let mut publish = retort();
    publish.args(["validator", "publish"]).arg(&manifest).arg("--dir").arg(&home);
    assert!(publish.status().unwrap().success());
    home
}

fn competition() -> CompetitionId {
    "fashion-mnist".parse().unwrap()
}

/// The most memory that a process ever had in RAM.
fn peak_memory_mib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

/// A kept-alive connection that costs the machine next to nothing.
struct Connection {
    reader: BufReader<TcpStream>,
    body: Vec<u8>,
}

impl Connection {
    fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { reader: BufReader::with_capacity(1 << 18, stream), body: Vec::new() }
    }

    /// How long the whole answer took, and the bytes of its body.
    fn get(&mut self, path: &str) -> (Duration, usize) {
        let began = Instant::now();
        let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
        self.reader.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut line, mut length) = (String::new(), 0);
        self.reader.read_line(&mut line).unwrap();
        assert!(line.contains(" 200 "), "{line}");
        while line != "\r\n" {
            line.clear();
            self.reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        self.body.resize(length, 0);
        self.reader.read_exact(&mut self.body).unwrap();
        (began.elapsed(), length)
    }
}

fn quantiles(latencies: &mut [Duration]) -> String {
    latencies.sort_unstable();
    let at = |ppm: usize| latencies[(latencies.len() * ppm / 1_000_000).min(latencies.len() - 1)].as_secs_f64() * 1e3;
    format!(
        "p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms ({} requests)",
        at(500_000),
        at(990_000),
        at(1_000_000),
        latencies.len()
    )
}
