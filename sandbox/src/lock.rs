//! The worker's half: giving up everything but computing, before the first byte of a stranger is read.
//!
//! Landlock first, which takes files, TCP and signals to others away, then the filters of system calls. Both hold for
//! the calling thread and all that it starts, so this comes before any other thread; neither can be undone. It doesn't
//! know what is computed.
//!
//! Before that it bounds its address space: what stacks, page tables and mappings that are only read take from the kernel
//! counts nowhere else, and none of it is possible without addresses. Here and not where it was started, since only now
//! it is known how much its program and libraries take.

use crate::{Profile, allocator, filter};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::DirEntry;
use std::path::{Path, PathBuf};

/// The newest Landlock that this file knows; older kernels give what they have.
const LANDLOCK: ABI = ABI::V6;

/// Where a device's driver writes, beside what begins with [`DEVICE_PREFIX`].
const DEVICES: [&str; 3] = ["/dev/dri", "/dev/kfd", "/dev/null"];
/// What one maker's drivers call their devices.
const DEVICE_PREFIX: &str = "nvidia";

/// What drivers read: libraries and what they say about themselves, the linker's and the loaders' settings, and what the
/// kernel says of this process, its processors and devices. No home, no /var, /tmp, /run or /etc as a whole, no other process.
const READ: [&str; 42] = [
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/share",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/local/share",
    "/usr/local/cuda",
    "/usr/local/nvidia",
    "/opt/rocm",
    "/opt/amdgpu",
    "/nix/store",
    "/run/opengl-driver",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/vulkan",
    "/etc/glvnd",
    "/etc/OpenCL",
    "/etc/nvidia",
    "/etc/drirc",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/version",
    "/proc/filesystems",
    "/proc/devices",
    "/proc/modules",
    "/proc/driver",
    "/proc/sys/vm",
    "/sys/bus",
    "/sys/class",
    "/sys/dev",
    "/sys/devices",
    "/sys/module",
    "/dev/urandom",
    "/dev/random",
    "/dev/zero",
];

/// Variables that name further places of drivers: folders of libraries, and files beside the libraries that they describe.
const FOLDERS: &str = "LD_LIBRARY_PATH";
const DESCRIPTIONS: &str = "VK_DRIVER_FILES";

/// Addresses that an honest worker takes beyond what it may hold: the C library reserves 64 MiB for each of its arenas, and
/// twice that while it makes one.
const ADDRESSES_BYTES: u64 = 1 << 30;

/// Why a worker isn't locked, and must not go on.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The kernel knows no Landlock.
    #[error("this kernel has no Landlock (5.13 or later, with `landlock` in its list of security modules)")]
    NoLandlock,
    /// Landlock refused.
    #[error("Landlock: {0}")]
    Landlock(#[from] RulesetError),
    /// The filter isn't one.
    #[error("the filter of system calls: {0}")]
    Filter(#[from] seccompiler::BackendError),
    /// The kernel doesn't say how many addresses this process has, or doesn't bound them.
    #[error("bound the address space: {0}")]
    Addresses(std::io::Error),
    /// The kernel refused the filter.
    #[error("install the filter of system calls: {0}")]
    Seccomp(#[from] seccompiler::Error),
}

/// Locks this process, for good. Threads started before stay free: call it first, or [`lock_thread`] on each of them.
///
/// # Errors
/// When any part of it is refused. Then nothing of a stranger may be read.
pub fn lock(profile: Profile) -> Result<(), LockError> {
    allocator::count_no_processors();
    // The usual one asks for the working folder, which would look like an attempt to break out.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    if profile == Profile::Strict {
        bound_addresses().map_err(LockError::Addresses)?;
    }
    lock_thread(profile)
}

/// Locks the calling thread alone, for good: one that an engine has to start before its process is locked.
///
/// # Errors
/// As [`lock`].
pub fn lock_thread(profile: Profile) -> Result<(), LockError> {
    let programs = filter::programs(profile, std::process::id())?;
    let status = rules(profile)?.restrict_self()?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err(LockError::NoLandlock);
    }
    programs.iter().try_for_each(|program| seccompiler::apply_filter(program))?;
    Ok(())
}

/// Lets this process have no more addresses than what it has now, what it may hold by its limit, and what goes with that.
fn bound_addresses() -> std::io::Result<()> {
    // A process that nobody bounded is somebody's own.
    let Some(data) = getrlimit(Resource::Data).current else { return Ok(()) };
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kibibytes =
        status.lines().find_map(|line| line.strip_prefix("VmSize:")?.split_whitespace().next()?.parse().ok());
    let now: u64 = kibibytes.ok_or(std::io::ErrorKind::InvalidData)?;
    let most = Some((now << 10).saturating_add(data).saturating_add(ADDRESSES_BYTES));
    Ok(setrlimit(Resource::As, Rlimit { current: most, maximum: most })?)
}

/// No file, no TCP, no signal and no abstract socket beyond this process; a device's driver may read what it needs.
fn rules(profile: Profile) -> Result<RulesetCreated, RulesetError> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    match profile {
        Profile::Strict => Ok(ruleset),
        Profile::Device => {
            let (read, all) = (AccessFs::from_read(LANDLOCK), AccessFs::from_all(LANDLOCK));
            let ruleset = READ.into_iter().try_fold(ruleset, |ruleset, path| allow(ruleset, path, read))?;
            let ruleset = named().iter().try_fold(ruleset, |ruleset, path| allow(ruleset, path, read))?;
            let ruleset = DEVICES.into_iter().try_fold(ruleset, |ruleset, path| allow(ruleset, path, all))?;
            devices().iter().try_fold(ruleset, |ruleset, path| allow(ruleset, path, all))
        }
    }
}

/// Folders that this process's variables name; the parent wrote them.
fn named() -> Vec<PathBuf> {
    let paths =
        |name| std::env::var_os(name).into_iter().flat_map(|paths| std::env::split_paths(&paths).collect::<Vec<_>>());
    let beside = paths(DESCRIPTIONS).filter_map(|file| file.parent().map(Path::to_owned));
    // An empty entry means the working folder, which is the root.
    let folder = |path: &PathBuf| path.is_absolute() && path.parent().is_some();
    paths(FOLDERS).chain(beside).filter(folder).collect()
}

fn devices() -> Vec<PathBuf> {
    let found = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let is_one = |entry: &DirEntry| entry.file_name().to_string_lossy().starts_with(DEVICE_PREFIX);
    found.filter(is_one).map(|entry| entry.path()).collect()
}

/// A path that isn't there needs no rule.
fn allow(
    ruleset: RulesetCreated,
    path: impl AsRef<Path>,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(opened) = PathFd::new(path) else { return Ok(ruleset) };
    ruleset.add_rule(PathBeneath::new(opened, access))
}
