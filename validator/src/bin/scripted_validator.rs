//! A validator for tests that kill it: the real service on a real directory, with a scripted engine behind its door.
//!
//! Database, object store, ledger, log and HTTP are what `retort validator serve` has. Each evaluation starts a child
//! process, as the engine does, that dies with its parent; the report that follows is made up from the package. Points
//! (`validator::failpoints`) are live. It is built with the feature `failpoints` only and never shipped.
//!
//! ```text
//! scripted-validator serve DIR     serves DIR, publishes DIR/competitions/*/competition.toml, prints its address
//! scripted-validator work DIR      evaluates what the above hands out
//! scripted-validator reward DIR ID ROUND   announces other rewards
//! scripted-validator disqualify DIR ID     takes a submission out
//! scripted-validator close DIR ID          lets the round of a competition close now
//! scripted-validator sweep DIR     removes every orphan, however young; nothing else may run
//! ```
//!
//! What a package does is in the width of its first layer: 5 fails through our fault the first time, 6 is measured on an
//! unstable host the first time, 7 has invalid outputs; all others are scored. `SCRIPTED_MS` is how long the child lives.

use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::architecture::Architecture;
use protocol::auth::Hotkey;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest};
use protocol::package::PackageConfig;
use protocol::report::{Estimate, LatencyCheck};
use protocol::reward::PolicyChange;
use protocol::submission::Code;
use protocol::{CompetitionId, Digest};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use validator::Publisher;
use validator::db::Db;
use validator::evaluator::silent;
use validator::scripted::scripted_evaluation;
use validator::{App, Config, Evaluator, Home, ScriptedEvaluator, failpoints, sweep};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The width of a first layer that makes the engine fail the first time.
const FAILS_FIRST: u32 = 5;
/// That makes the host unstable the first time.
const UNSTABLE_FIRST: u32 = 6;
/// That makes outputs invalid.
const INVALID: u32 = 7;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripted-validator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Outcome<()> {
    // Whoever started us is gone, so is our work: no test leaves a process behind.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if let ["child", _, parent, lives_ms] = arguments {
        return child(parent, lives_ms);
    }
    #[cfg(feature = "otel")]
    let traces = traced(arguments)?;
    #[cfg(not(feature = "otel"))]
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let _armed = failpoints::arm();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(command(arguments));
    #[cfg(feature = "otel")]
    traces.end();
    outcome
}

/// Logs, and exports spans where the settings say; only who serves has settings.
#[cfg(feature = "otel")]
fn traced(arguments: &[&str]) -> Outcome<validator::telemetry::Traces> {
    use tracing_subscriber::{EnvFilter, Layer, fmt};
    let config = match arguments {
        ["serve", dir] => settings(&Home::new(dir))?,
        _ => Config::default(),
    };
    let lines = fmt::layer().with_writer(std::io::stderr).boxed();
    Ok(validator::telemetry::start(&config, EnvFilter::from_default_env(), lines)?)
}

async fn command(arguments: &[&str]) -> Outcome<()> {
    match arguments {
        ["serve", dir] => serve(&Home::new(dir)).await,
        ["work", dir] => {
            let home = Home::new(dir);
            let app = App::open_worker(&home, settings(&home)?, evaluator(&home)).await?;
            Ok(validator::work(app, terminated()).await?)
        }
        ["reward", dir, competition, round] => reward(&Home::new(dir), competition, round).await,
        ["disqualify", dir, submission] => disqualify(&Home::new(dir), submission).await,
        ["close", dir, competition] => close(&Home::new(dir), competition).await,
        ["sweep", dir] => {
            let home = Home::new(dir);
            let app = App::open(&home, settings(&home)?, evaluator(&home)).await?;
            println!("{:?}", sweep::orphans(&app.db, &app.objects, Duration::ZERO).await?);
            app.db.close().await;
            Ok(())
        }
        _ => Err("say: serve DIR, work DIR, reward DIR ID ROUND, disqualify DIR ID, close DIR ID, or sweep DIR".into()),
    }
}

fn settings(home: &Home) -> Outcome<Config> {
    Ok(home.load(std::env::vars().filter(|(name, _)| name.starts_with("RETORT_")))?)
}

async fn serve(home: &Home) -> Outcome<()> {
    let terminated = terminated();
    let app = App::open(home, settings(home)?, evaluator(home)).await?;
    let listener = TcpListener::bind(app.config.listen).await?;
    println!("{}", listener.local_addr()?);
    let publishing = tokio::spawn(publish_all(app.clone(), home.path().join("competitions")));
    validator::run(listener, app, terminated).await?;
    publishing.abort();
    Ok(())
}

/// Listens from now on, not from when it is waited for: whoever reads the address may send the signal at once.
fn terminated() -> impl Future<Output = ()> {
    let listening = signal(SignalKind::terminate());
    async {
        match listening {
            Ok(mut terminated) => drop(terminated.recv().await),
            Err(_) => std::future::pending().await,
        }
    }
}

