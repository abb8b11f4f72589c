//! A worker that, once locked, tries to break out: one attempt a run, named on the command line.
//!
//! It says `escaped` where an attempt succeeded and `refused` with the system's answer where it failed. Most attempts end
//! it before it can say anything.

#![expect(unsafe_code, reason = "an attacker makes any system call that it likes")]

use libc::{c_int, c_long, c_void};
use sandbox::Profile;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::ptr::{null, null_mut};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [profile, attempt] = arguments.as_slice() else { return ExitCode::from(2) };
    let package = sandbox::package();
    // What is attempted from a thread that an engine started before the lock.
    let (from, attempt) = attempt.split_once(':').unwrap_or(("", attempt));
    let thread = (from == "thread").then(|| locked_thread(profile, attempt.to_owned()));
    match profile.as_str() {
        "strict" => sandbox::lock(Profile::Strict).expect("locked"),
        "device" => sandbox::lock(Profile::Device).expect("locked"),
        _ => {}
    }
    let answer = match attempt {
        _ if thread.is_some() => thread.map_or(0, |(go, thread)| {
            drop(go);
            thread.join().expect("an answer")
        }),
        "read-package" => {
            let mut text = [0; 11];
            package.expect("a package").read_exact_at(&mut text, 0).expect("text");
            print!("{}", String::from_utf8_lossy(&text));
            return ExitCode::SUCCESS;
        }
        "threads" => {
            let sum: u64 = (0..4u64).map(|n| std::thread::spawn(move || n).join().expect("a thread")).sum();
            print!("{sum}");
            return ExitCode::SUCCESS;
        }
        other => attack(other),
    };
    if answer < 0 {
        print!("refused {}", io::Error::last_os_error().raw_os_error().unwrap_or_default());
    } else {
        print!("escaped {answer}");
    }
    ExitCode::SUCCESS
}

/// A thread that is locked by itself, and makes its attempt once it is let go.
fn locked_thread(profile: &str, attempt: String) -> (Sender<()>, JoinHandle<c_long>) {
    let profile = if profile == "device" { Profile::Device } else { Profile::Strict };
    let ((go, gone), (locked, is_locked)) = (channel::<()>(), channel());
    let thread = std::thread::spawn(move || {
        sandbox::lock_thread(profile).expect("locked");
        locked.send(()).expect("told");
        gone.recv().expect_err("let go");
        attack(&attempt)
    });
    is_locked.recv().expect("told");
    (go, thread)
}

