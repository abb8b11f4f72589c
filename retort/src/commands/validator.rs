//! `retort validator`: makes a directory, publishes, serves, examines.

use super::{bench, built_in, print_json};
use crate::cli::ValidatorCommand;
use crate::engine::{ProcessMeasurer, allow_insecure, engine, waiting_for};
use crate::progress::Phases;
use crate::table::{count, in_room};
use crate::{leave, typed};
use anyhow::{Context, Result, anyhow, bail, ensure};
use chain::LedgerError;
use eval::{LeaseFolder, Library, holder_of};
use models::DeviceKind;
use protocol::competition::Manifest;
use sandbox::{CgroupKind, Host};
use std::fs;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use validator::backup::{BACKUP_FILE, Options, backup};
use validator::config::{ControlGroups, ENV_PREFIX};
use validator::db::Db;
use validator::doctor::Finding;
use validator::evaluator::AtHome;
use validator::objects::Objects;
use validator::publish::{Published, Publisher};
use validator::sweep::{self, Really};
use validator::{App, Config, Home, OpenError};

pub(crate) fn run(command: ValidatorCommand) -> Result<()> {
    match command {
        ValidatorCommand::Init { home, hotkey } => init(&home.dir, hotkey.as_deref()),
        ValidatorCommand::Inspect { data, json } => super::own_data::run_inspect(&data, json),
        ValidatorCommand::New(new) => super::new_competition::run_new(&new),
        ValidatorCommand::Example { dir } => example(&dir),
        ValidatorCommand::Publish { manifest, home, check: true, no_market } => check(&manifest, &home.dir, !no_market),
        ValidatorCommand::Publish { manifest, home, check: false, .. } => run_async(async {
            // Publishing needs no more than a part of the service, so that it works beside a serving process.
            let home = Home::new(&home.dir);
            let config = home.load(std::env::vars())?;
            let evaluator = evaluator(&home, &config)?;
            let publisher = Publisher::open(&home, config, evaluator).await?;
            let named = built_in::named(&manifest)?;
            leave::last_words("stopped; nothing is published".into());
            let published = publish(&publisher, &named.manifest).await;
            leave::last_words(String::new());
            let published = published.map_err(|error| built_in::where_from(&manifest, error))?;
            let id = &published.competition.manifest.id;
            println!(
                "{} {id} (sha256:{})",
                if published.created { "published" } else { "already there:" },
                published.sha256
            );
            tell_caveats(&published.competition.manifest);
            published.screening.iter().for_each(|time| eprintln!("{time}"));
            match serves(&home) {
                Some(address) => println!("it is served at http://{address}/competitions/{id}"),
                None => println!("next: retort validator serve{}", typed::dir(home.path())),
            }
            Ok(())
        })?,
        ValidatorCommand::Serve { home, listen } => {
            sandbox::give_memory_back();
            #[cfg(feature = "otel")]
            let traces = traced(&home.dir, listen)?;
            let served = run_service(serve(&home.dir, listen))?;
            #[cfg(feature = "otel")]
            traces.end();
            served
        }
        ValidatorCommand::Operator { home, listen } => operator(&home.dir, listen),
        ValidatorCommand::Invite { count, home } => super::acts::invite(&home.dir, count),
        ValidatorCommand::Register { hotkey, owner, home } => super::acts::register(&home.dir, hotkey, owner),
        ValidatorCommand::Doctor { home, json } => run_async(doctor(&home.dir, json))?,
        ValidatorCommand::Backup { to, home, with_keys, list_objects } => {
            let options = Options { keys: with_keys, objects_listed: list_objects };
            runtime()?.block_on(back_up(&home.dir, &to, options))
        }
        ValidatorCommand::Restore { from, home } => runtime()?.block_on(restore(&from, &home.dir)),
        ValidatorCommand::Prune { home, yes, json } => runtime()?.block_on(prune(&home.dir, yes, json)),
        ValidatorCommand::Round(command) => super::round::run(command),
        ValidatorCommand::Rewards(args) => super::rewards::run(&args),
        ValidatorCommand::Amend(args) => super::acts::amend(args),
        ValidatorCommand::Requeue(args) => super::acts::requeue(&args),
        ValidatorCommand::Disqualify(args) => super::acts::disqualify(&args),
        ValidatorCommand::Block(args) => super::acts::block(&args),
        ValidatorCommand::Allow(args) => super::acts::allow(&args),
        ValidatorCommand::Blocks { home, json } => super::acts::blocks(&home.dir, json),
        ValidatorCommand::AnswerAppeal { submission, number, text, home } => {
            super::acts::answer(&home.dir, &submission, number, &text)
        }
    }
}

