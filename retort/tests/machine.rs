//! The machine under the service: signals end it in time whatever is going on, and whoever else measures on this machine is
//! waited for without anybody paying for it. The real binary with its real engine.

use crate::attacks::{children, until};
use crate::support::{Service, manifest, repository, retort, stderr, stdout};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to end: the default of `limits.shutdown_seconds_max`.
const TIME_TO_END: Duration = Duration::from_secs(20);
/// How long a cancelled measurement may keep the machine: promised is a second, the rest is for a crowded machine. A whole
/// measurement takes longer by far.
const TIME_TO_FREE: Duration = Duration::from_secs(5);
/// How long what must come is waited for, on a crowded machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// A validator's directory with a competition, a lease of its own, and a miner's key.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        place.done(&["validator", "init", "--dir", &place.path("v")]);
        let manifest = manifest(place.dir.path()).display().to_string();
        place.done(&["validator", "publish", &manifest, "--dir", &place.path("v")]);
        place.done(&["keys", "new", &place.path("key")]);
        place
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// The binary with this place's lease, so that no other test is waited for.
    pub(crate) fn retort(&self) -> Command {
        let mut command = retort();
        command.env("RETORT_LEASE_DIR", self.path("lease"));
        command
    }

    pub(crate) fn done(&self, args: &[&str]) -> String {
        let output = self.retort().args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        stdout(&output)
    }

    /// Serves with the whole length of a measurement: most of a minute.
    fn serve(&self) -> Service {
        let mut command = self.retort();
        command.env("RETORT_LATENCY", "full");
        Service::start_as(command, Path::new(&self.path("v")))
    }

    pub(crate) fn submit(&self, service: &Service, fixture: &str) -> String {
        let package = repository("models/fixtures").join(fixture).display().to_string();
        let submitted = service.json(&["miner", "submit", &package, "--hotkey", &self.path("key")]);
        submitted["id"].as_str().unwrap().to_owned()
    }

    /// Publishes another competition; returns once it measures.
    fn publish(&self, number: u32) -> Killed {
        let text = fs::read_to_string(self.path("competition.toml")).unwrap();
        let another = self.path("another.toml");
        fs::write(&another, text.replace("id = \"fashion-mnist\"", &format!("id = \"another-{number}\""))).unwrap();
        let mut publish = self.retort();
        publish.args(["validator", "publish", &another, "--dir", &self.path("v")]).env("RETORT_LATENCY", "full");
        let mut publish = Killed(publish.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
        let measures = until(PATIENCE, || {
            assert!(publish.0.try_wait().unwrap().is_none(), "it publishes for as long as a measurement takes");
            (!descendants(publish.0.id()).is_empty()).then_some(())
        });
        assert!(measures.is_some());
        publish
    }

    /// Waits until nobody has the machine and no worker of `service` is left; how long that took.
    fn freed(&self, service: u32) -> Duration {
        let began = Instant::now();
        let nobody_has_it = || {
            let mut take = Command::new("flock");
            take.arg("--nonblock").arg(self.path("lease/machine")).arg("true").status().unwrap().success()
        };
        let freed = until(PATIENCE, || (workers(service).is_empty() && nobody_has_it()).then(|| began.elapsed()));
        freed.expect("the machine is given back")
    }

    /// A service that measures `fixture`, once its workers run; and the submission.
    fn measuring(&self, fixture: &str) -> (Service, String) {
        let service = self.serve();
        let id = self.submit(&service, fixture);
        let begun = until(PATIENCE, || (!workers(service.child.id()).is_empty()).then_some(()));
        assert!(begun.is_some(), "{:?}", service.log());
        (service, id)
    }

    /// Somebody else measures on this machine, until the answer is dropped.
    fn taken(&self) -> Killed {
        fs::create_dir_all(self.path("lease")).unwrap();
        let mut held = Command::new("flock");
        held.arg(self.path("lease/machine")).args(["sh", "-c", "echo; exec sleep 600"]).stdout(Stdio::piped());
        let mut held = Killed(held.spawn().unwrap());
        // It has the lock when it says so.
        let mut word = [0];
        std::io::Read::read_exact(held.0.stdout.as_mut().unwrap(), &mut word).unwrap();
        held
    }
}

