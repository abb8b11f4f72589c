//! The parent's side of a worker: start it with nothing but pipes and a sealed package, kill it at its bounds, and say in
//! closed words how it ended.
//!
//! It doesn't know what is measured, nor how a process is confined.

use crate::cancel::Cancel;
use crate::confinement::WorkerCommand;
use crate::frames::{self, Header, Kind, REFUSAL_BYTES_MAX, Span};
use crate::placement::WorkerPlacement;
use crate::prepare::Model;
use crate::runtime::RuntimeKind;
use crate::watchdog::{Bounds, Overrun, Watchdog, processor_time, status_field, threads_of};
use crate::worker::device_number;
use engine::Mode;
use models::DeviceKind;
use protocol::evaluation::EvaluationFailure;
use protocol::submission::{Blame, Code, Rejection};
use rustix::process::Signal;
use sandbox::{End, Jail, Limits};
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// How long a worker that closed its output may take to end, and its last words to arrive.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How much of a worker's standard error is kept.
const STDERR_BYTES_MAX: usize = 64 * 1024;

/// How much of it goes into a message.
const STDERR_SHOWN_BYTES: usize = 1024;

/// SIGKILL.
const KILL: i32 = Signal::KILL.as_raw();

/// What Rust's last words are when there is no memory left.
const OUT_OF_MEMORY: &str = "memory allocation of";

/// Everything that a launch needs besides the model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launcher<'a> {
    pub(crate) command: &'a WorkerCommand,
    pub(crate) jail: &'a Jail,
    pub(crate) device: DeviceKind,
    pub(crate) runtime: &'a RuntimeKind,
    pub(crate) mode: Mode,
    pub(crate) threads: u32,
    /// By how much a timed inference is drawn out, in parts per million.
    pub(crate) slow_down_ppm: u32,
    pub(crate) placement: WorkerPlacement,
    pub(crate) bounds: Bounds,
    pub(crate) cancel: &'a Cancel,
}

/// How a worker failed. Closed: every end of a process is one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WorkerFailure {
    /// Over the deadline, with the processor time that it had used by then, where the system says it.
    Timeout(Option<Duration>),
    /// Over the memory bound.
    OutOfMemory(String),
    /// It said why it can't load the package.
    Refused(Rejection),
    /// NaN or infinity among the logits.
    OutputsInvalid(String),
    /// The kernel ended it because it asked for what no worker asks for.
    Violation(String),
    /// It greeted and later died of a signal or an error of its own.
    Crashed(String),
    /// It greeted and later ended in order without an answer.
    Quit(String),
    /// It isn't a worker, speaks another language, or the system failed us.
    Broken(String),
    /// Nobody wants the measurement any more.
    Cancelled,
}

impl WorkerFailure {
    /// What it means when the candidate ran in the worker.
    pub(crate) fn of_candidate(self) -> EvaluationFailure {
        let package = |code: Code, detail: String| EvaluationFailure::Package(code.because(detail));
        match self {
            // Whether that is the host's fault is decided where the model's needs are known.
            Self::Timeout(_) => EvaluationFailure::Infrastructure("no answer within the time limit".into()),
            Self::Quit(detail) => EvaluationFailure::Infrastructure(detail),
            Self::OutOfMemory(detail) => package(Code::EvaluationOutOfMemory, detail),
            Self::OutputsInvalid(detail) => package(Code::OutputsInvalid, detail),
            Self::Violation(detail) => package(Code::SandboxViolation, detail),
            Self::Crashed(detail) => package(Code::EvaluationCrashed, detail),
            Self::Refused(rejection) if rejection.code.blame() == Blame::Miner => EvaluationFailure::Package(rejection),
            Self::Refused(rejection) => EvaluationFailure::Infrastructure(rejection.to_string()),
            Self::Broken(detail) => EvaluationFailure::Infrastructure(detail),
            Self::Cancelled => EvaluationFailure::Infrastructure("the measurement was cancelled".into()),
        }
    }

    /// Items that can't be read.
    #[expect(clippy::needless_pass_by_value, reason = "it stands where errors are turned into others")]
    pub(crate) fn unread(error: io::Error) -> Self {
        Self::Broken(format!("the items can't be read: {error}"))
    }

