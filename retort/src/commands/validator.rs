//! `retort validator`: makes a directory, publishes, serves, examines.

use super::{bench, print_json};
use crate::cli::ValidatorCommand;
use crate::engine::{ProcessEvaluator, allow_insecure, engine};
use crate::progress::Phases;
use anyhow::{Context, Result, bail, ensure};
use models::DeviceKind;
use protocol::competition::Manifest;
use std::fs;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use validator::backup::{Options, backup};
use validator::config::LatencyEffort;
use validator::doctor::Finding;
use validator::publish::{Published, Publisher};
use validator::{App, Home};

pub(crate) fn run(command: ValidatorCommand) -> Result<()> {
    match command {
        ValidatorCommand::Init { home, hotkey } => init(&home.dir, hotkey.as_deref()),
        ValidatorCommand::Publish { manifest, check: true, .. } => super::market::check(&manifest),
        ValidatorCommand::Publish { manifest, home, check: false } => runtime()?.block_on(async {
            // Publishing needs no more than a part of the service, so that it works beside a serving process.
            let home = Home::new(&home.dir);
            let config = home.load(std::env::vars())?;
            let evaluator = evaluator(config.latency)?;
            let publisher = Publisher::open(&home, config, evaluator).await?;
            let published = publish(&publisher, &manifest).await?;
            let id = &published.competition.manifest.id;
            println!(
                "{} {id} (sha256:{})",
                if published.created { "published" } else { "already there:" },
                published.sha256
            );
            tell_caveats(&published.competition.manifest);
            published.screening.iter().for_each(|time| eprintln!("{time}"));
            Ok(())
        }),
        ValidatorCommand::Serve { home, listen } => {
            sandbox::give_memory_back();
            #[cfg(feature = "otel")]
            let traces = traced(&home.dir)?;
            let served = runtime()?.block_on(serve(&home.dir, listen));
            #[cfg(feature = "otel")]
            traces.end();
            served
        }
        ValidatorCommand::Doctor { home, json } => runtime()?.block_on(doctor(&home.dir, json)),
        ValidatorCommand::Backup { to, home, with_keys, list_objects } => {
            let options = Options { keys: with_keys, objects_listed: list_objects };
            runtime()?.block_on(back_up(&home.dir, &to, options))
        }
        ValidatorCommand::Restore { from, home } => runtime()?.block_on(restore(&from, &home.dir)),
        ValidatorCommand::Round(command) => super::round::run(command),
        ValidatorCommand::Rewards(args) => super::rewards::run(&args),
        ValidatorCommand::Amend(args) => super::acts::amend(args),
        ValidatorCommand::Requeue(args) => super::acts::requeue(&args),
        ValidatorCommand::Disqualify(args) => super::acts::disqualify(&args),
        ValidatorCommand::AnswerAppeal { submission, number, text, home } => {
            super::acts::answer(&home.dir, &submission, number, &text)
        }
    }
}

fn init(dir: &Path, hotkey: Option<&Path>) -> Result<()> {
    let home = Home::new(dir);
    if let Some(path) = hotkey {
        ensure!(!home.hotkey().exists(), "{} exists; a validator keeps its hotkey", home.hotkey().display());
        let keypair = chain::keyfile::load(path)?;
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        chain::keyfile::create(&home.hotkey(), &keypair)?;
    }
    let made = home.init()?;
    println!("{} in {}", made.hotkey, dir.display());
    println!("public log: {}", made.log_key);
    println!(
        "next: retort validator publish MANIFEST --dir {0}\n      retort validator serve --dir {0}",
        dir.display()
    );
    Ok(())
}

/// What a service logs where `RUST_LOG` doesn't say it.
const LOGGED: &str = "info,sqlx=warn,apalis=warn";

/// The runtime of a service, and logs on standard error: lines on a terminal, JSON elsewhere; `RUST_LOG` filters.
pub(crate) fn runtime() -> Result<Runtime> {
    log_to_stderr(LOGGED);
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")
}

/// Logs go to standard error from here on.
pub(crate) fn log_to_stderr(default: &str) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber is refused, and then the first goes on.
    let _ = if std::io::stderr().is_terminal() { builder.try_init() } else { builder.json().try_init() };
}

/// Logs as [`log_to_stderr`] does, and exports spans where the settings in `dir` or OpenTelemetry's variables say.
#[cfg(feature = "otel")]
fn traced(dir: &Path) -> Result<validator::telemetry::Traces> {
    use tracing_subscriber::{EnvFilter, Layer, fmt};
    let config = Home::new(dir).load(std::env::vars())?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if std::io::stderr().is_terminal() { lines.boxed() } else { lines.json().boxed() };
    Ok(validator::telemetry::start(&config, filter, lines)?)
}

/// The parts of the validator in `dir`, with the engine of this machine.
pub(crate) async fn open_app(dir: &Path, listen: Option<SocketAddr>) -> Result<App> {
    let home = Home::new(dir);
    let mut config = home.load(std::env::vars())?;
    config.listen = listen.unwrap_or(config.listen);
    let evaluator = evaluator(config.latency)?;
    App::open(&home, config, evaluator).await.with_context(|| format!("open the validator in {}", dir.display()))
}

/// What a worker needs beside the validator that serves `dir`.
pub(crate) async fn open_worker(dir: &Path) -> Result<App> {
    let home = Home::new(dir);
    let config = home.load(std::env::vars())?;
    let evaluator = evaluator(config.latency)?;
    App::open_worker(&home, config, evaluator).await.with_context(|| format!("work for {}", dir.display()))
}

