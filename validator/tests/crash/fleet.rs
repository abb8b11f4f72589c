//! A validator whose submissions are all measured by workers elsewhere, and which is killed again and again as they are: every
//! submission is measured, once, and nothing that was acknowledged is lost.
//!
//! ```text
//! cargo test --release -p validator --test all crash::fleet::in_full -- --ignored --nocapture
//! ```
//!
//! enters 10,000 submissions (`FLEET_SUBMISSIONS`), measured by 8 workers, with 300 kills (`FLEET_KILLS`), two of three of workers,
//! and prints what it found as JSON.

use super::audit;
use super::miners::{Failed, Miner};
use super::service::{Arena, Process};
use crate::support::Package;
use protocol::evaluation::{EvaluationRequest, Measured, Order, Truth, little_endian};
use protocol::fleet::{AnswerSheet, BUILD, ClaimRequest, Claimed, EnrolRequest, Trust, WorkerFacts, WorkerReport};
use protocol::pixels::Pixels;
use protocol::{Digest, Hotkey};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use validator::db::Db;
use validator::fleet;
use validator::scripted::scripted_evaluation;

const WORKERS: u64 = 8;
const MINERS: u64 = 6;
const COMPETITION: &str = "digits";
/// How long what a worker has is good without news of it.
const LEASE_SECONDS: u64 = 4;
/// Between two kills at most; a process lives longer than it takes to start.
const KILLED_WITHIN: Duration = Duration::from_millis(2_500);

/// A worker, by hand. It has the key that it was let in by, and what it answers is made up: it knows no label.
struct Worker {
    signer: Miner,
    facts: WorkerFacts,
}

/// Where the process listens that serves at the moment.
type Base = watch::Receiver<String>;

impl Worker {
    async fn enrolled(number: u64, arena: &Arena, base: &str) -> Self {
        let signer = Miner::new(1_000 + number, arena);
        let machine = Digest::of(&number.to_le_bytes());
        let engines = vec!["burn".parse().unwrap()];
        let facts = WorkerFacts { build: BUILD.into(), class: "x86_64-v3".into(), machine, engines };
        let db = Db::open(&arena.home.database()).await.unwrap();
        let name = format!("bench-{number}").parse().unwrap();
        let token = fleet::invite(&db, (&name, Trust::Own), validator::Clock::System.now()).await.unwrap();
        db.close().await;
        let worker = Self { signer, facts };
        let request = EnrolRequest { token, facts: worker.facts.clone() };
        worker.post(base, "/api/v1/fleet/enrol", &request).await.unwrap();
        worker
    }

    async fn post(&self, base: &str, target: &str, body: &impl serde::Serialize) -> Result<Value, Failed> {
        self.signer.ask(Method::POST, base, target, serde_json::to_vec(body).unwrap()).await
    }

