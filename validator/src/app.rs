//! The composition: database, object store, ledger, evaluator and clock, put together once.
//!
//! Everything that serves a request or does a job is given an [`App`]. It knows its parts and none of their work.

use crate::ballast;
use crate::board::Board;
use crate::breaker::Breaker;
use crate::clock::Clock;
use crate::config::{Config, ConfigError, Home};
use crate::db::{Db, DbError};
use crate::disk;
use crate::error::Chain;
use crate::evaluator::Evaluator;
use crate::feed::Feed;
use crate::guard::Guard;
use crate::heavy::Heavy;
use crate::hub::Drafts;
use crate::jobs::Signals;
use crate::jobs::turns::Kept;
use crate::ledger::{self, LostLedger};
use crate::log::{self, PublicLog};
use crate::materials::MaterialsCache;
use crate::metrics::Counters;
use crate::objects::{ObjectError, Objects};
use crate::pages::PageCache;
use crate::relay::Relay;
use crate::secret::Secret;
use crate::webhooks::{Outside, Webhooks};
use chain::{Ledger, LedgerError, LocalLedger, MemoryLedger, Replica, ReplicaError};
use protocol::Hotkey;
use protocol::auth::Keypair;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;
use transparency::LogSigner;

/// The parts of a validator, shared by everything that runs in it.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What an [`App`] is made of.
pub struct Parts {
    /// The settings.
    pub config: Config,
    /// The hotkey that answers for this validator: the receiver of signed requests.
    pub hotkey: Hotkey,
    /// Its key, which signs receipts.
    pub(crate) keypair: Keypair,
    /// The truth.
    pub db: Db,
    /// Bytes.
    pub objects: Objects,
    /// Stake, registrations and weights.
    pub ledger: Arc<dyn Ledger>,
    /// Where connections are taken, once they are.
    pub(crate) bound: OnceLock<SocketAddr>,
    /// The evaluation engine.
    pub evaluator: Arc<dyn Evaluator>,
    /// The time.
    pub clock: Clock,
    /// What was done, for everybody to check.
    pub log: PublicLog,
    /// The leaderboards as they are served.
    pub board: Board,
    /// Where listeners are told what happens.
    pub(crate) feed: Feed,
    /// Writes to addresses that strangers name.
    pub(crate) outside: Outside,
    /// What is known of webhooks beside the database.
    pub(crate) webhooks: Webhooks,
    /// Where beacons of drand come from.
    pub(crate) relay: Arc<Relay>,
    /// Pages that are kept until something happens.
    pub(crate) pages: PageCache,
    /// What evaluations are made of, one set a competition.
    pub(crate) materials: MaterialsCache,
    /// Wakes the background work.
    pub(crate) signals: Signals,
    /// Whether anything can be measured at the moment.
    pub(crate) breaker: Breaker,
    /// Who waits for a turn, as it looked a moment ago.
    pub(crate) line: Kept,
    /// Who may come how often.
    pub(crate) guard: Guard,
    /// What `/metrics` counts beyond the database.
    pub(crate) counters: Counters,
    /// The place for what needs a model in memory.
    pub(crate) heavy: Heavy,
    /// Pairs of submissions that wait to be compared because somebody asks.
    pub(crate) compare_places: Semaphore,
    /// Packages that come file by file and aren't whole yet.
    pub(crate) drafts: Drafts,
}

/// Why the parts don't come together.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The settings or the key.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The object store.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger that another process has open.
    #[error("read the ledger: {0}")]
    LedgerFile(std::io::Error),
    /// What that holds.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The ledger isn't the one that was here.
    #[error(transparent)]
    LostLedger(#[from] LostLedger),
    /// What webhooks are told and beacons fetched with.
    #[error(
        "the client of webhooks and beacons can't be made: are there certificates of authorities here (Debian: ca-certificates)?"
    )]
    Client(#[source] reqwest::Error),
    /// The job engine's tables.
    #[error("the job engine: {0}")]
    Jobs(String),
}

