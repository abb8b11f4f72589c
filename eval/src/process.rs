//! The parent's side of a worker: spawn it with nothing but pipes, bound its time and memory, kill it, and say in
//! closed words how it ended.
//!
//! It doesn't know what is measured. Memory is bounded by looking every [`POLL`], so a worker can exceed the bound for
//! that long; rlimits and cgroups belong to a later [`Confinement`].

use crate::frames::{self, Header, Kind, REFUSAL_BYTES_MAX, Span};
use crate::placement::WorkerPlacement;
use crate::prepare::Model;
use crate::worker::device_number;
use models::DeviceKind;
use protocol::evaluation::EvaluationFailure;
use protocol::submission::{Blame, Code, Rejection};
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often time and memory are looked at.
const POLL: Duration = Duration::from_millis(10);

/// How long a worker that closed its output may take to end, and its last words to arrive.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How much of a worker's standard error is kept.
const STDERR_BYTES_MAX: usize = 64 * 1024;

/// How much of it goes into a message.
const STDERR_SHOWN_BYTES: usize = 1024;

/// The only variables that a worker inherits: where shared libraries and Vulkan drivers are.
const VARIABLES: [&str; 3] = ["LD_LIBRARY_PATH", "VK_DRIVER_FILES", "XDG_RUNTIME_DIR"];

/// Lets glibc ask for large pages. Where a model's small pages lie in the caches is a matter of chance for each process,
/// and it made launches of a small network differ by 4.5 % (standard deviation); with large pages by 2.8 %.
const LARGE_PAGES: &str = "glibc.malloc.hugetlb=1";

/// What starts a worker: usually the running binary with its hidden subcommand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerCommand {
    /// An absolute path, since workers start in `/`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl WorkerCommand {
    /// The running program, called again with `args`.
    ///
    /// # Errors
    /// When the system doesn't say where the program is.
    pub fn this_program(args: &[&str]) -> io::Result<Self> {
        Ok(Self { program: std::env::current_exe()?, args: args.iter().map(OsString::from).collect() })
    }
}

/// What keeps a worker from doing harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confinement {
    /// A process of its own: no inherited environment, files or working folder; killed over time or memory.
    #[default]
    Process,
}

impl Confinement {
    /// The name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
        }
    }
}

/// Everything that a launch needs besides the model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launcher<'a> {
    pub(crate) command: &'a WorkerCommand,
    pub(crate) device: DeviceKind,
    pub(crate) threads: u32,
    /// By how much a timed inference is drawn out, in parts per million.
    pub(crate) slow_down_ppm: u32,
    pub(crate) placement: WorkerPlacement,
    pub(crate) bounds: Bounds,
}

/// When a worker is killed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) deadline: Instant,
    pub(crate) memory_bytes_max: u64,
}

/// How a worker failed. Closed: every end of a process is one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WorkerFailure {
    /// Over the deadline.
    Timeout,
    /// Over the memory bound.
    OutOfMemory(String),
    /// It said why it can't load the package.
    Refused(Rejection),
    /// NaN or infinity among the logits.
    OutputsInvalid(String),
    /// It greeted and later died of a signal or an error of its own.
    Crashed(String),
    /// It isn't a worker, speaks another language, or the system failed us.
    Broken(String),
}

impl WorkerFailure {
    /// What it means when the candidate ran in the worker.
    pub(crate) fn of_candidate(self) -> EvaluationFailure {
        let package = |code: Code, detail: String| EvaluationFailure::Package(code.because(detail));
        match self {
            Self::Timeout => package(Code::EvaluationTimeout, "killed at the time limit".into()),
            Self::OutOfMemory(detail) => package(Code::EvaluationOutOfMemory, detail),
            Self::OutputsInvalid(detail) => package(Code::OutputsInvalid, detail),
            Self::Crashed(detail) => package(Code::EvaluationCrashed, detail),
            Self::Refused(rejection) if rejection.code.blame() == Blame::Miner => EvaluationFailure::Package(rejection),
            Self::Refused(rejection) => EvaluationFailure::Infrastructure(rejection.to_string()),
            Self::Broken(detail) => EvaluationFailure::Infrastructure(detail),
        }
    }

    /// What it means when the reference student ran in the worker: never the candidate's fault.
    pub(crate) fn of_reference(self) -> EvaluationFailure {
        EvaluationFailure::Infrastructure(format!("the reference student failed: {}", self.of_candidate()))
    }
}

/// A running worker. Dropping it kills the process.
pub(crate) struct Worker {
    child: Arc<Mutex<Child>>,
    pid: u32,
    input: ChildStdin,
    output: ChildStdout,
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
    /// Starts a process and loads `model` in it.
    pub(crate) fn launch(launcher: Launcher<'_>, model: &Model) -> Result<Self, WorkerFailure> {
        let mut worker = Self::spawn(launcher, model.classes)?;
        worker.greet()?;
        worker.load(launcher, model)?;
        Ok(worker)
    }

