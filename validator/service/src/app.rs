//! What everything that serves a request or does a job is given: database, object store, ledger, evaluator, clock, and what
//! is kept in memory (`state`). It knows its parts and none of their work; `open` puts them together.

use crate::evaluator::Evaluator;
use crate::guard::Guard;
use crate::heavy::Heavy;
use crate::relay::Relay;
use crate::state::asked::AskedItems;
use crate::state::board::Board;
use crate::state::breaker::Breaker;
use crate::state::counters::Counters;
use crate::state::fleet::Fleet;
use crate::state::line::LastLook;
use crate::state::materials::MaterialsCache;
use crate::state::signals::Signals;
use chain::Ledger;
use protocol::Hotkey;
use protocol::auth::Keypair;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use store::clock::Clock;
use store::config::Config;
use store::db::Db;
use store::log::PublicLog;
use store::objects::Objects;
use tokio::sync::{Mutex, Semaphore};

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
    pub keypair: Keypair,
    /// The truth.
    pub db: Db,
    /// Bytes.
    pub objects: Objects,
    /// Stake, registrations and weights.
    pub ledger: Arc<dyn Ledger>,
    /// Where connections are taken, once they are.
    pub bound: OnceLock<SocketAddr>,
    /// The evaluation engine.
    pub evaluator: Arc<dyn Evaluator>,
    /// The time.
    pub clock: Clock,
    /// What was done, for everybody to check.
    pub log: PublicLog,
    /// The leaderboards as they are served.
    pub board: Board,
    /// Where beacons of drand come from.
    pub relay: Arc<Relay>,
    /// What evaluations are made of, one set a competition.
    pub materials: MaterialsCache,
    /// What rounds ask their members.
    pub asked: AskedItems,
    /// Wakes the background work.
    pub signals: Signals,
    /// Workers on other machines.
    pub fleet: Fleet,
    /// Whether anything can be measured at the moment.
    pub breaker: Breaker,
    /// Who waits for a turn, as it looked a moment ago.
    pub line: LastLook,
    /// Who may come how often.
    pub guard: Guard,
    /// What `/metrics` counts beyond the database.
    pub counters: Counters,
    /// The place for what needs a model in memory.
    pub heavy: Heavy,
    /// Whoever compares a submission with all others has it.
    pub comparing: Mutex<()>,
    /// Pairs of submissions that wait to be compared because somebody asks.
    pub compare_places: Semaphore,
}

impl App {
    /// Where clients find this validator, without a slash at its end: what people are told to type. Where no setting says, it
    /// is the address that connections are taken at, or this machine's own name for one that stands for all.
    pub fn endpoint(&self) -> String {
        self.config.endpoint(self.bound.get().copied())
    }
}

impl From<Parts> for App {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