fn init(dir: &Path, hotkey: Option<&Path>) -> Result<()> {
    let home = Home::new(dir);
    let was_there = home.config().exists();
    if let Some(path) = hotkey {
        ensure!(!home.hotkey().exists(), "{} exists; a validator keeps its hotkey", home.hotkey().display());
        let keypair = super::keys::loaded(path)?;
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        chain::keyfile::create(&home.hotkey(), &keypair)?;
    }
    let made = home.init()?;
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let kept = if was_there { ", which was there already: settings and keys stay as they are" } else { "" };
    println!("{} in {}{kept}", made.hotkey, whole.display());
    println!("public log: {}", made.log_key);
    println!(
        "next: retort validator publish MANIFEST{0}   (fashion-mnist: the competition that is built in)\n      \
         retort validator serve{0}",
        typed::dir(dir)
    );
    Ok(())
}

/// Writes the built-in competition, to be changed.
fn example(dir: &Path) -> Result<()> {
    let manifest = built_in::write(dir)?;
    println!("{}", manifest.display());
    println!("next: change it, and at least its id; then retort validator publish {} --check", typed::word(&manifest));
    Ok(())
}

/// Says what is wrong with a manifest before anything is measured, and then, if that is wanted, what attackers would earn by it.
fn check(manifest: &Path, dir: &Path, plays: bool) -> Result<()> {
    let found = runtime()?.block_on(found(manifest, dir))?;
    let publish = format!("retort validator publish {}{}", typed::word(manifest), typed::dir(dir));
    println!("nothing is wrong with {} and what it names", manifest.display());
    tell_caveats(&found);
    if plays {
        leave::last_words(
            "ended: the manifest is fine, and what attackers would earn by it wasn't played to the end".into(),
        );
        let is_worth_it = super::market::attacked(&found)?;
        leave::last_words(String::new());
        if !is_worth_it {
            println!(
                "a better model earns nothing here: more fresh items are needed (`items` under [rounds], `hidden_items` under \
                 [data]); it can be published all the same"
            );
        }
    }
    println!("next: {publish}, which measures teacher and reference");
    Ok(())
}

/// The manifest, if nothing is wrong with it, with what it names, and with this machine.
async fn found(manifest: &Path, dir: &Path) -> Result<Manifest> {
    let home = Home::new(dir);
    // It may be written where no validator is.
    let is_home = home.config().exists();
    let config = if is_home { home.load(std::env::vars())? } else { Config::default() };
    let db = if home.database().exists() { Some(Db::open(&home.database()).await?) } else { None };
    let now = validator::Clock::System.now();
    let named = built_in::named(manifest)?;
    let checked = validator::publish::check(&named.manifest, &config, now, db.as_ref()).await;
    let checked = checked.with_context(|| format!("publish {}", manifest.display()));
    let library = if is_home { Library::at(&config.onnxruntime) } else { Library::named() };
    let engine = engine_problem(&named.manifest, &library);
    match (checked.map_err(|error| built_in::where_from(manifest, error)), engine) {
        (Err(error), Some(problem)) => bail!("{error:#}\n{problem}"),
        (Ok(_), Some(problem)) => bail!("{problem}"),
        (found, None) => found,
    }
}

/// What is wrong with the engine that a manifest names, if it can be read at all.
fn engine_problem(manifest: &Path, library: &Library) -> Option<String> {
    let read = Manifest::from_toml(&fs::read_to_string(manifest).ok()?).ok()?;
    library.official(read.engine).err().map(|problem| format!("manifest field `engine`: {problem}"))
}

