//! What keeps a worker from doing harm, and what little it is given to start with.
//!
//! The means are the `sandbox` crate's; here is decided which of them a device allows. It doesn't know what runs.

use crate::runtime::RuntimeKind;
use crate::worker::{PROFILE_VARIABLE, UNCONFINED};
use engine::Mode;
use models::DeviceKind;
use sandbox::{Executable, Jail, JailError, Profile, Program};
use std::ffi::OsString;
use std::io;

/// Where shared libraries are: no worker of a build with LibTorch starts without its own, whatever it computes on.
const LIBRARIES: &str = "LD_LIBRARY_PATH";

/// The variables that a worker with a device inherits besides: where Vulkan drivers are, and what they ask for.
const DEVICE_VARIABLES: [&str; 2] = ["VK_DRIVER_FILES", "XDG_RUNTIME_DIR"];

/// Lets glibc ask for large pages. Where a model's small pages lie in the caches is a matter of chance for each process,
/// and it made launches of a small network differ by 4.5 % (standard deviation); with large pages by 2.8 %.
const LARGE_PAGES: &str = "glibc.malloc.hugetlb=1";

/// The most workers of an evaluation at once: the two of a launch, and one that is still ending.
const WORKERS_MAX: u64 = 3;

/// What one worker may hold beside what its bound counts: pages of its program, and of the kernel for it.
const OVERHEAD_BYTES: u64 = 256 << 20;

/// What keeps a worker from doing harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confinement {
    /// The sandbox: nothing but computing.
    #[default]
    Sandbox,
    /// A process of its own and no more: no inherited environment, files or working folder; killed over time or memory.
    /// For models that one trusts.
    Process,
}

impl Confinement {
    /// The jail for workers on `device`, each bounded to `memory_bytes_max`.
    ///
    /// # Errors
    /// When the system doesn't give what it takes.
    pub(crate) fn jail(self, device: DeviceKind, memory_bytes_max: u64) -> Result<Jail, JailError> {
        let all = memory_bytes_max.saturating_add(OVERHEAD_BYTES).saturating_mul(WORKERS_MAX);
        match self {
            Self::Process => Jail::insecure(),
            Self::Sandbox => Jail::new(profile(device), all.min(i64::MAX as u64)),
        }
    }
}

fn profile(device: DeviceKind) -> Profile {
    match device {
        DeviceKind::Flex => Profile::Strict,
        DeviceKind::Wgpu | DeviceKind::Tch => Profile::Device,
    }
}

/// What starts a worker: usually the running binary with its hidden subcommand.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// The program, opened once: replacing its file does no harm.
    pub program: Executable,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl WorkerCommand {
    /// The running program, called again with `args`.
    ///
    /// # Errors
    /// When the system doesn't say where the program is, or doesn't let us read it.
    pub fn this_program(args: &[&str]) -> io::Result<Self> {
        Ok(Self { program: Executable::running()?, args: args.iter().map(OsString::from).collect() })
    }

    /// With all of the environment of a worker in `jail`.
    pub(crate) fn with_environment(
        &self,
        jail: &Jail,
        device: DeviceKind,
        threads: u32,
        (runtime, mode): (&RuntimeKind, Mode),
    ) -> Program {
        let variable = |name: &str, value: &str| (name.to_owned(), OsString::from(value));
        let threads = threads.to_string();
        let mut environment = vec![
            variable(PROFILE_VARIABLE, jail.profile().map_or(UNCONFINED, Profile::as_str)),
            // Both names: burn's flex backend, when built with rayon, and LibTorch's OpenMP.
            variable("RAYON_NUM_THREADS", &threads),
            variable("OMP_NUM_THREADS", &threads),
            variable("GLIBC_TUNABLES", LARGE_PAGES),
        ];
        let has_driver = profile(device) == Profile::Device;
        let libraries = (has_driver || cfg!(feature = "tch")).then_some(LIBRARIES);
        let drivers = DEVICE_VARIABLES.into_iter().filter(|_| has_driver);
        let inherited = |name: &str| Some((name.to_owned(), std::env::var_os(name)?));
        environment.extend(libraries.into_iter().chain(drivers).filter_map(inherited));
        environment.extend(runtime.environment(mode));
        let (executable, arguments) = (self.program.clone(), self.args.clone());
        Program { executable, arguments, environment, library: runtime.library() }
    }
}
