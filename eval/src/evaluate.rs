//! An evaluation as a story: [`Engine::evaluate_on`] reads top to bottom.
//!
//! It knows no competition, no score and no storage; the caller gives bytes and stores what comes back.

use crate::accuracy_pass::{AccuracyPass, accuracy_pass};
use crate::cancel::Cancel;
use crate::confinement::{Confinement, WorkerCommand};
use crate::effort::Effort;
use crate::host::host;
use crate::latency::{self, Handicapped, Stopped};
use crate::lease::{Lease, LeaseFolder};
use crate::library::Library;
use crate::metrics;
use crate::placement::{Pinning, Placement, WorkerPlacement};
use crate::prepare::{Inputs, Prepared, prepare};
use crate::process::{Launcher, WorkerFailure};
use crate::runtime::{BURN_VERSION, RuntimeKind};
use crate::samples::Samples;
use crate::watchdog::Bounds;
use engine::Mode;
use models::DeviceKind;
use protocol::Digest;
use protocol::competition::OfficialEngine;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest, Items, Scope};
use protocol::outcomes::{OutcomeValues, Outcomes};
use protocol::package::{Expected, is_half_precision};
use protocol::report::{Cost, DataSeen, Fidelity, Phases, Quality, REPORT_FORMAT, Report};
use protocol::submission::Code;
use sandbox::Jail;
use std::time::{Duration, Instant};

/// Longest wall clock that a request can ask for, so that adding it to now can't overflow.
const WALL_SECONDS_MAX: u64 = 24 * 60 * 60;

/// How many times the processor time that its architecture needs a package must have used to be blamed for being late.
const TIMES_TWIN_MAX: u32 = 3;

/// Items that tell how much an architecture needs.
const TWIN_ITEMS_MAX: usize = 256;

/// Reports are canonical JSON, whose integers are exact up to 2^53: higher bits of a seed would be lost on the way to
/// an auditor, so they don't count.
const SEED_MASK: u64 = (1 << 53) - 1;

/// The evaluation engine of one machine.
#[derive(Clone, Debug)]
pub struct Engine {
    /// What starts a worker.
    pub worker: WorkerCommand,
    /// What confines it.
    pub confinement: Confinement,
    /// Where the machine is taken for a measurement.
    pub lease: LeaseFolder,
    /// Where models run.
    pub device: DeviceKind,
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

/// How the candidate of [`Engine::latency_with`] is treated unlike the reference.
#[derive(Clone, Copy, Debug, Default)]
pub struct Handicap {
    /// By how much each of its inferences is drawn out, in parts per million.
    pub slow_down_ppm: u32,
    /// Another confinement than the engine's.
    pub confinement: Option<Confinement>,
}

/// Where an evaluation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Another evaluation has the machine.
    Waiting,
    /// What the package says that it answers, held against what it does.
    Expected,
    /// All items through one worker.
    Accuracy,
    /// Launches against the reference student.
    Latency,
    /// Numbers from logits.
    Metrics,
}

/// What a progress bar needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// How much of it is done.
    pub percent: u8,
}

