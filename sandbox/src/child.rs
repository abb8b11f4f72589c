//! Between `clone3` and `execveat`: the few system calls that turn a copy of this process into a confined worker.
//!
//! The copy has one thread and the memory of a process that had many, so until it executes the worker it may allocate
//! nothing, lock nothing and unwind nothing: everything is prepared by the parent in a [`Plan`], and here are only
//! system calls. It doesn't know why the plan is as it is.

#![expect(unsafe_code, reason = "the standard library starts no process in new namespaces")]

use crate::worker::Worker;
use libc::{c_char, c_int, c_long, c_ulong};
use rustix::process::Pid;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Descriptors of a worker: its pipes, the sealed package and a library.
pub(crate) const DESCRIPTORS: usize = 5;

/// From `linux/sched.h`: too wide for the type that `libc` gives it on some targets.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Everything that the child does, decided beforehand.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The opened program.
    pub(crate) program: OwnedFd,
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    /// What becomes descriptor 0, 1, 2 and so on; each must be at least [`DESCRIPTORS`].
    pub(crate) descriptors: [Option<OwnedFd>; DESCRIPTORS],
    /// Namespaces that it begins in.
    pub(crate) namespaces: c_int,
    /// Whether it enters a user namespace only once it is somebody else.
    pub(crate) user_namespace_later: bool,
    /// The user and group that it becomes; `None` to stay who it is.
    pub(crate) identity: Option<u32>,
    pub(crate) limits: Vec<(c_int, u64)>,
}

/// What the child was doing when the system refused; its number is what it tells the parent.
const STEPS: [&str; 8] = [
    "die with the parent",
    "leave the process group",
    "become nobody",
    "enter a user namespace",
    "set limits",
    "hand over descriptors",
    "give up new privileges",
    "execute the worker",
];

/// What was being done when the system refused, and its answer.
pub(crate) type Refusal = (&'static str, io::Error);

/// Starts a process by `plan`: in the control group of version 2 that `home` is the directory of, or in the calling
/// thread's.
///
/// # Errors
/// The system's answer and what was being done.
pub(crate) fn start(plan: &Plan, home: Option<&OwnedFd>) -> Result<Worker, Refusal> {
    let starting = |error: io::Error| ("start a process", error);
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(&plan.arguments), pointers(&plan.environment));
    let (mut report, told) = error_pipe().map_err(starting)?;
    let (pid, pidfd) = match clone3(plan.namespaces, home).map_err(starting)? {
        Some(started) => started,
        None => become_worker(plan, &arguments, &environment, told.as_raw_fd()),
    };
    let worker = Worker::new(pid, pidfd);
    drop(told);
    let mut refusal = [0; 8];
    // Closed without a word by `execveat`.
    match report.read_exact(&mut refusal) {
        Err(_) => Ok(worker),
        Ok(()) => {
            let [step, errno] = [0, 4].map(|at| i32::from_ne_bytes(std::array::from_fn(|byte| refusal[at + byte])));
            let step = usize::try_from(step).ok().and_then(|step| STEPS.get(step)).copied();
            Err((step.unwrap_or("start a process"), io::Error::from_raw_os_error(errno)))
        }
    }
}

/// Whether a process can begin in `namespaces`.
pub(crate) fn can_begin_in(namespaces: c_int) -> bool {
    match clone3(namespaces, None) {
        // SAFETY: the copy ends at once and runs nothing.
        Ok(None) => unsafe { libc::_exit(0) },
        Ok(Some((pid, pidfd))) => Worker::new(pid, pidfd).wait().is_ok(),
        Err(_) => false,
    }
}

/// The ends of a pipe that closes by itself when a program is executed, the writer out of the way of 0 to 5.
fn error_pipe() -> io::Result<(File, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok((reader.into(), out_of_the_way(&writer)?))
}

/// A copy of a descriptor whose number is none of a worker's.
pub(crate) fn out_of_the_way(fd: impl std::os::fd::AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, DESCRIPTORS as RawFd)?)
}