/// Makes the attempt: what its system call answered.
fn attack(name: &str) -> c_long {
    let none = null::<c_void>();
    let path = |path: &'static std::ffi::CStr| path.as_ptr();
    // SAFETY: none is claimed: this program exists to be ended.
    unsafe {
        match name {
            "open" => libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path(c"/etc/passwd"), libc::O_RDONLY),
            "open-legacy" => libc::syscall(libc::SYS_open, path(c"/etc/passwd"), libc::O_RDONLY),
            "openat2" => libc::syscall(libc::SYS_openat2, libc::AT_FDCWD, path(c"/etc/passwd"), [0u64; 3].as_ptr(), 24),
            "open-write" => create(path(c"/tmp/retort-escape")),
            "open-environment" => {
                libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path(c"/proc/1/environ"), libc::O_RDONLY)
            }
            "write-package-again" => {
                let again = libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path(c"/proc/self/fd/3"), libc::O_WRONLY);
                libc::syscall(libc::SYS_write, again, c"x".as_ptr(), 1)
            }
            "write-package" => libc::syscall(libc::SYS_write, 3, c"x".as_ptr(), 1),
            "stat" => {
                let mut stat: libc::stat = std::mem::zeroed();
                let into = &raw mut stat;
                libc::syscall(libc::SYS_newfstatat, libc::AT_FDCWD, path(c"/etc/shadow"), into, 0)
            }
            "readlink" => {
                let mut into = [0u8; 256];
                libc::syscall(libc::SYS_readlink, path(c"/proc/self/exe"), into.as_mut_ptr(), into.len())
            }
            "chdir" => libc::syscall(libc::SYS_chdir, path(c"/root")),
            "unlink" => libc::syscall(libc::SYS_unlink, path(c"/tmp/retort-escape")),
            "mkdir" => libc::syscall(libc::SYS_mkdir, path(c"/tmp/retort-escape"), 0o700),
            "link" => libc::syscall(libc::SYS_link, path(c"/etc/passwd"), path(c"/tmp/retort-escape")),
            "tcp" => socket(libc::AF_INET, libc::SOCK_STREAM),
            "tcp6" => socket(libc::AF_INET6, libc::SOCK_STREAM),
            "udp" => socket(libc::AF_INET, libc::SOCK_DGRAM),
            "unix" => socket(libc::AF_UNIX, libc::SOCK_STREAM),
            "netlink" => socket(libc::AF_NETLINK, libc::SOCK_RAW),
            "raw-packets" => socket(libc::AF_PACKET, libc::SOCK_RAW),
            "vsock" => socket(libc::AF_VSOCK, libc::SOCK_STREAM),
            "socketpair" => {
                let mut pair = [0; 2];
                libc::syscall(libc::SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr())
            }
            "sendmsg" => {
                let message: libc::msghdr = std::mem::zeroed();
                libc::syscall(libc::SYS_sendmsg, 1, &raw const message, 0)
            }
            "exec" => {
                let arguments = [path(c"/bin/true"), null()];
                libc::syscall(libc::SYS_execve, path(c"/bin/true"), arguments.as_ptr(), none)
            }
            "exec-descriptor" => {
                let arguments = [path(c"x"), null()];
                libc::syscall(libc::SYS_execveat, 3, path(c""), arguments.as_ptr(), none, libc::AT_EMPTY_PATH)
            }
            "memfd" => libc::syscall(libc::SYS_memfd_create, path(c"x"), 0),
            "fork" => c_long::from(libc::fork()),
            "fork-legacy" => libc::syscall(libc::SYS_fork),
            "vfork-as-clone" => libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0),
            "clone3" => {
                let mut arguments: libc::clone_args = std::mem::zeroed();
                arguments.exit_signal = libc::SIGCHLD as u64;
                libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>())
            }
            "clone-into-namespace" => {
                libc::syscall(libc::SYS_clone, libc::CLONE_THREAD | libc::CLONE_NEWUSER, 0, 0, 0, 0)
            }
            "ptrace" => libc::syscall(libc::SYS_ptrace, libc::PTRACE_TRACEME, 0, 0, 0),
            "read-parent-memory" => libc::syscall(libc::SYS_process_vm_readv, 1, none, 0, none, 0, 0),
            "kill-parent" => libc::syscall(libc::SYS_kill, libc::getppid(), libc::SIGTERM),
            "kill-all" => libc::syscall(libc::SYS_kill, -1, libc::SIGKILL),
            "signal-another" => libc::syscall(libc::SYS_tgkill, 2, 2, libc::SIGKILL),
            "pidfd" => libc::syscall(libc::SYS_pidfd_open, 1, 0),
            "io-uring" => libc::syscall(libc::SYS_io_uring_setup, 8, [0u64; 15].as_mut_ptr()),
            "bpf" => libc::syscall(libc::SYS_bpf, 0, [0u64; 16].as_ptr(), 128),
            "perf" => libc::syscall(libc::SYS_perf_event_open, [0u64; 16].as_ptr(), 0, -1, -1, 0),
            "userfaultfd" => libc::syscall(libc::SYS_userfaultfd, 0),
            "keyring" => libc::syscall(libc::SYS_keyctl, 0, -3, 0),
            "mount" => libc::syscall(libc::SYS_mount, path(c"none"), path(c"/tmp"), path(c"tmpfs"), 0, none),
            "pivot-root" => libc::syscall(libc::SYS_pivot_root, path(c"/"), path(c"/")),
            "chroot" => libc::syscall(libc::SYS_chroot, path(c"/")),
            "unshare" => libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUSER),
            "setns" => libc::syscall(libc::SYS_setns, 0, 0),
            "map-code" => map(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC, libc::MAP_PRIVATE),
            "make-code" => {
                let page = map(libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE);
                libc::syscall(libc::SYS_mprotect, page, 4096, libc::PROT_READ | libc::PROT_EXEC)
            }
            "map-shared" => map(libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED),
            "shared-segment" => libc::syscall(libc::SYS_shmget, libc::IPC_PRIVATE, 1 << 30, 0o600),
            "message-queue" => libc::syscall(libc::SYS_mq_open, path(c"/x"), libc::O_CREAT, 0o600, none),
            "type-into-terminal" => libc::syscall(libc::SYS_ioctl, 0, libc::TIOCSTI, path(c"x")),
            "real-time" => {
                let priority = [1 as c_int];
                libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_FIFO, priority.as_ptr())
            }
            "nice" => libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, -20),
            "other-core" => libc::syscall(libc::SYS_sched_setaffinity, 0, 8, [3u64].as_ptr()),
            "raise-limits" => {
                let most = [u64::MAX; 2];
                libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_DATA, most.as_ptr(), none)
            }
            "become-root" => libc::syscall(libc::SYS_setuid, 0),
            "dumpable" => libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0),
            "outlive-parent" => libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, 0, 0, 0, 0),
            "another-filter" => libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, none),
            "set-clock" => libc::syscall(libc::SYS_clock_settime, libc::CLOCK_REALTIME, [0u64; 2].as_ptr()),
            "reboot" => libc::syscall(libc::SYS_reboot, 0, 0, 0, none),
            "module" => libc::syscall(libc::SYS_init_module, none, 0, path(c"")),
            "x32-call" => libc::syscall(0x4000_0000 | libc::SYS_getpid),
            "i386-call" => i386_getpid(),
            "duplicate" => libc::syscall(libc::SYS_dup, 1),
            "open-library" => {
                libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path(c"/etc/ld.so.cache"), libc::O_RDONLY)
            }
            "open-home" => libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path(c"/root"), libc::O_RDONLY),
            "open-temporary" => libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path(c"/tmp"), libc::O_RDONLY),
            "open-root" => libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path(c"/"), libc::O_RDONLY),
            "open-processes" => libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path(c"/proc"), libc::O_RDONLY),
            "change-mode" => libc::syscall(libc::SYS_fchmod, 3, 0o600),
            "change-times" => libc::syscall(libc::SYS_utimensat, 3, none, none, 0),
            "change-attribute" => libc::syscall(libc::SYS_fsetxattr, 3, path(c"user.x"), path(c"x"), 1, 0),
            "seek" => libc::syscall(libc::SYS_lseek, 3, 5, libc::SEEK_SET),
            "tell" => libc::syscall(libc::SYS_lseek, 3, 0, libc::SEEK_CUR),
            "read-times" => {
                let mut stat: libc::stat = std::mem::zeroed();
                let read = libc::syscall(libc::SYS_read, 3, [0u8; 4].as_mut_ptr(), 4);
                libc::syscall(libc::SYS_fstat, 3, &raw mut stat);
                if read == 4 { stat.st_atime * 1_000_000_000 + stat.st_atime_nsec } else { read }
            }
            "clone-pidfd" => thread_with(libc::CLONE_PIDFD),
            "clone-untraced" => thread_with(libc::CLONE_UNTRACED),
            "clone-io" => thread_with(libc::CLONE_IO),
            "futex-requeue" => futex(3),
            "futex-compare" => futex(4),
            "futex-wake-op" => futex(5),
            "futex-lock-pi" => futex(6),
            "futex-lock-pi-private" => futex(6 | 128),
            "futex-wake-bitset" => futex(10),
            "futex-wait-requeue-pi" => futex(11 | 128 | 256),
            "futex-lock-pi2" => futex(13),
            "futex-unknown" => futex(64),
            "futex-waitv" => libc::syscall(libc::SYS_futex_waitv, none, 1, 0, none, 0),
            "futex-wake" => futex(1),
            "futex-wake-private" => futex(1 | 128),
            "map-stack" => map(libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_GROWSDOWN),
            "map-large-pages" => map(libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_HUGETLB),
            "make-stack" => {
                let page = map(libc::PROT_READ, libc::MAP_PRIVATE);
                libc::syscall(libc::SYS_mprotect, page, 4096, libc::PROT_READ | libc::PROT_GROWSDOWN)
            }
            "secret-memory" => libc::syscall(libc::SYS_memfd_secret, 0),
            "page-tables" => page_tables(),
            "sync" => libc::syscall(libc::SYS_sync),
            _ => misbehave(name),
        }
    }
}

