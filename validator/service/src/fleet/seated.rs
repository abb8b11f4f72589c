//! Measures by a worker on another machine: an order goes to it when it asks for work, and its answer comes back, or the claim isn't
//! renewed in time. It knows what a seat holds and neither queue nor rows.

use crate::app::App;
use crate::evaluator::{Home, Machine, Measurer};
use crate::state::fleet::{Claim, Held, Seat};
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::evaluation::{Answer, EvaluationFailure, Order};
use protocol::fleet::{Claimed, OrderSheet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use store::config::LatencyEffort;
use store::db::workers::{ClaimEnd, Hold};
use tokio::sync::oneshot;

/// A worker that is at hand, with the name that its claim will have.
pub struct Hand {
    /// The claim's name.
    pub claim: String,
    /// Part of the addresses that its files have.
    pub secret: String,
    /// Whose it is.
    pub seat: Arc<Seat>,
    /// `None` once it was given its order.
    waiting: Mutex<Option<oneshot::Sender<Claimed>>>,
    /// Whether the claim ended although nobody failed.
    is_nobodys_fault: AtomicBool,
}

impl Hand {
    /// The claim that an earlier process gave.
    pub fn again(seat: Arc<Seat>, hold: &Hold) -> Self {
        Self::new(seat, (hold.claim.clone(), hold.secret.clone()), None)
    }

    fn new(seat: Arc<Seat>, (claim, secret): (String, String), waiting: Option<oneshot::Sender<Claimed>>) -> Self {
        Self { claim, secret, seat, waiting: Mutex::new(waiting), is_nobodys_fault: AtomicBool::new(false) }
    }

    /// The machine that it is.
    pub fn into_machine(self) -> Machine {
        Machine::held_by(Arc::new(self))
    }

    /// Whether its worker was lost, or gave the claim back: no failure of the engine's.
    pub fn is_nobodys_fault(&self) -> bool {
        self.is_nobodys_fault.load(Ordering::Relaxed)
    }
}

/// A seat as something that measures.
#[derive(Clone)]
pub struct Seated {
    /// What it is a seat of.
    pub app: App,
    /// Whose.
    pub seat: Arc<Seat>,
}

/// What a claim ends with that its worker gave back.
pub(super) fn given_back() -> EvaluationFailure {
    EvaluationFailure::Infrastructure(GIVEN_BACK.into())
}

const GIVEN_BACK: &str = "the worker gave its claim back";

impl Seated {
    async fn answer(&self, hand: &Hand, order: Order, home: Home) -> Result<Answer, EvaluationFailure> {
        let ours = |problem: String| EvaluationFailure::Infrastructure(problem);
        let put_together = move || {
            let (sheet, files) = OrderSheet::of(&order).map_err(EvaluationFailure::unread)?;
            Ok::<_, EvaluationFailure>((sheet, files, order.about()?))
        };
        let put_together = tokio::task::spawn_blocking(put_together).await;
        let (sheet, files, about) =
            put_together.map_err(|error| ours(format!("the order can't be hashed: {error}")))??;
        let (held, answered) = Held::new(Claim {
            name: hand.claim.clone(),
            secret: hand.secret.clone(),
            worker: self.seat.key,
            about,
            home,
            files: files.into_iter().collect(),
            lease: self.app.fleet.lease,
        });
        let _under_way = self.app.fleet.register(&held);
        let waiting = hand.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waiting) = waiting {
            let files = format!("/api/v1/fleet/files/{}", hand.secret);
            let quick = self.app.config.latency == LatencyEffort::Quick;
            let (claim, lease_seconds) = (hand.claim.clone(), self.app.config.limits.worker_lease_seconds);
            let claimed = Claimed { claim, files, lease_seconds, quick, order: sheet };
            if waiting.send(claimed).is_err() {
                hand.is_nobodys_fault.store(true, Ordering::Relaxed);
                return Err(ours("the worker went before it had its order".into()));
            }
        }
        tokio::select! {
            came = answered => {
                let came = came.unwrap_or_else(|_| Err(ours("the claim was forgotten; this is a bug".into())));
                let is_given_back = came.as_ref().is_err_and(|failure| *failure == given_back());
                hand.is_nobodys_fault.store(is_given_back, Ordering::Relaxed);
                came
            }
            () = held.expired() => {
                hand.is_nobodys_fault.store(true, Ordering::Relaxed);
                self.lost(hand).await;
                let lease = self.app.fleet.lease.as_secs();
                Err(ours(format!("{} wasn't heard of for {lease} s", self.seat.name)))
            }
        }
    }

    async fn lost(&self, hand: &Hand) {
        tracing::warn!(worker = %self.seat.name, claim = hand.claim, "{} wasn't heard of any more", self.seat.name);
        if let Err(error) = self.app.db.count_claim(&self.seat.key, &hand.claim, ClaimEnd::Lost).await {
            tracing::error!(error = %store::causes::Chain(&error), "it isn't counted that a worker was lost");
        }
    }
}

impl Measurer for Seated {
    fn machine(&self) -> BoxFuture<'_, Result<Machine, EvaluationFailure>> {
        async move {
            let waiting = self.seat.hand().await;
            let name = || hex::encode(rand::random::<[u8; 16]>());
            let names = (name(), name());
            Ok(Hand::new(Arc::clone(&self.seat), names, Some(waiting)).into_machine())
        }
        .boxed()
    }

    fn measure(&self, machine: Machine, order: Order, home: Home) -> BoxFuture<'_, Result<Answer, EvaluationFailure>> {
        async move {
            let bug = || EvaluationFailure::Infrastructure("the machine is no worker's; this is a bug".into());
            let hand: &Arc<Hand> = machine.hold().ok_or_else(bug)?;
            self.answer(hand, order, home).await
        }
        .boxed()
    }
}
