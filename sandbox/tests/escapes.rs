//! Sixty-odd ways out of a locked worker, each with the end that it must come to.

use crate::support::{attempt, jail};
use sandbox::{CgroupKind, End, Host, Profile};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// What only computing needs is allowed, so all of these end the process.
const FORBIDDEN: [&str; 62] = [
    "open",
    "open-legacy",
    "openat2",
    "open-write",
    "open-environment",
    "write-package-again",
    "stat",
    "readlink",
    "chdir",
    "unlink",
    "mkdir",
    "link",
    "tcp",
    "tcp6",
    "udp",
    "unix",
    "netlink",
    "raw-packets",
    "vsock",
    "socketpair",
    "sendmsg",
    "exec",
    "exec-descriptor",
    "memfd",
    "fork",
    "fork-legacy",
    "vfork-as-clone",
    "clone-into-namespace",
    "ptrace",
    "read-parent-memory",
    "kill-parent",
    "kill-all",
    "signal-another",
    "pidfd",
    "io-uring",
    "bpf",
    "perf",
    "userfaultfd",
    "keyring",
    "mount",
    "pivot-root",
    "chroot",
    "unshare",
    "setns",
    "map-code",
    "make-code",
    "map-shared",
    "shared-segment",
    "message-queue",
    "type-into-terminal",
    "real-time",
    "nice",
    "other-core",
    "raise-limits",
    "become-root",
    "dumpable",
    "outlive-parent",
    "another-filter",
    "set-clock",
    "reboot",
    "module",
    "x32-call",
];

/// What a driver's profile must refuse too. It is allowed to read files.
const REFUSED_WITH_DEVICES: [&str; 31] = [
    "open-write",
    "write-package-again",
    "mkdir",
    "link",
    "unlink",
    "tcp",
    "tcp6",
    "udp",
    "unix",
    "netlink",
    "raw-packets",
    "exec",
    "exec-descriptor",
    "fork",
    "vfork-as-clone",
    "ptrace",
    "read-parent-memory",
    "pidfd",
    "io-uring",
    "bpf",
    "perf",
    "userfaultfd",
    "keyring",
    "mount",
    "chroot",
    "unshare",
    "become-root",
    "type-into-terminal",
    "set-clock",
    "reboot",
    "module",
];

#[test]
fn whatever_is_not_computing_ends_a_strict_worker() {
    let jail = jail(Profile::Strict);
    for name in FORBIDDEN.into_iter().chain(["duplicate", "sync", "i386-call"]) {
        let ended = attempt(&jail, Profile::Strict, name, PATIENCE);
        assert!(ended.end.is_violation(), "{name}: {ended:?}");
        assert_eq!(ended.output, "", "{name}");
    }
}

#[test]
fn a_call_whose_arguments_no_filter_sees_does_not_exist() {
    let ended = attempt(&jail(Profile::Strict), Profile::Strict, "clone3", PATIENCE);
    assert_eq!((ended.end, ended.output.as_str()), (End::Exited(0), "refused 38"));
}

#[test]
fn what_was_sealed_stays_as_it_was() {
    // By the seal, and without devices before that by the limit on files.
    for (profile, errno) in [(Profile::Strict, libc::EFBIG), (Profile::Device, libc::EPERM)] {
        let ended = attempt(&jail(profile), profile, "write-package", PATIENCE);
        assert_eq!((ended.end, ended.output), (End::Exited(0), format!("refused {errno}")), "{profile:?}");
    }
}

#[test]
fn a_drivers_worker_reads_files_and_is_refused_the_rest() {
    let jail = jail(Profile::Device);
    let read = attempt(&jail, Profile::Device, "open", PATIENCE);
    assert!(read.output.starts_with("escaped"), "a driver reads its libraries: {read:?}");
    for name in REFUSED_WITH_DEVICES {
        let ended = attempt(&jail, Profile::Device, name, PATIENCE);
        assert!(ended.end == End::Exited(0) && ended.output.starts_with("refused"), "{name}: {ended:?}");
    }
}

#[test]
fn whoever_takes_too_long_is_dead_within_a_tenth_of_a_second() {
    let jail = jail(Profile::Strict);
    for name in ["spin", "sleep", "ignore-terminate"] {
        let ended = attempt(&jail, Profile::Strict, name, Duration::from_millis(200));
        assert_eq!(ended.end, End::Killed(libc::SIGKILL), "{name}: {ended:?}");
        assert!(ended.overrun.is_some(), "{name}");
    }
}

#[test]
fn memory_ends_before_the_hosts_does() {
    let ended = attempt(&jail(Profile::Strict), Profile::Strict, "allocate", PATIENCE);
    assert!(ended.output.contains("memory allocation of 16777216 bytes failed"), "{ended:?}");
    assert!(matches!(ended.end, End::Killed(libc::SIGABRT | libc::SIGSEGV)), "{ended:?}");
    assert_eq!(ended.overrun, None);
}

/// A driver reserves address space by the gigabyte, so that only the group bounds it.
#[test]
fn the_group_ends_the_worker_that_is_too_large_and_nobody_else() {
    let jail = jail(Profile::Device);
    if Host::of_this_machine().cgroup == CgroupKind::None {
        return;
    }
    let ended = attempt(&jail, Profile::Device, "allocate", PATIENCE);
    assert_eq!((ended.end, ended.overrun), (End::Killed(libc::SIGKILL), None), "{ended:?}");
    assert!(jail.memory_kills() > 0);
    let next = attempt(&jail, Profile::Device, "read-package", PATIENCE);
    assert_eq!(
        (next.end, next.output.as_str()),
        (End::Exited(0), "the package"),
        "the starting thread is in the group, too"
    );
}

#[test]
fn threads_end_before_the_hosts_do() {
    let ended = attempt(&jail(Profile::Strict), Profile::Strict, "many-threads", PATIENCE);
    assert!(ended.output.starts_with("refused"), "{ended:?}");
}

#[test]
fn a_crash_is_no_violation() {
    for name in ["overflow-stack", "abort"] {
        let ended = attempt(&jail(Profile::Strict), Profile::Strict, name, PATIENCE);
        assert!(matches!(ended.end, End::Killed(libc::SIGABRT | libc::SIGSEGV)), "{name}: {ended:?}");
    }
    let ended = attempt(&jail(Profile::Strict), Profile::Strict, "panic", PATIENCE);
    assert!(ended.end == End::Exited(101) && ended.output.contains("on purpose"), "{ended:?}");
}

#[test]
fn floods_block_nobody_but_the_flooder() {
    for name in ["flood-output", "flood-errors"] {
        let ended = attempt(&jail(Profile::Strict), Profile::Strict, name, Duration::from_millis(500));
        // The reader stops at a mebibyte and hangs up, which ends the flood.
        assert_eq!(ended.output.len(), (1 << 20) + ended.output.len() % (1 << 20), "{name}");
        assert!(ended.output.len() < (1 << 20) + 100, "{name}");
    }
}
