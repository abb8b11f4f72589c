//! An evaluation as a story: [`Engine::evaluate_on`] reads top to bottom.
//!
//! It knows no competition, no score and no storage; the caller gives bytes and stores what comes back.

use crate::accuracy_pass::{AccuracyPass, accuracy_pass};
use crate::cancel::Cancel;
use crate::confinement::{Confinement, WorkerCommand};
use crate::effort::Effort;
use crate::holder::Holder;
use crate::host::host;
use crate::latency::{self, Handicapped, Stopped};
use crate::lease::{Lease, LeaseFolder};
use crate::library::Library;
use crate::placement::{Pinning, Placement, WorkerPlacement};
use crate::prepare::{Inputs, Prepared, prepare};
use crate::process::{Launcher, WorkerFailure};
use crate::runtime::RuntimeKind;
use crate::samples::Samples;
use crate::watchdog::Bounds;
use engine::Mode;
use engine::burn::VERSION as BURN_VERSION;
use models::DeviceKind;
use protocol::backend::{Backend, OnBackend};
use protocol::competition::OfficialEngine;
use protocol::evaluation::{Answer, EvaluationFailure, Measured, Order, Scope};
use protocol::package::{Claims, is_half_precision};
use protocol::report::{About, Cost, Phases};
use protocol::submission::Code;
use sandbox::Jail;
use std::time::{Duration, Instant};

/// Longest wall clock that an order can ask for, so that adding it to now can't overflow.
const WALL_SECONDS_MAX: u64 = 24 * 60 * 60;

/// The evaluation engine of one machine.
#[derive(Clone, Debug)]
pub struct Engine {
    /// What starts a worker.
    pub worker: WorkerCommand,
    /// What confines it.
    pub confinement: Confinement,
    /// Where the machine is taken for a measurement.
    pub lease: LeaseFolder,
    /// Hears for whom it waits, where somebody else has the machine.
    pub waits: fn(&Holder),
    /// Where models run.
    pub device: DeviceKind,
    /// What computes answers in place of the official engine, where an order allows it.
    pub accuracy_on: Option<Backend>,
    /// Where it has the library of onnxruntime.
    pub library: Library,
    /// What runs them in place of what is asked for: for measuring engines. Nothing ranks by that.
    pub instead: Option<RuntimeKind>,
    /// Threads of the accuracy pass; latency always has one.
    pub accuracy_threads: u32,
    /// Items of a batch in the accuracy pass.
    pub batch: u32,
    /// How much latency is measured.
    pub effort: Effort,
    /// Where timed workers run.
    pub pinning: Pinning,
    /// Whether timed workers run before ordinary processes, where the system allows it.
    pub prior: bool,
    /// Version and build, as reports name them.
    pub build: String,
}

/// Where an evaluation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// What the package says that it answers, held against what it does.
    Expected,
    /// All items through one worker.
    Accuracy,
    /// Launches against the reference student.
    Latency,
}

/// What a progress bar needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// How much of it is done.
    pub percent: u8,
}

/// Whoever gave an order, while it is carried out: what only they know is asked of them.
#[derive(Clone, Copy)]
pub struct Home<'a> {
    /// Hears how far it is.
    pub progress: &'a dyn Fn(Progress),
    /// Says of outputs `[items, classes]` whether it is worth timing their model; asked by [`Scope::FullIfWorthIt`] alone, once.
    pub is_worth_timing: &'a dyn Fn(&[f32]) -> bool,
}

/// What came of the launches.
struct Timed {
    samples: Samples,
    workers: WorkerPlacement,
    elapsed: Duration,
}

impl Engine {
    /// An engine on the CPU with the usual effort.
    pub fn new(worker: WorkerCommand) -> Self {
        Self {
            worker,
            confinement: Confinement::default(),
            lease: LeaseFolder::of_this_user(),
            waits: |_| {},
            device: DeviceKind::Flex,
            accuracy_on: None,
            library: Library::default(),
            instead: None,
            accuracy_threads: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            batch: 64,
            effort: Effort::full(),
            pinning: Pinning::default(),
            prior: true,
            build: format!("retort-eval/{}+burn-{BURN_VERSION}", env!("CARGO_PKG_VERSION")),
        }
    }

    /// Waits for the machine, as long as it takes, and measures one package on it. For whoever has nothing else to do, and finds
    /// everything worth timing.
    ///
    /// # Errors
    /// As [`Engine::evaluate_on`], and when the machine can't be taken.
    pub fn evaluate(&self, order: &Order, progress: &dyn Fn(Progress)) -> Result<Answer, EvaluationFailure> {
        let machine = self.machine()?;
        let home = Home { progress, is_worth_timing: &|_| true };
        self.evaluate_on(&machine, order, &Cancel::default(), home)
    }

