//! Eighty-odd ways out of a locked worker, each with the end that it must come to.

use crate::support::{attempt, attempt_with, jail};
use sandbox::{CgroupKind, End, Host, Profile, Sealed};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// What only computing needs is allowed, so all of these end the process.
const FORBIDDEN: [&str; 82] = [
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
    "clone-pidfd",
    "clone-untraced",
    "clone-io",
    "futex-requeue",
    "futex-compare",
    "futex-wake-op",
    "futex-lock-pi",
    "futex-lock-pi-private",
    "futex-wake-bitset",
    "futex-wait-requeue-pi",
    "futex-lock-pi2",
    "futex-unknown",
    "futex-waitv",
    "map-stack",
    "map-large-pages",
    "make-stack",
    "secret-memory",
    "change-mode",
    "change-times",
    "change-attribute",
];

/// What a driver's profile must refuse too. It is allowed to read what drivers are made of.
const REFUSED_WITH_DEVICES: [&str; 56] = [
    "open",
    "open-environment",
    "open-home",
    "open-temporary",
    "open-root",
    "open-processes",
    "x32-call",
    "clone-pidfd",
    "futex-requeue",
    "futex-compare",
    "futex-wake-op",
    "futex-lock-pi",
    "futex-lock-pi-private",
    "futex-wake-bitset",
    "futex-wait-requeue-pi",
    "futex-lock-pi2",
    "futex-unknown",
    "futex-waitv",
    "shared-segment",
    "message-queue",
    "secret-memory",
    "change-mode",
    "change-times",
    "change-attribute",
    "fork-legacy",
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
fn a_thread_that_was_started_before_is_locked_as_well() {
    for (profile, names) in [(Profile::Strict, &FORBIDDEN[..]), (Profile::Device, &["tcp", "exec", "ptrace", "bpf"])] {
        let jail = jail(profile);
        for name in names {
            let ended = attempt(&jail, profile, &format!("thread:{name}"), PATIENCE);
            let ends = profile == Profile::Strict && ended.end.is_violation() && ended.output.is_empty();
            let refuses = profile == Profile::Device && ended.output.starts_with("refused");
            assert!(ends || refuses, "{profile:?} {name}: {ended:?}");
        }
    }
}

#[test]
fn a_call_whose_arguments_no_filter_sees_does_not_exist() {
    let ended = attempt(&jail(Profile::Strict), Profile::Strict, "clone3", PATIENCE);
    assert_eq!((ended.end, ended.output.as_str()), (End::Exited(0), "refused 38"));
}

#[test]
fn what_was_sealed_stays_as_it_was() {
    // The worker's descriptor is for reading; behind it stands the seal.
    for profile in [Profile::Strict, Profile::Device] {
        let ended = attempt(&jail(profile), profile, "write-package", PATIENCE);
        assert_eq!((ended.end, ended.output), (End::Exited(0), format!("refused {}", libc::EBADF)), "{profile:?}");
    }
}

#[test]
fn a_drivers_worker_reads_files_and_is_refused_the_rest() {
    let jail = jail(Profile::Device);
    let read = attempt(&jail, Profile::Device, "open-library", PATIENCE);
    assert!(read.output.starts_with("escaped"), "a driver reads its libraries: {read:?}");
    for name in REFUSED_WITH_DEVICES {
        let ended = attempt(&jail, Profile::Device, name, PATIENCE);
        assert!(ended.end == End::Exited(0) && ended.output.starts_with("refused"), "{name}: {ended:?}");
    }
    // By the filter, and not for want of such calls in this kernel.
    for name in ["x32-call", "clone-pidfd", "futex-lock-pi", "futex-requeue", "shared-segment"] {
        let ended = attempt(&jail, Profile::Device, name, PATIENCE);
        assert_eq!(ended.output, format!("refused {}", libc::EPERM), "{name}");
    }
}

#[test]
fn what_locks_ask_of_a_futex_is_allowed() {
    for profile in [Profile::Strict, Profile::Device] {
        for name in ["futex-wake", "futex-wake-private"] {
            let ended = attempt(&jail(profile), profile, name, PATIENCE);
            assert_eq!((ended.end, ended.output.as_str()), (End::Exited(0), "escaped 0"), "{name}");
        }
    }
}

#[test]
fn tables_of_pages_end_before_the_hosts_memory_does() {
    let ended = attempt(&jail(Profile::Strict), Profile::Strict, "page-tables", PATIENCE);
    assert_eq!((ended.end, ended.output), (End::Exited(0), format!("refused {}", libc::ENOMEM)));
}

/// What one launch does to a file that all of them are given, the next one doesn't see.
#[test]
fn one_launch_leaves_nothing_in_the_package_for_the_next() {
    let package = Sealed::new("package", ["the package"]).unwrap();
    for profile in [Profile::Strict, Profile::Device] {
        let jail = jail(profile);
        let says = |name| attempt_with(&package, &jail, profile, name, PATIENCE).output;
        assert_eq!(says("seek"), "escaped 5");
        assert_eq!(says("tell"), "escaped 0", "{profile:?}");
        let read = says("read-times");
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(says("read-times"), read, "{profile:?}");
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
