//! The parent's half: from a program to a confined process.
//!
//! A [`Jail`] is what the workers of one evaluation share: the profile, the namespaces that this host gives, a control
//! group where there may be one. It doesn't know what the workers compute, nor when they take too long.

use crate::cgroup::{Cgroup, CgroupKind};
use crate::child::{Plan, Refusal, out_of_the_way};
use crate::host::{Host, NOBODY, Namespaces, tasks_of};
use crate::sealed::opened_anew;
use crate::usher::Usher;
use crate::worker::Worker;
use crate::{Executable, JailError, Profile, Sealed};
use std::ffi::{CString, NulError, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// Descriptors that a locked worker may have.
const STRICT_FILES_MAX: u64 = 32;
/// The same with a driver, its libraries and its devices.
const DEVICE_FILES_MAX: u64 = 1_024;
/// The stack of the first thread.
const STACK_BYTES_MAX: u64 = 8 << 20;
/// Allocators reserve more than they touch, and what counts here is what is reserved.
const RESERVE_BYTES: u64 = 96 << 20;

/// What is run.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program's file.
    pub executable: Executable,
    /// What comes after the name.
    pub arguments: Vec<OsString>,
    /// All of its environment.
    pub environment: Vec<(String, OsString)>,
    /// A library that it loads before it locks itself, from the very file that was looked at.
    pub library: Option<Arc<File>>,
}

/// What one process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Resident bytes. The kernel keeps a worker without devices close to it; with devices, whose drivers reserve
    /// address space by the gigabyte, somebody must look.
    pub memory_bytes: u64,
    /// Seconds of processor time, of all threads.
    pub cpu_seconds: u64,
}

/// The parent's ends of a worker's pipes.
#[derive(Debug)]
pub struct Pipes {
    /// To its standard input.
    pub input: File,
    /// From its standard output.
    pub output: File,
    /// From its standard error.
    pub errors: File,
}

/// What confines all workers of an evaluation. None of them outlives it.
#[derive(Debug)]
pub struct Jail {
    /// `None` for a process of its own and nothing else.
    profile: Option<Profile>,
    namespaces: Namespaces,
    drops_identity: bool,
    /// Tasks that the worker's user may have while it runs.
    tasks_max: u64,
    // Before the group, which can't be removed while the thread is in it.
    usher: Usher,
    group: Option<Arc<Cgroup>>,
}

impl Jail {
    /// As strict as `profile` says and this host allows. Its workers may hold `memory_bytes` together, where the host gave
    /// control groups when this process began.
    ///
    /// # Errors
    /// When the system gives it no thread, or no control group any more, or takes none into the one that it has just made.
    pub fn new(profile: Profile, memory_bytes: u64) -> Result<Self, JailError> {
        let host = Host::of_this_machine();
        let group = match host.cgroup {
            CgroupKind::None => None,
            CgroupKind::V1 | CgroupKind::V2 => Some(Arc::new(Cgroup::new(memory_bytes).map_err(no_group)?)),
        };
        // Devices belong to users and groups that nobody isn't in.
        let drops_identity = host.is_root && profile == Profile::Strict;
        let user = if drops_identity { NOBODY } else { rustix::process::geteuid().as_raw() };
        Ok(Self {
            profile: Some(profile),
            namespaces: host.namespaces,
            drops_identity,
            tasks_max: tasks_of(user).saturating_add(tasks_allowed(host.counts_tasks_alone)),
            usher: Usher::new(group.as_ref()).map_err(system)?,
            group,
        })
    }

    /// A process of its own, which nothing keeps from doing harm.
    ///
    /// # Errors
    /// When the system gives it no thread.
    pub fn insecure() -> Result<Self, JailError> {
        let usher = Usher::new(None).map_err(system)?;
        let namespaces = Namespaces::default();
        Ok(Self { profile: None, namespaces, drops_identity: false, tasks_max: 0, usher, group: None })
    }

    /// How far its workers must lock themselves; `None` for not at all.
    pub fn profile(&self) -> Option<Profile> {
        self.profile
    }

    /// What reports say about it: the profile and what the host adds to it.
    pub fn describe(&self) -> String {
        let Some(profile) = self.profile else { return "process".into() };
        let namespaces = self.namespaces.names().join(",");
        let group = self.group.as_ref().map(|group| format!(" cgroup={}", group.kind())).unwrap_or_default();
        format!("{} ns={namespaces}{group}", profile.as_str())
    }

    /// How many workers the kernel has killed for want of memory.
    pub fn memory_kills(&self) -> u64 {
        self.group.as_ref().map_or(0, |group| group.kills())
    }

