//! Keeps the C library's allocator from asking the system what a locked worker may not ask.
//!
//! It doesn't know what is allocated.

/// With its second thread glibc's allocator reads a file to learn how many processors there are, and so how many arenas to
/// make. Told how many, it doesn't.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a setting of the C library")]
pub(crate) fn count_no_processors() {
    const ARENAS_MAX: libc::c_int = 8;
    // SAFETY: a documented setting that takes a number; it moves nothing that is allocated.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS_MAX) };
}

/// Other C libraries don't count them.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn count_no_processors() {}
