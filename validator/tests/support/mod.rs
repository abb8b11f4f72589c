//! A validator on a free port with a temporary database, a scripted evaluator and a clock that tests move; and a miner.

mod miner;
mod package;

pub(crate) use miner::{Miner, Refusal, accept};
pub(crate) use package::{Package, Tensor, competition_toml};

use object_store::memory::InMemory;
use object_store::path::Path;
use protocol::auth::Keypair;
use protocol::submission::State;
use protocol::{CompetitionId, Hotkey};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use transparency::LogSigner;
use validator::Publisher;
use validator::db::Db;
use validator::evaluator::silent;
use validator::objects::Objects;
use validator::publishing::Published;
use validator::{App, Clock, Config, Evaluator, ScriptedEvaluator};

/// When the tests' clock begins.
pub(crate) const NOW: u64 = 1_800_000_000;
/// What opens the operator's doors.
pub(crate) const OPERATOR_TOKEN: &str = "the token of the tests' operator";
/// How long a test waits for what should come.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a [`TestApp`] is made of.
pub(crate) struct Setup {
    pub(crate) evaluator: Arc<dyn Evaluator>,
    pub(crate) config: Config,
    pub(crate) objects: Option<Objects>,
    /// The one in memory, unless given.
    pub(crate) ledger: Option<Arc<dyn chain::Ledger>>,
    pub(crate) clock: Clock,
}

impl Default for Setup {
    fn default() -> Self {
        let mut config = Config::default();
        config.limits.evaluation_retry_seconds = 0;
        config.limits.disk_reserve_bytes = 0;
        config.limits.worker_poll_ms = 20;
        config.operator_token = OPERATOR_TOKEN.into();
        config.limits.breaker_probe_ms = 100;
        Self {
            evaluator: Arc::new(ScriptedEvaluator::default()),
            config,
            objects: None,
            ledger: None,
            clock: Clock::fixed(NOW),
        }
    }
}

/// A running validator. When it is dropped, nothing may be left unfinished unless the test said so.
pub(crate) struct TestApp {
    pub(crate) app: App,
    pub(crate) address: SocketAddr,
    pub(crate) dir: Arc<tempfile::TempDir>,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
    unfinished_is_fine: bool,
}

impl TestApp {
    /// Starts with a published competition called `digits`.
    pub(crate) async fn with_competition(setup: Setup) -> Self {
        let app = Self::start(setup).await;
        app.publish(&competition_toml("digits", "")).await;
        app
    }

    /// The same with packages that are public as soon as they are scored.
    pub(crate) async fn with_open_packages(setup: Setup) -> Self {
        let app = Self::start(setup).await;
        app.publish(&competition_toml("digits", "weights_public = \"at_once\"")).await;
        app
    }

