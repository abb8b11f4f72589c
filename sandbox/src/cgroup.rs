//! A control group of this process's own making, where the host lets it: a bound on the memory and the number of tasks of
//! all workers in it together.
//!
//! Version 2 with controllers, version 1, or none: limits of single processes hold in any case, so this is a second
//! belt. It doesn't know who the workers are.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// More tasks than any worker's threads.
const TASKS_MAX: u32 = 512;

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

/// A group, or the directories that are one in version 1. Dropping it removes it.
#[derive(Debug)]
pub struct Cgroup {
    kind: CgroupKind,
    /// The memory controller's first.
    directories: Vec<PathBuf>,
}

impl Cgroup {
    /// Makes a group whose members may hold `memory_bytes` together. `None` where the host allows no such group.
    pub fn new(memory_bytes: u64) -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        Self::version_2(&own, memory_bytes).or_else(|_| Self::version_1(&own, memory_bytes)).ok()
    }

    fn version_2(own: &str, memory_bytes: u64) -> io::Result<Self> {
        let mount = Path::new("/sys/fs/cgroup");
        // Where version 1 is mounted below it, this is an ordinary folder, which takes any directory and file.
        mount.join("cgroup.controllers").metadata()?;
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
        let directory = group.make(Path::new("/sys/fs/cgroup/memory"), &line(own, ":memory:")?)?;
        set(&directory, "memory.limit_in_bytes", memory_bytes)?;
        let tasks = line(own, ":pids:").and_then(|path| group.make(Path::new("/sys/fs/cgroup/pids"), &path));
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
        Self { kind, directories: Vec::new() }
    }

    fn make(&mut self, mount: &Path, own: &str) -> io::Result<PathBuf> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("retort-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let directory = mount.join(own.trim_start_matches('/')).join(name);
        fs::create_dir(&directory)?;
        self.directories.push(directory.clone());
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
        let Some(group) = Cgroup::new(64 << 20) else { return };
        let directories = group.directories.clone();
        assert!(directories.iter().all(|directory| directory.exists()));
        assert_eq!(group.kills(), 0);
        drop(group);
        assert!(directories.iter().all(|directory| !directory.exists()), "{directories:?}");
    }

    #[test]
    fn the_own_group_is_found_by_controller() {
        let own = "12:memory:/a/b\n3:cpu,cpuacct:/\n0::/user.slice\n";
        assert_eq!(line(own, ":memory:").unwrap(), "/a/b");
        assert_eq!(line(own, "0::").unwrap(), "/user.slice");
        assert!(line(own, ":pids:").is_err());
    }
}