/// Publishes every competition in the folder; what is published stays as it is.
async fn publish_all(app: App, folder: PathBuf) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut manifests: Vec<PathBuf> = entries.flatten().map(|entry| entry.path().join("competition.toml")).collect();
    manifests.sort();
    for manifest in manifests {
        while let Err(error) = Publisher::of(&app).publish(&manifest, silent()).await {
            eprintln!("can't publish {}: {error}", manifest.display());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

async fn reward(home: &Home, competition: &str, round: &str) -> Outcome<()> {
    let (db, competition) = (Db::open(&home.database()).await?, competition.parse::<CompetitionId>()?);
    let stored = db.competition(&competition).await?.ok_or("no such competition")?;
    let (from_round, reward) = (round.parse()?, stored.competition.manifest.reward);
    let hotkey: Hotkey = home.keypair()?.hotkey();
    validator::rounds::announce_reward(&db, hotkey, &competition, PolicyChange { from_round, reward }, 1).await?;
    db.close().await;
    Ok(())
}

async fn disqualify(home: &Home, submission: &str) -> Outcome<()> {
    let (db, reason) = (Db::open(&home.database()).await?, "for the test".parse()?);
    validator::administration::disqualify(&db, home.keypair()?.hotkey(), &submission.parse()?, reason, 1).await?;
    db.close().await;
    Ok(())
}

async fn close(home: &Home, competition: &str) -> Outcome<()> {
    let db = Db::open(&home.database()).await?;
    let hotkey = home.keypair()?.hotkey();
    validator::rounds::close_now(&db, hotkey, &competition.parse()?, validator::Clock::System.now()).await?;
    db.close().await;
    Ok(())
}

/// What an evaluation leaves running: a process that sleeps, and dies with its parent.
fn child(parent: &str, lives_ms: &str) -> Outcome<()> {
    // The parent may have died before we asked to die with it.
    if getppid().map(|parent| parent.as_raw_nonzero().get()) != Some(parent.parse()?) {
        return Err("the parent is gone".into());
    }
    std::thread::sleep(Duration::from_millis(lives_ms.parse()?));
    Ok(())
}

fn evaluator(home: &Home) -> Arc<dyn Evaluator> {
    let lives_ms = std::env::var("SCRIPTED_MS").unwrap_or_else(|_| "5".into());
    let (home, seen) = (home.path().to_owned(), Arc::new(Mutex::new(BTreeSet::new())));
    Arc::new(ScriptedEvaluator::new(Arc::new(move |request| {
        let (home, lives_ms, seen) = (home.clone(), lives_ms.clone(), Arc::clone(&seen));
        let evaluated: BoxFuture<'static, _> = async move {
            work_in_a_child(&home, &lives_ms).await.map_err(|error| ours(error.as_ref()))?;
            answer(&request, &seen)
        }
        .boxed();
        evaluated
    })))
}

fn ours(error: &(dyn Error + Send + Sync)) -> EvaluationFailure {
    EvaluationFailure::Infrastructure(error.to_string())
}

/// Its command line names the directory, so that whoever looks for orphans finds it.
async fn work_in_a_child(home: &Path, lives_ms: &str) -> Outcome<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("child")
        .arg(home)
        .arg(getpid().as_raw_nonzero().to_string())
        .arg(lives_ms)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env_clear()
        .kill_on_drop(true)
        .spawn()?;
    let status = child.wait().await?;
    if status.success() { Ok(()) } else { Err(format!("the worker ended early: {status}").into()) }
}

fn answer(request: &EvaluationRequest, seen: &Mutex<BTreeSet<Digest>>) -> Result<Evaluation, EvaluationFailure> {
    let package = request.order.package_sha256();
    let correct_ppm = match request.truth.teacher_logits {
        None => 980_000,
        Some(_) => 880_000 + 70_000 * u64::from(package.as_bytes()[0]) / 255,
    };
    let mut evaluation = scripted_evaluation(request, correct_ppm)?;
    // The competition's own models, and what is measured in rounds, are as they should be.
    let own =
        request.truth.teacher_logits.is_none() || request.order.candidate.weights == request.order.reference.weights;
    if own {
        return Ok(evaluation);
    }
    let first = seen.lock().unwrap_or_else(PoisonError::into_inner).insert(package);
    match width(request)? {
        FAILS_FIRST if first => Err(EvaluationFailure::Infrastructure("scripted".into())),
        UNSTABLE_FIRST if first => {
            let latency = &mut evaluation.report.latency;
            latency.launches = 15;
            latency.ratio = Estimate { value_ppm: 500_000, low_ppm: 400_000, high_ppm: 600_000 };
            let even = Estimate { value_ppm: 1_000_400, low_ppm: 999_000, high_ppm: 1_002_000 };
            latency.checks.control = LatencyCheck { launches: 11, ratio: even };
            Ok(evaluation)
        }
        INVALID => Err(Code::OutputsInvalid.because("scripted".into()).into()),
        _ => Ok(evaluation),
    }
}

/// How wide a package's first layer is.
fn width(request: &EvaluationRequest) -> Result<u32, EvaluationFailure> {
    let config = PackageConfig::from_json(&request.order.candidate.config_json)?;
    Ok(match config.architecture {
        Architecture::Mlp(mlp) => mlp.hidden.first().copied().unwrap_or(0),
        _ => 0,
    })
}
