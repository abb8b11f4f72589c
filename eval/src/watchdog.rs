//! A thread that kills a worker at its bounds, and remembers why.
//!
//! What counts is what the process holds and what the kernel holds for it: page tables, and stacks of its threads.
//! Memory is bounded by looking every [`POLL`], so a worker can exceed the bound for that long; where the sandbox is on,
//! the kernel has a bound of its own not far above. It doesn't know what the worker does.

use crate::cancel::Cancel;
use sandbox::Worker;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often time and memory are looked at.
const POLL: Duration = Duration::from_millis(10);

/// What the kernel holds for a thread: its stack there, and what it knows of it.
const THREAD_BYTES: u64 = 32 << 10;

/// When a worker is killed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) deadline: Instant,
    pub(crate) memory_bytes_max: u64,
}

/// Why a worker was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Overrun {
    /// Over the deadline, with the processor time that it had used by then, where the system says it.
    Time(Option<Duration>),
    /// Over the memory bound, in words.
    Memory(String),
    /// Nobody wants its answers any more.
    Cancelled,
}

/// Watches one worker until it is stopped.
pub(crate) struct Watchdog {
    overrun: Arc<OnceLock<Overrun>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn start(worker: &Arc<Worker>, bounds: Bounds, cancel: &Cancel) -> Self {
        let (stop, stopped) = mpsc::channel();
        let overrun = Arc::new(OnceLock::new());
        let (worker, shared, cancel) = (Arc::clone(worker), Arc::clone(&overrun), cancel.clone());
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
                let cancelled = cancel.is_cancelled().then_some(Overrun::Cancelled);
                if let Some(reason) = cancelled.or_else(|| over_bounds(worker.pid(), bounds)) {
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
        return Some(Overrun::Time(processor_time(pid)));
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let bytes = held_bytes(&status)?;
    (bytes > bounds.memory_bytes_max).then(|| Overrun::Memory(over_memory(bytes, bounds.memory_bytes_max)))
}

/// What a process and the kernel for it hold, by its `/proc/PID/status`.
fn held_bytes(status: &str) -> Option<u64> {
    let kibibytes = |name| field(status, name).unwrap_or(0) * 1024;
    let threads = field(status, "Threads:").unwrap_or(1) * THREAD_BYTES;
    Some(field(status, "VmRSS:")? * 1024 + kibibytes("VmPTE:") + kibibytes("HugetlbPages:") + threads)
}

/// The threads of a process, by number; none where the system doesn't say.
pub(crate) fn threads_of(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok()).collect()
}

/// For how long a process's threads that live had a core; `None` where the system doesn't say.
pub(crate) fn processor_time(pid: u32) -> Option<Duration> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let of_thread = |thread: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
        let stat = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse().ok()
    };
    let nanos: Vec<u64> = threads.filter_map(of_thread).collect();
    (!nanos.is_empty()).then(|| Duration::from_nanos(nanos.iter().sum()))
}

/// The sentence for a worker that held `bytes`.
pub(crate) fn over_memory(bytes: u64, limit: u64) -> String {
    format!("{bytes} bytes held, limit {limit}")
}

/// A number of `/proc/PID/status`.
pub(crate) fn status_field(pid: u32, name: &str) -> Option<u64> {
    field(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?, name)
}

fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_holds_for_a_process_counts() {
        let status = "Name:\tx\nVmRSS:\t    1000 kB\nVmPTE:\t     600 kB\nThreads:\t3\nHugetlbPages:\t  2048 kB\n";
        assert_eq!(held_bytes(status), Some((1000 + 600 + 2048) * 1024 + 3 * THREAD_BYTES));
        assert_eq!(held_bytes("Name:\tx\n"), None, "a process that is gone holds nothing");
    }
}
