//! The composition: database, object store, ledger, evaluator and clock are opened and become an [`App`].
//!
//! It does not know what is done with them.

use crate::app::{App, Parts};
use crate::ballast;
use crate::breaker;
use crate::evaluator::Evaluator;
use crate::guard::Guard;
use crate::heavy::Heavy;
use crate::jobs;
use crate::ledger::{self, LostLedger};
use crate::relay::Relay;
use crate::state::asked::AskedItems;
use crate::state::board::Board;
use crate::state::breaker::Breaker;
use crate::state::counters::Counters;
use crate::state::fleet::Fleet;
use crate::state::line::LastLook;
use crate::state::materials::MaterialsCache;
use crate::state::signals::Signals;
use chain::{Ledger, LedgerError, LocalLedger, MemoryLedger, Replica, ReplicaError};
use object_store::ObjectStoreExt as _;
use protocol::auth::Keypair;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use store::causes::Chain;
use store::clock::Clock;
use store::config::{Config, ConfigError, Home};
use store::db::{Db, DbError};
use store::disk;
use store::log::{self, CHECKPOINT, LOG_PREFIX, PublicLog};
use store::objects::{ObjectError, Objects};
use store::secret::Secret;
use tokio::sync::{Mutex, Semaphore};
use transparency::LogSigner;

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
    /// What beacons are fetched with.
    #[error(
        "the client of beacons can't be made: are there certificates of authorities here (Debian: ca-certificates)?"
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
        config.dir = home.path().to_owned();
        config.check_registration().map_err(|problem| ConfigError::Setting { origin: "listen".into(), problem })?;
        let keypair = home.keypair()?;
        let log_signer = home.log_signer()?;
        ballast::give_up_if_full(home);
        config.operator_token = operator_secret(home, &config)?;
        let store = config.object_store_url(home)?;
        let db = Db::open(&home.database()).await?;
        ledger::check_there(&db, &home.ledger()).await?;
        let ledger = LocalLedger::open(&home.ledger(), keypair.clone())?;
        ledger::check_same(&db, &home.ledger(), &ledger).await?;
        if let Some(recovery) = ledger.recovery() {
            tracing::warn!(?recovery, "the ledger was repaired after a crash");
        }
        let objects = Objects::open_or_begin(&store, home.tmp(), db.is_new().await?)?;
        breaker::know_objects(&db, &objects).await?;
        match objects.look().await {
            // What is there can be shown.
            Err(ObjectError::Full) => tracing::error!("the disk is full: nothing new is taken until there is space"),
            looked => looked?,
        }
        check_log_known(&db, &objects, &home.database()).await?;
        objects.sweep()?;
        ballast::make_if_roomy(home, config.limits.disk_reserve_bytes);
        Self::compose(config, (keypair, log_signer), db, objects, Arc::new(ledger), evaluator, Clock::System).await
    }

    /// Opens what a worker needs beside a serving process: everything but the ledger, which a worker has no say in.
    ///
    /// # Errors
    /// When a part can't be opened.
    pub async fn open_worker(
        home: &Home,
        mut config: Config,
        evaluator: Arc<dyn Evaluator>,
    ) -> Result<Self, OpenError> {
        config.dir = home.path().to_owned();
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
        jobs::engine::migrate(&db).await.map_err(|error| OpenError::Jobs(error.to_string()))?;
        log::begin(&db, &log_signer.key(), keypair.hotkey(), clock.now()).await?;
        let guard = Guard::new(&config, Arc::clone(&ledger));
        let relay = Arc::new(Relay::new(&config.drand_url).map_err(OpenError::Client)?);
        let fleet = Fleet::new(Duration::from_secs(config.limits.worker_lease_seconds));
        Ok(Self::from(Parts {
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
            relay,
            materials: MaterialsCache::default(),
            asked: AskedItems::default(),
            signals: Signals::default(),
            fleet,
            breaker: Breaker::default(),
            line: LastLook::default(),
            guard,
            counters: Counters::default(),
            heavy: Heavy::default(),
            comparing: Mutex::default(),
            compare_places: Semaphore::new(1),
        }))
    }
}

/// Refuses a database that knows nothing of the log that the store holds, wherever that is.
async fn check_log_known(db: &Db, objects: &Objects, path: &Path) -> Result<(), DbError> {
    if db.count_leaves().await? != (0, 0) {
        return Ok(());
    }
    let checkpoint = object_store::path::Path::from(format!("{LOG_PREFIX}/{CHECKPOINT}"));
    match objects.store().head(&checkpoint).await {
        Ok(_) => Err(DbError::Lost { path: path.to_owned(), found: format!("{checkpoint} in the object store") }),
        // What else is wrong with the store shows when it is looked at.
        Err(_) => Ok(()),
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