/// Attempts that take time, memory or space instead of a forbidden way.
fn misbehave(name: &str) -> c_long {
    match name {
        "spin" => loop {
            std::hint::spin_loop();
        },
        "sleep" => loop {
            std::thread::sleep(std::time::Duration::from_secs(1_000));
        },
        "ignore-terminate" => {
            // SAFETY: a valid disposition.
            unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
            misbehave("sleep")
        }
        "allocate" => {
            let mut held = Vec::new();
            loop {
                held.push(vec![1u8; 16 << 20]);
            }
        }
        "overflow-stack" => c_long::from(deep(0)),
        "many-threads" => {
            let started = (0..100_000).map_while(|_| {
                let sleep = || std::thread::sleep(std::time::Duration::from_secs(1_000));
                std::thread::Builder::new().spawn(sleep).ok()
            });
            let started = started.count() as c_long;
            if started < 1_000 { -1 } else { started }
        }
        "flood-output" => flood(&mut io::stdout()),
        "flood-errors" => flood(&mut io::stderr()),
        "abort" => std::process::abort(),
        "panic" => panic!("on purpose"),
        other => panic!("no attempt is called {other}"),
    }
}

fn flood(output: &mut impl Write) -> c_long {
    while output.write_all(&[b'x'; 1 << 16]).is_ok() {}
    -1
}

