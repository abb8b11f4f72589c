//! What this host offers to confine a worker, tried out rather than looked up.
//!
//! It decides nothing: a validator refuses to start on a host that [`Host::missing`] something, unless its operator says
//! otherwise.

use crate::cgroup::{self, Cgroup, CgroupKind, NoCgroup};
use crate::child::can_begin_in;
use libc::c_int;
use std::fs::{read_dir, read_to_string};
use std::sync::OnceLock;

/// The user and group that workers of a superuser become.
pub(crate) const NOBODY: u32 = 65_534;

/// Asks `landlock_create_ruleset` for the newest version, instead of a ruleset.
const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;

/// Every kind, with its name and flag. The user namespace first: without it an ordinary user gets no other.
const KINDS: [(&str, c_int); 6] = [
    ("user", libc::CLONE_NEWUSER),
    ("pid", libc::CLONE_NEWPID),
    ("net", libc::CLONE_NEWNET),
    ("mnt", libc::CLONE_NEWNS),
    ("ipc", libc::CLONE_NEWIPC),
    ("uts", libc::CLONE_NEWUTS),
];

/// Namespaces that a process can begin in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces(c_int);

impl Namespaces {
    fn try_out() -> Self {
        let all = KINDS.iter().fold(0, |flags, (_, flag)| flags | flag);
        if can_begin_in(all) {
            return Self(all);
        }
        let mut flags = 0;
        for (_, flag) in KINDS {
            if can_begin_in(flags | flag) {
                flags |= flag;
            }
        }
        Self(flags)
    }

    /// Whether there is one of this name: user, pid, net, mnt, ipc or uts.
    pub fn has(self, name: &str) -> bool {
        KINDS.iter().any(|(kind, flag)| *kind == name && self.0 & flag != 0)
    }

    /// Their names.
    pub fn names(self) -> Vec<&'static str> {
        KINDS.iter().filter(|(_, flag)| self.0 & flag != 0).map(|(name, _)| *name).collect()
    }

    /// Those to begin in, and whether the user namespace comes later: a superuser becomes somebody else first, which
    /// inside a namespace that maps nobody isn't possible any more.
    pub(crate) fn at_start(self, drops_identity: bool) -> (c_int, bool) {
        let later = drops_identity && self.has("user");
        (if later { self.0 & !libc::CLONE_NEWUSER } else { self.0 }, later)
    }
}

/// What this host offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The version of Landlock, 0 for none.
    pub landlock: u32,
    /// Whether filters of system calls can end a process.
    pub seccomp: bool,
    /// Namespaces.
    pub namespaces: Namespaces,
    /// Control groups that bound memory.
    pub cgroup: CgroupKind,
    /// Why there are none although the host has them.
    pub cgroup_refused: Option<String>,
    /// Whether the kernel counts the tasks of each user namespace for itself: since 5.14.
    pub counts_tasks_alone: bool,
    /// Whether this process is the superuser's.
    pub is_root: bool,
}

/// One line of what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// Whether a validator may do without.
    pub required: bool,
    /// Whether it is there.
    pub works: bool,
    /// What was found.
    pub detail: String,
}

impl Host {
    /// Of the machine that this runs on; looked at once.
    pub fn of_this_machine() -> &'static Self {
        static HOST: OnceLock<Host> = OnceLock::new();
        HOST.get_or_init(Self::look)
    }

    fn look() -> Self {
        let actions = read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
        cgroup::sweep();
        let (cgroup, cgroup_refused) = match Cgroup::new(64 << 20) {
            Ok(group) => (group.kind(), None),
            Err(NoCgroup::Absent) => (CgroupKind::None, None),
            Err(refused @ NoCgroup::Refused { .. }) => (CgroupKind::None, Some(refused.to_string())),
        };
        Self {
            landlock: landlock_version(),
            seccomp: actions.split_whitespace().any(|action| action == "kill_process"),
            namespaces: Namespaces::try_out(),
            cgroup,
            cgroup_refused,
            counts_tasks_alone: is_at_least(&rustix::system::uname().release().to_string_lossy(), (5, 14)),
            is_root: rustix::process::geteuid().is_root(),
        }
    }

    /// The names of what no validator should do without and this host doesn't have.
    pub fn missing(&self) -> Vec<&'static str> {
        self.findings().into_iter().filter(|found| found.required && !found.works).map(|found| found.name).collect()
    }

    /// All of it, for people.
    pub fn findings(&self) -> Vec<Finding> {
        let finding = |name, required, works, detail: String| Finding { name, required, works, detail };
        let names = self.namespaces.names();
        let landlock = match self.landlock {
            0 => "none: Linux 5.13 or later, with `landlock` in its list of security modules".to_owned(),
            version => format!("version {version}"),
        };
        let seccomp = if self.seccomp { "filters end a process" } else { "none: CONFIG_SECCOMP_FILTER is missing" };
        let user = if self.namespaces.has("user") {
            "workers have one of their own"
        } else {
            "none: look at sysctl user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns"
        };
        let identity =
            if self.is_root { "superuser; workers become nobody" } else { "ordinary user; workers share it" };
        vec![
            finding("landlock", true, self.landlock > 0, landlock),
            finding("seccomp", true, self.seccomp, seccomp.to_owned()),
            finding("user namespace", true, self.namespaces.has("user"), user.to_owned()),
            finding("namespaces", false, names.len() == KINDS.len(), names.join(", ")),
            finding(
                "control groups",
                false,
                self.cgroup != CgroupKind::None,
                match (self.cgroup, &self.cgroup_refused) {
                    (CgroupKind::None, Some(refused)) => format!("{refused}; limits of single processes hold"),
                    (CgroupKind::None, None) => "none on this host: limits of single processes hold".to_owned(),
                    (kind, _) => format!("{kind}, with the memory controller"),
                },
            ),
            finding("identity", false, true, identity.to_owned()),
        ]
    }
}

/// Whether a kernel's release, such as `6.1.0-18-amd64`, is this version or a later one.
fn is_at_least(release: &str, version: (u32, u32)) -> bool {
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse().ok());
    numbers.next().zip(numbers.next()).is_some_and(|found| found >= version)
}

/// How many tasks a user has, as far as this process sees.
pub(crate) fn tasks_of(user: u32) -> u64 {
    let tasks = |status: String| {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next();
        (field("Uid:")?.parse() == Ok(user)).then(|| field("Threads:")?.parse::<u64>().ok()).flatten()
    };
    let processes = read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| tasks(read_to_string(entry.path().join("status")).ok()?)).sum()
}

#[expect(unsafe_code, reason = "no crate tells the version without restricting this process")]
fn landlock_version() -> u32 {
    let none = std::ptr::null::<u8>();
    // SAFETY: with this flag the call takes no structure and makes nothing; it returns a number or an error.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0usize, LANDLOCK_CREATE_RULESET_VERSION) };
    u32::try_from(version).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_a_version_and_more() {
        for (release, later) in
            [("5.14.0", true), ("6.1.0-18-amd64", true), ("5.10.209-1", false), ("6.18", true), ("", false)]
        {
            assert_eq!(is_at_least(release, (5, 14)), later, "{release}");
        }
    }
}
