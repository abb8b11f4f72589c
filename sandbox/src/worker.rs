//! A started process: kill it, see how it ended. By its descriptor, so that its number can't be another's by then.
//!
//! It doesn't know what the process does.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

impl End {
    /// It made a system call that its filter doesn't know: SIGSYS.
    pub fn is_violation(self) -> bool {
        self == Self::Killed(libc::SIGSYS)
    }

    /// It ended well.
    pub fn is_success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit status {code}"),
            Self::Killed(signal) => write!(f, "signal {signal} ({})", name(*signal)),
        }
    }
}

fn name(signal: i32) -> &'static str {
    match signal {
        libc::SIGSYS => "a forbidden system call",
        libc::SIGSEGV => "a bad address",
        libc::SIGABRT => "abort",
        libc::SIGKILL => "killed",
        libc::SIGXCPU => "out of processor time",
        libc::SIGILL => "an illegal instruction",
        libc::SIGBUS => "a bus error",
        libc::SIGFPE => "arithmetic",
        _ => "a signal",
    }
}

/// A process that was started. Dropping it kills the process and waits for its end.
#[derive(Debug)]
pub struct Worker {
    pid: Pid,
    pidfd: OwnedFd,
    end: OnceLock<End>,
}

impl Worker {
    pub(crate) fn new(pid: Pid, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd, end: OnceLock::new() }
    }

    /// Its number, for `/proc`. Its descriptor keeps the number from being used again only until [`Worker::wait`].
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Ends it at once. One that has ended already is no error.
    pub fn kill(&self) {
        // The only other answer is that there is no such process any more.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Whether it ends within `limit`.
    ///
    /// # Errors
    /// When the system can't say.
    pub fn ends_within(&self, limit: Duration) -> io::Result<bool> {
        let limit = Timespec::try_from(limit).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        match poll(&mut fds, Some(&limit)) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for its end, as long as it takes.
    ///
    /// # Errors
    /// When the system can't say.
    pub fn wait(&self) -> io::Result<End> {
        if let Some(end) = self.end.get() {
            return Ok(*end);
        }
        loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Ok(Some(status)) => {
                    let code = status.exit_status().map(End::Exited);
                    let end = code.or_else(|| status.terminating_signal().map(End::Killed));
                    return Ok(*self.end.get_or_init(|| end.unwrap_or(End::Exited(-1))));
                }
                Ok(None) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
        // It is dying; what the system says about it interests nobody any more.
        let _ = self.wait();
    }
}