    /// Measures one package. Blocks for seconds to minutes: call it from a thread, and cancel it from another one.
    ///
    /// The order's wall clock starts now, since the machine is the caller's.
    ///
    /// # Errors
    /// [`EvaluationFailure::Package`] when the candidate is to blame, [`EvaluationFailure::Infrastructure`] otherwise.
    pub fn evaluate_on(
        &self,
        _machine: &Lease,
        order: &Order,
        cancel: &Cancel,
        home: Home<'_>,
    ) -> Result<Answer, EvaluationFailure> {
        let jail = self.jail(self.confinement, self.device, order)?;
        self.evaluate_in(&jail, order, cancel, home).map_err(|failure| explained(&jail, failure))
    }

    fn evaluate_in(
        &self,
        jail: &Jail,
        order: &Order,
        cancel: &Cancel,
        home: Home<'_>,
    ) -> Result<Answer, EvaluationFailure> {
        let tell = |phase| move |percent| (home.progress)(Progress { phase, percent });
        let prepared = prepare(order)?;
        let runtime = &self.runtime_for(order.engine)?;
        let launcher = self.launcher(jail, runtime, self.accuracy_threads, bounds(order), cancel);
        if let Some(expected) = &order.expected {
            tell(Phase::Expected)(0);
            self.as_expected(launcher, order, &prepared, expected)?;
        }

        tell(Phase::Accuracy)(0);
        let (pass, on_backend) = self.answered(launcher, order, &prepared, &tell(Phase::Accuracy))?;
        let is_timed = match order.scope {
            Scope::Full => true,
            Scope::FullIfWorthIt => (home.is_worth_timing)(&pass.logits),
            Scope::OutputsOnly => false,
        };

        if is_timed {
            tell(Phase::Latency)(0);
        }
        let one_thread = Launcher { mode: Mode::Fast, threads: 1, ..launcher };
        let timed = self.timed(one_thread, order, &prepared, (is_timed, &pass.logits), &tell(Phase::Latency))?;

        let mut measured = self.measured(jail, order, &prepared, &pass, timed.workers);
        if !matches!(runtime, RuntimeKind::Burn) {
            (measured.engine, measured.device) =
                (format!("{} {}", self.build, runtime.id()), runtime.name().to_string());
        }
        if let Some(found) = on_backend.as_ref().filter(|found| found.counts()) {
            measured.device = found.backend.to_string();
        }
        measured.on_backend = on_backend;
        measured.latency = timed.samples.summary();
        measured.phases_ms.latency = millis(timed.elapsed);
        Ok(Answer {
            measured,
            outputs: pass.logits,
            probe_outputs: pass.probe_logits,
            log_ratio_nanos: timed.samples.log_ratio_nanos(),
            latency_samples: timed.samples.to_json(),
        })
    }

    /// All items through the candidate, by what the order allows besides the official engine where that is here.
    fn answered(
        &self,
        launcher: Launcher<'_>,
        order: &Order,
        prepared: &Prepared,
        progress: &dyn Fn(u8),
    ) -> Result<(AccuracyPass, Option<OnBackend>), EvaluationFailure> {
        if let Some(backend) = self.allowed(order) {
            let (pass, found) = self.on_backend(backend, launcher, order, prepared, progress)?;
            return Ok((pass, Some(found)));
        }
        let all = (&prepared.inputs, &prepared.probes);
        Ok((self.accuracy(launcher, order, prepared, all, progress)?, None))
    }

    /// Launches against the reference student, if the model is to be timed.
    fn timed(
        &self,
        launcher: Launcher<'_>,
        order: &Order,
        prepared: &Prepared,
        (is_timed, logits): (bool, &[f32]),
        progress: &dyn Fn(u8),
    ) -> Result<Timed, EvaluationFailure> {
        let (start, seed) = (Instant::now(), order.exact_seed());
        let placement = Placement::take(self.pinning, self.prior);
        let workers = placement.workers;
        let launcher = Launcher { placement: workers, ..launcher };
        let samples = match is_timed {
            true => {
                let alike = Handicapped::default();
                let measured = latency::measure(launcher, prepared, logits, seed, &self.effort, alike, progress);
                measured.map_err(|stopped| match stopped {
                    Stopped::Failed(failure) => failure,
                    Stopped::Late(used) => self.late_launch(launcher, order, prepared, used),
                })?
            }
            false => Samples::none(seed),
        };
        drop(placement);
        Ok(Timed { samples, workers, elapsed: start.elapsed() })
    }

    /// The few items that the package has answers to through the candidate, before it costs anybody time.
    fn as_expected(
        &self,
        launcher: Launcher<'_>,
        order: &Order,
        prepared: &Prepared,
        expected: &Claims,
    ) -> Result<(), EvaluationFailure> {
        if expected.places().len() == 0 {
            return Ok(());
        }
        let items = prepared.inputs.at(expected.places())?;
        let pass = self.accuracy(launcher, order, prepared, (&items, &prepared.probes.first(0)), &|_| {})?;
        let is_half = !prepared.candidate.is_graph() && is_half_precision(&order.candidate.weights)?;
        Ok(expected.compare(&pass.logits, is_half)?)
    }

