//! Workers on other machines as they are at this moment: a seat for each that asks for work, and what each holds. Plain data; what
//! outlives this process is in the database. It does not know who takes a seat's work, nor HTTP.

use crate::evaluator::Home;
use bytes::Bytes;
use protocol::evaluation::{Answer, EvaluationFailure};
use protocol::fleet::{Claimed, OrderFile, Trust, WorkerFacts, WorkerName};
use protocol::report::About;
use protocol::{Digest, Hotkey};
use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

/// A lock whose data no panic can leave half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All workers that are there.
#[derive(Debug)]
pub struct Fleet {
    /// For how long nobody need hear of a worker before what it has is taken back.
    pub lease: Duration,
    seats: Mutex<HashMap<Hotkey, Arc<Seat>>>,
    held: Mutex<HashMap<String, Arc<Held>>>,
    /// A worker came that has no seat yet.
    pub joined: Notify,
}

/// A worker that asks for work, or is at some.
#[derive(Debug)]
pub struct Seat {
    /// What it signs with.
    pub key: Hotkey,
    /// What the operator calls it.
    pub name: WorkerName,
    /// Whose machine it is.
    pub trust: Trust,
    /// What it says of itself.
    pub facts: WorkerFacts,
    waiting: Mutex<Option<oneshot::Sender<Claimed>>>,
    arrived: Notify,
    seen: watch::Sender<Instant>,
}

/// What a claim is.
pub struct Claim {
    /// Its name.
    pub name: String,
    /// Part of the addresses that its files have.
    pub secret: String,
    /// Whose it is.
    pub worker: Hotkey,
    /// What its answer has to be about.
    pub about: About,
    /// Who gave the order.
    pub home: Home,
    /// The order's files.
    pub files: HashMap<Digest, OrderFile>,
    /// For how long it is good unless it is renewed.
    pub lease: Duration,
}

/// A claim under way.
pub struct Held {
    claim: Claim,
    brought: Mutex<HashMap<Digest, Bytes>>,
    /// Held while a file is read, so that what comes at once is bounded together.
    pub bringing: Arc<tokio::sync::Mutex<()>>,
    until: watch::Sender<Instant>,
    answer: Mutex<Option<oneshot::Sender<Result<Answer, EvaluationFailure>>>>,
    over: watch::Sender<bool>,
}

impl Deref for Held {
    type Target = Claim;

    fn deref(&self) -> &Claim {
        &self.claim
    }
}

impl Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("name", &self.name).field("worker", &self.worker).finish_non_exhaustive()
    }
}

/// Has a claim among those under way until it is dropped; then its worker is told that it is over.
#[derive(Debug)]
pub struct Registered<'a> {
    fleet: &'a Fleet,
    held: Arc<Held>,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        locked(&self.fleet.held).remove(&self.held.name);
        self.held.over.send_replace(true);
    }
}

impl Fleet {
    /// Nobody, and what is claimed is good for `lease`.
    pub fn new(lease: Duration) -> Self {
        Self { lease, seats: Mutex::default(), held: Mutex::default(), joined: Notify::new() }
    }

    /// For how long at most somebody waits for work, or for news of a claim: he is heard of several times a lease.
    pub fn wait(&self) -> Duration {
        self.lease / 4
    }

    /// The seat of a worker, and whether it is new. One that says something else of itself than before gets another.
    pub fn seat(&self, key: Hotkey, named: (&WorkerName, Trust), facts: &WorkerFacts) -> (Arc<Seat>, bool) {
        let mut seats = locked(&self.seats);
        if let Some(seat) = seats.get(&key).filter(|seat| seat.facts == *facts) {
            seat.seen.send_replace(Instant::now());
            return (Arc::clone(seat), false);
        }
        let seat = Arc::new(Seat::new(key, (named.0.clone(), named.1), facts.clone()));
        seats.insert(key, Arc::clone(&seat));
        (seat, true)
    }

    /// All seats.
    pub fn seats(&self) -> Vec<Arc<Seat>> {
        locked(&self.seats).values().cloned().collect()
    }

    /// Whether the seat is still its worker's.
    pub fn has(&self, seat: &Arc<Seat>) -> bool {
        locked(&self.seats).get(&seat.key).is_some_and(|there| Arc::ptr_eq(there, seat))
    }

    /// Takes a seat away; its worker gets another when it asks for work.
    pub fn leave(&self, seat: &Arc<Seat>) {
        let mut seats = locked(&self.seats);
        if seats.get(&seat.key).is_some_and(|there| Arc::ptr_eq(there, seat)) {
            seats.remove(&seat.key);
        }
    }

