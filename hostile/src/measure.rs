//! How long a check takes and how much memory it needs beyond what the package itself has.

use std::time::{Duration, Instant};

/// What the process has and had in memory at most, in bytes. Zero where the system doesn't say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Now.
    pub resident_bytes: u64,
    /// The most since [`forget_peak`].
    pub peak_bytes: u64,
}

/// Reads `/proc/self/status`.
pub fn memory() -> Memory {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kilobytes.unwrap_or(0) * 1024
    };
    Memory { resident_bytes: field("VmRSS:"), peak_bytes: field("VmHWM:") }
}

/// Lets the peak begin anew; does nothing where the system can't.
pub fn forget_peak() {
    // `5` is how Linux spells it (proc(5)). Elsewhere there is no such file, and the peak stays the process's.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Times of one kind of thing: by the clock on the wall, and of the processor, which other programs don't lengthen.
#[derive(Clone, Debug, Default)]
pub struct Times {
    wall: Vec<Duration>,
    cpu: Vec<Duration>,
}

/// When something began.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    wall: Instant,
    cpu: Duration,
}

impl Start {
    /// Now.
    pub fn now() -> Self {
        Self { wall: Instant::now(), cpu: thread_cpu() }
    }

    /// What has passed, by the wall's clock and of this thread's processor time.
    pub fn elapsed(&self) -> (Duration, Duration) {
        (self.wall.elapsed(), thread_cpu().saturating_sub(self.cpu))
    }
}

/// What this thread has used of a processor.
fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

impl Times {
    /// Adds one.
    pub fn push(&mut self, (wall, cpu): (Duration, Duration)) {
        self.wall.push(wall);
        self.cpu.push(cpu);
    }

    /// Adds all of another's.
    pub fn extend(&mut self, other: Self) {
        self.wall.extend(other.wall);
        self.cpu.extend(other.cpu);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.wall.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.wall.is_empty()
    }

    /// Two lines with quantiles in milliseconds.
    pub fn summary(mut self) -> String {
        let line = |name: &str, times: &mut Vec<Duration>| {
            times.sort_unstable();
            let at = |parts| quantile(times, parts).as_secs_f64() * 1e3;
            let [p50, p90, p99, longest] = [500, 900, 990, 1_000].map(at);
            format!("{name}: p50 {p50:.3} ms, p90 {p90:.3} ms, p99 {p99:.3} ms, longest {longest:.3} ms")
        };
        let wall = line("wall clock    ", &mut self.wall);
        format!("{wall}\n{}", line("processor time", &mut self.cpu))
    }
}

/// The smallest time that `parts` in a thousand of the times don't exceed; zero without times.
pub fn quantile(sorted: &[Duration], parts: usize) -> Duration {
    let index = (sorted.len() * parts).div_ceil(1_000).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}