/// Prints the link that opens the operator's page.
fn operator(dir: &Path, listen: Option<SocketAddr>) -> Result<()> {
    let home = Home::new(dir);
    // Whoever serves may have been told another address than the settings, or have taken any free port.
    let config = settings(&home, listen.or_else(|| serving_at(&home)))?;
    println!("{}", home.operator_link(&config)?);
    // Behind a proxy it may be reached in other ways than from here.
    if config.public_url.is_empty() && !answers(config.listen) {
        eprintln!("nobody listens there: first run retort validator serve{}", typed::dir(dir));
    }
    Ok(())
}

/// How long an address of this machine may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Whether somebody listens at an address.
fn answers(address: SocketAddr) -> bool {
    std::net::TcpStream::connect_timeout(&address, ANSWER_MAX).is_ok()
}

/// Where the validator is served: a process that ended in a hurry may have left its word behind.
pub(super) fn serves(home: &Home) -> Option<SocketAddr> {
    serving_at(home).filter(|address| answers(*address))
}

/// Where a serving process says that it listens.
fn serving_at(home: &Home) -> Option<SocketAddr> {
    fs::read_to_string(home.serving_at()).ok()?.trim().parse().ok()
}

/// What a service logs where `RUST_LOG` doesn't say it.
const LOGGED: &str = "info,sqlx=warn,apalis=warn";

/// What a command logs where `RUST_LOG` doesn't say it: what an operator did is its own output.
const COMMANDS: &str =
    "warn,retort::waiting=info,service::administration=error,service::amend=error,service::blocks=error";

/// What a demo logs: errors, and for whom it waits.
const STORY: &str = "error,retort::waiting=info";

/// As what a validator says for whom it waits: everybody shows it.
const WAITING: &str = "retort::waiting";

/// Runs a service to its end, and logs as one.
pub(crate) fn run_service<T>(work: impl Future<Output = T>) -> Result<T> {
    log_to_stderr(LOGGED);
    run_async(work)
}

/// Runs what measures to its end and waits for nothing else: a thread that still computes ends with the process.
pub(crate) fn run_async<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime = runtime()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(done)
}

/// The runtime of a command. Unless something logs already, warnings go to standard error among what the command says there;
/// `RUST_LOG` filters.
pub(crate) fn runtime() -> Result<Runtime> {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(COMMANDS));
    // A second subscriber is refused, and then the first goes on.
    let colour = std::io::stderr().is_terminal();
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    let _ = lines.without_time().with_target(false).try_init();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")
}

/// Logs of a service go to standard error from here on: lines on a terminal, JSON elsewhere; `RUST_LOG` filters.
pub(crate) fn log_to_stderr(default: &str) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber is refused, and then the first goes on.
    let _ = if std::io::stderr().is_terminal() { builder.try_init() } else { builder.json().try_init() };
}

/// Errors alone go to standard error from here on, in plain lines among those of a story; `RUST_LOG` filters.
pub(crate) fn log_in_story() {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(STORY));
    let colour = std::io::stderr().is_terminal();
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    let _ = lines.without_time().with_target(false).try_init();
}

/// Logs as [`log_to_stderr`] does, and exports spans where the settings in `dir` or OpenTelemetry's variables say.
#[cfg(feature = "otel")]
fn traced(dir: &Path, listen: Option<SocketAddr>) -> Result<validator::telemetry::Traces> {
    use tracing_subscriber::{EnvFilter, Layer, fmt};
    let config = settings(&Home::new(dir), listen)?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if std::io::stderr().is_terminal() { lines.boxed() } else { lines.json().boxed() };
    Ok(validator::telemetry::start(&config, filter, lines)?)
}

/// The settings with an address of the command line, which stands above all others: what it replaces need make no sense.
fn settings(home: &Home, listen: Option<SocketAddr>) -> Result<Config> {
    let listen = listen.map(|address| (format!("{ENV_PREFIX}LISTEN"), address.to_string()));
    let others = std::env::vars().filter(|(name, _)| listen.as_ref().is_none_or(|(listen, _)| name != listen));
    let variables: Vec<_> = others.chain(listen.clone()).collect();
    Ok(home.load(variables)?)
}

