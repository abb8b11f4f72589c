//! A thread that kills a worker at its bounds, and remembers why.
//!
//! Memory is bounded by looking every [`POLL`], so a worker can exceed the bound for that long; where the sandbox is on,
//! the kernel has a bound of its own not far above. It doesn't know what the worker does.

use sandbox::Worker;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often time and memory are looked at.
const POLL: Duration = Duration::from_millis(10);

/// When a worker is killed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) deadline: Instant,
    pub(crate) memory_bytes_max: u64,
}

/// Why a worker was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Overrun {
    /// Over the deadline.
    Time,
    /// Over the memory bound, in words.
    Memory(String),
}

/// Watches one worker until it is stopped.
pub(crate) struct Watchdog {
    overrun: Arc<OnceLock<Overrun>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn start(worker: &Arc<Worker>, bounds: Bounds) -> Self {
        let (stop, stopped) = mpsc::channel();
        let overrun = Arc::new(OnceLock::new());
        let (worker, shared) = (Arc::clone(worker), Arc::clone(&overrun));
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
                if let Some(reason) = over_bounds(worker.pid(), bounds) {
                    shared.get_or_init(|| reason);
                    worker.kill();
                    return;
                }
            }
        });
        Self { overrun, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn overrun(&self) -> Option<&Overrun> {
        self.overrun.get()
    }

    /// Ends the watch. Before the worker is waited for: until then its number is nobody else's.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        // A watchdog that panicked has nothing left to say.
        self.thread.take().map(JoinHandle::join);
    }
}

fn over_bounds(pid: u32, bounds: Bounds) -> Option<Overrun> {
    if Instant::now() >= bounds.deadline {
        return Some(Overrun::Time);
    }
    let bytes = status_field(pid, "VmRSS:")? * 1024;
    (bytes > bounds.memory_bytes_max).then(|| Overrun::Memory(over_memory(bytes, bounds.memory_bytes_max)))
}

/// The sentence for a worker that held `bytes`.
pub(crate) fn over_memory(bytes: u64, limit: u64) -> String {
    format!("{bytes} bytes resident, limit {limit}")
}

/// A number of `/proc/PID/status`.
pub(crate) fn status_field(pid: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?.parse().ok()
}