    /// What it means when the reference student ran in the worker: never the candidate's fault.
    pub(crate) fn of_reference(self) -> EvaluationFailure {
        EvaluationFailure::Infrastructure(format!("the reference student failed: {}", self.of_candidate()))
    }
}

/// A running worker. Dropping it kills the process.
pub(crate) struct Worker {
    process: Arc<sandbox::Worker>,
    input: File,
    output: File,
    last_words: Receiver<Vec<u8>>,
    watchdog: Watchdog,
    greeted: bool,
    /// What it said about denormals.
    pub(crate) flushes_to_zero: bool,
    classes: usize,
}

/// What a block of single inferences took.
pub(crate) struct Timed {
    /// By the parent's clock, from before the request to after the answer.
    pub(crate) parent_ns: u64,
    /// By the worker's clock.
    pub(crate) worker_ns: u64,
    /// The output for the last item.
    pub(crate) logits: Vec<f32>,
}

impl Worker {
    /// Starts a process that may read `model`, and loads the model in it.
    pub(crate) fn launch(launcher: Launcher<'_>, model: &Model) -> Result<Self, WorkerFailure> {
        let mut worker = Self::spawn(launcher, model)?;
        worker.greet()?;
        worker.place_threads(launcher)?;
        worker.load(launcher, model)?;
        Ok(worker)
    }

    fn spawn(launcher: Launcher<'_>, model: &Model) -> Result<Self, WorkerFailure> {
        let Launcher { command, jail, device, runtime, mode, threads, bounds, cancel, .. } = launcher;
        // Between two launches no watchdog looks.
        if cancel.is_cancelled() {
            return Err(WorkerFailure::Cancelled);
        }
        let program = command.with_environment(jail, device, threads, (runtime, mode));
        let wall = bounds.deadline.saturating_duration_since(Instant::now());
        // The wall clock ends a worker first; this is for one whose parent can't.
        let cpu_seconds = (wall.as_secs() + 2).saturating_mul(u64::from(threads.max(1)));
        let limits = Limits { memory_bytes: bounds.memory_bytes_max, cpu_seconds };
        let broken =
            |what: String| WorkerFailure::Broken(format!("start {}: {what}", command.program.path().display()));
        let (process, pipes) =
            jail.spawn(&program, Some(&model.sealed), limits).map_err(|error| broken(error.to_string()))?;
        let process = Arc::new(process);
        let worker = Self {
            watchdog: Watchdog::start(&process, bounds, cancel),
            last_words: keep_last_words(pipes.errors),
            process,
            input: pipes.input,
            output: pipes.output,
            greeted: false,
            flushes_to_zero: false,
            classes: model.classes,
        };
        let placed = launcher.placement.apply(worker.process.pid());
        placed.map_err(|error| broken(format!("place it: {error}")))?;
        Ok(worker)
    }

    /// Places the thread that an engine may have started before the process was placed.
    fn place_threads(&self, launcher: Launcher<'_>) -> Result<(), WorkerFailure> {
        let place = |thread| launcher.placement.apply(thread);
        let placed = threads_of(self.process.pid()).into_iter().try_for_each(place);
        placed.map_err(|error| WorkerFailure::Broken(format!("place a worker's thread: {error}")))
    }

    fn greet(&mut self) -> Result<(), WorkerFailure> {
        let mut greeting = [0; 8];
        self.receive(Kind::Hello, &mut greeting)?;
        self.greeted = true;
        self.flushes_to_zero = frames::u32_at(&greeting, 4) == 1;
        match frames::u32_at(&greeting, 0) {
            frames::VERSION => Ok(()),
            other => Err(WorkerFailure::Broken(format!("the worker speaks version {other}, not {}", frames::VERSION))),
        }
    }