/// The parts of the validator in `dir`, with the engine of this machine.
pub(crate) async fn open_app(dir: &Path, listen: Option<SocketAddr>) -> Result<App> {
    let home = Home::new(dir);
    let config = settings(&home, listen)?;
    let evaluator = evaluator(&home, &config)?;
    App::open(&home, config, evaluator).await.with_context(|| format!("open the validator in {}", dir.display()))
}

/// The engine of this machine behind the validator's door.
fn evaluator(home: &Home, config: &Config) -> Result<Arc<AtHome<ProcessMeasurer>>> {
    if let Some(warning) = without_groups(config.control_groups, Host::of_this_machine())? {
        tracing::warn!("{warning}");
    }
    let mut engine = engine(DeviceKind::Flex, config.latency)?;
    engine.library = Library::at(&config.onnxruntime);
    engine.lease = lease_folder(home, config)?;
    engine.accuracy_on = config.accuracy_backend().map_err(anyhow::Error::msg)?;
    if let Some(backend) = engine.accuracy_on {
        let here = engine.backend(backend);
        here.map_err(|problem| anyhow!("accuracy_device = \"{backend}\" isn't here: {problem}"))?;
    }
    engine.waits = |holder| waiting_for(holder).iter().for_each(|told| tracing::info!(target: WAITING, "{told}"));
    Ok(Arc::new(AtHome(ProcessMeasurer(engine))))
}

/// What to warn of where a host gives no control groups: of nothing where it has none, and not at all where the settings
/// ask for them, which ends it.
fn without_groups(asked: ControlGroups, host: &Host) -> Result<Option<String>> {
    let refused = host.cgroup_refused.as_deref();
    match (host.cgroup, asked) {
        (CgroupKind::V1 | CgroupKind::V2, _) => Ok(None),
        (CgroupKind::None, ControlGroups::Required) => bail!(
            "control_groups = \"required\", and {}. Delegate a group to this user (systemd: Delegate=yes), or say \
             control_groups = \"if_available\"",
            refused.unwrap_or("this host has no control groups with a memory controller")
        ),
        (CgroupKind::None, ControlGroups::IfAvailable) => Ok(refused.map(|refused| {
            format!("only each worker's own memory is bounded, not that of all of them together: {refused}")
        })),
    }
}

/// Where this machine is taken, tried out before anybody waits for it: what the settings name, the user's own folder, or
/// else the validator's, which it has in any case.
fn lease_folder(home: &Home, config: &Config) -> Result<LeaseFolder> {
    if !config.lease_dir.is_empty() {
        let named = LeaseFolder::at(&config.lease_dir);
        named.prepare()?;
        return Ok(named);
    }
    let own = LeaseFolder::of_this_user();
    let Err(problem) = own.prepare() else { return Ok(own) };
    let folder = LeaseFolder::at(std::path::absolute(home.lease())?);
    folder.prepare()?;
    tracing::warn!(
        folder = %folder.path().display(),
        "only this validator's own measurements keep out of each other's way: {problem}"
    );
    Ok(folder)
}

/// Says what keeps a competition from deciding about money, and how long it lasts.
pub(crate) fn tell_caveats(manifest: &Manifest) {
    let caveats = manifest.caveats();
    if !caveats.is_empty() {
        eprintln!("{}", in_room(&format!("for trying out: {}", caveats.join("; ")), 0));
    }
    if let Some(rounds) = manifest.rounds_max() {
        eprintln!("its private pool lasts for {}", count(rounds, "round"));
    }
    if let Some(told) = loose_gate(manifest.score.gate_ppm, manifest.labels.len()) {
        eprintln!("{told}");
    }
}

