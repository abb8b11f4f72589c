//! Starting the hostile worker and seeing how it ends.

use sandbox::{End, Executable, Jail, Limits, Profile, Program, Sealed};
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What is left of a worker.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) end: End,
    /// Its output, at most a mebibyte.
    pub(crate) output: String,
    /// From the deadline to its end; nothing where it ended before.
    pub(crate) overrun: Option<Duration>,
}

pub(crate) const MEMORY_BYTES: u64 = 64 << 20;

pub(crate) fn limits() -> Limits {
    Limits { memory_bytes: MEMORY_BYTES, cpu_seconds: 20 }
}

pub(crate) fn jail(profile: Profile) -> Jail {
    Jail::new(profile, 2 * (MEMORY_BYTES + (96 << 20))).expect("a jail")
}

/// Where the tests look for the hostile worker: beside a copy of them, or where cargo built it.
fn program_path() -> PathBuf {
    std::env::var_os("HOSTILE_WORKER").map_or_else(|| env!("CARGO_BIN_EXE_hostile-worker").into(), PathBuf::from)
}

pub(crate) fn program(profile: &str, attempt: &str) -> Program {
    Program {
        executable: Executable::open(program_path()).expect("the hostile worker"),
        arguments: vec![profile.into(), attempt.into()],
        environment: vec![("ONLY".into(), "this".into())],
        library: None,
    }
}

/// Runs an attempt until its end, or kills it after `patience`.
pub(crate) fn attempt(jail: &Jail, profile: Profile, attempt: &str, patience: Duration) -> Ended {
    let package = Sealed::new("package", ["the package"]).expect("a memory file");
    attempt_with(&package, jail, profile, attempt, patience)
}

/// The same with a package that others may be given, too.
pub(crate) fn attempt_with(
    package: &Sealed,
    jail: &Jail,
    profile: Profile,
    attempt: &str,
    patience: Duration,
) -> Ended {
    let program = program(profile.as_str(), attempt);
    let (worker, pipes) = jail.spawn(&program, Some(package), limits()).expect("a worker");
    drop(pipes.input);
    let drain = |mut pipe: std::fs::File| {
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            let _ = (&mut pipe).take(1 << 20).read_to_end(&mut kept);
            kept
        })
    };
    let (output, errors) = (drain(pipes.output), drain(pipes.errors));
    let in_time = worker.ends_within(patience).expect("a process");
    let deadline = Instant::now();
    if !in_time {
        worker.kill();
    }
    let end = worker.wait().expect("an end");
    let overrun = (!in_time).then(|| deadline.elapsed());
    let output = [output.join().expect("output"), errors.join().expect("errors")].concat();
    Ended { end, output: String::from_utf8_lossy(&output).into_owned(), overrun }
}
