//! A control group of this process's own making, where the host lets it: a bound on the memory and the number of tasks of
//! all workers in it together.
//!
//! Version 2 with controllers, version 1, or none: limits of single processes hold in any case, so this is a second
//! belt. Names are drawn by lot, so that nobody meets the group of a process that was killed; whoever has made a group
//! holds a lock on its folder, and what nobody holds is swept away when a process begins. It doesn't know who the workers
//! are.

use rustix::fs::{FlockOperation, flock};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// More tasks than any worker's threads.
const TASKS_MAX: u32 = 512;

/// What the names of our groups begin with.
const PREFIX: &str = "retort-";

/// Where version 2 is mounted, and two controllers of version 1.
const V2_MOUNT: &str = "/sys/fs/cgroup";
const V1_MEMORY: &str = "/sys/fs/cgroup/memory";
const V1_TASKS: &str = "/sys/fs/cgroup/pids";

/// How often a group that is just being left is tried to be removed.
const REMOVALS: u32 = 20;

/// What kind of control groups this process may make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupKind {
    /// Version 2 with the memory controller.
    V2,
    /// Version 1 with the memory controller.
    V1,
    /// None that bounds memory.
    #[default]
    None,
}

impl fmt::Display for CgroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "version 2",
            Self::V1 => "version 1",
            Self::None => "none",
        })
    }
}

/// Why there is no group.
#[derive(Debug, thiserror::Error)]
pub enum NoCgroup {
    /// The host has none that bounds memory.
    #[error("this host has no control groups with a memory controller")]
    Absent,
    /// It has, and gives us none.
    #[error("this host has control groups of {kind} and gives this process none: {source}")]
    Refused {
        /// Of which version.
        kind: CgroupKind,
        /// The system's answer.
        source: io::Error,
    },
}

/// A group, or the directories that are one in version 1. Dropping it removes it.
#[derive(Debug)]
pub struct Cgroup {
    kind: CgroupKind,
    /// The memory controller's first.
    directories: Vec<PathBuf>,
    /// Locked as long as this lives, so that nobody sweeps them away.
    held: Vec<File>,
}

impl Cgroup {
    /// Makes a group whose members may hold `memory_bytes` together.
    ///
    /// # Errors
    /// Where the host has no such groups, or gives us none.
    pub fn new(memory_bytes: u64) -> Result<Self, NoCgroup> {
        let kind = offered();
        let own = || fs::read_to_string("/proc/self/cgroup");
        let made = match kind {
            CgroupKind::None => return Err(NoCgroup::Absent),
            CgroupKind::V2 => own().and_then(|own| Self::version_2(&own, memory_bytes)),
            CgroupKind::V1 => own().and_then(|own| Self::version_1(&own, memory_bytes)),
        };
        made.map_err(|source| NoCgroup::Refused { kind, source })
    }

    fn version_2(own: &str, memory_bytes: u64) -> io::Result<Self> {
        let mount = Path::new(V2_MOUNT);
        let mut group = Self::empty(CgroupKind::V2);
        let directory = group.make(mount, &line(own, "0::")?)?;
        set(&directory, "memory.max", memory_bytes)?;
        // A host without these still bounds memory.
        let _ = set(&directory, "memory.swap.max", 0);
        let _ = set(&directory, "pids.max", TASKS_MAX.into());
        Ok(group)
    }

    fn version_1(own: &str, memory_bytes: u64) -> io::Result<Self> {
        let mut group = Self::empty(CgroupKind::V1);
        let directory = group.make(Path::new(V1_MEMORY), &line(own, ":memory:")?)?;
        set(&directory, "memory.limit_in_bytes", memory_bytes)?;
        let tasks = line(own, ":pids:").and_then(|path| group.make(Path::new(V1_TASKS), &path));
        if let Ok(directory) = tasks {
            set(&directory, "pids.max", TASKS_MAX.into())?;
        }
        Ok(group)
    }