    fn load(&mut self, launcher: Launcher<'_>, model: &Model) -> Result<(), WorkerFailure> {
        let device = device_number(launcher.device).to_le_bytes();
        let slow_down = launcher.slow_down_ppm.to_le_bytes();
        let lengths = [model.config_json.len() as u64, model.model_bytes].map(u64::to_le_bytes);
        self.send(Kind::Load, &[&device, &slow_down, &lengths[0], &lengths[1]])?;
        let mut parameters = [0; 8];
        self.receive(Kind::Loaded, &mut parameters)?;
        let parameters = u64::from_le_bytes(parameters);
        if parameters != model.costs.parameters {
            let expected = model.costs.parameters;
            return Err(WorkerFailure::Broken(format!("the worker counts {parameters} parameters, not {expected}")));
        }
        Ok(())
    }

    /// Hands over inputs (f32, little-endian, whole items) that later calls refer to, and waits until it has them.
    pub(crate) fn store(&mut self, items: &[u8]) -> Result<(), WorkerFailure> {
        self.send(Kind::Items, &[items])?;
        self.round_trip_ns().map(|_| ())
    }

    /// What an empty request costs.
    pub(crate) fn round_trip_ns(&mut self) -> Result<u64, WorkerFailure> {
        let start = Instant::now();
        self.send(Kind::Ping, &[])?;
        self.receive(Kind::Pong, &mut [])?;
        Ok(start.elapsed().as_nanos() as u64)
    }

    /// Asks for a batch; [`Worker::take_batch`] takes the answer. One more may be asked for in between.
    pub(crate) fn ask_batch(&mut self, span: Span) -> Result<(), WorkerFailure> {
        self.send(Kind::Run, &[&span.to_bytes()])
    }

    /// Logits `[count, classes]` of the batch that was asked for first.
    pub(crate) fn take_batch(&mut self, span: Span) -> Result<Vec<f32>, WorkerFailure> {
        let mut answer = vec![0; Span::BYTES + 4 * self.classes * span.count as usize];
        self.receive(Kind::Out, &mut answer)?;
        self.check_echo(span, &answer)?;
        finite(frames::floats(&answer[Span::BYTES..]))
    }

    /// Single inferences one after the other.
    pub(crate) fn time(&mut self, span: Span) -> Result<Timed, WorkerFailure> {
        let mut answer = vec![0; Span::BYTES + 8 + 4 * self.classes];
        let start = Instant::now();
        self.send(Kind::Time, &[&span.to_bytes()])?;
        self.receive(Kind::Timed, &mut answer)?;
        let parent_ns = start.elapsed().as_nanos() as u64;
        self.check_echo(span, &answer)?;
        let worker_ns = frames::u64_at(&answer, Span::BYTES);
        Ok(Timed { parent_ns, worker_ns, logits: finite(frames::floats(&answer[Span::BYTES + 8..]))? })
    }

    /// Peak resident memory so far; `None` when the system doesn't say.
    pub(crate) fn peak_rss_bytes(&self) -> Option<u64> {
        status_field(self.process.pid(), "VmHWM:").map(|kibibytes| kibibytes * 1024)
    }

