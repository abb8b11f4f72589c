//! Three days in an hour: thousands of submissions while children are killed at random, and what grows meanwhile.
//!
//! ```text
//! SOAK_SUBMISSIONS=20000 SOAK_FILE=soak.jsonl \
//!   cargo test --release -p validator --test all crash::soak::in_full -- --ignored --nocapture
//! ```
//!
//! prints, and writes to `SOAK_FILE`, one line of JSON per thousand submissions: resident memory, open files, the age of
//! the longest waiting job. Submissions are spread over competitions of a hundred, since each is compared with all others
//! of its competition.

use super::audit;
use super::miners::{Failed, Miner};
use super::service::{Arena, Metrics, Process};
use crate::support::Package;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::VecDeque;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Miners at once.
const MINERS: usize = 4;
/// Submissions of a competition.
const COMPETITION_SIZE: u64 = 100;
/// Miners wait while so many submissions do.
const WAITING_MAX: u64 = 60;
/// Between two kills of a child, on average.
const KILL_EVERY: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(120);

/// What was looked at at one moment.
#[derive(Clone, Copy, Debug, serde::Serialize)]
struct Sample {
    seconds: u64,
    submissions: u64,
    scored: u64,
    resident_kib: u64,
    open_files: u64,
    queue_age_seconds_max: u64,
    children_killed: u64,
}

struct Soak {
    arena: Arena,
    base: String,
    total: u64,
    /// The next submission's number; every miner takes one.
    next: AtomicU64,
    done: AtomicU64,
    killed: AtomicU64,
    began: Instant,
}