    fn spawn(launcher: Launcher<'_>, classes: usize) -> Result<Self, WorkerFailure> {
        let WorkerCommand { program, args } = launcher.command;
        let broken = |what: &str| WorkerFailure::Broken(format!("start {}: {what}", program.display()));
        let mut command = Command::new(program);
        command.args(args).env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Both names: burn's flex backend, when built with rayon, and LibTorch's OpenMP.
        command.envs(["RAYON_NUM_THREADS", "OMP_NUM_THREADS"].map(|name| (name, launcher.threads.to_string())));
        command.env("GLIBC_TUNABLES", LARGE_PAGES);
        command.envs(VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        let mut child = command.spawn().map_err(|error| broken(&error.to_string()))?;
        let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
        let ((input, output), stderr) = pipes.ok_or_else(|| broken("no pipes"))?;
        let pid = child.id();
        let child = Arc::new(Mutex::new(child));
        let worker = Self {
            watchdog: Watchdog::start(&child, pid, launcher.bounds),
            last_words: keep_last_words(stderr),
            child,
            pid,
            input,
            output,
            greeted: false,
            flushes_to_zero: false,
            classes,
        };
        launcher.placement.apply(pid).map_err(|error| broken(&format!("keep it to its core: {error}")))?;
        Ok(worker)
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
        let (slow_down, config_bytes) = (launcher.slow_down_ppm.to_le_bytes(), model.config_json.len() as u64);
        self.send(Kind::Load, &[&device, &slow_down, &config_bytes.to_le_bytes(), &model.config_json, &model.weights])?;
        let mut parameters = [0; 8];
        self.receive(Kind::Loaded, &mut parameters)?;
        let parameters = u64::from_le_bytes(parameters);
        if parameters != model.costs.parameters {
            let expected = model.costs.parameters;
            return Err(WorkerFailure::Broken(format!("the worker counts {parameters} parameters, not {expected}")));
        }
        Ok(())
    }

    /// Hands over the inputs (f32, little-endian, whole items) that later calls refer to, and waits until they are there.
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
        status_field(self.pid, "VmHWM:").map(|kibibytes| kibibytes * 1024)
    }

    /// How often the system took the processor away so far.
    pub(crate) fn involuntary_switches(&self) -> Option<u64> {
        status_field(self.pid, "nonvoluntary_ctxt_switches:")
    }

    fn check_echo(&self, span: Span, answer: &[u8]) -> Result<(), WorkerFailure> {
        match Span::from_bytes(answer) {
            Ok(echo) if echo == span => Ok(()),
            other => Err(WorkerFailure::Broken(format!("the worker answered {other:?} to {span:?}"))),
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
            _ => Err(WorkerFailure::Broken(format!("expected {kind:?} of {} bytes, got {header:?}", payload.len()))),
        }
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
        let status = self.wait_a_little();
        match self.watchdog.verdict() {
            Some(Verdict::Timeout) => return WorkerFailure::Timeout,
            Some(Verdict::Memory(detail)) => return WorkerFailure::OutOfMemory(detail),
            None => {}
        }
        let words = shown(&self.last_words.recv_timeout(LAST_WORDS).unwrap_or_default());
        match status {
            // Nobody here sent that signal: the kernel ran out of memory, or an operator.
            Some(status) if status.signal() == Some(9) => WorkerFailure::Broken("someone killed the worker".into()),
            Some(status) if self.greeted && !status.success() => {
                WorkerFailure::Crashed(format!("the worker ended with {status}; its last words: {words}"))
            }
            Some(status) => {
                WorkerFailure::Broken(format!("no worker: {symptom}; it ended with {status}; its last words: {words}"))
            }
            None => WorkerFailure::Broken(format!("lost the worker: {symptom}; its last words: {words}")),
        }
    }

    fn wait_a_little(&self) -> Option<ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < LAST_WORDS {
            if let Ok(Some(status)) = locked(&self.child).try_wait() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(1));
        }
        None
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.watchdog.stop();
        let mut child = locked(&self.child);
        // Both fail only for a process that is already gone.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Why a worker was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Timeout,
    Memory(String),
}

/// A thread that kills a worker at its bounds.
struct Watchdog {
    verdict: Arc<Mutex<Option<Verdict>>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    fn start(child: &Arc<Mutex<Child>>, pid: u32, bounds: Bounds) -> Self {
        let (stop, stopped) = mpsc::channel();
        let verdict = Arc::new(Mutex::new(None));
        let (child, shared) = (Arc::clone(child), Arc::clone(&verdict));
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
                if let Some(reason) = over_bounds(pid, bounds) {
                    *locked(&shared) = Some(reason);
                    // Under the same lock as every wait, so that the process id can't be another's by now.
                    let _ = locked(&child).kill();
                    return;
                }
            }
        });
        Self { verdict, stop: Some(stop), thread: Some(thread) }
    }

    fn verdict(&self) -> Option<Verdict> {
        locked(&self.verdict).clone()
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        // A watchdog that panicked has nothing left to say.
        self.thread.take().map(JoinHandle::join);
    }
}

fn over_bounds(pid: u32, bounds: Bounds) -> Option<Verdict> {
    if Instant::now() >= bounds.deadline {
        return Some(Verdict::Timeout);
    }
    let bytes = status_field(pid, "VmRSS:")? * 1024;
    (bytes > bounds.memory_bytes_max).then(|| Verdict::Memory(over_memory(bytes, bounds.memory_bytes_max)))
}

/// The sentence for a worker that held `bytes`.
pub(crate) fn over_memory(bytes: u64, limit: u64) -> String {
    format!("{bytes} bytes resident, limit {limit}")
}

/// A number of `/proc/PID/status`.
fn status_field(pid: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?.parse().ok()
}

/// Drains standard error, keeps its first bytes, and sends them at its end.
fn keep_last_words(mut stderr: ChildStderr) -> Receiver<Vec<u8>> {
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

/// A lock whose holder can't leave half a change behind.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