/// What a gate says to nobody: a model that gives one class whatever it sees has as much of any teacher's accuracy.
fn loose_gate(gate_ppm: u32, classes: usize) -> Option<String> {
    let guessed = 1_000_000_u64.checked_div(classes as u64)?;
    (u64::from(gate_ppm) <= guessed).then(|| {
        format!(
            "`gate_ppm = {gate_ppm}` is {} % of the teacher's accuracy, which a model reaches that always says one of {classes} \
             classes: it is in parts per million, and 900000 are 90 %",
            f64::from(gate_ppm) / 1e4
        )
    })
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
    let app = open_app(dir, listen).await.map_err(|error| who_has_it(dir, error))?;
    validator::engines::check(&app).await?;
    let listener = bind(app.config.listen).await?;
    let interrupted = until_interrupted(time_to_end(&app));
    let address = listener.local_addr()?;
    let noted = Home::new(dir).serving_at();
    // Only `operator` reads it, which can be told.
    if let Err(error) = fs::write(&noted, format!("{address}\n")) {
        tracing::warn!(%error, "{} can't be written: tell `retort validator operator` --listen", noted.display());
    }
    eprintln!("the page is at http://{address}/");
    let served = validator::run(listener, app, interrupted).await;
    let _ = fs::remove_file(&noted);
    Ok(served?)
}

/// Says who has a validator that can't be opened for being in use: its process, and where that serves.
pub(super) fn who_has_it(dir: &Path, error: anyhow::Error) -> anyhow::Error {
    let Some(OpenError::Ledger(LedgerError::InUse { path })) = error.downcast_ref() else { return error };
    let who = holder_of(path).map_or_else(|| "another process".to_owned(), |process| format!("process {process}"));
    let at =
        serving_at(&Home::new(dir)).map_or_else(String::new, |address| format!(" and serves it at http://{address}/"));
    anyhow!(
        "{who} has the validator in {}{at}: a folder is one process's; end that one first, or name another folder (--dir)",
        dir.display()
    )
}

/// Takes the address, or says how to find another.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("listen on {address}: if another program has this port, choose one with --listen 127.0.0.1:PORT")
    })
}

/// What a process exits with that was told twice to end: 128 and SIGINT, as shells count.
const FORCED: i32 = 130;

/// How long a process may take to end once it is told to.
pub(crate) fn time_to_end(app: &App) -> Duration {
    Duration::from_secs(app.config.limits.shutdown_seconds_max)
}

