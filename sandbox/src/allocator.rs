//! Settings of the C library's allocator: a locked worker's may not ask the system anything, and a service's gives large
//! memory back.
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

/// Gives large blocks back to the system as soon as they are freed. By itself glibc learns from each large block that is
/// freed to keep blocks of that size (up to 32 MiB) in its arenas, one for each pair of threads: a service that handles
/// a model at a time then holds several times what it uses. And two arenas are enough for a service that waits for the
/// network: with eight a processor each keeps its own holes. Call it before the first thread starts.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a setting of the C library")]
pub fn give_memory_back() {
    /// Blocks of this size and more are mapped each by itself.
    const MAPPED_BYTES_MIN: libc::c_int = 1 << 20;
    /// More threads than arenas take turns.
    const ARENAS_MAX: libc::c_int = 2;
    // SAFETY: documented settings that take a number; they move nothing that is allocated.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
        libc::mallopt(libc::M_ARENA_MAX, ARENAS_MAX);
    }
}

/// Other C libraries keep little.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_memory_back() {}
