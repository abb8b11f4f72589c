//! The worker's half: giving up everything but computing, before the first byte of a stranger is read.
//!
//! Landlock first, which takes files, TCP and signals to others away, then the filters of system calls. Both hold for
//! the calling thread and all that it starts, so this comes before any other thread; neither can be undone. It doesn't
//! know what is computed.

use crate::{Profile, allocator, filter};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

/// The newest Landlock that this file knows; older kernels give what they have.
const LANDLOCK: ABI = ABI::V6;

/// Where a device's driver writes.
const DEVICES: [&str; 6] =
    ["/dev/dri", "/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/null"];

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
    /// The kernel refused the filter.
    #[error("install the filter of system calls: {0}")]
    Seccomp(#[from] seccompiler::Error),
}

/// Locks this process, for good. Threads started before stay free: call it first.
///
/// # Errors
/// When any part of it is refused. Then nothing of a stranger may be read.
pub fn lock(profile: Profile) -> Result<(), LockError> {
    let programs = filter::programs(profile, std::process::id())?;
    allocator::count_no_processors();
    // The usual one asks for the working folder, which would look like an attempt to break out.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let status = rules(profile)?.restrict_self()?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err(LockError::NoLandlock);
    }
    programs.iter().try_for_each(|program| seccompiler::apply_filter(program))?;
    Ok(())
}

/// No file, no TCP, no signal and no abstract socket beyond this process; a device's driver may read files.
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
            let ruleset = allow(ruleset, "/", AccessFs::from_read(LANDLOCK))?;
            DEVICES.into_iter().try_fold(ruleset, |ruleset, path| allow(ruleset, path, AccessFs::from_all(LANDLOCK)))
        }
    }
}

/// A path that isn't there needs no rule.
fn allow(ruleset: RulesetCreated, path: &str, access: BitFlags<AccessFs>) -> Result<RulesetCreated, RulesetError> {
    let Ok(opened) = PathFd::new(path) else { return Ok(ruleset) };
    ruleset.add_rule(PathBeneath::new(opened, access))
}