    /// Processor time of all its threads so far; `None` when the system doesn't say.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        processor_time(self.process.pid())
    }

    /// How often the system took the processor away so far.
    pub(crate) fn involuntary_switches(&self) -> Option<u64> {
        let of_thread = |thread| status_field(thread, "nonvoluntary_ctxt_switches:");
        let each: Vec<u64> = threads_of(self.process.pid()).into_iter().filter_map(of_thread).collect();
        (!each.is_empty()).then(|| each.iter().sum())
    }

    fn check_echo(&self, span: Span, answer: &[u8]) -> Result<(), WorkerFailure> {
        match Span::from_bytes(answer) {
            Ok(echo) if echo == span => Ok(()),
            other => Err(self.nonsense(format!("the worker answered {other:?} to {span:?}"))),
        }
    }

    fn send(&mut self, kind: Kind, parts: &[&[u8]]) -> Result<(), WorkerFailure> {
        frames::send(&mut self.input, kind, parts).map_err(|error| self.post_mortem(&error))
    }

    /// Reads an answer that must be of `kind` and exactly as long as `payload`.
    fn receive(&mut self, kind: Kind, payload: &mut [u8]) -> Result<(), WorkerFailure> {
        let header = match frames::read_header(&mut self.output) {
            Ok(Some(header)) => header,
            Ok(None) => return Err(self.post_mortem(&io::ErrorKind::UnexpectedEof.into())),
            Err(error) => return Err(self.post_mortem(&error)),
        };
        if header == (Header { kind, length: payload.len() as u64 }) {
            return self.output.read_exact(payload).map_err(|error| self.post_mortem(&error));
        }
        match header {
            Header { kind: Kind::Refused, length } if kind == Kind::Loaded && length <= REFUSAL_BYTES_MAX as u64 => {
                Err(self.read_refusal(length as usize))
            }
            _ => Err(self.nonsense(format!("expected {kind:?} of {} bytes, got {header:?}", payload.len()))),
        }
    }

    /// An answer that makes no sense: from something that never greeted, our own mistake; from a worker, its end.
    fn nonsense(&self, what: String) -> WorkerFailure {
        if self.greeted { WorkerFailure::Crashed(what) } else { WorkerFailure::Broken(what) }
    }

    fn read_refusal(&mut self, length: usize) -> WorkerFailure {
        let mut json = vec![0; length];
        match self.output.read_exact(&mut json) {
            Err(error) => self.post_mortem(&error),
            Ok(()) => serde_json::from_slice(&json).map_or_else(
                |error| WorkerFailure::Broken(format!("the worker's refusal can't be read: {error}")),
                WorkerFailure::Refused,
            ),
        }
    }

    /// Finds out why the pipes broke or a frame made no sense.
    fn post_mortem(&mut self, symptom: &io::Error) -> WorkerFailure {
        let end = self.end_soon();
        match self.watchdog.overrun() {
            Some(Overrun::Time(used)) => return WorkerFailure::Timeout(*used),
            Some(Overrun::Memory(detail)) => return WorkerFailure::OutOfMemory(detail.clone()),
            Some(Overrun::Cancelled) => return WorkerFailure::Cancelled,
            None => {}
        }
        let words = shown(&self.last_words.recv_timeout(LAST_WORDS).unwrap_or_default());
        match end {
            Some(end) if end.is_violation() => WorkerFailure::Violation(format!("{end}; its last words: {words}")),
            Some(_) if words.starts_with(OUT_OF_MEMORY) => WorkerFailure::OutOfMemory(words),
            // Nobody here sent that signal: the kernel ran out of memory, or an operator.
            Some(End::Killed(KILL)) => WorkerFailure::Broken("someone killed the worker".into()),
            Some(end) if self.greeted && end.is_success() => {
                WorkerFailure::Quit(format!("the worker ended without an answer; its last words: {words}"))
            }
            Some(end) if self.greeted => {
                WorkerFailure::Crashed(format!("the worker ended with {end}; its last words: {words}"))
            }
            Some(end) => {
                WorkerFailure::Broken(format!("no worker: {symptom}; it ended with {end}; its last words: {words}"))
            }
            None => WorkerFailure::Broken(format!("lost the worker: {symptom}; its last words: {words}")),
        }
    }

    /// How it ended, if it does within a moment.
    fn end_soon(&mut self) -> Option<End> {
        if !self.process.ends_within(LAST_WORDS).ok()? {
            return None;
        }
        self.watchdog.stop();
        self.process.wait().ok()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.watchdog.stop();
        self.process.kill();
        // It is dying; how interests nobody any more.
        let _ = self.process.wait();
    }
}

/// Drains standard error, keeps its first bytes, and sends them at its end.
fn keep_last_words(mut stderr: File) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut words = Vec::new();
        // What can't be read or sent is lost; it only decorates a message.
        let _ = (&mut stderr).take(STDERR_BYTES_MAX as u64).read_to_end(&mut words);
        let _ = io::copy(&mut stderr, &mut io::sink());
        let _ = sender.send(words);
    });
    receiver
}

/// The end of `words`, fit for a log line.
fn shown(words: &[u8]) -> String {
    let tail = &words[words.len().saturating_sub(STDERR_SHOWN_BYTES)..];
    let text = String::from_utf8_lossy(tail);
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn finite(logits: Vec<f32>) -> Result<Vec<f32>, WorkerFailure> {
    match logits.iter().position(|logit| !logit.is_finite()) {
        None => Ok(logits),
        Some(index) => Err(WorkerFailure::OutputsInvalid(format!("a logit is {}", logits[index]))),
    }
}