/// A process that ends with whoever started it, and its child with it.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        for pid in descendants(self.0.id()).into_iter().rev() {
            signal(pid, Signal::KILL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(pid: u32, signal: Signal) {
    // One that is gone needs none.
    let _ = kill_process(Pid::from_raw(pid as i32).unwrap(), signal);
}

fn descendants(pid: u32) -> Vec<u32> {
    children(pid).into_iter().flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}

/// The processes in which a service runs models: their parent may be gone before them.
fn workers(service: u32) -> Vec<u32> {
    let is_worker =
        |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"__worker\0"));
    descendants(service).into_iter().filter(is_worker).collect()
}

/// The states of all submissions, the latest first.
fn states(service: &Service) -> Vec<String> {
    let listed = service.json(&["submissions"]);
    let state = |it: &serde_json::Value| it["state"].as_str().unwrap().to_owned();
    listed.as_array().unwrap().iter().map(state).collect()
}

/// Tells a process to end; how long it took, and that it left no child behind.
fn ended(child: &mut Child, what: &str) -> Duration {
    let left = descendants(child.id());
    let began = Instant::now();
    signal(child.id(), Signal::TERM);
    let ended = until(3 * TIME_TO_END, || child.try_wait().unwrap());
    let took = began.elapsed();
    assert!(ended.is_some() && took <= TIME_TO_END, "{what}: {took:?}, {ended:?}");
    for pid in left {
        let process = PathBuf::from(format!("/proc/{pid}/exe"));
        let gone = until(Duration::from_secs(5), || fs::read_link(&process).is_err().then_some(()));
        assert!(gone.is_some(), "{what}: a worker is left behind");
    }
    took
}

