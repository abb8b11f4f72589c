//! The evaluation engine behind the validator's narrow door: this binary, run again as a confined worker process. And the same
//! for whoever holds the truth in this very process.

use crate::cli::RuntimeName;
use anyhow::{Context, Result, ensure};
use eval::{
    Cancel, Confinement, Effort, Engine, Holder, LEASE_POLL, Lease, LeaseError, Library, Phase, RuntimeKind,
    WorkerCommand,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use models::DeviceKind;
use protocol::backend::Backend;
use protocol::competition::{EngineName, OfficialEngine};
use protocol::evaluation::{Answer, Evaluation, EvaluationFailure, EvaluationRequest, Order};
use sandbox::Host;
use std::sync::{Mutex, OnceLock};
use validator::config::LatencyEffort;
use validator::evaluator::{Home, Machine, Measurer, Progress};

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
    let mut engine = Engine { confinement: confinement()?, waits: tell_waiting, ..Engine::new(worker) };
    engine.device = device;
    engine.library = Library::named();
    engine.effort = match effort {
        LatencyEffort::Full => Effort::full(),
        LatencyEffort::Quick => Effort::quick(),
    };
    Ok(engine)
}

/// Says for whom a command waits. One that has a bar draws it once it measures.
fn tell_waiting(holder: &Holder) {
    waiting_for(holder).iter().for_each(|told| eprintln!("{told}"));
}

/// Whom this process said last that it waits for.
static TOLD: Mutex<Option<Option<u32>>> = Mutex::new(None);

/// For whom somebody waits, and where to look again; nothing where that was said already, by whoever measures several times.
pub(crate) fn waiting_for(holder: &Holder) -> Option<String> {
    let told = TOLD.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).replace(holder.process);
    (told != Some(holder.process)).then(|| {
        format!(
            "waiting for the machine, which measures one model at a time: {holder}; `retort doctor` says who has it"
        )
    })
}

/// What runs models instead of burn, by its name.
///
/// # Errors
/// When its library isn't there or is another.
pub(crate) fn runtime(name: RuntimeName) -> Result<Option<RuntimeKind>> {
    match name {
        RuntimeName::Burn => Ok(None),
        RuntimeName::Rten => Ok(Some(RuntimeKind::Rten)),
        RuntimeName::Onnxruntime => Library::named().runtime().map(Some).map_err(anyhow::Error::msg),
    }
}

/// What a competition's models are measured on, as this host has it; else what stands in for it, and why it has to.
pub(crate) fn official_or_other(library: &Library, official: OfficialEngine) -> (RuntimeKind, Option<String>) {
    match (library.asked_for(official), official.name) {
        (Ok((runtime, _)), _) => (runtime, None),
        (Err(problem), EngineName::Burn) => (RuntimeKind::Burn, Some(problem)),
        (Err(problem), EngineName::Rten | EngineName::Onnxruntime) => (RuntimeKind::Rten, Some(problem)),
    }
}

/// Lets another engine stand in for an official one that this host lacks; what to tell of it then.
pub(crate) fn stand_in(engine: &mut Engine, official: OfficialEngine) -> Option<String> {
    let (other, problem) = official_or_other(&engine.library, official);
    let problem = problem?;
    let told =
        format!("not official, since it was measured on {}, and the competition on {official}: {problem}", other.id());
    engine.instead = Some(other);
    Some(told)
}

/// A phase in a word.
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Expected => "expected answers",
        Phase::Accuracy => "accuracy",
        Phase::Latency => "latency",
    }
}

/// Waits for the machine, measures what the request orders, and holds the answer against its truth.
///
/// # Errors
/// As the engine's, and where the truth is none of these items.
pub(crate) fn evaluated(
    engine: &Engine,
    request: &EvaluationRequest,
    progress: &dyn Fn(eval::Progress),
) -> Result<Evaluation, EvaluationFailure> {
    task::check(request)?;
    Ok(task::evaluation(request, engine.evaluate(&request.order, progress)?)?)
}

/// Measures in processes of this machine.
pub(crate) struct ProcessMeasurer(pub(crate) Engine);

impl ProcessMeasurer {
    /// Waits in line without a thread that would block.
    async fn lease(&self) -> Result<Lease, LeaseError> {
        let mut waiting = self.0.lease.line_up()?;
        loop {
            if let Some(lease) = waiting.look()? {
                return Ok(lease);
            }
            waiting.for_whom().iter().for_each(self.0.waits);
            tokio::time::sleep(LEASE_POLL).await;
        }
    }
}

/// What reads a library of tens of megabytes, in a thread that may take its time.
fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> BoxFuture<'static, Result<T, String>> {
    let ended = |error| Err(format!("a thread of the engine ended: {error}"));
    async move { tokio::task::spawn_blocking(work).await.unwrap_or_else(ended) }.boxed()
}

impl Measurer for ProcessMeasurer {
    fn official(&self, asked: OfficialEngine) -> BoxFuture<'_, Result<OfficialEngine, String>> {
        let library = self.0.library.clone();
        in_thread(move || library.official(asked))
    }

    fn library(&self, engine: OfficialEngine) -> BoxFuture<'_, Result<Option<Vec<u8>>, String>> {
        let library = self.0.library.clone();
        in_thread(move || match engine.name {
            EngineName::Onnxruntime => library.bytes().map(Some),
            EngineName::Burn | EngineName::Rten => Ok(None),
        })
    }

    fn class(&self) -> Option<String> {
        Some(eval::hardware_class())
    }

    fn backends(&self) -> BoxFuture<'_, Vec<Backend>> {
        let engine = self.0.clone();
        let here = move || Backend::ALL.into_iter().filter(|backend| engine.backend(*backend).is_ok()).collect();
        async move { tokio::task::spawn_blocking(here).await.unwrap_or_default() }.boxed()
    }

    fn machine(&self) -> BoxFuture<'_, Result<Machine, EvaluationFailure>> {
        let ours = |error: LeaseError| EvaluationFailure::Infrastructure(error.to_string());
        async move { self.lease().await.map(Machine::held_by).map_err(ours) }.boxed()
    }

    fn measure(&self, machine: Machine, order: Order, home: Home) -> BoxFuture<'_, Result<Answer, EvaluationFailure>> {
        let (engine, cancel) = (self.0.clone(), Cancel::default());
        let ends_with_this = cancel.on_drop();
        let measure = move || {
            // The thread holds the machine until it is through, though nobody may wait for it any more.
            let bug = || EvaluationFailure::Infrastructure("the machine is somebody else's; this is a bug".into());
            let progress = |at: eval::Progress| {
                (home.progress)(Progress { phase: phase_name(at.phase).into(), done: at.percent.into(), total: 100 });
            };
            let home = eval::Home { progress: &progress, is_worth_timing: &*home.is_worth_timing };
            engine.evaluate_on(machine.hold().ok_or_else(bug)?, &order, &cancel, home)
        };
        async move {
            let _ends_with_this = ends_with_this;
            let panicked = |error| EvaluationFailure::Infrastructure(format!("the engine's thread ended: {error}"));
            tokio::task::spawn_blocking(measure).await.unwrap_or_else(|error| Err(panicked(error)))
        }
        .boxed()
    }
}
