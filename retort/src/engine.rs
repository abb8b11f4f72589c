//! The evaluation engine behind the validator's narrow door: this binary, run again as a confined worker process.

use anyhow::{Context, Result, ensure};
use eval::{Confinement, Effort, Engine, Phase, WorkerCommand};
use futures::FutureExt;
use futures::future::BoxFuture;
use models::DeviceKind;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest};
use sandbox::Host;
use std::sync::OnceLock;
use validator::config::LatencyEffort;
use validator::evaluator::{Evaluator, Progress, ProgressFn};

/// How workers are confined; the command line decides, once.
static CONFINEMENT: OnceLock<Confinement> = OnceLock::new();

/// Lets workers run without the sandbox. Before anything else: later it is too late.
pub(crate) fn allow_insecure() {
    CONFINEMENT.get_or_init(|| Confinement::Process);
}

/// The sandbox, unless the command line said otherwise.
///
/// # Errors
/// When this host lacks what the sandbox can't do without.
fn confinement() -> Result<Confinement> {
    if let Some(confinement) = CONFINEMENT.get() {
        return Ok(*confinement);
    }
    let missing = Host::of_this_machine().missing();
    ensure!(
        missing.is_empty(),
        "this host can't confine strangers' models: no {}. `retort validator doctor` says what to do; where you trust \
         every model, --insecure-sandbox runs them anyway",
        missing.join(", no ")
    );
    Ok(Confinement::Sandbox)
}

/// The engine of this machine on `device`, measuring latency as long as `effort` says.
///
/// # Errors
/// When this host can't confine workers or doesn't say where this program is.
pub(crate) fn engine(device: DeviceKind, effort: LatencyEffort) -> Result<Engine> {
    let worker = WorkerCommand::this_program(&["__worker"]).context("find this program's own file")?;
    let mut engine = Engine { confinement: confinement()?, ..Engine::new(worker) };
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