    /// Starts a worker with nothing but pipes, the sealed package and what `program` says. It still has to [`crate::lock`]
    /// itself, before it reads from any of them.
    ///
    /// # Errors
    /// When the system refuses; the failing step is named.
    pub fn spawn(
        &self,
        program: &Program,
        package: Option<&Sealed>,
        limits: Limits,
    ) -> Result<(Worker, Pipes), JailError> {
        let path = program.executable.path();
        let opened = out_of_the_way(program.executable.file());
        let opened = opened.map_err(|source| JailError::Program { path: path.into(), source })?;
        let (pipes, [input, output, errors]) = Pipes::new().map_err(|error| system(("make pipes", error)))?;
        // Numbers beyond those that the worker gets, so that none is overwritten before it is handed over.
        let package = package.map(|package| package.for_worker().and_then(out_of_the_way)).transpose();
        let package = package.map_err(|error| system(("hand over the package", error)))?;
        let library =
            program.library.as_deref().map(|library| opened_anew(library).and_then(out_of_the_way)).transpose();
        let library = library.map_err(|error| system(("hand over the library", error)))?;
        let (namespaces, user_namespace_later) = self.namespaces.at_start(self.drops_identity);
        let plan = Plan {
            program: opened,
            arguments: arguments(program)?,
            environment: environment(program)?,
            descriptors: [Some(input), Some(output), Some(errors), package, library],
            namespaces,
            user_namespace_later,
            identity: self.drops_identity.then_some(NOBODY),
            limits: self.limits(limits),
        };
        let worker = self.usher.start(plan).map_err(|refused| self.refused(path, refused))?;
        Ok((worker, pipes))
    }

    fn limits(&self, limits: Limits) -> Vec<(libc::c_int, u64)> {
        let resource = |resource| resource as libc::c_int;
        let always = [(resource(libc::RLIMIT_CORE), 0), (resource(libc::RLIMIT_CPU), limits.cpu_seconds.max(1))];
        let more = match self.profile {
            None => Vec::new(),
            Some(Profile::Device) => {
                vec![(resource(libc::RLIMIT_NOFILE), DEVICE_FILES_MAX), (resource(libc::RLIMIT_NPROC), self.tasks_max)]
            }
            Some(Profile::Strict) => vec![
                (resource(libc::RLIMIT_NOFILE), STRICT_FILES_MAX),
                (resource(libc::RLIMIT_NPROC), self.tasks_max),
                (resource(libc::RLIMIT_FSIZE), 0),
                (resource(libc::RLIMIT_MEMLOCK), 0),
                (resource(libc::RLIMIT_STACK), STACK_BYTES_MAX),
                (resource(libc::RLIMIT_DATA), limits.memory_bytes.saturating_add(RESERVE_BYTES)),
            ],
        };
        always.into_iter().chain(more).collect()
    }

    fn refused(&self, path: &Path, (step, source): Refusal) -> JailError {
        if self.drops_identity && source.kind() == io::ErrorKind::PermissionDenied {
            return JailError::NotForOthers { path: path.into(), source };
        }
        system((step, source))
    }
}

/// Tasks that a worker may have beyond what its user has already: threads of our own, and a few for each processor. A kernel
/// before 5.14 counts a user's tasks wherever they are, in other containers too, so it is given room for those.
fn tasks_allowed(counts_alone: bool) -> u64 {
    let elsewhere = if counts_alone { 0 } else { 1_024 };
    64 + elsewhere + 4 * std::thread::available_parallelism().map_or(1, |processors| processors.get() as u64)
}

fn no_group(refused: crate::cgroup::NoCgroup) -> JailError {
    system(("make a control group, as at the start", io::Error::other(refused)))
}

fn system((step, source): Refusal) -> JailError {
    JailError::System { step, source }
}

impl Pipes {
    /// The parent's ends and the worker's three.
    fn new() -> io::Result<(Self, [OwnedFd; 3])> {
        let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
        let (input_reader, input) = pipe()?;
        let (output, output_writer) = pipe()?;
        let (errors, errors_writer) = pipe()?;
        let ends = [out_of_the_way(&input_reader)?, out_of_the_way(&output_writer)?, out_of_the_way(&errors_writer)?];
        Ok((Self { input: input.into(), output: output.into(), errors: errors.into() }, ends))
    }
}

fn arguments(program: &Program) -> Result<Vec<CString>, NulError> {
    let name = program.executable.path().as_os_str();
    let all = std::iter::once(name).chain(program.arguments.iter().map(OsString::as_os_str));
    all.map(|argument: &OsStr| CString::new(argument.as_bytes())).collect()
}

fn environment(program: &Program) -> Result<Vec<CString>, NulError> {
    let variable =
        |(name, value): &(String, OsString)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat());
    program.environment.iter().map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_group_of_version_2_is_where_workers_begin() {
        let Some(group) = Cgroup::unbounded().map(Arc::new) else { return };
        let usher = Usher::new(Some(&group)).unwrap();
        let jail = Jail { group: Some(group), usher, ..Jail::insecure().unwrap() };
        let arguments = vec!["/proc/self/cgroup".into()];
        let executable = Executable::open("/bin/cat").unwrap();
        let cat = Program { executable, arguments, environment: Vec::new(), library: None };
        let limits = Limits { memory_bytes: 1 << 30, cpu_seconds: 10 };
        let (worker, mut pipes) = jail.spawn(&cat, None, limits).unwrap();
        let mut groups = String::new();
        pipes.output.read_to_string(&mut groups).unwrap();
        worker.wait().unwrap();
        assert!(groups.lines().any(|line| line.starts_with("0::") && line.contains("/retort-")), "{groups}");
    }
}
