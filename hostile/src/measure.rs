//! How long a check takes and how much memory it needs beyond what the package itself has.

use std::time::Duration;

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

/// The smallest time that `parts` in a thousand of the times don't exceed; zero without times.
pub fn quantile(sorted: &[Duration], parts: usize) -> Duration {
    let index = (sorted.len() * parts).div_ceil(1_000).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}
