//! Workers on other machines, with the real binary on both sides: one is let in by what `retort fleet enrol` prints, measures in its jail,
//! and the receipt of what it measured verifies; it holds nothing of the validator's; killed, or with its validator restarted in the
//! middle, nothing is lost.

use crate::machine::Place;
use crate::support::{Service, stderr, stdout};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long what must come is waited for, on a crowded machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// A worker that dies with its owner.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A validator's folder, and another machine's beside it.
fn place() -> Place {
    let place = Place::new();
    fs::create_dir(place.path("elsewhere")).unwrap();
    place
}

impl Place {
    /// A validator that leaves submissions to workers.
    fn serving(&self) -> Command {
        let mut command = self.retort();
        command.env("RETORT_SUBMISSIONS_ELSEWHERE", "true").env("RETORT_LIMITS_WORKER_LEASE_SECONDS", "8");
        command
    }

    fn serve_elsewhere(&self) -> Service {
        Service::start_as(self.serving(), Path::new(&self.path("v")))
    }

    /// What `retort fleet enrol` says is to be run, with the words that a test adds, and nothing in its environment.
    fn worker(&self, name: &str, more: &[&str]) -> Command {
        let printed = self.done(&["fleet", "enrol", name, "--dir", &self.path("v")]);
        let line = printed.lines().find_map(|line| line.trim().strip_prefix("retort worker ")).unwrap();
        self.started(&line.split(' ').collect::<Vec<_>>(), more)
    }

    /// The same for one that was let in before.
    fn known_worker(&self, name: &str, validator: &str, more: &[&str]) -> Command {
        self.started(&["--validator", validator, "--key", &format!("{name}.json")], more)
    }

    fn started(&self, words: &[&str], more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_retort"));
        command.env_clear().env("RETORT_LEASE_DIR", self.path("lease")).env("HOME", self.path("elsewhere"));
        command.arg("worker").args(words).args(more).current_dir(self.path("elsewhere"));
        command.stderr(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    fn state(&self, service: &Service, id: &str) -> String {
        service.json(&["miner", "status", id])["state"].as_str().unwrap().to_owned()
    }

    /// The workers as `retort fleet ls` has them.
    fn fleet(&self) -> Value {
        serde_json::from_str(&self.done(&["fleet", "ls", "--json", "--dir", &self.path("v")])).unwrap()
    }

    fn scored(&self, service: &Service, id: &str) {
        until("it is scored", || self.state(service, id) == "scored");
    }
}

/// Waits until something holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_worker_elsewhere_measures_with_nothing_of_the_validators_and_its_receipt_verifies() {
    let place = place();
    let service = place.serve_elsewhere();
    let id = place.submit(&service, "mlp");
    let mut worker = Worker(place.worker("bench-1", &[]).stderr(Stdio::null()).spawn().unwrap());
    place.scored(&service, &id);
    kill_process(Pid::from_child(&worker.0), Signal::TERM).unwrap();
    assert!(worker.0.wait().unwrap().success());

    let receipt = service.run(&["verify", "receipt", &id, "--outputs-only"]);
    assert!(receipt.status.success(), "{}{}", stdout(&receipt), stderr(&receipt));
    let log = service.run(&["verify", "log"]);
    assert!(log.status.success(), "{}{}", stdout(&log), stderr(&log));
    let fleet = place.fleet();
    assert_eq!((fleet[0]["name"].as_str(), fleet[0]["lost"].as_u64()), (Some("bench-1"), Some(0)), "{fleet}");
    assert!(fleet[0]["answered"].as_u64() >= Some(1), "{fleet}");

    // What the other machine has: its own key, and files of orders. No key of the validator's, nor where its database is.
    let home = PathBuf::from(place.path("v"));
    let secrets: Vec<Vec<u8>> =
        ["hotkey", "log.key", "operator.token"].map(|name| fs::read(home.join(name)).unwrap()).into();
    let secrets = secrets.iter().map(|secret| secret.trim_ascii().to_vec());
    let secrets: Vec<Vec<u8>> = secrets.chain([home.display().to_string().into_bytes()]).collect();
    let there = files(Path::new(&place.path("elsewhere")));
    assert!(there.len() > 4, "{there:?}");
    for file in there {
        let bytes = fs::read(&file).unwrap();
        for secret in &secrets {
            let is_in = bytes.windows(secret.len()).any(|window| window == secret.as_slice());
            assert!(!is_in, "{} holds a secret of the validator's", file.display());
        }
    }
    let idle = place.known_worker("bench-1", &service.address, &["--drain-when-idle"]).output().unwrap();
    assert!(idle.status.success(), "{}", stderr(&idle));
    place.submit(&service, "pytorch_student");
    let once = place.known_worker("bench-1", &service.address, &["--once"]).output().unwrap();
    assert!(once.status.success(), "{}", stderr(&once));
    place.done(&["fleet", "revoke", "bench-1", "--reason", "a test", "--dir", &place.path("v")]);
    let shut_out = place.known_worker("bench-1", &service.address, &[]).output().unwrap();
    assert!(!shut_out.status.success() && stderr(&shut_out).contains("was shut out: a test"), "{}", stderr(&shut_out));
    let table = place.done(&["fleet", "ls", "--dir", &place.path("v")]);
    assert!(table.contains("bench-1") && table.contains("revoked"), "{table}");
}

#[test]
fn a_worker_that_is_killed_in_the_middle_loses_nothing_and_neither_does_a_restart_of_the_validator() {
    let place = place();
    let mut service = place.serve_elsewhere();
    let killed = place.submit(&service, "mlp");
    let mut worker = Worker(place.worker("bench-1", &[]).spawn().unwrap());
    until("it is measured", || place.state(&service, &killed) == "evaluating");
    worker.0.kill().unwrap();
    worker.0.wait().unwrap();
    // Another machine has it, or this one again once nobody hears of it.
    worker = Worker(place.known_worker("bench-1", &service.address, &[]).spawn().unwrap());
    place.scored(&service, &killed);
    assert_eq!(place.fleet()[0]["lost"].as_u64(), Some(1));

    let id = place.submit(&service, "pytorch_student");
    until("it is measured", || place.state(&service, &id) == "evaluating");
    let address = service.address.clone();
    kill_process(Pid::from_child(&service.child), Signal::TERM).unwrap();
    assert!(service.child.wait().unwrap().success());
    service = Service::start_as_again(place.serving(), Path::new(&place.path("v")), &address);
    place.scored(&service, &id);
    let fleet = place.fleet();
    assert_eq!((fleet[0]["lost"].as_u64(), fleet[0]["failed"].as_u64()), (Some(1), Some(0)), "{fleet}");
    let events = service.json(&["miner", "status", &id]);
    assert_eq!(events["state"].as_str(), Some("scored"));

    // Told to end, it is gone when it is through.
    kill_process(Pid::from_child(&worker.0), Signal::TERM).unwrap();
    assert!(worker.0.wait().unwrap().success());
}
