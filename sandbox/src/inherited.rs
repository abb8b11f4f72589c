//! The descriptors that a worker inherits beside its pipes.
//!
//! It doesn't know what is in them.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::fd::RawFd;

/// The package, sealed.
pub const PACKAGE_FD: RawFd = 3;

/// A library, as it lies on the disk.
pub const LIBRARY_FD: RawFd = 4;

/// The package that the parent gave this worker.
///
/// # Errors
/// When this process was given none.
pub fn package() -> std::io::Result<File> {
    inherited(PACKAGE_FD)
}

/// The library that the parent gave this worker to load.
///
/// # Errors
/// When this process was given none.
pub fn library() -> std::io::Result<File> {
    inherited(LIBRARY_FD)
}

#[expect(unsafe_code, reason = "a descriptor that was inherited has a number and no owner")]
fn inherited(number: RawFd) -> std::io::Result<File> {
    // SAFETY: the number is borrowed for as long as it takes to duplicate it; where nothing is open under it, the system
    // says so and no file is made of it. Nothing in this process closes it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    borrowed.try_clone_to_owned().map(File::from)
}