impl App {
    /// Opens everything in the directory `home`. The ledger's lock keeps a second process out.
    ///
    /// # Errors
    /// When a part can't be opened.
    pub async fn open(home: &Home, mut config: Config, evaluator: Arc<dyn Evaluator>) -> Result<Self, OpenError> {
        config.check_registration().map_err(|problem| ConfigError::Setting { origin: "listen".into(), problem })?;
        let keypair = home.keypair()?;
        let log_signer = home.log_signer()?;
        ballast::give_up_if_full(home);
        config.operator_token = operator_secret(home, &config)?;
        let db = Db::open(&home.database()).await?;
        ledger::check_there(&db, &home.ledger()).await?;
        let ledger = LocalLedger::open(&home.ledger(), keypair.clone())?;
        ledger::check_same(&db, &home.ledger(), &ledger).await?;
        if let Some(recovery) = ledger.recovery() {
            tracing::warn!(?recovery, "the ledger was repaired after a crash");
        }
        let objects = Objects::open_or_begin(&config.object_store_url(home)?, home.tmp(), db.is_new().await?)?;
        match objects.look().await {
            // What is there can be shown.
            Err(ObjectError::Full) => tracing::error!("the disk is full: nothing new is taken until there is space"),
            looked => looked?,
        }
        objects.sweep()?;
        ballast::make_if_roomy(home, config.limits.disk_reserve_bytes);
        Self::compose(config, (keypair, log_signer), db, objects, Arc::new(ledger), evaluator, Clock::System).await
    }

    /// Opens what a worker needs beside a serving process: everything but the ledger, which a worker has no say in.
    ///
    /// # Errors
    /// When a part can't be opened.
    pub async fn open_worker(home: &Home, config: Config, evaluator: Arc<dyn Evaluator>) -> Result<Self, OpenError> {
        let keys = (home.keypair()?, home.log_signer()?);
        let db = Db::open(&home.database()).await?;
        let objects = Objects::open_or_begin(&config.object_store_url(home)?, home.tmp(), db.is_new().await?)?;
        let ledger = Arc::new(MemoryLedger::new());
        Self::compose(config, keys, db, objects, ledger, evaluator, Clock::System).await
    }

    /// Opens what a look needs beside a serving process: what a worker has, and the ledger as it lies there, verified.
    ///
    /// # Errors
    /// When a part can't be opened, or the ledger is not what its owner wrote.
    pub async fn open_beside(
        home: &Home,
        config: Config,
        evaluator: Arc<dyn Evaluator>,
    ) -> Result<(Self, Replica), OpenError> {
        let app = Self::open_worker(home, config, evaluator).await?;
        let lines = std::fs::read(home.ledger()).map_err(OpenError::LedgerFile)?;
        // The last line may be on its way.
        let whole = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let mut replica = Replica::new(app.hotkey);
        replica.take(lines.get(..whole).unwrap_or_default())?;
        Ok((app, replica))
    }

    /// Puts parts together that were opened elsewhere; the keys are the validator's and its log's.
    ///
    /// # Errors
    /// When the job engine's tables can't be brought up to date, or the database doesn't answer.
    pub async fn compose(
        config: Config,
        (keypair, log_signer): (Keypair, LogSigner),
        db: Db,
        objects: Objects,
        ledger: Arc<dyn Ledger>,
        evaluator: Arc<dyn Evaluator>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        crate::jobs::engine::migrate(&db).await.map_err(|error| OpenError::Jobs(error.to_string()))?;
        log::begin(&db, &log_signer.key(), keypair.hotkey(), clock.now()).await?;
        let guard = Guard::new(&config, Arc::clone(&ledger));
        let outside = Outside::new(config.webhooks_private).map_err(OpenError::Client)?;
        let relay = Arc::new(Relay::new(&config.drand_url).map_err(OpenError::Client)?);
        Ok(Self(Arc::new(Parts {
            config,
            hotkey: keypair.hotkey(),
            keypair,
            db,
            objects,
            ledger,
            bound: OnceLock::new(),
            evaluator,
            clock,
            log: PublicLog::new(log_signer),
            board: Board::default(),
            feed: Feed::default(),
            outside,
            webhooks: Webhooks::default(),
            relay,
            pages: PageCache::default(),
            materials: MaterialsCache::default(),
            signals: Signals::default(),
            breaker: Breaker::default(),
            line: Kept::default(),
            guard,
            counters: Counters::default(),
            drafts: Drafts::default(),
            heavy: Heavy::default(),
            compare_places: Semaphore::new(1),
        })))
    }

    /// Where clients find this validator, without a slash at its end: what people are told to type. Where no setting says, it
    /// is the address that connections are taken at, or this machine's own name for one that stands for all.
    pub fn endpoint(&self) -> String {
        self.config.endpoint(self.bound.get().copied())
    }
}

/// The operator's token; none where a full disk has no room for a new one, which ends with it.
fn operator_secret(home: &Home, config: &Config) -> Result<Secret, ConfigError> {
    match home.operator_secret(config) {
        Err(error) if disk::is_full(&error) => {
            tracing::warn!(error = %Chain(&error), "there is no token of the operator until the next start");
            Ok(Secret::default())
        }
        secret => secret,
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
