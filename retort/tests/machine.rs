//! The machine under the service: signals end it in time whatever is going on, and whoever else measures on this machine is
//! waited for without anybody paying for it. The real binary with its real engine.

use crate::attacks::{children, until};
use crate::support::{Service, manifest, repository, retort, stderr, stdout};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to end: the default of `limits.shutdown_seconds_max`.
const TIME_TO_END: Duration = Duration::from_secs(20);
/// How long what must come is waited for, on a crowded machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// A validator's directory with a competition, a lease of its own, and a miner's key.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        place.done(&["validator", "init", "--dir", &place.path("v")]);
        let manifest = manifest(place.dir.path()).display().to_string();
        place.done(&["validator", "publish", &manifest, "--dir", &place.path("v")]);
        place.done(&["keys", "new", &place.path("key")]);
        place
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// The binary with this place's lease, so that no other test is waited for.
    fn retort(&self) -> Command {
        let mut command = retort();
        command.env("RETORT_LEASE_DIR", self.path("lease"));
        command
    }

    fn done(&self, args: &[&str]) -> String {
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

    fn submit(&self, service: &Service, fixture: &str) -> String {
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
