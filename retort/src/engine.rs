//! The evaluation engine behind the validator's narrow door: this binary, run again as a confined worker process.

use eval::{Effort, Engine, Phase, WorkerCommand};
use futures::FutureExt;
use futures::future::BoxFuture;
use models::DeviceKind;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest};
use std::io;
use validator::config::LatencyEffort;
use validator::evaluator::{Evaluator, Progress, ProgressFn};

/// The engine of this machine on `device`, measuring latency as long as `effort` says.
pub(crate) fn engine(device: DeviceKind, effort: LatencyEffort) -> io::Result<Engine> {
    let mut engine = Engine::new(WorkerCommand::this_program(&["__worker"])?);
    engine.device = device;
    engine.effort = match effort {
        LatencyEffort::Full => Effort::full(),
        LatencyEffort::Quick => Effort::quick(),
    };
    Ok(engine)
}

/// A phase in a word.
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "waiting for the machine",
        Phase::Accuracy => "accuracy",
        Phase::Latency => "latency",
        Phase::Metrics => "metrics",
    }
}

/// Evaluates in processes of this machine.
pub(crate) struct ProcessEvaluator(pub(crate) Engine);

impl Evaluator for ProcessEvaluator {
    fn evaluate(
        &self,
        request: EvaluationRequest,
        progress: ProgressFn,
    ) -> BoxFuture<'_, Result<Evaluation, EvaluationFailure>> {
        let engine = self.0.clone();
        let measure = move || {
            engine.evaluate(&request, &|at| {
                progress(Progress { phase: phase_name(at.phase).into(), done: at.percent.into(), total: 100 });
            })
        };
        async move {
            let panicked = |error| EvaluationFailure::Infrastructure(format!("the engine's thread ended: {error}"));
            tokio::task::spawn_blocking(measure).await.unwrap_or_else(|error| Err(panicked(error)))
        }
        .boxed()
    }
}