    pub(crate) async fn start(setup: Setup) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), setup).await
    }

    /// Starts in a directory that an earlier one may have used.
    pub(crate) async fn start_in(dir: Arc<tempfile::TempDir>, setup: Setup) -> Self {
        log();
        let db = Db::open(&dir.path().join("data.sqlite")).await.unwrap();
        let objects = setup.objects.unwrap_or_else(|| memory(&dir));
        let ledger = setup.ledger.unwrap_or_else(|| Arc::new(chain::MemoryLedger::new()));
        let clock = setup.clock;
        let keys = (validator_keypair(), log_signer());
        let app = App::compose(setup.config, keys, db, objects, ledger, setup.evaluator, clock).await;
        Self::serve(dir, app.unwrap()).await
    }

    async fn serve(dir: Arc<tempfile::TempDir>, app: App) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = app.clone();
        let server = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            validator::run(listener, serving, shutdown).await.unwrap();
        });
        Self { app, address, dir, stop: Some(stop), server: Some(server), unfinished_is_fine: false }
    }

    /// Ends as an operator would end it.
    pub(crate) async fn stop(mut self) -> (Arc<tempfile::TempDir>, Objects) {
        self.unfinished_is_fine = true;
        drop(self.stop.take());
        self.server.take().unwrap().await.unwrap();
        (Arc::clone(&self.dir), self.app.objects.clone())
    }

    /// Ends as `kill -9` would: in the middle of whatever it does.
    pub(crate) async fn kill(mut self) -> (Arc<tempfile::TempDir>, Objects) {
        self.unfinished_is_fine = true;
        // Nothing can be put in order any more.
        self.app.db.pool().close().await;
        let server = self.server.take().unwrap();
        server.abort();
        let _ = server.await;
        (Arc::clone(&self.dir), self.app.objects.clone())
    }

    /// Says that the test leaves submissions unfinished.
    pub(crate) fn leave_unfinished(&mut self) {
        self.unfinished_is_fine = true;
    }

    pub(crate) async fn publish(&self, toml: &str) -> Published {
        let manifest = self.write_competition(toml);
        Publisher::of(&self.app).publish(&manifest, silent()).await.unwrap()
    }

    /// Writes a manifest with teacher and reference beside it.
    pub(crate) fn write_competition(&self, toml: &str) -> PathBuf {
        write_competition(self.dir.path(), toml)
    }

    pub(crate) fn miner(&self, seed: u8) -> Miner {
        Miner::new(seed, self)
    }

    /// What is told to the operator.
    pub(crate) async fn as_operator(&self, target: &str) -> reqwest::Response {
        let token = self.app.config.operator_token.expose();
        reqwest::Client::new().get(self.url(target)).bearer_auth(token).send().await.unwrap()
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// Waits until a submission is in `state`.
    pub(crate) async fn wait_for(&self, id: &protocol::SubmissionId, state: State) {
        let reached = async {
            loop {
                let found = self.app.db.submission(id).await.unwrap().unwrap();
                if found.state == state {
                    return;
                }
                let ended = found.state.is_terminal();
                assert!(!ended, "{id} is {} instead of {state}: {:?}", found.state, found.reason);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{id} never became {state}"));
    }

    async fn unfinished(database: PathBuf) -> Vec<String> {
        let db = Db::open(&database).await.unwrap();
        let counts = db.count_by_state().await.unwrap();
        let unfinished = counts.into_iter().filter(|(state, _)| !state.is_terminal());
        unfinished.map(|(state, count)| format!("{count} {state}")).collect()
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if self.unfinished_is_fine || std::thread::panicking() {
            return;
        }
        let database = self.dir.path().join("data.sqlite");
        let look = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(Self::unfinished(database))
        };
        let left = std::thread::spawn(look).join().unwrap();
        assert!(left.is_empty(), "the test left submissions unfinished: {left:?}");
    }
}

/// Writes a manifest with teacher and reference beside it.
pub(crate) fn write_competition(folder: &std::path::Path, toml: &str) -> PathBuf {
    Package::mlp(&[32], 1).write(&folder.join("teacher"));
    Package::mlp(&[4], 2).write(&folder.join("reference"));
    std::fs::write(folder.join("competition.toml"), toml).unwrap();
    folder.join("competition.toml")
}

pub(crate) fn validator_keypair() -> Keypair {
    Keypair::from_seed(&[0xff; 32])
}

pub(crate) fn log_signer() -> LogSigner {
    LogSigner::from_seed("retort.test/log", &[0xee; 32]).unwrap()
}

pub(crate) fn validator_hotkey() -> Hotkey {
    validator_keypair().hotkey()
}

pub(crate) fn competition(id: &str) -> CompetitionId {
    id.parse().unwrap()
}

fn memory(dir: &tempfile::TempDir) -> Objects {
    Objects::with_store(Arc::new(InMemory::new()), None, Path::default(), dir.path().join("tmp")).unwrap()
}

/// `RUST_LOG=face=debug,service=debug,store=debug cargo test` shows what the validator logs.
fn log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().init();
    });
}
