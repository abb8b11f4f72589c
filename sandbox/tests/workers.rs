//! What a worker is given, how it is started, and that it goes when its parent does.

use crate::support::{attempt, jail, limits, program};
use sandbox::{CgroupKind, End, Executable, Host, Jail, JailError, Profile, Program};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_locked_worker_reads_its_package_and_computes_on_threads() {
    for profile in [Profile::Strict, Profile::Device] {
        let jail = jail(profile);
        let read = attempt(&jail, profile, "read-package", PATIENCE);
        assert_eq!((read.end, read.output.as_str()), (End::Exited(0), "the package"), "{profile:?}");
        let threads = attempt(&jail, profile, "threads", PATIENCE);
        assert_eq!((threads.end, threads.output.as_str()), (End::Exited(0), "6"), "{profile:?}");
    }
}

fn named(path: &str, arguments: Vec<OsString>) -> Program {
    Program {
        executable: Executable::open(path).expect("a program"),
        arguments,
        environment: Vec::new(),
        library: None,
    }
}

fn shell(jail: &Jail, script: &str) -> String {
    let program = named("/bin/sh", vec!["-c".into(), script.into()]);
    let (worker, mut pipes) = jail.spawn(&program, None, limits()).expect("a worker");
    drop(pipes.input);
    let mut text = String::new();
    pipes.output.read_to_string(&mut text).expect("text");
    worker.wait().expect("an end");
    text
}

#[test]
fn a_worker_begins_with_nothing() {
    let jail = jail(Profile::Strict);
    assert_eq!(shell(&jail, "pwd"), "/\n");
    assert_eq!(shell(&jail, "echo $$"), "1\n", "the first process of its namespace");
    assert_eq!(shell(&jail, "ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ", "3 is the folder that is read");
    assert_eq!(shell(&jail, "env | grep -v -e ^PWD -e ^_= -e ^SHLVL"), "");
    assert_eq!(shell(&jail, "cat /proc/net/dev | grep -c :"), "1\n", "no network but a loopback that is down");
    assert!(
        shell(&jail, "grep Cap /proc/self/status")
            .lines()
            .all(|line| line.ends_with("0000000000000000") || line.starts_with("CapBnd")),
        "no capability"
    );
    assert!(shell(&jail, "grep NoNewPrivs /proc/self/status").contains('1'));
    assert_eq!(shell(&jail, "ulimit -c; ulimit -f; ulimit -n"), "0\n0\n32\n");
}

#[test]
fn a_superusers_worker_is_nobody() {
    if Host::of_this_machine().is_root {
        let ids = shell(&jail(Profile::Strict), "grep -e ^Uid -e ^Gid -e ^Groups /proc/self/status");
        let zero = ids.split_whitespace().any(|id| id == "0");
        assert!(!zero && ids.contains("65534"), "{ids}");
    }
}

#[test]
fn an_insecure_worker_is_an_ordinary_process() {
    let jail = Jail::insecure().unwrap();
    assert_ne!(shell(&jail, "echo $$"), "1\n");
    assert_eq!(jail.describe(), "process");
}

#[test]
fn what_cannot_be_started_says_why() {
    let error = Executable::open("/no/such/program").unwrap_err();
    assert!(matches!(&error, JailError::Program { .. }) && error.to_string().contains("/no/such/program"), "{error}");

    let no_program = named("/etc/passwd", Vec::new());
    let error = Jail::insecure().unwrap().spawn(&no_program, None, limits()).unwrap_err();
    assert!(error.to_string().contains("execute the worker"), "{error}");

    let zero = named("/bin/true", vec!["a\0b".into()]);
    assert!(matches!(jail(Profile::Strict).spawn(&zero, None, limits()), Err(JailError::Argument(_))));
}

/// As an upgrade does while the validator runs.
#[test]
fn a_program_that_was_replaced_or_removed_is_still_started_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    std::fs::copy("/bin/sh", &path).unwrap();
    let (jail, executable) = (Jail::insecure().unwrap(), Executable::open(&path).unwrap());
    let says = |what: &str| {
        let arguments = vec!["-c".into(), format!("echo {what}").into()];
        let program = Program { executable: executable.clone(), arguments, environment: Vec::new(), library: None };
        let (worker, mut pipes) = jail.spawn(&program, None, limits()).unwrap();
        let mut text = String::new();
        pipes.output.read_to_string(&mut text).unwrap();
        worker.wait().unwrap();
        text
    };
    assert_eq!(says("first"), "first\n");
    let other = folder.path().join("other");
    std::fs::write(&other, "no program").unwrap();
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(says("replaced"), "replaced\n");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(says("removed"), "removed\n");
}

#[test]
fn a_worker_that_is_dropped_is_gone() {
    let jail = jail(Profile::Strict);
    let (worker, pipes) = jail.spawn(&program("strict", "sleep"), None, limits()).unwrap();
    let process = PathBuf::from(format!("/proc/{}", worker.pid()));
    assert!(process.exists());
    drop(worker);
    assert!(!process.exists());
    drop(pipes);
}

#[test]
fn a_worker_begins_in_the_group_of_its_jail() {
    let jail = jail(Profile::Strict);
    let groups = shell(&jail, "cat /proc/self/cgroup");
    let inside = |controller: &str| groups.lines().any(|line| line.contains(controller) && line.contains("/retort-"));
    match Host::of_this_machine().cgroup {
        CgroupKind::V1 => assert!(inside(":memory:"), "{groups}"),
        CgroupKind::V2 => assert!(inside("0::"), "{groups}"),
        CgroupKind::None => assert!(!groups.contains("/retort-"), "{groups}"),
    }
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    assert!(!own.contains("/retort-"), "one thread went there, not this process: {own}");
}

#[test]
fn a_worker_ends_with_its_jail_and_not_with_the_thread_that_asked_for_it() {
    let jail = jail(Profile::Strict);
    let program = program("strict", "sleep");
    let ask = || jail.spawn(&program, None, limits()).unwrap();
    let (worker, pipes) = std::thread::scope(|scope| scope.spawn(ask).join().unwrap());
    assert!(!worker.ends_within(Duration::from_millis(100)).unwrap());
    drop(jail);
    assert!(worker.ends_within(PATIENCE).unwrap());
    assert!(matches!(worker.wait().unwrap(), End::Killed(9)));
    drop(pipes);
}

/// The test below runs this one in a process of its own, to kill it.
#[test]
#[ignore = "waits to be killed"]
fn a_parent_that_waits() {
    let jail = jail(Profile::Strict);
    let (worker, pipes) = jail.spawn(&program("strict", "sleep"), None, limits()).unwrap();
    eprintln!("worker {}", worker.pid());
    std::thread::sleep(Duration::from_secs(600));
    drop(pipes);
}

#[test]
fn a_worker_dies_with_its_parent() {
    let mut parent = Command::new(std::env::current_exe().unwrap());
    parent.args(["--exact", "workers::a_parent_that_waits", "--ignored", "--nocapture"]).stderr(Stdio::piped());
    let mut parent = parent.stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(parent.stderr.take().unwrap()).lines().map_while(Result::ok);
    let worker = lines.find_map(|line| line.strip_prefix("worker ").map(String::from)).unwrap();
    let process = PathBuf::from("/proc").join(worker);
    assert!(process.exists());
    parent.kill().unwrap();
    parent.wait().unwrap();
    let killed = Instant::now();
    while process.exists() && killed.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!process.exists(), "an orphan");
}