impl Engine {
    /// An engine on the CPU with the usual effort.
    pub fn new(worker: WorkerCommand) -> Self {
        Self {
            worker,
            confinement: Confinement::default(),
            lease: LeaseFolder::of_this_user(),
            device: DeviceKind::Flex,
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

    /// Waits for the machine, as long as it takes, and measures one package on it. For whoever has nothing else to do.
    ///
    /// # Errors
    /// As [`Engine::evaluate_on`], and when the machine can't be taken.
    pub fn evaluate(
        &self,
        request: &EvaluationRequest,
        progress: &dyn Fn(Progress),
    ) -> Result<Evaluation, EvaluationFailure> {
        progress(Progress { phase: Phase::Waiting, percent: 0 });
        let machine = self.machine()?;
        self.evaluate_on(&machine, request, &Cancel::default(), progress)
    }

    /// Measures one package. Blocks for seconds to minutes: call it from a thread, and cancel it from another one.
    ///
    /// The request's wall clock starts now, since the machine is the caller's.
    ///
    /// # Errors
    /// [`EvaluationFailure::Package`] when the candidate is to blame, [`EvaluationFailure::Infrastructure`] otherwise.
    pub fn evaluate_on(
        &self,
        _machine: &Lease,
        request: &EvaluationRequest,
        cancel: &Cancel,
        progress: &dyn Fn(Progress),
    ) -> Result<Evaluation, EvaluationFailure> {
        let jail = self.jail(self.confinement, request)?;
        self.evaluate_in(&jail, request, cancel, progress).map_err(|failure| explained(&jail, failure))
    }

    fn evaluate_in(
        &self,
        jail: &Jail,
        request: &EvaluationRequest,
        cancel: &Cancel,
        progress: &dyn Fn(Progress),
    ) -> Result<Evaluation, EvaluationFailure> {
        let tell = |phase| move |percent| progress(Progress { phase, percent });

        let prepared = prepare(request)?;
        let bounds = bounds(request);

        let runtime = &self.runtime_for(request.engine, &prepared)?;
        let launcher = self.launcher(jail, runtime, self.accuracy_threads, bounds, cancel);
        if let Some(expected) = &request.expected {
            tell(Phase::Expected)(0);
            self.as_expected(launcher, request, &prepared, expected)?;
        }

        tell(Phase::Accuracy)(0);
        let pass =
            self.accuracy(launcher, request, &prepared, (&prepared.inputs, &prepared.probes), &tell(Phase::Accuracy))?;

        tell(Phase::Latency)(0);
        let start = Instant::now();
        let one_thread = Launcher { mode: Mode::Fast, ..self.launcher(jail, runtime, 1, bounds, cancel) };
        let seed = request.seed & SEED_MASK;
        let tell_latency = tell(Phase::Latency);
        let placement = Placement::take(self.pinning, self.prior);
        let one_thread = Launcher { placement: placement.workers, ..one_thread };
        let is_timed = match request.scope {
            Scope::Full => true,
            Scope::FullFrom(correct_min) => {
                let Items { labels, public, .. } = &request.items;
                metrics::accuracy(&pass.logits, labels, prepared.candidate.classes, *public).correct >= correct_min
            }
            Scope::OutputsOnly => false,
        };
        let samples = match is_timed {
            true => {
                let alike = Handicapped::default();
                let measured =
                    latency::measure(one_thread, &prepared, &pass.logits, seed, &self.effort, alike, &tell_latency);
                measured.map_err(|stopped| match stopped {
                    Stopped::Failed(failure) => failure,
                    Stopped::Late(used) => self.late_launch(one_thread, request, &prepared, used),
                })?
            }
            false => Samples::none(seed),
        };
        let workers = placement.workers;
        drop(placement);
        let latency_elapsed = start.elapsed();

        tell(Phase::Metrics)(0);
        let start = Instant::now();
        let mut report = self.report(jail, request, &prepared, &pass, workers);
        if runtime.name().runs_graphs() {
            (report.engine, report.device) = (format!("{} {}", self.build, runtime.id()), runtime.name().to_string());
        }
        report.latency = samples.summary();
        report.phases_ms.latency = millis(latency_elapsed);
        let outcomes = outcomes(request, &report, &pass.logits, &samples)?;
        report.phases_ms.metrics = millis(start.elapsed());
        tell(Phase::Metrics)(100);
        let AccuracyPass { logits, probe_logits, .. } = pass;
        Ok(Evaluation { report, logits, probe_logits, outcomes, latency_samples: samples.to_json() })
    }

    /// The few items that the package has answers to through the candidate, before it costs anybody time.
    fn as_expected(
        &self,
        launcher: Launcher<'_>,
        request: &EvaluationRequest,
        prepared: &Prepared<'_>,
        expected: &Expected,
    ) -> Result<(), EvaluationFailure> {
        let asked = expected.asks(prepared.public_pixels(&request.items));
        if asked.is_empty() {
            return Ok(());
        }
        let items = prepared.inputs.at(asked.iter().map(|asked| asked.place));
        let pass = self.accuracy(launcher, request, prepared, (&items, &prepared.probes.first(0)), &|_| {})?;
        let is_half = !prepared.candidate.is_graph() && is_half_precision(&request.candidate.weights)?;
        Ok(expected.compare(&asked, &pass.logits, is_half)?)
    }

    /// Items and probes through the candidate. Whom a failure blames is decided here.
    fn accuracy(
        &self,
        launcher: Launcher<'_>,
        request: &EvaluationRequest,
        prepared: &Prepared<'_>,
        (inputs, probes): (&Inputs<'_>, &Inputs<'_>),
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
            WorkerFailure::Timeout(used) => self.late(launcher, request, prepared, used),
            failure => failure.of_candidate(),
        })
    }