    /// The worker that asks for work on this machine, other than this one: they would measure at once.
    pub fn neighbour(&self, key: &Hotkey, machine: &Digest) -> Option<WorkerName> {
        let beside =
            |seat: &&Arc<Seat>| seat.key != *key && seat.facts.machine == *machine && !seat.is_silent(self.lease);
        locked(&self.seats).values().find(beside).map(|seat| seat.name.clone())
    }

    /// Has a claim among those under way.
    pub fn register(&self, held: &Arc<Held>) -> Registered<'_> {
        locked(&self.held).insert(held.name.clone(), Arc::clone(held));
        Registered { fleet: self, held: Arc::clone(held) }
    }

    /// A claim under way.
    pub fn held(&self, claim: &str) -> Option<Arc<Held>> {
        locked(&self.held).get(claim).cloned()
    }

    /// The claim whose files have this part of an address.
    pub fn with_secret(&self, secret: &str) -> Option<Arc<Held>> {
        locked(&self.held).values().find(|held| held.secret == secret).cloned()
    }

    /// A worker's claims under way.
    pub fn held_by(&self, key: &Hotkey) -> Vec<Arc<Held>> {
        locked(&self.held).values().filter(|held| held.worker == *key).cloned().collect()
    }
}

impl Seat {
    /// Of a worker with this key.
    pub fn new(key: Hotkey, (name, trust): (WorkerName, Trust), facts: WorkerFacts) -> Self {
        let (waiting, arrived) = (Mutex::default(), Notify::new());
        Self { key, name, trust, facts, waiting, arrived, seen: watch::Sender::new(Instant::now()) }
    }

    /// Notes that its worker was heard of.
    pub fn seen(&self) {
        self.seen.send_replace(Instant::now());
    }

    /// Whether nobody heard of its worker for as long as a claim is good.
    pub fn is_silent(&self, lease: Duration) -> bool {
        self.seen.borrow().elapsed() >= lease
    }

    /// Waits for work. Dropping it is no longer waiting.
    pub fn wait(&self) -> oneshot::Receiver<Claimed> {
        let (sender, receiver) = oneshot::channel();
        *locked(&self.waiting) = Some(sender);
        self.arrived.notify_one();
        self.seen();
        receiver
    }

    /// Its worker, once it waits for work.
    pub async fn hand(&self) -> oneshot::Sender<Claimed> {
        loop {
            let there = locked(&self.waiting).take().filter(|waiting| !waiting.is_closed());
            match there {
                Some(waiting) => return waiting,
                None => self.arrived.notified().await,
            }
        }
    }
}

impl Held {
    /// A claim that begins, and where its answer will come.
    pub fn new(claim: Claim) -> (Arc<Self>, oneshot::Receiver<Result<Answer, EvaluationFailure>>) {
        let (answer, answered) = oneshot::channel();
        let held = Self {
            until: watch::Sender::new(Instant::now() + claim.lease),
            claim,
            brought: Mutex::default(),
            bringing: Arc::default(),
            answer: Mutex::new(Some(answer)),
            over: watch::Sender::new(false),
        };
        (Arc::new(held), answered)
    }

    /// Good for a whole time again.
    pub fn renew(&self) {
        self.until.send_replace(Instant::now() + self.lease);
    }

    /// Until it wasn't renewed in time.
    pub async fn expired(&self) {
        let mut until = self.until.subscribe();
        loop {
            let at = *until.borrow_and_update();
            tokio::select! {
                () = tokio::time::sleep_until(at) => return,
                _ = until.changed() => {}
            }
        }
    }

    /// Until nobody wants its answer any more.
    pub async fn over(&self) {
        // Whoever could say so is this very claim.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    /// Takes a file that its worker brings.
    pub fn bring(&self, sha256: Digest, bytes: Bytes) {
        locked(&self.brought).insert(sha256, bytes);
    }

    /// How many bytes were brought.
    pub fn bytes(&self) -> u64 {
        locked(&self.brought).values().map(|bytes| bytes.len() as u64).sum()
    }

    /// A file that was brought.
    pub fn brought(&self, sha256: &Digest) -> Option<Bytes> {
        locked(&self.brought).get(sha256).cloned()
    }

    /// Ends it with what came of it; whether anybody still wanted to know.
    pub fn end(&self, came: Result<Answer, EvaluationFailure>) -> bool {
        locked(&self.answer).take().is_some_and(|answer| answer.send(came).is_ok())
    }
}
