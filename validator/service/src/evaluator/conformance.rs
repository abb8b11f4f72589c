//! What every implementation of the door must do, as a function that its tests run and `retort bench door` runs here.
//!
//! It does NOT know which one it asks, nor what a model is: it enters by the trait alone, and panics at the first broken
//! promise.

use super::{Evaluator, Machine, Progress, ProgressFn, measured, measured_on, silent};
use futures::future::BoxFuture;
use protocol::Digest;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest, Order};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How soon after an order is cancelled nothing runs for it any more and the machine is the next one's.
pub const PROMISE: Duration = Duration::from_secs(1);

/// How long what must come is waited for, on a crowded machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(5);
/// How long an order that waited longer than its own limit has for its measurement.
const WALL_SECONDS: u64 = 10;

/// An implementation of the door, and what it can be asked to do.
pub trait Subject: Send + Sync {
    /// The door.
    fn door(&self) -> Arc<dyn Evaluator>;

    /// An order that is done within seconds; another number, another package and other items.
    fn order(&self, number: u32) -> EvaluationRequest;

    /// An order that takes longer than anybody waits here; another number, another part of a measurement that does.
    fn endless(&self, number: u32) -> EvaluationRequest;

    /// Whether anything runs for an order: processes, or what stands for them.
    fn is_at_work(&self) -> bool;
}

/// Checks that an implementation keeps its promises. What is cancelled must be over `within` so long: [`PROMISE`], but
/// for who is asked on a crowded machine.
///
/// # Panics
/// At the first promise that is broken.
pub async fn evaluator_conformance(subject: &dyn Subject, within: Duration) {
    everybody_is_answered_once_and_for_what_was_ordered(subject).await;
    what_cannot_be_done_is_said_and_leaves_nothing(subject).await;
    an_answer_to_another_order_is_refused(subject).await;
    who_leaves_the_line_holds_nobody_up(subject).await;
    time_counts_from_when_the_machine_is_had(subject).await;
    for number in 0..2 {
        let took = cancelled(subject, number, Duration::from_millis(50)).await;
        assert!(took <= within, "the machine was free {took:?} after an order was cancelled, not {within:?}");
    }
}

/// Cancels an order so long after work began for it; how long it then takes until nothing runs for it and whoever waits
/// has the machine.
///
/// # Panics
/// When nothing begins, the machine isn't given back, or what was cancelled is still heard of.
pub async fn cancelled(subject: &dyn Subject, number: u32, after: Duration) -> Duration {
    let (door, heard) = (subject.door(), Heard::default());
    let machine = free(&*door).await;
    let (order, progress) = (subject.endless(number), heard.listener());
    let asked = Arc::clone(&door);
    let evaluation = tokio::spawn(async move { asked.evaluate(machine, order, progress).await.map(drop) });
    until("work for an order begins", || subject.is_at_work()).await;
    tokio::time::sleep(after).await;
    let next = tokio::spawn(async move { free(&*door).await });
    // It stands in line by then.
    tokio::time::sleep(LOOK).await;
    assert!(!next.is_finished(), "one order at a time has the machine");
    assert!(!evaluation.is_finished(), "the order ended by itself: it isn't endless");

    let began = Instant::now();
    evaluation.abort();
    let machine = next.await.expect("the machine is given back");
    until("nothing runs for an order that was cancelled", || !subject.is_at_work()).await;
    let took = began.elapsed();
    drop(machine);
    heard.ends().await;
    took
}

async fn everybody_is_answered_once_and_for_what_was_ordered(subject: &dyn Subject) {
    let door = subject.door();
    let (one, other) = (subject.order(1), subject.order(2));
    assert_ne!(
        one.order.package_sha256(),
        other.order.package_sha256(),
        "the subject's orders are about different packages"
    );
    let items = |request: &EvaluationRequest| request.order.inputs.pixels.sha256().expect("items");
    assert_ne!(items(&one), items(&other), "and about different items");
    let heard = [Heard::default(), Heard::default()];
    let ask = |order: &EvaluationRequest, heard: &Heard| {
        let (door, order, progress) = (Arc::clone(&door), order.clone(), heard.listener());
        async move { door.evaluate(free(&*door).await, order, progress).await }
    };
    let (first, second) = tokio::join!(ask(&one, &heard[0]), ask(&other, &heard[1]));
    answers(&one, &first.expect("an order that can be done is answered"));
    answers(&other, &second.expect("an order that can be done is answered"));
    for heard in heard {
        heard.ends().await;
    }
    is_free(subject).await;
}

/// Checks that an evaluation is about what was ordered.
fn answers(request: &EvaluationRequest, evaluation: &Evaluation) {
    let about = request.order.about().expect("items that can be read");
    let (report, items) = (&evaluation.report, request.truth.labels.len());
    assert_eq!(report.package_sha256, about.package_sha256, "the answer is about the package of the order");
    assert_eq!(report.data.images_sha256, about.images_sha256, "and about its items");
    assert_eq!(report.data.items as usize, items, "and about all of them");
    assert_eq!(report.data.seed, about.seed, "and in the order that its seed gives");
    assert_eq!(evaluation.logits.len() % items, 0, "each item has as many outputs");
    let samples = Digest::of(&evaluation.latency_samples);
    assert!(report.latency.samples_sha256.is_none_or(|named| named == samples), "and the samples are its own");
}