/// `None` in the child.
fn clone3(namespaces: c_int, home: Option<&OwnedFd>) -> io::Result<Option<(Pid, OwnedFd)>> {
    let mut pidfd: RawFd = -1;
    // SAFETY: all fields of this C structure may be zero.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = (namespaces | libc::CLONE_PIDFD) as u32 as u64;
    arguments.pidfd = ptr::from_mut(&mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(home) = home {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = home.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM the child has memory of its own and no stack is needed, as with fork. The caller keeps to
    // what a copy of a process with threads may do, system calls only, and both pointers live until the call returns.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    match (pid, Pid::from_raw(pid as i32)) {
        (0, _) => Ok(None),
        // SAFETY: the kernel has just opened it for us and nobody else has it.
        (1.., Some(pid)) => Ok(Some((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The child. It returns to nobody.
fn become_worker(plan: &Plan, arguments: &[*const c_char], environment: &[*const c_char], told: RawFd) -> ! {
    let step = prepare(plan, told).err().unwrap_or_else(|| {
        let program = plan.program.as_raw_fd();
        let (arguments, environment) = (arguments.as_ptr(), environment.as_ptr());
        // SAFETY: both lists end with a null pointer, and their strings belong to the caller's frame.
        unsafe {
            libc::syscall(libc::SYS_execveat, program, c"".as_ptr(), arguments, environment, libc::AT_EMPTY_PATH)
        };
        STEPS.len() - 1
    });
    let errno = io::Error::last_os_error().raw_os_error().unwrap_or_default();
    let mut message = [0; 8];
    message[..4].copy_from_slice(&(step as i32).to_ne_bytes());
    message[4..].copy_from_slice(&errno.to_ne_bytes());
    // SAFETY: plain system calls on memory of this frame.
    unsafe {
        libc::write(told, message.as_ptr().cast(), message.len());
        libc::_exit(127)
    }
}

/// All steps before the last; the number of the one that failed.
fn prepare(plan: &Plan, told: RawFd) -> Result<(), usize> {
    // SAFETY: system calls on numbers and on memory of `plan`, which this copy of the process owns alone. Identities are
    // set by raw calls, because the C library would first stop threads that this copy doesn't have.
    unsafe {
        done(0, libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong) as c_long)?;
        // Not a session of its own: that would leave the group whose priority a measurement has raised.
        done(1, libc::setpgid(0, 0) as c_long)?;
        if let Some(id) = plan.identity {
            done(2, libc::syscall(libc::SYS_setgroups, 0, ptr::null::<u32>()))?;
            done(2, libc::syscall(libc::SYS_setresgid, id, id, id))?;
            done(2, libc::syscall(libc::SYS_setresuid, id, id, id))?;
            // Another identity forgets it.
            done(0, libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong) as c_long)?;
        }
        if plan.user_namespace_later {
            done(3, libc::unshare(libc::CLONE_NEWUSER) as c_long)?;
        }
        for (resource, most) in &plan.limits {
            let limit = libc::rlimit { rlim_cur: *most, rlim_max: *most };
            done(4, libc::setrlimit(*resource as _, &raw const limit) as c_long)?;
        }
        hand_over(plan, told)?;
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        done(6, libc::chdir(c"/".as_ptr()) as c_long)?;
        done(6, libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) as c_long)
    }
}

/// Gives descriptors their numbers. Everything else closes when the worker is executed.
fn hand_over(plan: &Plan, told: RawFd) -> Result<(), usize> {
    const STEP: usize = 5;
    // SAFETY: the sources have numbers beyond the targets', so none is overwritten before it is duplicated.
    unsafe {
        for (number, descriptor) in plan.descriptors.iter().enumerate() {
            match descriptor {
                Some(descriptor) => done(STEP, libc::dup2(descriptor.as_raw_fd(), number as c_int) as c_long)?,
                None => {
                    libc::close(number as c_int);
                }
            }
        }
        debug_assert!(told >= DESCRIPTORS as RawFd);
        let rest = DESCRIPTORS as c_long;
        done(
            STEP,
            libc::syscall(libc::SYS_close_range, rest, c_long::from(u32::MAX), libc::CLOSE_RANGE_CLOEXEC as c_long),
        )
    }
}

fn done(step: usize, answer: c_long) -> Result<(), usize> {
    if answer < 0 { Err(step) } else { Ok(()) }
}
