//! Which system calls a locked worker may make.
//!
//! [`Profile::Strict`] is an allow-list: what computing and answering need, and the kernel ends the process on anything
//! else. [`Profile::Device`] can't be one, since drivers ask for much; it refuses what reaches beyond the process. Numbers
//! and names are the kernel's; this file installs nothing.
//!
//! Two filters are stacked. The flags of `clone3` lie behind a pointer, where no filter can see whether a thread or a
//! process is wanted: the first filter says that there is no such call, and the C library falls back to `clone`, whose
//! flags the second one reads.

use crate::Profile;
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;
type Condition = (u8, SeccompCmpOp, u64);

/// Calls that are harmless with any arguments, once no descriptor can be opened.
const COMPUTE: [c_long; 36] = [
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
    libc::SYS_futex,
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

/// What no driver needs: other processes, the kernel's own programs, keys, mounts, time and modules.
const BEYOND: [c_long; 44] = [
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
];

/// Every flag that makes a namespace, so that no thread is ever made with one.
const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

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
    Ok([no_clone3, second])
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
    let thread = libc::CLONE_THREAD as u64;
    rules.insert(libc::SYS_clone, vec![all(&[(0, MaskedEq(thread | NAMESPACES), thread)])?]);
    // Memory of our own, never to be executed: shared memory would escape the limit of the data segment.
    let private = (3, MaskedEq(libc::MAP_SHARED as u64), 0);
    let no_code = || (2, MaskedEq(libc::PROT_EXEC as u64), 0);
    rules.insert(libc::SYS_mmap, vec![all(&[no_code(), private])?]);
    rules.insert(libc::SYS_mprotect, vec![all(&[no_code()])?]);
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
    let mut rules: Rules = BEYOND.into_iter().map(|call| (call, Vec::new())).collect();
    // A driver's compiler has threads; a process it doesn't need.
    rules.insert(libc::SYS_clone, vec![all(&[(0, MaskedEq(libc::CLONE_THREAD as u64), 0)])?]);
    #[cfg(target_arch = "x86_64")]
    rules.extend([libc::SYS_fork, libc::SYS_vfork].map(|call| (call, Vec::new())));
    // Typing into a terminal that someone else reads.
    rules.insert(libc::SYS_ioctl, vec![all(&[(1, Eq, libc::TIOCSTI)])?]);
    Ok(rules)
}

/// A rule that holds where all conditions do.
fn all(conditions: &[Condition]) -> Result<SeccompRule, seccompiler::BackendError> {
    let condition = |(argument, compare, value): &Condition| {
        SeccompCondition::new(*argument, SeccompCmpArgLen::Qword, compare.clone(), *value)
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