    /// Whom it blames that the candidate didn't answer all items in time.
    fn late(
        &self,
        launcher: Launcher<'_>,
        request: &EvaluationRequest,
        prepared: &Prepared<'_>,
        used: Option<Duration>,
    ) -> EvaluationFailure {
        let needed = self.needed_by_twin(launcher, request, prepared);
        blamed(request, "in which it used", used, needed)
    }

    /// Whom it blames that the launches didn't end in time, of which the candidate used so much in one.
    fn late_launch(
        &self,
        launcher: Launcher<'_>,
        request: &EvaluationRequest,
        prepared: &Prepared<'_>,
        used: Option<Duration>,
    ) -> EvaluationFailure {
        // With as much time of its own.
        let launcher = Launcher { bounds: bounds(request), ..launcher };
        let needed = latency::needed_by_twin(launcher, prepared, request.seed & SEED_MASK, &self.effort);
        blamed(request, "in one launch of which it used", used, needed)
    }

    /// Processor time that the candidate's architecture needs for all items here, by random weights on the first of them;
    /// `None` where that can't be found out either.
    fn needed_by_twin(
        &self,
        launcher: Launcher<'_>,
        request: &EvaluationRequest,
        prepared: &Prepared<'_>,
    ) -> Option<Duration> {
        let twin = prepared.candidate.random_twin(&mut latency::coins(request.seed & SEED_MASK)).ok()?;
        // With as much time of its own.
        let launcher = Launcher { bounds: bounds(request), ..launcher };
        let (some, none) = (prepared.inputs.first(TWIN_ITEMS_MAX), prepared.probes.first(0));
        let pass = accuracy_pass(launcher, &twin, &some, &none, self.batch.max(1) as usize, &|_| {}).ok()?;
        let all = prepared.inputs.len() + prepared.probes.len();
        // Loading is counted as often as items are: in the package's favour.
        Some(pass.processor_time?.mul_f64(all as f64 / some.len().max(1) as f64))
    }

    /// Measures latency alone, with the candidate treated unlike the reference: for measuring how well this engine
    /// measures. No evaluation uses it.
    ///
    /// # Errors
    /// As [`Engine::evaluate`].
    pub fn latency_with(&self, request: &EvaluationRequest, handicap: Handicap) -> Result<Samples, EvaluationFailure> {
        let jail = self.jail(self.confinement, request)?;
        let other = handicap.confinement.map(|other| self.jail(other, request)).transpose()?;
        let handicapped = Handicapped { slow_down_ppm: handicap.slow_down_ppm, jail: other.as_ref() };
        let (_machine, cancel) = (self.machine()?, Cancel::default());
        let prepared = prepare(request)?;
        let placement = Placement::take(self.pinning, self.prior);
        let runtime = &self.runtime_for(request.engine, &prepared)?;
        let launcher = self.launcher(&jail, runtime, 1, bounds(request), &cancel);
        let launcher = Launcher { placement: placement.workers, mode: Mode::Fast, ..launcher };
        let seed = request.seed & SEED_MASK;
        let measured = latency::measure(launcher, &prepared, &[], seed, &self.effort, handicapped, &|_| {});
        measured.map_err(|stopped| match stopped {
            Stopped::Failed(failure) => failure,
            Stopped::Late(used) => WorkerFailure::Timeout(used).of_candidate(),
        })
    }

    fn machine(&self) -> Result<Lease, EvaluationFailure> {
        self.lease.wait().map_err(|error| EvaluationFailure::Infrastructure(error.to_string()))
    }

    fn jail(&self, confinement: Confinement, request: &EvaluationRequest) -> Result<Jail, EvaluationFailure> {
        let jail = confinement.jail(self.device, request.memory_bytes_max);
        jail.map_err(|error| EvaluationFailure::Infrastructure(format!("prepare the sandbox: {error}")))
    }

    /// What runs both models of an evaluation: no ratio is taken across two engines.
    fn runtime_for(&self, asked: OfficialEngine, prepared: &Prepared<'_>) -> Result<RuntimeKind, EvaluationFailure> {
        if let Some(instead) = &self.instead {
            return Ok(instead.clone());
        }
        // No manifest has both, but whoever times a file.
        if prepared.candidate.is_graph() && asked == OfficialEngine::default() {
            return Ok(RuntimeKind::Rten);
        }
        self.library.asked_for(asked).map(|(runtime, _)| runtime).map_err(EvaluationFailure::Infrastructure)
    }

