//! Which system calls a locked worker may make.
//!
//! [`Profile::Strict`] is an allow-list: what computing and answering need, and the kernel ends the process on anything
//! else. [`Profile::Device`] can't be one, since drivers ask for much; it refuses what reaches beyond the process. Numbers
//! and names are the kernel's; this file installs nothing.
//!
//! Numbers of the x32 interface (bit 30 set) mean other calls by the same names, so that a list of what is refused wouldn't
//! see them: the first filter refuses all of them before anything else is looked at.
//!
//! Two filters are stacked. The flags of `clone3` lie behind a pointer, where no filter can see whether a thread or a
//! process is wanted: the first filter says that there is no such call, and the C library falls back to `clone`, whose
//! flags the second one reads.

use crate::Profile;
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};
use std::collections::BTreeMap;

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;
type Condition = (u8, SeccompCmpOp, u64);

/// Calls that are harmless with any arguments, once no descriptor can be opened.
const COMPUTE: [c_long; 35] = [
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_get_robust_list,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_membarrier,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What no driver needs: other processes, the kernel's own programs, keys, mounts, time and modules, memory that counts as
/// nobody's, and marks on files that the next worker would see.
const BEYOND: [c_long; 64] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_quotactl,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_socket,
    libc::SYS_listen,
    libc::SYS_fspick,
    libc::SYS_fsconfig,
    libc::SYS_mount_setattr,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_memfd_secret,
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
    libc::SYS_futex_waitv,
    FUTEX_REQUEUE_CALL,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_fsetxattr,
    libc::SYS_flock,
];

/// The same under the names that older architectures have besides.
#[cfg(target_arch = "x86_64")]
const BEYOND_LEGACY: [c_long; 9] = [
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_lsetxattr,
];
#[cfg(not(target_arch = "x86_64"))]
const BEYOND_LEGACY: [c_long; 1] = [libc::SYS_lsetxattr];

/// `futex_requeue(2)`, the same number everywhere, and not in `libc` for every target.
const FUTEX_REQUEUE_CALL: c_long = 456;
/// `fchmodat2(2)` and `setxattrat(2)`, alike.
const NEWER: [c_long; 2] = [452, 463];

/// What locks and waiting threads ask of a futex. Everything else reaches into the kernel's lists of other threads, or
/// lends priority.
const FUTEX_OPERATIONS: [u64; 3] = [libc::FUTEX_WAIT as u64, libc::FUTEX_WAKE as u64, libc::FUTEX_WAIT_BITSET as u64];
/// Whether it is this process's alone, and by which clock it waits.
const FUTEX_OPTIONS: u64 = (libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME) as u64;
/// All of a number of 32 bits.
const WORD: u64 = u32::MAX as u64;

/// What the C libraries start threads with, and nothing else: no namespace, no descriptor of it (`CLONE_PIDFD`), no tracing.
const THREAD: u64 = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID) as u64;
/// Does nothing, and one C library sets it.
const DETACHED: u64 = libc::CLONE_DETACHED as u64;

/// Memory that a limit of the data segment doesn't see: shared, a stack (which grows by itself), or of large pages that
/// the kernel keeps apart.
const UNCOUNTED: u64 = (libc::MAP_SHARED | libc::MAP_GROWSDOWN | libc::MAP_HUGETLB) as u64;
/// Makes code, or changes a mapping down to the end of its stack.
const NOT_DATA: u64 = (libc::PROT_EXEC | libc::PROT_GROWSDOWN | libc::PROT_GROWSUP) as u64;

/// The first number of the x32 interface.
const X32_FIRST: u32 = 0x4000_0000;

/// Names a mapping for `/proc`: the C library does it with anonymous memory. Not in `libc` for every target.
const PR_SET_VMA: u64 = 0x5356_4d41;

/// The filters of `profile`, in the order in which they must be installed by the process `pid`.
pub(crate) fn programs(profile: Profile, pid: u32) -> Result<[BpfProgram; 2], seccompiler::BackendError> {
    let no_clone3 = compile(
        [(libc::SYS_clone3, Vec::new())].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS as u32),
    )?;
    let second = match profile {
        Profile::Strict => compile(strict(pid)?, SeccompAction::KillProcess, SeccompAction::Allow)?,
        Profile::Device => compile(device()?, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32))?,
    };
    Ok([[no_x32().as_slice(), &no_clone3].concat(), second])
}

/// Refuses every number of the x32 interface and falls through to what follows: jumps are relative.
fn no_x32() -> BpfProgram {
    const NUMBER_OFFSET: u32 = 0;
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let at_least = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    vec![
        sock_filter { code: load, jt: 0, jf: 0, k: NUMBER_OFFSET },
        sock_filter { code: at_least, jt: 0, jf: 1, k: X32_FIRST },
        sock_filter { code: answer, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | libc::EPERM as u32 },
    ]
}

fn compile(
    rules: Rules,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, otherwise, matched, arch)?.try_into()
}

