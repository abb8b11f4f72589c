//! A validator whose pages are worth looking at: `cargo run --release -p validator --example gallery -- fill DIR`, then
//! `… serve DIR [ADDRESS]`.
//!
//! `fill DIR [COUNT]` makes a validator's directory, publishes the repository's own competition and enters COUNT (40)
//! submissions of a dozen hotkeys over a fortnight of the clock, with three rounds, a copy, a rejection of each kind and
//! a queue. `crowd DIR [COUNT]` makes one with COUNT (1,000) small submissions, for measuring. `measure DIR`
//! prints the figures of its pages. `serve` serves either and writes the address into DIR/address. Everything goes through
//! the service's own doors; only the engine is a script.

#![expect(clippy::unwrap_used, reason = "a stage set whose setting up fails has failed")]

mod engine;
mod measure;
mod miner;
mod models;
#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../../tests/support/package.rs"]
mod package;

use miner::Miner;
use models::architecture_of_width as perceptron;
use package::Package;
use protocol::CompetitionId;
use protocol::competition::Manifest;
use protocol::round::Step;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use validator::Publisher;
use validator::db::Db;
use validator::evaluator::silent;
use validator::objects::Objects;
use validator::{App, Clock, Home};

/// Hotkeys that take part.
const MINERS: u8 = 12;
/// How long the story lasts by its own clock.
pub(crate) const STORY_SECONDS: u64 = 14 * 86_400;
/// Settings under which one machine may play everybody.
const SETTINGS: &str = "
operator_token = \"a gallery has no secrets\"

[limits]
address_requests_per_second_max = 100000
address_requests_burst_max = 100000
address_writes_per_second_max = 100000
address_writes_burst_max = 100000
hotkey_requests_per_minute_max = 100000
hotkey_requests_burst_max = 100000
signed_requests_per_second_max = 100000
hotkey_announcements_per_day_max = 100000
hotkey_pending_max = 100
pending_max = 100000
worker_poll_ms = 20
disk_reserve_bytes = 0
";

fn main() {
    // As `retort validator serve` does.
    sandbox::give_memory_back();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match words[..] {
        ["fill", dir] => runtime.block_on(fill(Path::new(dir), 40)),
        ["fill", dir, count] => runtime.block_on(fill(Path::new(dir), count.parse().unwrap())),
        ["crowd", dir] => runtime.block_on(crowd(Path::new(dir), 1_000)),
        ["crowd", dir, count] => runtime.block_on(crowd(Path::new(dir), count.parse().unwrap())),
        ["measure", dir] => runtime.block_on(measure::measure(Path::new(dir))),
        ["serve", dir] => runtime.block_on(serve(&Home::new(dir), "127.0.0.1:0")),
        ["serve", dir, address] => runtime.block_on(serve(&Home::new(dir), address)),
        _ => eprintln!("say: fill DIR [COUNT], crowd DIR [COUNT], measure DIR or serve DIR [ADDRESS]"),
    }
}