#[test]
fn whoever_waits_for_the_machine_says_for_whom() {
    let place = Place::new();
    let taken = place.taken();
    let holder = format!("process {} (flock) has it", taken.0.id());
    let mut doctor = place.retort();
    doctor.args(["doctor", "--dir", &place.path("v")]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut doctor = Killed(doctor.spawn().unwrap());
    let said = BufReader::new(doctor.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let machine = said.map(|line| line.trim().to_owned()).find(|line| line.starts_with("ok   machine "));
    assert!(machine.as_ref().is_some_and(|line| line.contains(&holder)), "{machine:?}");
    let mut told = BufReader::new(doctor.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let waits = told.find(|line| line.starts_with("waiting for the machine"));
    assert!(waits.as_ref().is_some_and(|line| line.contains(&holder) && line.contains("retort doctor")), "{waits:?}");
    drop(taken);

    // Of our own commands it is known what they do, and for how long.
    let mut busy = place.retort();
    let bench = ["bench", "latency", "--aa", "--measurements", "50", "--effort", "quick"];
    let _busy = Killed(busy.args(bench).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let seen = until(PATIENCE, || {
        let mut look = place.retort();
        let nowhere = look.args(["doctor", "--dir", &place.path("nowhere")]).output().unwrap();
        stdout(&nowhere).lines().find(|line| line.contains("(retort bench latency) has had it for ")).map(str::to_owned)
    });
    assert!(seen.is_some(), "where no validator is, the host is looked at all the same");
}

/// `SIGTERMS=100 cargo test -p retort --test all machine:: -- --nocapture` prints the figure of docs/SECURITY.md.
#[test]
fn a_signal_ends_the_process_in_time_in_every_phase_and_its_workers_with_it() {
    let count = std::env::var("SIGTERMS").map_or(10, |count| count.parse().unwrap());
    let place = Place::new();
    let mut times = Vec::new();
    let mut seen = |what: &str, took: Duration| times.push((took, what.to_owned()));
    for round in 0..count {
        match round % 10 {
            0 => seen("idle", ended(&mut place.serve().child, "idle")),
            1 => {
                let _taken = place.taken();
                let mut service = place.serve();
                place.submit(&service, "resnet");
                std::thread::sleep(Duration::from_secs(2));
                let states = states(&service);
                assert!(!states.contains(&"evaluating".to_owned()), "somebody else measures: {states:?}");
                seen("waiting", ended(&mut service.child, "waiting for the machine"));
            }
            2 => {
                let mut service = place.serve();
                place.submit(&service, "mlp");
                seen("admission", ended(&mut service.child, "admission"));
            }
            3 => seen("publishing", ended(&mut place.publish(round).0, "publishing")),
            // All along a measurement: accuracy, then launches.
            part => {
                let mut service = place.serve();
                let begun = until(PATIENCE, || states(&service).contains(&"evaluating".to_owned()).then_some(()));
                assert!(begun.is_some(), "{:?}", service.log());
                std::thread::sleep(Duration::from_millis(400 * (part as u64 - 4)));
                seen("measuring", ended(&mut service.child, "measuring"));
            }
        }
    }
    times.sort();
    println!("{count} signals; median {:?}, longest {:?}", times[times.len() / 2], times.last().unwrap());
    let service = place.serve();
    let states = states(&service);
    assert!(states.iter().all(|state| ["checking", "queued", "evaluating"].contains(&state.as_str())), "{states:?}");
}

#[test]
fn the_engine_with_its_real_processes_keeps_what_every_door_promises() {
    let lease = tempfile::tempdir().unwrap();
    let mut bench = retort();
    let within = TIME_TO_FREE.as_millis().to_string();
    bench.env("RETORT_LEASE_DIR", lease.path().join("lease"));
    bench.args(["bench", "door", "--tries", "6", "--json", "--within-ms", &within]);
    let output = bench.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let freed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(freed["tries"], 6);
}

#[test]
fn who_is_disqualified_or_interrupted_while_it_is_measured_gives_the_machine_back_at_once() {
    let place = Place::new();
    let (mut service, id) = place.measuring("resnet");
    place.done(&["validator", "disqualify", &id, "--reason", "a copy", "--dir", &place.path("v")]);
    let took = place.freed(service.child.id());
    assert!(took < TIME_TO_FREE, "disqualified by another process: {took:?}");
    assert_eq!(states(&service), ["rejected"]);

    place.submit(&service, "mlp");
    let begun = until(PATIENCE, || (!workers(service.child.id()).is_empty()).then_some(()));
    assert!(begun.is_some(), "the next one has the machine: {:?}", service.log());
    signal(service.child.id(), Signal::INT);
    let took = place.freed(service.child.id());
    assert!(took < TIME_TO_FREE, "interrupted: {took:?}");
    assert!(until(TIME_TO_END, || service.child.try_wait().unwrap()).is_some(), "{:?}", service.log());
}

#[test]
fn a_place_without_home_or_temporary_folder_measures_in_the_validators_own() {
    let place = Place::new();
    let bare = || {
        let mut command = retort();
        command.env("TMPDIR", "/nonexistent").env("HOME", "/nonexistent").env_remove("XDG_STATE_HOME");
        command
    };
    let service = Service::start_as(bare(), Path::new(&place.path("v")));
    place.submit(&service, "mlp");
    let scored = until(PATIENCE, || (states(&service)[0] == "scored").then_some(()));
    assert!(scored.is_some(), "{:?}", service.log());
    drop(service);

    let mut nowhere = bare();
    let refused =
        nowhere.env("RETORT_LEASE_DIR", "/proc/lease").args(["validator", "serve", "--dir", &place.path("v")]);
    let refused = stderr(&refused.output().unwrap());
    assert!(refused.contains("/proc/lease") && refused.contains("lease_dir"), "{refused}");
    let open = Path::new(&place.path("open")).to_owned();
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, PermissionsExt::from_mode(0o1777)).unwrap();
    let mut anybodys = bare();
    let refused = anybodys.env("RETORT_LEASE_DIR", &open).args(["validator", "serve", "--dir", &place.path("v")]);
    let refused = stderr(&refused.output().unwrap());
    assert!(refused.contains("mode 777") && refused.contains("chmod 700"), "{refused}");
}

#[test]
fn who_interrupts_a_wait_hears_that_the_submission_goes_on() {
    let place = Place::new();
    let _taken = place.taken();
    let service = place.serve();
    let package = repository("models/fixtures/mlp").display().to_string();
    let mut submit = place.retort();
    submit.args([
        "miner",
        "submit",
        &package,
        "--hotkey",
        &place.path("key"),
        "--wait",
        "--validator",
        &service.address,
    ]);
    let mut submit = submit.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(submit.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("it is next, and waits for the machine")), "it waits");
    signal(submit.id(), Signal::INT);
    let rest = said.collect::<Vec<_>>().join("\n");
    assert_eq!(submit.wait().unwrap().code(), Some(130), "{rest}");
    let listed = service.json(&["submissions"]);
    let id = listed[0]["id"].as_str().unwrap();
    assert!(rest.contains(&format!("retort miner status {id} --follow --validator {}", service.address)), "{rest}");
    assert_eq!(states(&service), ["queued"]);
}