async fn what_cannot_be_done_is_said_and_leaves_nothing(subject: &dyn Subject) {
    let door = subject.door();
    let mut request = subject.order(1);
    request.order.candidate.config_json = Arc::from(*b"{}");
    let sha256 = request.order.package_sha256();
    let refused = measured(&*door, request, sha256).await.expect_err("a package that is none has no report");
    assert!(matches!(refused, EvaluationFailure::Package(_)), "its own fault is said to be its own: {refused}");
    is_free(subject).await;
}

/// A door behind which orders are mixed up.
struct MixedUp<'a>(Arc<dyn Evaluator>, &'a EvaluationRequest);

impl Evaluator for MixedUp<'_> {
    fn machine(&self) -> BoxFuture<'_, Result<Machine, EvaluationFailure>> {
        self.0.machine()
    }

    fn evaluate(
        &self,
        machine: Machine,
        _: EvaluationRequest,
        progress: ProgressFn,
    ) -> BoxFuture<'_, Result<Evaluation, EvaluationFailure>> {
        self.0.evaluate(machine, self.1.clone(), progress)
    }

    fn try_out(&self, order: Order) -> BoxFuture<'_, Result<(), EvaluationFailure>> {
        self.0.try_out(order)
    }
}

async fn an_answer_to_another_order_is_refused(subject: &dyn Subject) {
    let (request, mut other) = (subject.order(1), subject.order(2));
    let sha256 = request.order.package_sha256();
    let is_ours = |evaluation| matches!(evaluation, Err(EvaluationFailure::Infrastructure(_)));
    let answered = measured(&MixedUp(subject.door(), &other), request.clone(), sha256).await;
    assert!(is_ours(answered), "an answer about another package is no answer, and nobody's fault but ours");
    is_free(subject).await;
    other.order.candidate = request.order.candidate.clone();
    let answered = measured(&MixedUp(subject.door(), &other), request.clone(), sha256).await;
    assert!(is_ours(answered), "nor is one about other items");
    is_free(subject).await;
    let mut other = request.clone();
    other.order.seed += 1;
    let answered = measured(&MixedUp(subject.door(), &other), request, sha256).await;
    assert!(is_ours(answered), "nor is one by another seed");
    is_free(subject).await;
}

async fn who_leaves_the_line_holds_nobody_up(subject: &dyn Subject) {
    let door = subject.door();
    let machine = free(&*door).await;
    let wait = || {
        let door = Arc::clone(&door);
        tokio::spawn(async move { free(&*door).await })
    };
    let (gone, stays) = (wait(), wait());
    tokio::time::sleep(10 * LOOK).await;
    assert!(!gone.is_finished() && !stays.is_finished(), "the machine is one order's at a time");
    gone.abort();
    drop(machine);
    drop(stays.await.expect("whoever waits has it next"));
}

/// Somebody may publish for an hour: who waits for that isn't late.
async fn time_counts_from_when_the_machine_is_had(subject: &dyn Subject) {
    let door = subject.door();
    let mut request = subject.order(1);
    request.order.wall_seconds_max = WALL_SECONDS;
    let sha256 = request.order.package_sha256();
    let taken = free(&*door).await;
    let waits = async {
        let machine = free(&*door).await;
        measured_on(&*door, machine, request, sha256, silent()).await
    };
    let somebody_measures = async {
        tokio::time::sleep(Duration::from_secs(WALL_SECONDS + 1)).await;
        drop(taken);
    };
    let (answered, ()) = tokio::join!(waits, somebody_measures);
    answered.expect("an order's time is the time that it has the machine");
}

/// The machine, which nobody keeps for longer than an order of the subject takes.
async fn free(door: &dyn Evaluator) -> Machine {
    let machine = tokio::time::timeout(PATIENCE, door.machine()).await;
    machine.expect("the machine is given back").expect("the machine can be waited for")
}

/// Checks that nothing runs and nobody has the machine.
async fn is_free(subject: &dyn Subject) {
    until("nothing runs once an order is done", || !subject.is_at_work()).await;
    drop(free(&*subject.door()).await);
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Listens to an order's progress, and notices what is said after its end.
#[derive(Clone, Default)]
struct Heard(Arc<AtomicU64>);

impl Heard {
    fn listener(&self) -> ProgressFn {
        let heard = Arc::clone(&self.0);
        Arc::new(move |_: Progress| {
            heard.fetch_add(1, Ordering::SeqCst);
        })
    }

    /// Checks that something was said, and that nothing more is.
    async fn ends(&self) {
        let said = self.0.load(Ordering::SeqCst);
        tokio::time::sleep(20 * LOOK).await;
        assert_ne!(said, 0, "an order says how far it is");
        assert_eq!(self.0.load(Ordering::SeqCst), said, "an order that is over is silent");
    }
}