    /// A group of version 2 wherever that is mounted, if only to see processes begin in it: it may bound nothing.
    #[cfg(test)]
    pub(crate) fn unbounded() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/mounts").ok()?;
        let mount = mounts.lines().find_map(|line| line.split(' ').nth(1).filter(|_| line.contains(" cgroup2 ")))?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mut group = Self::empty(CgroupKind::V2);
        group.make(Path::new(mount), &line(&own, "0::").ok()?).ok()?;
        Some(group)
    }

    fn empty(kind: CgroupKind) -> Self {
        Self { kind, directories: Vec::new(), held: Vec::new() }
    }

    fn make(&mut self, mount: &Path, own: &str) -> io::Result<PathBuf> {
        // Keys of a hasher come from the system's generator.
        let lot = RandomState::new().build_hasher().finish();
        let directory = mount.join(own.trim_start_matches('/')).join(format!("{PREFIX}{lot:016x}"));
        fs::create_dir(&directory)?;
        self.directories.push(directory.clone());
        let held = File::open(&directory)?;
        // Whoever sweeps at this moment removes it, and what is done in it next fails.
        flock(&held, FlockOperation::NonBlockingLockExclusive)?;
        self.held.push(held);
        Ok(directory)
    }

    /// Version 1 or 2.
    pub fn kind(&self) -> CgroupKind {
        self.kind
    }

    /// Lets processes that the calling thread starts from now on begin in it. Version 1 takes the thread in, its children
    /// are where it is, and nothing else is needed; version 2 moves no single thread and gives the descriptor that
    /// `CLONE_INTO_CGROUP` asks for.
    pub(crate) fn admit_this_thread(&self) -> io::Result<Option<OwnedFd>> {
        match self.kind {
            CgroupKind::V2 => {
                let directory = self.directories.first().ok_or(io::ErrorKind::NotFound)?;
                Ok(Some(File::open(directory)?.into()))
            }
            CgroupKind::V1 | CgroupKind::None => {
                // Whoever writes 0 means itself.
                self.directories.iter().try_for_each(|directory| set(directory, "tasks", 0))?;
                Ok(None)
            }
        }
    }

    /// How many of its processes the kernel has killed for want of memory.
    pub fn kills(&self) -> u64 {
        let file = if self.kind == CgroupKind::V2 { "memory.events" } else { "memory.oom_control" };
        let text = self.directories.first().map(|directory| fs::read_to_string(directory.join(file)));
        let text = text.and_then(Result::ok).unwrap_or_default();
        let count = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse().ok();
        text.lines().find_map(count).unwrap_or_default()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for directory in &self.directories {
            for _ in 0..REMOVALS {
                // Members that were killed leave a moment later.
                match fs::remove_dir(directory) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// What control groups with a memory controller this host has, whether or not it gives us any.
fn offered() -> CgroupKind {
    // Where version 1 is mounted below it, this is an ordinary folder, which takes any directory and file.
    let controllers = fs::read_to_string(Path::new(V2_MOUNT).join("cgroup.controllers"));
    if controllers.is_ok_and(|controllers| controllers.split_whitespace().any(|name| name == "memory")) {
        CgroupKind::V2
    } else if Path::new(V1_MEMORY).join("memory.limit_in_bytes").exists() || Path::new(V1_MEMORY).join("tasks").exists()
    {
        CgroupKind::V1
    } else {
        CgroupKind::None
    }
}

/// Removes the groups that processes left which were killed. One that somebody holds or is in stays.
pub(crate) fn sweep() {
    let Ok(own) = fs::read_to_string("/proc/self/cgroup") else { return };
    for (mount, key) in [(V2_MOUNT, "0::"), (V1_MEMORY, ":memory:"), (V1_TASKS, ":pids:")] {
        let Ok(path) = line(&own, key) else { continue };
        let entries = fs::read_dir(Path::new(mount).join(path.trim_start_matches('/')));
        let ours = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(PREFIX);
        for entry in entries.into_iter().flatten().flatten().filter(ours) {
            let free = File::open(entry.path())
                .map(|held| flock(&held, FlockOperation::NonBlockingLockExclusive).map(|()| held));
            if let Ok(Ok(_held)) = free {
                // A group with members refuses.
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// Writes to a file that a group has.
fn set(directory: &Path, file: &str, value: u64) -> io::Result<()> {
    OpenOptions::new().write(true).open(directory.join(file))?.write_all(value.to_string().as_bytes())
}

/// The path behind `key` in `/proc/self/cgroup`.
fn line(own: &str, key: &str) -> io::Result<String> {
    let path = |line: &str| line.split_once(key).map(|(_, path)| path.to_owned());
    own.lines().find_map(path).ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_gone_when_it_is_dropped() {
        let Ok(group) = Cgroup::new(64 << 20) else { return };
        let directories = group.directories.clone();
        assert!(directories.iter().all(|directory| directory.exists()));
        assert_eq!(group.kills(), 0);
        drop(group);
        assert!(directories.iter().all(|directory| !directory.exists()), "{directories:?}");
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_what_somebody_holds_stays() {
        let (Ok(left), Ok(held)) = (Cgroup::new(64 << 20), Cgroup::new(64 << 20)) else { return };
        let (left_behind, kept) = (left.directories.clone(), held.directories.clone());
        // As the kernel does when a process is killed: its descriptors close, nothing else happens.
        let mut left = std::mem::ManuallyDrop::new(left);
        left.held.clear();
        sweep();
        assert!(left_behind.iter().all(|directory| !directory.exists()), "{left_behind:?}");
        assert!(kept.iter().all(|directory| directory.exists()), "{kept:?}");
        drop(held);
    }

    #[test]
    fn the_own_group_is_found_by_controller() {
        let own = "12:memory:/a/b\n3:cpu,cpuacct:/\n0::/user.slice\n";
        assert_eq!(line(own, ":memory:").unwrap(), "/a/b");
        assert_eq!(line(own, "0::").unwrap(), "/user.slice");
        assert!(line(own, ":pids:").is_err());
    }
}