fn strict(pid: u32) -> Result<Rules, seccompiler::BackendError> {
    use SeccompCmpOp::{Eq, MaskedEq};
    let mut rules: Rules = COMPUTE.into_iter().map(|call| (call, Vec::new())).collect();
    // The first filter answers it; the second must let it pass, since the stricter of two answers wins.
    rules.insert(libc::SYS_clone3, Vec::new());
    rules.insert(libc::SYS_clone, vec![all(&[(0, MaskedEq(!DETACHED), THREAD)])?]);
    // Memory of our own that counts, never to be executed.
    let counted = (3, MaskedEq(UNCOUNTED), 0);
    let data = || (2, MaskedEq(NOT_DATA), 0);
    rules.insert(libc::SYS_mmap, vec![all(&[data(), counted])?]);
    rules.insert(libc::SYS_mprotect, vec![all(&[data()])?]);
    let waits = FUTEX_OPERATIONS.map(|operation| all(&[(1, MaskedEq(WORD & !FUTEX_OPTIONS), operation)]));
    rules.insert(libc::SYS_futex, waits.into_iter().collect::<Result<_, _>>()?);
    // `abort` sends a signal to the calling thread. Without it, running out of memory would look like a break-out.
    rules.insert(libc::SYS_tgkill, vec![all(&[(0, Eq, u64::from(pid))])?]);
    // Asking what a descriptor is like, as the standard library does before it closes one.
    rules.insert(libc::SYS_fcntl, vec![all(&[(1, Eq, libc::F_GETFD as u64)])?]);
    let prctl = [libc::PR_SET_NAME as u64, PR_SET_VMA].map(|option| all(&[(0, Eq, option)]));
    rules.insert(libc::SYS_prctl, prctl.into_iter().collect::<Result<_, _>>()?);
    Ok(rules)
}

fn device() -> Result<Rules, seccompiler::BackendError> {
    use SeccompCmpOp::{Eq, MaskedEq};
    let beyond = BEYOND.into_iter().chain(BEYOND_LEGACY).chain(NEWER);
    let mut rules: Rules = beyond.map(|call| (call, Vec::new())).collect();
    // A driver's compiler has threads; a process it doesn't need, nor a descriptor of one.
    let [thread, pidfd] = [libc::CLONE_THREAD, libc::CLONE_PIDFD].map(|flag| flag as u64);
    rules.insert(libc::SYS_clone, vec![all(&[(0, MaskedEq(thread), 0)])?, all(&[(0, MaskedEq(pidfd), pidfd)])?]);
    rules.insert(libc::SYS_futex, other_futexes()?);
    // Typing into a terminal that someone else reads.
    rules.insert(libc::SYS_ioctl, vec![all(&[(1, Eq, libc::TIOCSTI)])?]);
    Ok(rules)
}

/// Every operation of a futex but [`FUTEX_OPERATIONS`]: 0, 1 and 9 are what has none of these bits and isn't 8.
fn other_futexes() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    use SeccompCmpOp::MaskedEq;
    let operations = WORD & !FUTEX_OPTIONS;
    let bits = (0..32).map(|bit| 1 << bit).filter(|bit| operations & bit != 0 && !matches!(bit, 1 | 8));
    let mut rules = bits.map(|bit| all(&[(1, MaskedEq(bit), bit)])).collect::<Result<Vec<_>, _>>()?;
    rules.push(all(&[(1, MaskedEq(operations), 8)])?);
    Ok(rules)
}

/// A rule that holds where all conditions do.
fn all(conditions: &[Condition]) -> Result<SeccompRule, seccompiler::BackendError> {
    let condition = |(argument, compare, value): &Condition| {
        // A mask of 32 bits is for a number of which the kernel reads no more.
        let narrow = matches!(compare, SeccompCmpOp::MaskedEq(mask) if *mask <= WORD);
        let width = if narrow { SeccompCmpArgLen::Dword } else { SeccompCmpArgLen::Qword };
        SeccompCondition::new(*argument, width, compare.clone(), *value)
    };
    SeccompRule::new(conditions.iter().map(condition).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_profiles_are_programs_that_a_kernel_takes() {
        for profile in [Profile::Strict, Profile::Device] {
            let [first, second] = programs(profile, 7).unwrap();
            // The kernel's limit, BPF_MAXINSNS.
            assert!(!first.is_empty() && first.len() < 4096 && !second.is_empty() && second.len() < 4096);
        }
    }

    #[test]
    fn nothing_that_opens_sends_or_starts_is_harmless() {
        let dangerous = [
            libc::SYS_openat,
            libc::SYS_socket,
            libc::SYS_execve,
            libc::SYS_ptrace,
            libc::SYS_kill,
            libc::SYS_ioctl,
            libc::SYS_io_uring_setup,
            libc::SYS_mmap,
            libc::SYS_clone,
            libc::SYS_clone3,
        ];
        assert!(COMPUTE.iter().all(|call| !dangerous.contains(call) && !BEYOND.contains(call)));
    }
}
