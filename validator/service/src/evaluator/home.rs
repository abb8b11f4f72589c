//! Where the truth is: whoever gives an order keeps labels and the teacher's answers here, and marks what comes back.
//!
//! It does not know who measures, nor where.

use super::{Evaluator, Machine, ProgressFn, silent};
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::backend::Backend;
use protocol::competition::OfficialEngine;
use protocol::evaluation::{Answer, Evaluation, EvaluationFailure, EvaluationRequest, Order};
use std::sync::Arc;

/// Whether a model with these outputs `[items, classes]` is worth timing.
pub type IsWorthTiming = dyn Fn(&[f32]) -> bool + Send + Sync;

/// Whoever gave an order, while it is carried out: what only they know is asked of them. Both may be called from any thread, and
/// must not block for long.
#[derive(Clone)]
pub struct Home {
    /// Hears how far it is.
    pub progress: ProgressFn,
    /// Asked once at most, by orders that say that they may.
    pub is_worth_timing: Arc<IsWorthTiming>,
}

impl Home {
    /// Whoever wants to hear nothing and finds everything worth timing.
    pub fn silent() -> Self {
        Self { progress: silent(), is_worth_timing: Arc::new(|_| true) }
    }
}

/// Carries out orders, by which it gets to know no truth. Dropping a future of it ends the waiting, or the measurement and whatever
/// runs for it.
pub trait Measurer: Send + Sync {
    /// Waits until the machine is free, as long as that takes.
    fn machine(&self) -> BoxFuture<'_, Result<Machine, EvaluationFailure>>;

    /// As [`Evaluator::official`].
    fn official(&self, asked: OfficialEngine) -> BoxFuture<'_, Result<OfficialEngine, String>> {
        std::future::ready(Ok(asked)).boxed()
    }

    /// As [`Evaluator::library`].
    fn library(&self, _engine: OfficialEngine) -> BoxFuture<'_, Result<Option<Vec<u8>>, String>> {
        std::future::ready(Ok(None)).boxed()
    }

    /// As [`Evaluator::class`].
    fn class(&self) -> Option<String> {
        None
    }

    /// As [`Evaluator::backends`].
    fn backends(&self) -> BoxFuture<'_, Vec<Backend>> {
        std::future::ready(Vec::new()).boxed()
    }

    /// Measures the order's candidate on a machine that is this order's alone.
    fn measure(&self, machine: Machine, order: Order, home: Home) -> BoxFuture<'_, Result<Answer, EvaluationFailure>>;
}

/// An evaluator of what somebody else measures: only the order goes out.
#[derive(Clone, Debug)]
pub struct AtHome<M>(pub M);

impl<M: Measurer> Evaluator for AtHome<M> {
    fn machine(&self) -> BoxFuture<'_, Result<Machine, EvaluationFailure>> {
        self.0.machine()
    }

    fn official(&self, asked: OfficialEngine) -> BoxFuture<'_, Result<OfficialEngine, String>> {
        self.0.official(asked)
    }

    fn library(&self, engine: OfficialEngine) -> BoxFuture<'_, Result<Option<Vec<u8>>, String>> {
        self.0.library(engine)
    }

    fn class(&self) -> Option<String> {
        self.0.class()
    }

    fn backends(&self) -> BoxFuture<'_, Vec<Backend>> {
        self.0.backends()
    }

    fn evaluate(
        &self,
        machine: Machine,
        request: EvaluationRequest,
        progress: ProgressFn,
    ) -> BoxFuture<'_, Result<Evaluation, EvaluationFailure>> {
        async move {
            task::check(&request)?;
            let request = Arc::new(request);
            let asked = Arc::clone(&request);
            let is_worth_timing = Arc::new(move |outputs: &[f32]| task::is_worth_timing(&asked, outputs));
            let answer = self.0.measure(machine, request.order.clone(), Home { progress, is_worth_timing }).await?;
            let marked = tokio::task::spawn_blocking(move || task::evaluation(&request, answer)).await;
            let panicked = |error| EvaluationFailure::Infrastructure(format!("the answer can't be marked: {error}"));
            Ok(marked.map_err(panicked)??)
        }
        .boxed()
    }

    fn try_out(&self, order: Order) -> BoxFuture<'_, Result<(), EvaluationFailure>> {
        async move { self.0.measure(self.0.machine().await?, order, Home::silent()).await.map(drop) }.boxed()
    }
}