    fn launcher<'a>(
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

    /// All of a report but latency.
    fn report(
        &self,
        jail: &Jail,
        request: &EvaluationRequest,
        prepared: &Prepared<'_>,
        pass: &AccuracyPass,
        placement: WorkerPlacement,
    ) -> Report {
        let Prepared { candidate, inputs, .. } = prepared;
        let Items { pixels, labels, public, .. } = &request.items;
        let logit_bytes: Vec<u8> = pass.logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
        Report {
            format: REPORT_FORMAT.into(),
            package_sha256: candidate.package_sha256,
            engine: self.build.clone(),
            host: host(&jail.describe(), pass.flushes_to_zero, placement),
            device: self.device.to_string(),
            data: DataSeen {
                images_sha256: Digest::of(pixels),
                seed: request.seed & SEED_MASK,
                items: inputs.len() as u32,
                public_items: *public,
            },
            outputs_sha256: Digest::of(&logit_bytes),
            quality: quality(&request.items, &pass.logits, candidate.classes),
            fidelity: fidelity(&request.items, &pass.logits, candidate.classes),
            calibration: metrics::calibration(&pass.logits, labels, candidate.classes),
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

/// Whom it blames that a package wasn't measured in time: the package, if it used far more of the processor than its
/// architecture needs for the same, and otherwise the host, on which it didn't get what it needs.
fn blamed(
    request: &EvaluationRequest,
    what: &str,
    used: Option<Duration>,
    needed: Option<Duration>,
) -> EvaluationFailure {
    let (Some(used), Some(needed)) = (used, needed) else {
        return WorkerFailure::Timeout(used).of_candidate();
    };
    let seconds = request.wall_seconds_max;
    let figures = format!(
        "no answer within {seconds} s, {what} {:.1} s of the processor; the same architecture with random weights needs \
         {:.1} s",
        used.as_secs_f64(),
        needed.as_secs_f64()
    );
    match used > needed * TIMES_TWIN_MAX {
        true => Code::EvaluationTimeout.because(figures).into(),
        false => EvaluationFailure::Infrastructure(format!("the host is too busy: {figures}")),
    }
}

fn bounds(request: &EvaluationRequest) -> Bounds {
    let wall = Duration::from_secs(request.wall_seconds_max.min(WALL_SECONDS_MAX));
    Bounds { deadline: Instant::now() + wall, memory_bytes_max: request.memory_bytes_max }
}

fn quality(items: &Items, logits: &[f32], classes: usize) -> Quality {
    let metrics::Accuracy { correct, public_correct, confusion } =
        metrics::accuracy(logits, &items.labels, classes, items.public);
    let flips = match &items.teacher_logits {
        Some(teacher) => metrics::flips(logits, teacher, &items.labels, classes),
        None => metrics::Flips::default(),
    };
    Quality { correct, public_correct, confusion, negative_flips: flips.negative, positive_flips: flips.positive }
}

fn fidelity(items: &Items, logits: &[f32], classes: usize) -> Fidelity {
    match &items.teacher_logits {
        Some(teacher) => metrics::fidelity(logits, teacher, classes),
        None => metrics::perfect_fidelity(items.labels.len() as u32),
    }
}

/// What paired tests need. The engine's numbers are in range unless there are absurdly many items.
fn outcomes(
    request: &EvaluationRequest,
    report: &Report,
    logits: &[f32],
    samples: &Samples,
) -> Result<Outcomes, EvaluationFailure> {
    let items = &request.items;
    let classes = logits.len() / items.labels.len().max(1);
    let answers = metrics::answers(logits, classes);
    let values = OutcomeValues {
        images_sha256: report.data.images_sha256,
        size_bytes: report.cost.size_bytes,
        public_items: items.public,
        right: answers.iter().zip(items.labels.iter()).map(|(answer, label)| *answer == usize::from(*label)).collect(),
        js_micronats: match &items.teacher_logits {
            Some(teacher) => metrics::divergences(logits, teacher, classes),
            None => vec![0; items.labels.len()],
        },
        log_ratio_nanos: samples.log_ratio_nanos(),
    };
    Outcomes::new(values).map_err(|error| EvaluationFailure::Infrastructure(format!("the outcomes: {error}")))
}

fn millis(elapsed: Duration) -> u64 {
    elapsed.as_millis() as u64
}
