//! `retort validator`: makes a directory, publishes, serves, examines.

mod examined;
mod kept;
mod logged;
mod parts;
mod published;
mod signals;

pub(crate) use logged::{log_in_story, run_async, run_service, runtime};
pub(crate) use parts::open_app;
pub(crate) use published::{publish, tell_caveats};
pub(crate) use signals::{time_to_end, until_interrupted};

use super::built_in;
use crate::cli::ValidatorCommand;
use crate::typed;
use anyhow::{Context, Result, anyhow, ensure};
use chain::LedgerError;
use eval::holder_of;
use parts::settings;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;
use validator::backup::Options;
use validator::{Home, OpenError};

pub(crate) fn run(command: ValidatorCommand) -> Result<()> {
    match command {
        ValidatorCommand::Init { home, hotkey } => init(&home.dir, hotkey.as_deref()),
        ValidatorCommand::Inspect { data, json } => super::own_data::run_inspect(&data, json),
        ValidatorCommand::New(new) => super::new_competition::run_new(&new),
        ValidatorCommand::Example { dir } => example(&dir),
        ValidatorCommand::Publish { manifest, home, check: true, no_market } => {
            published::check(&manifest, &home.dir, !no_market)
        }
        ValidatorCommand::Publish { manifest, home, check: false, .. } => {
            run_async(published::run_publish(&manifest, &home.dir))?
        }
        ValidatorCommand::Serve { home, listen } => {
            sandbox::give_memory_back();
            #[cfg(feature = "otel")]
            let traces = logged::traced(&home.dir, listen)?;
            let served = run_service(serve(&home.dir, listen))?;
            #[cfg(feature = "otel")]
            traces.end();
            served
        }
        ValidatorCommand::Operator { home, listen } => operator(&home.dir, listen),
        ValidatorCommand::Invite { count, home } => super::acts::invite(&home.dir, count),
        ValidatorCommand::Register { hotkey, owner, home } => super::acts::register(&home.dir, hotkey, owner),
        ValidatorCommand::Doctor { home, json } => run_async(examined::doctor(&home.dir, json))?,
        ValidatorCommand::Backup { to, home, with_keys, list_objects } => {
            let options = Options { keys: with_keys, objects_listed: list_objects };
            runtime()?.block_on(kept::back_up(&home.dir, &to, options))
        }
        ValidatorCommand::Restore { from, home } => runtime()?.block_on(kept::restore(&from, &home.dir)),
        ValidatorCommand::Prune { home, yes, json } => runtime()?.block_on(kept::prune(&home.dir, yes, json)),
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
