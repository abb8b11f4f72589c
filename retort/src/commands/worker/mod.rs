//! `retort worker`: measures on this machine what a validator elsewhere has to measure. It asks for work, says that it is still at it,
//! and brings what it measured; all of it by HTTP and signed by a key of its own.
//!
//! It holds no key of the validator's, no address of a database, and no truth about the items: what an answer is worth is decided where
//! the order came from.

mod cache;
mod claim;

use crate::cli::WorkerArgs;
use crate::commands::keys;
use crate::commands::validator::{run_service, until_interrupted};
use crate::engine::{ProcessMeasurer, engine};
use crate::leave;
use anyhow::{Context, Result, anyhow, bail};
use cache::Cache;
use claim::Work;
use eval::{Engine, Library, hardware_class};
use miner_template::client::{Client, ClientError};
use models::DeviceKind;
use protocol::auth::Keypair;
use protocol::competition::{EngineName, OfficialEngine};
use protocol::fleet::{BUILD, ClaimRequest, Claimed, EnrolRequest, Enrolled, WorkerFacts};
use protocol::{Digest, Hotkey};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use validator::config::LatencyEffort;

/// How long a worker that is told to end goes on with what it measures, before it gives it back.
const END: Duration = Duration::from_secs(60);
/// How much later the process is gone, whatever happens.
const GONE: Duration = Duration::from_secs(75);
/// How long it rests where the validator can't be reached or gives it no work.
const REST: Duration = Duration::from_secs(2);
const LONG_REST: Duration = Duration::from_secs(15);
/// What a process exits with that should be started again as another build (EX_TEMPFAIL).
const OTHER_BUILD: i32 = 75;

/// A worker of a validator.
#[derive(Clone)]
struct Worker {
    client: Client,
    keypair: Keypair,
    receiver: Hotkey,
    facts: WorkerFacts,
    cache: Cache,
}

/// What came of asking for work.
enum Asked {
    Work(Box<Claimed>),
    Nothing,
    /// Not now, and why.
    Later(ClientError),
}

pub(crate) fn run(args: &WorkerArgs) -> Result<()> {
    run_service(async {
        let interrupted = until_interrupted(GONE);
        work(args, interrupted).await
    })?
}

async fn work(args: &WorkerArgs, interrupted: impl Future<Output = ()>) -> Result<()> {
    let worker = blocking({
        let args = args.clone();
        move || begin(&args)
    })
    .await?;
    let mut interrupted = std::pin::pin!(interrupted);
    loop {
        let asks = worker.clone();
        let asked = tokio::select! {
            asked = blocking(move || asks.ask()) => asked?,
            () = &mut interrupted => return Ok(()),
        };
        let rest = match asked {
            Asked::Work(claimed) => {
                let quick = claimed.quick;
                let measurer = Arc::new(ProcessMeasurer(engine_of(quick)?));
                let work = Work { worker: worker.clone(), claimed: *claimed, measurer };
                let told_to_end = work.through(&mut interrupted).await;
                if args.once || told_to_end {
                    return Ok(());
                }
                continue;
            }
            Asked::Nothing if args.drain_when_idle => return Ok(()),
            Asked::Nothing => continue,
            Asked::Later(why) if why.is_passing() => {
                tracing::warn!("{why}");
                REST
            }
            Asked::Later(why) => {
                tracing::warn!("{why}");
                LONG_REST
            }
        };
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = &mut interrupted => return Ok(()),
        }
    }
}

/// Whatever blocks, in a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("a thread of this process ended")?
}

/// The engine of this machine.
fn engine_of(quick: bool) -> Result<Engine> {
    engine(DeviceKind::Flex, if quick { LatencyEffort::Quick } else { LatencyEffort::Full })
}

/// Gets to know the validator, and is let in where it has a token for that.
fn begin(args: &WorkerArgs) -> Result<Worker> {
    // What this host lacks is said before anybody waits for it.
    engine_of(false)?;
    let client = Client::new(&args.validator.validator);
    let keypair = match args.key.exists() || args.enrol.is_none() {
        true => keys::loaded(&args.key)?,
        false => keys::made(&args.key)?,
    };
    let facts = facts()?;
    let cache = Cache::open(args.cache.clone().map_or_else(own_cache, Ok)?, args.cache_bytes)?;
    let receiver = client.receiver()?;
    let worker = Worker { client, keypair, receiver, facts, cache };
    if let Some(token) = &args.enrol {
        let request = EnrolRequest { token: token.clone(), facts: worker.facts.clone() };
        let enrolled = worker.signed::<Enrolled>("/api/v1/fleet/enrol", &request).map_err(explained)?;
        let enrolled = enrolled.context("the validator said nothing to an enrolment")?;
        eprintln!("{} works for {} as {}", worker.keypair.hotkey(), enrolled.validator, enrolled.name);
    }
    tracing::info!(class = worker.facts.class, key = %worker.keypair.hotkey(), "asking {} for work", worker.client.base());
    Ok(worker)
}

/// Ends this process for good where nothing but another build helps.
fn explained(error: ClientError) -> anyhow::Error {
    if let ClientError::Problem(problem) = &error
        && problem.code == "other_build"
    {
        eprintln!("error: {error}");
        leave::now(OTHER_BUILD);
    }
    error.into()
}

impl Worker {
    fn signed<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<Option<T>, ClientError> {
        self.client.ask(path, body, (&self.keypair, &self.receiver))
    }

    fn ask(&self) -> Result<Asked> {
        let request = ClaimRequest { facts: self.facts.clone() };
        let refused = ["worker_unknown", "worker_revoked", "other_class"];
        match self.signed::<Claimed>("/api/v1/fleet/claims", &request) {
            Ok(Some(claimed)) => Ok(Asked::Work(Box::new(claimed))),
            Ok(None) => Ok(Asked::Nothing),
            Err(ClientError::Problem(problem)) if refused.contains(&problem.code.as_str()) => {
                bail!(ClientError::Problem(problem))
            }
            Err(ClientError::Problem(problem)) if problem.code == "other_build" => {
                Err(explained(ClientError::Problem(problem)))
            }
            Err(error) => Ok(Asked::Later(error)),
        }
    }
}

/// What this machine is.
fn facts() -> Result<WorkerFacts> {
    let library = Library::named();
    let here = |name| library.official(OfficialEngine::any(name)).ok();
    let engines = EngineName::ALL.into_iter().filter_map(here).collect();
    Ok(WorkerFacts { build: BUILD.into(), class: hardware_class(), machine: machine()?, engines })
}

/// This machine since it was started; containers of one kernel have one.
fn machine() -> Result<Digest> {
    let boot = Path::new("/proc/sys/kernel/random/boot_id");
    let boot_id = fs::read(boot)
        .map_err(|error| anyhow!("this machine can't be told from others: {}: {error}", boot.display()))?;
    Ok(Digest::of(&[b"retort machine\n", boot_id.trim_ascii()].concat()))
}

/// Where files are kept unless somebody says otherwise.
fn own_cache() -> Result<PathBuf> {
    let home = || Some(PathBuf::from(std::env::var_os("HOME").filter(|home| !home.is_empty())?).join(".cache"));
    let named = std::env::var_os("XDG_CACHE_HOME").filter(|named| !named.is_empty()).map(PathBuf::from);
    let base = named.or_else(home).context("neither XDG_CACHE_HOME nor HOME is set: name a folder with --cache")?;
    Ok(base.join("retort").join("worker"))
}
