//! Runs a stranger's model in a process that can do nothing but compute.
//!
//! Both halves of one contract. The parent starts a worker with nothing but five descriptors, in namespaces of its own,
//! under limits that the kernel keeps ([`Jail`], [`Worker`]); the worker, before it reads the first byte that a stranger
//! wrote, gives up files, network, processes and executable memory for good ([`lock`]).
//!
//! ```text
//! parent: Jail::spawn ─▶ usher: clone3 into namespaces ── limits, descriptors, identity ── execveat ─▶ worker: lock, work
//!         Worker::kill, wait  ◀──────────── pidfd ───────────────────────────────────────────────────────┘
//! ```
//!
//! It knows no models, frames, clocks of measurements or rules. What this host can't do is said by [`Host`], and whether
//! that is good enough is decided by whoever starts workers.
//!
//! All unsafe code of the project is here: `child` (between clone and exec), `inherited` (descriptors by number),
//! `float_mode` (denormals), `allocator` (settings of the C library), `host` (Landlock's version). Everything else is
//! `landlock`, `seccompiler` and `rustix`.

#![warn(missing_docs)]

mod allocator;
mod cgroup;
mod child;
mod error;
mod executable;
mod filter;
mod float_mode;
mod host;
mod inherited;
mod jail;
mod lock;
mod sealed;
mod usher;
mod worker;

pub use allocator::give_memory_back;
pub use cgroup::{Cgroup, CgroupKind, NoCgroup};
pub use error::JailError;
pub use executable::Executable;
pub use float_mode::{flushes_to_zero, without_denormals};
pub use host::{Finding, Host, Namespaces};
pub use inherited::{LIBRARY_FD, PACKAGE_FD, library, package};
pub use jail::{Jail, Limits, Pipes, Program};
pub use lock::{LockError, lock, lock_thread};
pub use sealed::Sealed;
pub use worker::{End, Worker};

/// How far a worker is confined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// For models on the processor: no file, no network, no process, no executable memory, no device.
    #[default]
    Strict,
    /// For drivers of graphics processors and LibTorch, which read libraries, compile and talk to devices: no network, no
    /// file but for reading, and none of the system calls that reach into the kernel or other processes.
    Device,
}

impl Profile {
    /// The name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Device => "device",
        }
    }
}
