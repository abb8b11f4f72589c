//! The measurement lease: one evaluation at a time on a machine, so that none disturbs another's clock.
//!
//! An advisory lock on one file, which excludes threads of this process (each lease opens the file anew) as well as
//! other processes, and which the kernel gives back when its holder dies. It doesn't know who else computes here.

use rustix::fs::{FlockOperation, Mode, OFlags};
use std::io;
use std::os::fd::OwnedFd;

/// The name of the lock in the folder for temporary files.
const FILE_NAME: &str = "retort-measurement.lock";

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    _file: OwnedFd,
}

impl Lease {
    /// Waits until no other evaluation runs on this machine.
    pub(crate) fn take() -> io::Result<Self> {
        let path = std::env::temp_dir().join(FILE_NAME);
        // Open first, create second: in a sticky folder the kernel refuses to "create" another user's existing file.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(&path, flags, Mode::empty()).or_else(|_| {
            rustix::fs::open(&path, flags | OFlags::CREATE, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH)
        })?;
        while let Err(error) = rustix::fs::flock(&file, FlockOperation::LockExclusive) {
            if error != rustix::io::Errno::INTR {
                return Err(error.into());
            }
        }
        Ok(Self { _file: file })
    }
}