    /// Measures whatever there is, until it is dropped.
    async fn work(&self, base: Base) {
        loop {
            let at = base.borrow().clone();
            match self.measure_one(&at).await {
                Ok(()) => {}
                // The process is gone, or another one has its work: what it is told then is to ask again.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    async fn measure_one(&self, base: &str) -> Result<(), Failed> {
        let asked = self.post(base, "/api/v1/fleet/claims", &ClaimRequest { facts: self.facts.clone() }).await?;
        if asked.is_null() {
            return Ok(());
        }
        let claimed: Claimed = serde_json::from_value(asked).unwrap();
        let order = self.fetch(base, &claimed).await?;
        let sheet = self.bring(base, &claimed, order).await?;
        let target = format!("/api/v1/fleet/claims/{}/report", claimed.claim);
        self.post(base, &target, &WorkerReport::Answer(Box::new(sheet))).await.map(drop)
    }

    async fn fetch(&self, base: &str, claimed: &Claimed) -> Result<Order, Failed> {
        let mut files: HashMap<Digest, Arc<[u8]>> = HashMap::new();
        let sheet = serde_json::to_value(&claimed.order).unwrap();
        let packages = ["candidate", "reference"].map(|package| &sheet[package]);
        let objects = packages.iter().flat_map(|package| package.as_object().unwrap().values());
        for object in objects.chain([&sheet["items"], &sheet["probes"]]) {
            let sha256: Digest = object["sha256"].as_str().unwrap().parse().unwrap();
            let bytes = self.signer.get(base, &format!("{}/{sha256}", claimed.files)).await?;
            assert_eq!(Digest::of(&bytes), sha256);
            files.insert(sha256, Arc::from(&*bytes));
        }
        let bytes = |sha256: &Digest| Arc::clone(&files[sha256]);
        let order = claimed.order.clone();
        let order =
            order.order::<()>(|file| Ok(bytes(&file.sha256)), |file| Ok(Pixels::from(bytes(&file.sha256)))).unwrap();
        Ok(order)
    }

    /// Answers as if every item were of the first class.
    async fn bring(&self, base: &str, claimed: &Claimed, order: Order) -> Result<AnswerSheet, Failed> {
        let items = order.inputs.pixels.bytes() / order.inputs.spec.shape().values();
        let labels = Arc::from(vec![0; usize::try_from(items).unwrap()]);
        let truth = Truth { labels, public: u32::try_from(items).unwrap(), teacher_logits: None };
        let answer = scripted_evaluation(&EvaluationRequest::new(order, truth), 900_000).unwrap();
        let report = answer.report;
        let put = async |bytes: Vec<u8>| {
            let sha256 = Digest::of(&bytes);
            let target = format!("{}/{sha256}", claimed.files);
            self.signer.ask(Method::PUT, base, &target, bytes).await.map(|_| sha256)
        };
        Ok(AnswerSheet {
            measured: Measured {
                about: report.about(),
                engine: report.engine,
                host: report.host,
                device: report.device,
                on_backend: report.on_backend,
                latency: report.latency,
                cost: report.cost,
                phases_ms: report.phases_ms,
            },
            outputs: put(little_endian(&answer.logits)).await?,
            probe_outputs: put(little_endian(&answer.probe_logits)).await?,
            latency_samples: put(answer.latency_samples).await?,
            log_ratio_nanos: answer.outcomes.values().log_ratio_nanos.clone(),
        })
    }
}

/// Lets a worker work, and kills it a number of times in all: what it has then is nobody's until its lease is over, or until it is
/// started again and asks.
async fn mortal(worker: Worker, base: Base, deaths: &AtomicU64, seed: u64) {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    loop {
        let lives = Duration::from_millis(chance.random_range(100..6_000));
        if tokio::time::timeout(lives, worker.work(base.clone())).await.is_err()
            && deaths.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
        {
            // One of four is away for longer than its lease.
            let away = if chance.random_range(0..4) == 0 { LEASE_SECONDS * 1_000 + 2_000 } else { 200 };
            tokio::time::sleep(Duration::from_millis(away)).await;
        }
    }
}

/// Enters so many packages, whoever serves.
async fn enter(mut miner: Miner, count: u64, base: Base) -> Miner {
    for _ in 0..count {
        let seed = miner.next_seed();
        miner.begin(COMPETITION, Package::random(&[8], seed));
        loop {
            let at = base.borrow().clone();
            match miner.go_on(&at).await {
                Ok(()) => break,
                Err(Failed::Gone) | Err(Failed::Refused { status: 404 | 503, .. }) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(refused) => panic!("an honest miner is refused: {refused:?}"),
            }
        }
    }
    miner
}

/// Enters submissions and kills, and says what came of it.
async fn run(submissions: u64, kills: u64, seed: u64) -> Value {
    let began = Instant::now();
    let arena = Arena::elsewhere(&format!("worker_lease_seconds = {LEASE_SECONDS}\n"));
    arena.add(COMPETITION, |toml| {
        let toml = toml.replace("submissions_per_day = 4", "submissions_per_day = 1000000");
        toml.replace("[limits]", "rounds.seconds = 0\n\n[limits]")
    });
    let (mut process, first) = arena.serve().await;
    let (moved, base) = watch::channel(first.clone());
    let deaths = Arc::new(AtomicU64::new(kills * 2 / 3));
    let workers_killed = deaths.load(Ordering::SeqCst);
    let mut working = tokio::task::JoinSet::new();
    for number in 0..WORKERS {
        let (worker, base, deaths) =
            (Worker::enrolled(number, &arena, &first).await, base.clone(), Arc::clone(&deaths));
        working.spawn(async move { mortal(worker, base, &deaths, seed << 8 | number).await });
    }
    let mut mining = tokio::task::JoinSet::new();
    for number in 1..=MINERS {
        let count = submissions / MINERS + u64::from(number <= submissions % MINERS);
        mining.spawn(enter(Miner::new(number, &arena), count, base.clone()));
    }
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut restarts = 0;
    for _ in 0..kills - workers_killed {
        tokio::time::sleep(KILLED_WITHIN.mul_f64(chance.random_range(0.2..1.0))).await;
        process.kill().await;
        (process, restarts) = served_again(&arena, &moved, restarts).await;
    }
    let mut miners = Vec::new();
    while let Some(miner) = mining.join_next().await {
        miners.push(miner.unwrap());
    }
    let at = base.borrow().clone();
    arena.until_done_within(&miners[0], &at, Duration::from_secs(3_600)).await;
    working.shutdown().await;
    let acknowledged: usize = miners.iter().flat_map(|miner| &miner.entries).filter(|entry| entry.completed).count();
    let stderr = process.stderr();
    assert!(!stderr.contains("panicked at"), "{stderr}");
    assert!(process.stop().await.success());
    arena.sweep().await;
    let audit = audit::at_rest(&arena, &miners).await;
    let (measured, lost) = counted(&arena).await;
    assert_eq!((audit.submissions, audit.scored, measured), (submissions, submissions, submissions));
    serde_json::json!({
        "submissions": submissions, "acknowledged": acknowledged, "scored": audit.scored, "measured_by_workers": measured,
        "kills": {"validator": restarts, "workers": workers_killed - deaths.load(Ordering::SeqCst)},
        "lost": 0, "twice": 0, "claims_lost": lost, "log_entries": audit.log_entries,
        "seconds": began.elapsed().as_secs(),
    })
}

/// The next process, whose address everybody learns.
async fn served_again(arena: &Arena, moved: &watch::Sender<String>, restarts: u64) -> (Process, u64) {
    let (process, base) = arena.serve().await;
    moved.send_replace(base);
    (process, restarts + 1)
}

/// How many submissions were measured by a worker, as their receipts say, each by one and scored once; and how many claims were
/// lost.
async fn counted(arena: &Arena) -> (u64, u64) {
    let (_dir, path) = arena.database_copy();
    let db = Db::open(&path).await.unwrap();
    let scored = "SELECT count(*) FROM (SELECT submission_id FROM events WHERE to_state = 'scored'
                  GROUP BY submission_id HAVING count(*) = 1)";
    let once: u64 = sqlx::query_scalar(scored).fetch_one(db.pool()).await.unwrap();
    let receipts: Vec<String> =
        sqlx::query_scalar("SELECT receipt_sha256 FROM evaluations").fetch_all(db.pool()).await.unwrap();
    let workers: Vec<Hotkey> =
        db.fleet(validator::Clock::System.now()).await.unwrap().into_iter().map(|worker| worker.key).collect();
    let mut measured = 0;
    for sha256 in receipts {
        let bytes = std::fs::read(arena.home.objects().join("sha256").join(sha256)).unwrap();
        let signed = protocol::SignedReceipt::parse(&bytes).unwrap();
        measured += u64::from(signed.receipt.subject.worker.is_some_and(|by| workers.contains(&by.key)));
    }
    assert_eq!(once, measured, "each is scored once");
    let lost = db.fleet(validator::Clock::System.now()).await.unwrap().iter().map(|worker| worker.lost).sum();
    db.close().await;
    (measured, lost)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes an hour"]
async fn in_full() {
    let wanted = |name: &str, usual| std::env::var(name).ok().and_then(|count| count.parse().ok()).unwrap_or(usual);
    println!("{}", run(wanted("FLEET_SUBMISSIONS", 10_000), wanted("FLEET_KILLS", 300), 1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_and_workers_elsewhere_that_are_killed_measure_each_submission_once() {
    let report = run(60, 12, 7).await;
    assert_eq!(report["kills"]["validator"], 4, "{report}");
}