fn deep(level: u32) -> u32 {
    let frame = std::hint::black_box([level; 1024]);
    if level == u32::MAX { 0 } else { deep(level + 1) + frame[level as usize % 1024] }
}

unsafe fn create(path: *const libc::c_char) -> c_long {
    // SAFETY: a path that ends with a zero byte.
    unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, libc::O_CREAT | libc::O_WRONLY, 0o600) }
}

fn socket(family: c_int, kind: c_int) -> c_long {
    // SAFETY: numbers only.
    unsafe { libc::syscall(libc::SYS_socket, family, kind, 0) }
}

/// Reads a byte of each table of pages: nothing is resident but the tables, 4 KiB for each 2 MiB.
fn page_tables() -> c_long {
    const BYTES: usize = 300 << 30;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping wherever there is room, of which only bytes inside are read.
    unsafe {
        let mapped = libc::syscall(libc::SYS_mmap, null_mut::<c_void>(), BYTES, libc::PROT_READ, flags, -1, 0);
        if mapped < 0 {
            return mapped;
        }
        let first = mapped as *const u8;
        for offset in (0..BYTES).step_by(2 << 20) {
            std::hint::black_box(first.add(offset).read_volatile());
        }
        mapped
    }
}

/// Starts a thread as the C library does, with one more flag. It has no stack, so it ends with a bad address if it begins.
fn thread_with(flag: c_int) -> c_long {
    let library = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_PARENT_SETTID
        | libc::CLONE_CHILD_CLEARTID;
    // SAFETY: none is claimed.
    unsafe { libc::syscall(libc::SYS_clone, library | flag, 0, [0i32; 2].as_mut_ptr(), [0i32; 2].as_mut_ptr(), 0) }
}

fn futex(operation: c_int) -> c_long {
    let word = [0u32; 2];
    // SAFETY: words of this frame; nobody waits on them.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, 1, 1, word.as_ptr().add(1), 0) }
}

fn map(protection: c_int, flags: c_int) -> c_long {
    // SAFETY: a new mapping wherever there is room.
    unsafe { libc::syscall(libc::SYS_mmap, null_mut::<c_void>(), 4096, protection, flags | libc::MAP_ANONYMOUS, -1, 0) }
}

/// The call of another architecture, whose numbers mean other things.
#[cfg(target_arch = "x86_64")]
fn i386_getpid() -> c_long {
    let answer: i64;
    // SAFETY: it takes nothing and changes nothing but the register that it answers in.
    unsafe { std::arch::asm!("int 0x80", inlateout("rax") 20i64 => answer) };
    answer
}

#[cfg(not(target_arch = "x86_64"))]
fn i386_getpid() -> c_long {
    // SAFETY: as on other architectures, where no filter has to tell two tables of numbers apart.
    unsafe { libc::syscall(libc::SYS_ptrace, 0, 0, 0, 0) }
}