/// The engine of this machine behind the validator's door.
fn evaluator(effort: LatencyEffort) -> Result<Arc<ProcessEvaluator>> {
    Ok(Arc::new(ProcessEvaluator(engine(DeviceKind::Flex, effort)?)))
}

/// Says what keeps a competition from deciding about money, and how long it lasts.
pub(crate) fn tell_caveats(manifest: &Manifest) {
    for caveat in manifest.caveats() {
        eprintln!("for trying out: {caveat}");
    }
    if let Some(rounds) = manifest.rounds_max() {
        eprintln!("its private pool lasts for {rounds} rounds");
    }
}

/// Publishes with progress.
pub(crate) async fn publish(publisher: &Publisher, manifest: &Path) -> Result<Published> {
    let phases = Arc::new(Phases::new("publish"));
    let shown = Arc::clone(&phases);
    let tell = Arc::new(move |at: validator::Progress| shown.at(&at.phase, at.done, at.total));
    let published = publisher.publish(manifest, tell).await;
    phases.finish();
    published.with_context(|| format!("publish {}", manifest.display()))
}

async fn serve(dir: &Path, listen: Option<SocketAddr>) -> Result<()> {
    let app = open_app(dir, listen).await?;
    let listener = bind(app.config.listen).await?;
    let interrupted = until_interrupted();
    eprintln!("the page is at http://{}/", listener.local_addr()?);
    Ok(validator::run(listener, app, interrupted).await?)
}

/// Takes the address, or says how to find another.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("listen on {address}: if another program has this port, choose one with --listen 127.0.0.1:PORT")
    })
}

/// What a process exits with that was told twice to end: 128 and SIGINT, as shells count.
const FORCED: i32 = 130;

/// Ends with SIGINT or SIGTERM. A second one doesn't wait for what is in flight.
pub(crate) fn until_interrupted() -> impl Future<Output = ()> + Send {
    // Both are listened to from the call on, so that neither a first one is lost before anybody waits nor a second one.
    let listening = signal(SignalKind::interrupt()).and_then(|int| Ok((int, signal(SignalKind::terminate())?)));
    interrupted(listening)
}

async fn interrupted(listening: std::io::Result<(Signal, Signal)>) {
    let Ok((mut interrupted, mut terminated)) = listening else {
        return drop(tokio::signal::ctrl_c().await);
    };
    tokio::select! { _ = interrupted.recv() => {}, _ = terminated.recv() => {} }
    eprintln!("ending; once more to end at once");
    tokio::spawn(async move {
        tokio::select! { _ = interrupted.recv() => {}, _ = terminated.recv() => {} }
        eprintln!("ended at once: what was cut off is taken up at the next start");
        std::process::exit(FORCED);
    });
}

async fn back_up(dir: &Path, to: &Path, options: Options) -> Result<()> {
    let home = Home::new(dir);
    let config = home.load(std::env::vars())?;
    let taken = backup(&home, &config, to, options).await.with_context(|| format!("back up {}", dir.display()))?;
    let how = if taken.objects_copied { "copied" } else { "listed" };
    let objects = taken.objects.len();
    println!("{}: {objects} objects {how}, a public log of {} entries", to.display(), taken.log_size);
    if !options.keys {
        println!("the keys are not in it: keep {} and {} elsewhere", home.hotkey().display(), home.log_key().display());
    }
    Ok(())
}

async fn restore(from: &Path, dir: &Path) -> Result<()> {
    let home = Home::new(dir);
    let put_back = validator::backup::restore(from, &home).await;
    let put_back = put_back.with_context(|| format!("put {} back into {}", from.display(), dir.display()))?;
    println!("{} of {} in {}", put_back.hotkey, from.display(), dir.display());
    for key in [home.hotkey(), home.log_key()].iter().filter(|key| !key.exists()) {
        println!("missing: {}; it was not in the backup", key.display());
    }
    println!("next: retort validator serve --dir {}", dir.display());
    Ok(())
}

/// What this host offers to confine workers.
fn confining() -> impl Iterator<Item = Finding> {
    let found = sandbox::Host::of_this_machine().findings().into_iter();
    found.map(|found| Finding { name: found.name, healthy: found.works || !found.required, detail: found.detail })
}

async fn doctor(dir: &Path, json: bool) -> Result<()> {
    if !sandbox::Host::of_this_machine().missing().is_empty() {
        // Said below; and nothing is run here but our own models.
        allow_insecure();
    }
    let app = open_app(dir, None).await?;
    let mut findings = validator::doctor::examine(&app).await;
    findings.extend(confining());
    findings.push(tokio::task::spawn_blocking(bench::latency_health).await.context("time the reference student")?);
    if json {
        let rows =
            findings.iter().map(|f| serde_json::json!({"name": f.name, "healthy": f.healthy, "detail": f.detail}));
        print_json(&rows.collect::<Vec<_>>())?;
    } else {
        for finding in &findings {
            println!("{} {:14} {}", if finding.healthy { "ok  " } else { "BAD " }, finding.name, finding.detail);
        }
    }
    match findings.iter().filter(|finding| !finding.healthy).count() {
        0 => Ok(()),
        bad => bail!("{bad} of {} checks failed", findings.len()),
    }
}
