//! The narrow door to what measures, and whoever knocks at it.
//!
//! A [`Measurer`] gets an order and gives an answer; the binary puts a sandboxed worker process behind it. An [`Evaluator`] gets
//! the truth as well and gives an evaluation: [`AtHome`] by asking a measurer and marking its answer here, where the truth is, and in
//! tests a script (the composition has it). So what measures never holds truth. This file knows no engine, no process and no model, only the words of
//! `protocol::evaluation`. What every implementation promises is [`conformance`].

pub mod conformance;
mod home;

pub use home::{AtHome, Home, IsWorthTiming, Measurer};

use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::Digest;
use protocol::backend::Backend;
use protocol::competition::OfficialEngine;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest, Order};
use protocol::report::About;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// How far an evaluation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, in a word or two.
    pub phase: String,
    /// Steps done.
    pub done: u64,
    /// Steps in all; 0 where nobody knows.
    pub total: u64,
}

/// Hears about progress. It may be called from any thread and must not block.
pub type ProgressFn = Arc<dyn Fn(Progress) + Send + Sync>;

/// What is measured on, while it is nobody else's: whatever the engine needs to know that, until it is dropped.
pub struct Machine(Box<dyn Any + Send>);

impl Machine {
    /// A machine that is held by `hold`.
    pub fn held_by(hold: impl Any + Send) -> Self {
        Self(Box::new(hold))
    }

    /// What holds it, if it is of this kind.
    pub fn hold<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

/// Measures a package and holds it against the truth. Dropping a future of it ends the waiting, or the evaluation and whatever
/// runs for it; within [`conformance::PROMISE`] the machine is the next one's.
pub trait Evaluator: Send + Sync {
    /// Waits until the machine is free, as long as that takes: no evaluation has begun, and nobody's time runs.
    fn machine(&self) -> BoxFuture<'_, Result<Machine, EvaluationFailure>> {
        std::future::ready(Ok(Machine::held_by(()))).boxed()
    }

    /// Measures what the request orders on a machine that is this evaluation's alone.
    fn evaluate(
        &self,
        machine: Machine,
        request: EvaluationRequest,
        progress: ProgressFn,
    ) -> BoxFuture<'_, Result<Evaluation, EvaluationFailure>>;

    /// The engine that is asked for as this machine has it: named with its version and the digest of its library.
    ///
    /// # Errors
    /// When it lacks it, in words that say what to do. That is nobody's fault but ours.
    fn official(&self, asked: OfficialEngine) -> BoxFuture<'_, Result<OfficialEngine, String>> {
        std::future::ready(Ok(asked)).boxed()
    }

    /// The library of an engine, if it is a file beside the program: kept with the competition that names it.
    ///
    /// # Errors
    /// As [`Self::official`].
    fn library(&self, _engine: OfficialEngine) -> BoxFuture<'_, Result<Option<Vec<u8>>, String>> {
        std::future::ready(Ok(None)).boxed()
    }

    /// The class of this machine's hardware: workers elsewhere are of the same, or their times are no times of ours.
    fn class(&self) -> Option<String> {
        None
    }

    /// Backends that this machine has, for answers to public items.
    fn backends(&self) -> BoxFuture<'_, Vec<Backend>> {
        std::future::ready(Vec::new()).boxed()
    }

    /// Whether it can measure at the moment, shown on a model that is known to work: whatever it answers will do.
    fn try_out(&self, order: Order) -> BoxFuture<'_, Result<(), EvaluationFailure>>;
}

/// How much longer than its own limit the engine may take before we stop believing in it.
const GRACE: Duration = Duration::from_secs(30);

/// Waits for the machine, evaluates the package of this digest on it, and takes a report only if it is about that package, all the
/// items asked about and the order's seed.
///
/// # Errors
/// As the evaluator's, and when its report is about something else or there is none in time.
pub async fn measured(
    evaluator: &dyn Evaluator,
    request: EvaluationRequest,
    package_sha256: Digest,
) -> Result<Evaluation, EvaluationFailure> {
    let machine = evaluator.machine().await?;
    measured_on(evaluator, machine, request, package_sha256, silent()).await
}

/// The same on a machine that was waited for. The engine's time begins here.
///
/// # Errors
/// As [`measured`].
pub async fn measured_on(
    evaluator: &dyn Evaluator,
    machine: Machine,
    request: EvaluationRequest,
    package_sha256: Digest,
    progress: ProgressFn,
) -> Result<Evaluation, EvaluationFailure> {
    let limit = Duration::from_secs(request.order.wall_seconds_max) + GRACE;
    let official = request.order.engine;
    let order = request.order.clone();
    let late = |_| EvaluationFailure::Infrastructure(format!("no answer for {} s", limit.as_secs()));
    let evaluation = tokio::time::timeout(limit, evaluator.evaluate(machine, request, progress)).await;
    let evaluation = evaluation.map_err(late)??;
    let evaluation = only_about(&About { package_sha256, ..about(order).await? }, evaluation)?;
    let ran = &evaluation.report.engine;
    match official.measured(ran) {
        true => Ok(evaluation),
        false => {
            Err(EvaluationFailure::Infrastructure(format!("it was measured on {ran}, and asked for on {official}")))
        }
    }
}

/// What an answer has to be about, for which the items are gone through unless somebody has.
async fn about(order: Order) -> Result<About, EvaluationFailure> {
    let panicked = |error| EvaluationFailure::Infrastructure(format!("the items can't be hashed: {error}"));
    tokio::task::spawn_blocking(move || order.about()).await.map_err(panicked)?
}

fn only_about(about: &About, evaluation: Evaluation) -> Result<Evaluation, EvaluationFailure> {
    if evaluation.report.about() == *about {
        return Ok(evaluation);
    }
    Err(EvaluationFailure::Infrastructure("the report is about another package or other items".into()))
}

/// Says nothing.
pub fn silent() -> ProgressFn {
    Arc::new(|_| {})
}