/// Serves until it is told to end.
async fn serve(home: &Home, address: &str) {
    let config = home.load(std::env::vars()).unwrap();
    let app = App::open(home, config, engine::engine(Clock::System)).await.unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    std::fs::write(home.path().join("address"), address.to_string()).unwrap();
    println!("http://{address}");
    let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    let ended = async {
        tokio::select! {
            _ = ended.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    validator::run(listener, app, ended).await.unwrap();
}

/// A validator that is being set up: it serves, by a clock that the story moves.
struct Stage {
    app: App,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<()>,
}

impl Stage {
    /// With `moves`, the engine takes time by the story's clock: then one submission at a time.
    async fn new(home: &Home, moves: bool) -> Self {
        home.init().unwrap();
        std::fs::write(home.config(), SETTINGS).unwrap();
        let config = home.load(std::iter::empty()).unwrap();
        let keys = (home.keypair().unwrap(), home.log_signer().unwrap());
        let db = Db::open(&home.database()).await.unwrap();
        let objects = Objects::open(&config.object_store_url(home).unwrap(), home.tmp()).unwrap();
        let ledger = Arc::new(chain::LocalLedger::open(&home.ledger(), keys.0.clone()).unwrap());
        let clock = Clock::fixed(Clock::System.now() - STORY_SECONDS);
        let engine = engine::engine(if moves { clock.clone() } else { Clock::System });
        let app = App::compose(config, keys, db, objects, ledger, engine, clock).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = app.clone();
        let served = tokio::spawn(async move {
            validator::run(listener, serving, async { drop(stopped.await) }).await.unwrap();
        });
        Self { app, address, stop, served }
    }

    async fn publish(&self, manifest: &Path) -> Manifest {
        Publisher::of(&self.app).publish(manifest, silent()).await.unwrap().competition.manifest
    }

    fn miners(&self) -> Vec<Miner> {
        let base = format!("http://{}", self.address);
        (1..=MINERS).map(|n| Miner::new(n, &base, self.app.hotkey, &self.app.clock)).collect()
    }

    async fn play_round(&self, competition: &CompetitionId) {
        let number = self.round(competition, |_| true).await;
        validator::rounds::close_now(&self.app.db, self.app.hotkey, competition, self.app.clock.now()).await.unwrap();
        self.round(competition, |round| round > number).await;
    }

    /// Waits for an open round.
    async fn round(&self, competition: &CompetitionId, wanted: impl Fn(u64) -> bool) -> u64 {
        loop {
            if let Some(round) = self.app.db.latest_round(competition).await.unwrap()
                && round.step == Step::Open
                && wanted(round.number)
            {
                return round.number;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn end(self) {
        drop(self.stop);
        self.served.await.unwrap();
    }
}

/// The story: forty models, three rounds, everything that can go wrong.
async fn fill(dir: &Path, count: u64) {
    let home = Home::new(dir);
    let stage = Stage::new(&home, true).await;
    let manifest = stage.publish(&fashion(dir)).await;
    let (id, miners) = (manifest.id.clone(), stage.miners());
    for n in 0..count {
        // Whoever comes often gets better.
        let miner = &miners[(n * 7 % u64::from(MINERS)) as usize];
        let package = match n {
            9 => Package::disguised(&manifest, &models::architecture(0), 1),
            17 => Package::torn(&manifest, &models::architecture(n), n + 1),
            23 => Package::new(&manifest, &perceptron(engine::INVALID), n + 1),
            _ => Package::new(&manifest, &models::architecture(n), n + 1),
        };
        let submission = miner.submit(&id, &package).await;
        let status = miner.wait(&submission).await;
        let family = status.architecture.map_or("refused", |architecture| architecture.kind());
        println!("{n:3} {submission} {} {family}", status.state);
        stage.app.clock.advance(STORY_SECONDS / (count + 3));
        // Three rounds; the last submissions wait for the next one.
        if n > 0 && n % (count / 4).max(1) == 0 && n < count * 4 / 5 {
            stage.play_round(&id).await;
            println!("a round was played");
        }
    }
    // One whose files never come, and then a queue behind a model that takes for ever.
    let lazy = Package::new(&manifest, &perceptron(33), 900);
    let never = miners[4].announce(&id, &lazy).await.id;
    stage.app.clock.advance(manifest.limits.upload_seconds_max + 1);
    miners[4].wait(&never).await;
    let slow = Package::new(&manifest, &perceptron(models::ENDLESS), 901);
    println!("endless: {}", miners[1].submit(&id, &slow).await);
    for n in 0..3_u64 {
        let package = Package::new(&manifest, &models::architecture(41 + n), 910 + n);
        println!("queued: {}", miners[n as usize + 5].submit(&id, &package).await);
    }
    println!("announced: {}", miners[9].announce(&id, &Package::new(&manifest, &perceptron(34), 920)).await.id);
    stage.end().await;
}

/// As many small models as are wanted, eight at once.
async fn crowd(dir: &Path, count: u64) {
    let home = Home::new(dir);
    let stage = Stage::new(&home, false).await;
    let manifest = stage.publish(&digits(dir)).await;
    let miners = stage.miners();
    let submissions = (0..count).map(|n| {
        let (manifest, miner) = (&manifest, &miners[(n % u64::from(MINERS)) as usize]);
        async move {
            let package = Package::new(manifest, &perceptron(4 + (n % 40) as u32), n + 1);
            let id = miner.submit(&manifest.id, &package).await;
            miner.wait(&id).await;
        }
    });
    let mut done = 0;
    let mut submissions = futures::StreamExt::buffer_unordered(futures::stream::iter(submissions), 8);
    while futures::StreamExt::next(&mut submissions).await.is_some() {
        done += 1;
        if done % 100 == 0 {
            println!("{done} of {count} are scored");
        }
    }
    stage.play_round(&manifest.id).await;
    stage.end().await;
}

/// The repository's competition, with rounds that close by command.
fn fashion(dir: &Path) -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(repository.join("competitions/fashion-mnist/competition.toml")).unwrap();
    let text = text
        .replace("../../", &format!("{}/", repository.display()))
        .replace("evaluation_seconds_max = 300", "evaluation_seconds_max = 3600")
        .replace("[rounds]", "[rounds]\nseconds = 0");
    write(dir, "fashion.toml", &text)
}

/// A competition for tiny models.
fn digits(dir: &Path) -> PathBuf {
    let text = r#"
format = "retort-competition/1"
id = "digits"
title = "Digits: a thousand tiny models"
description = "Handwritten digits in 8 x 8 pixels. As many models as a board can bear."
task = "image_classification"
labels = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
input = { channels = 1, height = 8, width = 8, mean_ppm = [300000], deviation_ppm = [350000] }
data = { source = "digits", public_items = 390, hidden_items = 400 }
rounds = { seconds = 0, beacon = "ledger" }
teacher = { package = "teacher" }
reference = { package = "reference" }
teacher_distance = "none"

[limits]
size_bytes_max = 200000
parameters_max = 20000
macs_max = 20000
activation_bytes_max = 20000
submissions_per_day = 10000
"#;
    let manifest = Manifest::from_toml(text).unwrap();
    Package::new(&manifest, &perceptron(200), 7_001).write(&dir.join("teacher"));
    Package::new(&manifest, &perceptron(16), 7_002).write(&dir.join("reference"));
    write(dir, "digits.toml", text)
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    std::fs::write(dir.join(name), text).unwrap();
    dir.join(name)
}
