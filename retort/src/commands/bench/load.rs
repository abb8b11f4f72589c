//! Busy processes of this very program, so that a measurement can be watched on a crowded machine.
//!
//! They know nothing and end with whoever started them: by a signal, or when their standard input does.

use anyhow::{Context, Result, ensure};
use std::hint::black_box;
use std::io::Read;
use std::process::{Child, Command, ExitCode, Stdio};

/// More would test the system's scheduler and not this program.
const PROCESSES_MAX: u32 = 64;

/// What each of them writes over and over: more than a core's own caches hold.
const BUFFER_WORDS: usize = (4 << 20) / 8;

/// Running busy processes. Dropping it ends them.
pub(super) struct Load(Vec<Child>);

impl Load {
    /// Starts `count` of them at ordinary priority.
    pub(super) fn start(count: u32) -> Result<Self> {
        ensure!(count <= PROCESSES_MAX, "{count} busy processes are too many: {PROCESSES_MAX} at most");
        let program = std::env::current_exe().context("find this program's own file")?;
        let mut load = Self(Vec::new());
        for _ in 0..count {
            let mut command = Command::new(&program);
            command.arg("__burn").env_clear().stdin(Stdio::piped()).stdout(Stdio::null());
            load.0.push(command.spawn().context("start a busy process")?);
        }
        Ok(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Both fail only for a process that is already gone.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One of them: computes until standard input ends.
pub(crate) fn burn() -> ExitCode {
    std::thread::spawn(|| {
        let mut words = vec![0u64; BUFFER_WORDS];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        loop {
            for word in &mut words {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *word = word.wrapping_add(state);
            }
            black_box(&mut words);
        }
    });
    let mut end = [0];
    while matches!(std::io::stdin().read(&mut end), Ok(1..)) {}
    ExitCode::SUCCESS
}