/// Ends with SIGINT or SIGTERM. The process is gone `limit` later, whatever it is in the midst of, or whoever waits for this
/// hasn't come to it yet; a second signal doesn't wait for what is in flight.
pub(crate) fn until_interrupted(limit: Duration) -> impl Future<Output = ()> + Send {
    let (tell, told) = oneshot::channel();
    leave::leave_signals();
    if let Err(error) = listen(limit, tell) {
        // Then the system ends this process at once, as it does with those that listen to nothing.
        tracing::warn!(%error, "signals can't be listened to");
    }
    async move {
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Listens to both signals from now on, so that neither a first one is lost nor a second one: in a thread and a runtime of
/// their own, which no work of the service can keep busy.
fn listen(limit: Duration, tell: oneshot::Sender<()>) -> std::io::Result<()> {
    let (ready, listens) = std::sync::mpsc::channel();
    let both = || Ok::<_, std::io::Error>((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?));
    let work = move || {
        let listening = async {
            let (heard, answer) = match both() {
                Ok(heard) => (Some(heard), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // Whoever asked waits for the answer.
            let _ = ready.send(answer);
            if let Some((interrupted, terminated)) = heard {
                end(interrupted, terminated, limit, tell).await;
            }
        };
        // Without a runtime nothing is answered.
        let _ = tokio::runtime::Builder::new_current_thread().enable_all().build().map(|run| run.block_on(listening));
    };
    std::thread::Builder::new().name("signals".into()).spawn(work)?;
    listens.recv().unwrap_or_else(|_| Err(std::io::Error::other("no runtime for signals")))
}

async fn end(mut interrupted: Signal, mut terminated: Signal, limit: Duration, tell: oneshot::Sender<()>) {
    tokio::select! { _ = interrupted.recv() => {}, _ = terminated.recv() => {} }
    eprintln!("ending; once more to end at once");
    // Whoever doesn't wait any more is about to end.
    let _ = tell.send(());
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
        () = tokio::time::sleep(limit) => {
            eprintln!("ended after {} s: what was cut off is taken up at the next start", limit.as_secs());
            leave::now(0);
        }
    }
    eprintln!("ended at once: what was cut off is taken up at the next start");
    leave::now(FORCED);
}

async fn back_up(dir: &Path, to: &Path, options: Options) -> Result<()> {
    let home = Home::new(dir);
    let config = home.load(std::env::vars())?;
    let taken = backup(&home, &config, to, options).await.with_context(|| format!("back up {}", dir.display()))?;
    let how = if taken.objects_copied { "copied" } else { "listed" };
    let objects = count(taken.objects.len(), "object");
    println!("{}: {objects} {how}, a public log of {} entries", to.display(), taken.log_size);
    match options.keys {
        true => println!("the keys are in it: whoever has it is the validator"),
        false => {
            let (hotkey, log_key) = (home.hotkey(), home.log_key());
            println!("the keys are not in it: keep {} and {} elsewhere", hotkey.display(), log_key.display());
        }
    }
    Ok(())
}

/// Frees space, or says what could be freed.
async fn prune(dir: &Path, yes: bool, json: bool) -> Result<()> {
    let home = Home::new(dir);
    let config = home.load(std::env::vars())?;
    let db = super::round::database(dir).await?;
    let objects = Objects::open_or_begin(&config.object_store_url(&home)?, home.tmp(), db.is_new().await?)?;
    let age_min = Duration::from_secs(config.limits.orphan_seconds_min);
    let really = if yes { Really::Remove } else { Really::Count };
    let swept = sweep::prune(&db, &objects, age_min, really).await?;
    db.close().await;
    if json {
        return print_json(&serde_json::json!({
            "removed": yes, "bytes": swept.bytes, "rejected": swept.rejected, "nameless": swept.objects,
            "abandoned": swept.abandoned, "staged": swept.staged,
        }));
    }
    let what = if yes { "freed" } else { "could be freed" };
    println!("{} bytes {what}:", swept.bytes);
    println!("  {} objects of rejected submissions", swept.rejected);
    println!("  {} objects that nothing names, older than {} h", swept.objects, age_min.as_secs() / 3_600);
    println!("  {} uploads that nobody completed, {} files that were being written", swept.abandoned, swept.staged);
    if !yes {
        println!("next: retort validator prune --yes{}", typed::dir(dir));
    }
    Ok(())
}

async fn restore(from: &Path, dir: &Path) -> Result<()> {
    ensure!(from.is_dir(), "{} is no folder: name the one that `retort validator backup` wrote to", from.display());
    ensure!(
        from.join(BACKUP_FILE).is_file(),
        "{} is no backup, since it has no {BACKUP_FILE}: name the folder that `retort validator backup` wrote to",
        from.display()
    );
    let home = Home::new(dir);
    let put_back = validator::backup::restore(from, &home).await;
    let put_back = put_back.with_context(|| format!("put {} back into {}", from.display(), dir.display()))?;
    println!("{} of {} in {}", put_back.hotkey, from.display(), dir.display());
    println!("public log in the backup: {} entries", put_back.log_size);
    let keys = [home.hotkey(), home.log_key()];
    let missing: Vec<String> = keys.iter().filter(|key| !key.exists()).map(|key| key.display().to_string()).collect();
    let first = match missing.is_empty() {
        true => String::new(),
        false => {
            println!("missing: {}; not in the backup", missing.join(" and "));
            "put them there, readable by you alone; then ".to_owned()
        }
    };
    println!(
        "next: {first}retort validator doctor{0}, which states nothing; then retort validator serve{0}",
        typed::dir(dir)
    );
    println!(
        "      only once nothing serves with this log.key any more, nor ever will: two that do, on whatever port, sign two \
         histories, which anybody can prove"
    );
    Ok(())
}

/// What this host offers to confine workers.
fn confining() -> impl Iterator<Item = Finding> {
    let found = Host::of_this_machine().findings().into_iter();
    found.map(|found| Finding { name: found.name, healthy: found.works || !found.required, detail: found.detail })
}

/// Whether the validator can't be opened because another process has it.
fn is_served(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(OpenError::Ledger(LedgerError::InUse { .. })))
}

fn tell_finding(finding: &Finding) {
    println!("{} {:14} {}", if finding.healthy { "ok  " } else { "BAD " }, finding.name, finding.detail);
}

/// Who has the machine, for which all others wait.
fn machine(lease: &LeaseFolder) -> Finding {
    let (healthy, detail) = match lease.holder() {
        Ok(None) => (true, "nobody measures on it now".to_owned()),
        Ok(Some(holder)) => (true, format!("{holder}; whoever wants to measure waits")),
        Err(problem) => (false, problem.to_string()),
    };
    Finding { name: "machine", healthy, detail }
}

/// What can be said of a host where no validator is.
fn tell_host(json: bool) {
    if !json {
        confining().chain([machine(&LeaseFolder::of_this_user())]).for_each(|finding| tell_finding(&finding));
    }
}

async fn doctor(dir: &Path, json: bool) -> Result<()> {
    if !Host::of_this_machine().missing().is_empty() {
        // Said below; and nothing is run here but our own models.
        allow_insecure();
    }
    let (app, served) = match open_app(dir, None).await {
        Ok(app) => (app, None),
        Err(error) if is_served(&error) => {
            let home = Home::new(dir);
            let config = home.load(std::env::vars())?;
            let evaluator = evaluator(&home, &config)?;
            let opened = App::open_beside(&home, config, evaluator).await;
            let (app, ledger) = opened.with_context(|| format!("look at the validator in {}", dir.display()))?;
            (app, Some(ledger))
        }
        Err(error) => {
            if !Home::new(dir).config().exists() {
                tell_host(json);
            }
            return Err(error);
        }
    };
    let mut findings = match &served {
        None => validator::doctor::examine(&app).await,
        Some(ledger) => validator::doctor::examine_beside(&app, ledger).await,
    };
    findings.extend(confining());
    let lease = lease_folder(&Home::new(dir), &app.config)?;
    findings.push(machine(&lease));
    if !json {
        findings.iter().for_each(tell_finding);
    }
    let timed = tokio::task::spawn_blocking(move || bench::latency_health(lease));
    let latency = timed.await.context("time the reference student")?;
    if !json {
        tell_finding(&latency);
    }
    findings.push(latency);
    if json {
        let rows =
            findings.iter().map(|f| serde_json::json!({"name": f.name, "healthy": f.healthy, "detail": f.detail}));
        print_json(&rows.collect::<Vec<_>>())?;
    }
    match findings.iter().filter(|finding| !finding.healthy).count() {
        0 => Ok(()),
        bad => bail!("{bad} of {} checks failed", findings.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_guessing_passes_is_told_of() {
        let told = loose_gate(90, 10).unwrap();
        assert!(told.contains("0.009 % of the teacher's") && told.contains("900000 are 90 %"), "{told}");
        assert!(loose_gate(100_000, 10).is_some() && loose_gate(100_001, 10).is_none());
    }

    #[test]
    fn a_host_that_gives_no_control_group_is_told_of_or_refused() {
        let gives = |cgroup, refused: Option<&str>| Host {
            cgroup,
            cgroup_refused: refused.map(str::to_owned),
            ..Host::of_this_machine().clone()
        };
        for asked in [ControlGroups::IfAvailable, ControlGroups::Required] {
            assert_eq!(without_groups(asked, &gives(CgroupKind::V2, None)).unwrap(), None);
        }
        let (has_none, refuses) = (gives(CgroupKind::None, None), gives(CgroupKind::None, Some("they are read-only")));
        assert_eq!(without_groups(ControlGroups::IfAvailable, &has_none).unwrap(), None, "nothing is amiss");
        let warning = without_groups(ControlGroups::IfAvailable, &refuses).unwrap().unwrap();
        assert!(warning.contains("they are read-only"), "{warning}");
        for (host, why) in [(has_none, "no control groups"), (refuses, "they are read-only")] {
            let refused = without_groups(ControlGroups::Required, &host).unwrap_err().to_string();
            assert!(refused.contains(why) && refused.contains("Delegate=yes"), "{refused}");
        }
    }
}