    /// Items and probes through the candidate. Whom a failure blames is decided here.
    pub(crate) fn accuracy(
        &self,
        launcher: Launcher<'_>,
        order: &Order,
        prepared: &Prepared,
        (inputs, probes): (&Inputs, &Inputs),
        progress: &dyn Fn(u8),
    ) -> Result<AccuracyPass, EvaluationFailure> {
        let candidate = &prepared.candidate;
        let pass = || accuracy_pass(launcher, candidate, inputs, probes, self.batch.max(1) as usize, progress);
        let passed = match pass() {
            // Once may be anything; twice is the package's own doing.
            Err(WorkerFailure::Quit(_)) => match pass() {
                Err(WorkerFailure::Quit(detail)) => return Err(Code::EvaluationQuit.because(detail).into()),
                passed => passed,
            },
            passed => passed,
        };
        passed.map_err(|failure| match failure {
            WorkerFailure::Timeout(used) => self.late(launcher, order, prepared, used),
            failure => failure.of_candidate(),
        })
    }

    pub(crate) fn machine(&self) -> Result<Lease, EvaluationFailure> {
        self.lease.wait(self.waits).map_err(|error| EvaluationFailure::Infrastructure(error.to_string()))
    }

    pub(crate) fn jail(
        &self,
        confinement: Confinement,
        device: DeviceKind,
        order: &Order,
    ) -> Result<Jail, EvaluationFailure> {
        let jail = confinement.jail(device, order.memory_bytes_max);
        jail.map_err(|error| EvaluationFailure::Infrastructure(format!("prepare the sandbox: {error}")))
    }

    /// What runs both models of an evaluation: no ratio is taken across two engines.
    pub(crate) fn runtime_for(&self, asked: OfficialEngine) -> Result<RuntimeKind, EvaluationFailure> {
        if let Some(instead) = &self.instead {
            return Ok(instead.clone());
        }
        self.library.asked_for(asked).map(|(runtime, _)| runtime).map_err(EvaluationFailure::Infrastructure)
    }

    pub(crate) fn launcher<'a>(
        &'a self,
        jail: &'a Jail,
        runtime: &'a RuntimeKind,
        threads: u32,
        bounds: Bounds,
        cancel: &'a Cancel,
    ) -> Launcher<'a> {
        Launcher {
            command: &self.worker,
            jail,
            device: self.device,
            runtime,
            mode: Mode::Exact,
            threads: threads.max(1),
            slow_down_ppm: 0,
            placement: WorkerPlacement::default(),
            bounds,
            cancel,
        }
    }

    /// All that was measured but latency.
    fn measured(
        &self,
        jail: &Jail,
        order: &Order,
        prepared: &Prepared,
        pass: &AccuracyPass,
        placement: WorkerPlacement,
    ) -> Measured {
        let Prepared { candidate, inputs, .. } = prepared;
        Measured {
            about: About {
                package_sha256: candidate.package_sha256,
                images_sha256: pass.images_sha256,
                items: inputs.len() as u32,
                seed: order.exact_seed(),
            },
            engine: self.build.clone(),
            host: host(&jail.describe(), pass.flushes_to_zero, placement),
            device: self.device.to_string(),
            on_backend: None,
            latency: Default::default(),
            cost: Cost {
                size_bytes: candidate.costs.size_bytes,
                file_bytes: candidate.model_bytes,
                parameters: candidate.costs.parameters,
                macs: candidate.costs.macs,
                activation_bytes: candidate.costs.activation_bytes_peak,
                peak_rss_bytes: pass.peak_rss_bytes,
                throughput_milli: pass.throughput_milli,
            },
            phases_ms: Phases { load: millis(pass.load), accuracy: millis(pass.elapsed), ..Phases::default() },
        }
    }
}

/// What a worker that the kernel killed for want of memory can't say itself.
fn explained(jail: &Jail, failure: EvaluationFailure) -> EvaluationFailure {
    match failure {
        EvaluationFailure::Infrastructure(detail) if jail.memory_kills() > 0 => Code::EvaluationOutOfMemory
            .because(format!("the kernel ended a worker for want of memory: {detail}"))
            .into(),
        failure => failure,
    }
}

pub(crate) fn bounds(order: &Order) -> Bounds {
    let wall = Duration::from_secs(order.wall_seconds_max.min(WALL_SECONDS_MAX));
    Bounds { deadline: Instant::now() + wall, memory_bytes_max: order.memory_bytes_max }
}

fn millis(elapsed: Duration) -> u64 {
    elapsed.as_millis() as u64
}