impl Soak {
    /// Submits one package after the other; none is kept, so that this process doesn't grow either.
    async fn mine(&self, miner: &mut Miner) {
        loop {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            if number >= self.total {
                return;
            }
            let width = [8, 9, 10, 11, 12][(number % 5) as usize];
            miner.entries.clear();
            miner.begin(&format!("digits-{}", number / COMPETITION_SIZE), Package::random(&[width], number + 1));
            let began = Instant::now();
            while let Err(failed) = miner.go_on(&self.base).await {
                // Not published yet, or too busy.
                let patient = matches!(failed, Failed::Refused { status: 404 | 503, .. });
                assert!(patient && began.elapsed() < 10 * PATIENCE, "{number}: {failed:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            self.done.fetch_add(1, Ordering::SeqCst);
            // Looking costs, so not everybody looks each time.
            while number.is_multiple_of(5) && Metrics::of(miner, &self.base).await.open() > WAITING_MAX {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Kills one of the service's children now and then. They live for milliseconds, so each is waited for.
    async fn kill_children(&self, server: u32) {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        loop {
            tokio::time::sleep(random.random_range(Duration::ZERO..2 * KILL_EVERY)).await;
            let child = loop {
                match child_of(server) {
                    Some(child) => break child,
                    None => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            };
            self.killed.fetch_add(u64::from(kill_process(child, Signal::KILL).is_ok()), Ordering::SeqCst);
        }
    }

    /// Looks every half second; writes a line whenever another thousand is done.
    async fn watch(&self, process: &Process, samples: &Mutex<Vec<Sample>>, every: u64) {
        let (miner, mut age_max, mut next) = (Miner::new(1_000, &self.arena), 0, 0);
        let mut file = std::env::var("SOAK_FILE").ok().map(|path| std::fs::File::create(path).unwrap());
        loop {
            let metrics = Metrics::of(&miner, &self.base).await;
            age_max = age_max.max(metrics.value("retort_queue_age_seconds"));
            if metrics.state("scored") >= next {
                next += every;
                let sample = self.sample(process, &metrics, age_max);
                let line = serde_json::to_string(&sample).unwrap();
                println!("{line}");
                if let Some(file) = &mut file {
                    writeln!(file, "{line}").unwrap();
                }
                samples.lock().unwrap().push(sample);
                age_max = 0;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn sample(&self, process: &Process, metrics: &Metrics, queue_age_seconds_max: u64) -> Sample {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        Sample {
            seconds: self.began.elapsed().as_secs(),
            submissions: self.done.load(Ordering::SeqCst),
            scored: metrics.state("scored"),
            resident_kib: resident.trim().trim_end_matches(" kB").parse().unwrap(),
            open_files: std::fs::read_dir(format!("/proc/{}/fd", process.pid())).unwrap().count() as u64,
            queue_age_seconds_max,
            children_killed: self.killed.load(Ordering::SeqCst),
        }
    }
}

/// A child of this process, if it has one.
fn child_of(parent: u32) -> Option<Pid> {
    let threads = std::fs::read_dir(format!("/proc/{parent}/task")).ok()?.flatten();
    let children = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    children.flat_map(|pids| pids.split(' ').find_map(|pid| pid.parse().ok())).find_map(Pid::from_raw)
}

/// Least squares: KiB of resident memory for each thousand submissions.
fn slope_kib_per_thousand(samples: &[Sample]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: fn(&Sample) -> u64| samples.iter().map(|sample| of(sample) as f64).sum::<f64>() / count;
    let (x, y) = (mean(|sample| sample.scored), mean(|sample| sample.resident_kib));
    let (mut xy, mut xx) = (0.0, 0.0);
    for sample in samples {
        xy += (sample.scored as f64 - x) * (sample.resident_kib as f64 - y);
        xx += (sample.scored as f64 - x).powi(2);
    }
    if xx == 0.0 { 0.0 } else { xy / xx * 1_000.0 }
}

async fn soak(total: u64, every: u64) -> Vec<Sample> {
    let arena = Arena::new("");
    for number in 0..total.div_ceil(COMPETITION_SIZE) {
        arena.add(&format!("digits-{number}"), |toml| {
            let toml = toml.replace("submissions_per_day = 4", "submissions_per_day = 1000000");
            toml.replace("[limits]", "rounds.seconds = 0\n\n[limits]")
        });
    }
    let (process, base) = arena.serve().await;
    let (next, done, killed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let soak = Soak { arena, base, total, next, done, killed, began: Instant::now() };
    let mut miners: VecDeque<Miner> = (1..=MINERS as u64).map(|number| Miner::new(number, &soak.arena)).collect();
    let samples = Mutex::new(Vec::new());
    let work = async {
        futures::future::join_all(miners.iter_mut().map(|miner| soak.mine(miner))).await;
    };
    tokio::select! {
        () = work => {}
        () = soak.kill_children(process.pid()) => {}
        () = soak.watch(&process, &samples, every) => {}
    }
    soak.arena.until_done(&miners[0], &soak.base).await;
    let metrics = Metrics::of(&miners[0], &soak.base).await;
    samples.lock().unwrap().push(soak.sample(&process, &metrics, metrics.value("retort_queue_age_seconds")));
    assert_eq!(metrics.state("scored"), total, "every submission ends with a score");
    assert!(process.stop().await.success());
    soak.arena.sweep().await;
    miners.iter_mut().for_each(|miner| miner.entries.clear());
    let audit = audit::at_rest(&soak.arena, miners.make_contiguous()).await;
    assert_eq!((audit.submissions, audit.scored), (total, total));
    samples.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes an hour"]
async fn in_full() {
    let total = std::env::var("SOAK_SUBMISSIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let samples = soak(total, (total / 20).max(1)).await;
    // The first tenth fills caches.
    let settled = &samples[samples.len() / 10..];
    let (slope, files) = (slope_kib_per_thousand(settled), settled.iter().map(|sample| sample.open_files));
    let (fewest, most) = (files.clone().min().unwrap(), files.max().unwrap());
    let age = samples.iter().map(|sample| sample.queue_age_seconds_max).max().unwrap();
    let last = samples.last().unwrap();
    println!(
        "{}",
        serde_json::json!({
            "submissions": total, "scored": last.scored, "seconds": last.seconds, "children_killed": last.children_killed,
            "resident_kib_per_1000": slope, "open_files": [fewest, most], "queue_age_seconds_max": age,
        })
    );
    assert!(slope <= 1_024.0, "memory grows by {slope} KiB per 1,000 submissions");
    assert!(most <= fewest + 32, "open files grow from {fewest} to {most}");
    assert!(age <= 120, "a job waited for {age} s");
}

#[tokio::test]
async fn children_that_are_killed_cost_no_submission() {
    let samples = soak(40, 20).await;
    let last = samples.last().unwrap();
    assert_eq!(last.scored, 40);
    assert!(last.children_killed > 0, "none was killed, so nothing is known");
}
