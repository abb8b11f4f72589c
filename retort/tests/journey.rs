//! The whole journey with real processes: init, publish, serve, submit, evaluate, rank, pull, predict, pay; and a
//! restart in the middle.

use crate::{repository, retort, stderr, stdout};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

/// A small competition on real images: the teacher is what PyTorch trained, the reference a small network.
fn manifest(dir: &Path) -> std::path::PathBuf {
    let text = fs::read_to_string(repository("competitions/fashion-mnist/competition.toml")).unwrap();
    let logits = text.lines().find(|line| line.starts_with("training_teacher_logits")).unwrap();
    let text = text
        .replace(logits, "")
        .replace("public_items = 5000", "public_items = 300")
        .replace("hidden_items = 5000", "hidden_items = 300")
        // The fixtures were trained for seconds.
        .replace("gate_ppm = 850000", "gate_ppm = 100000")
        .replace("../../models/teacher", &repository("models/fixtures/pytorch_student").display().to_string())
        .replace("../../models/reference", &repository("models/fixtures/mlp").display().to_string());
    let path = dir.join("competition.toml");
    fs::write(&path, text).unwrap();
    path
}

/// A serving validator that dies with the test.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(home: &Path) -> Self {
        let mut child = retort()
            .args(["validator", "serve", "--listen", "127.0.0.1:0", "--dir"])
            .arg(home)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("the page is at ").map(str::to_owned)).unwrap();
        // The pipe is read on, so that the service never blocks on its log.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: address.trim_end_matches('/').to_owned() }
    }

    fn run(&self, args: &[&str]) -> std::process::Output {
        retort().args(args).args(["--validator", &self.address]).output().unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_model_travels_from_pytorch_to_the_board_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("validator");
    let init = retort().args(["validator", "init", "--dir"]).arg(&home).output().unwrap();
    assert!(init.status.success(), "{}", stderr(&init));
    let manifest = manifest(dir.path());
    for expected in ["published fashion-mnist", "already there: fashion-mnist"] {
        let output = retort().args(["validator", "publish"]).arg(&manifest).arg("--dir").arg(&home).output().unwrap();
        assert!(stdout(&output).starts_with(expected), "{}{}", stdout(&output), stderr(&output));
    }

    let hotkey = dir.path().join("hotkey");
    assert!(retort().args(["keys", "new"]).arg(&hotkey).status().unwrap().success());
    let package = repository("models/fixtures/resnet").display().to_string();
    let hotkey = hotkey.display().to_string();

    let service = Service::start(&home);
    let checked = service.json(&["miner", "check", &package]);
    assert_eq!(checked["predicted_rank"], 1);
    let submitted = service.json(&["miner", "submit", &package, "--hotkey", &hotkey]);
    let id = submitted["id"].as_str().unwrap().to_owned();
    // Killed while the submission is on its way: nothing acknowledged is lost.
    drop(service);

    let service = Service::start(&home);
    let again = service.json(&["miner", "submit", &package, "--hotkey", &hotkey, "--wait"]);
    assert_eq!(again["id"], id.as_str(), "the same package is the same submission");
    assert_eq!(again["state"], "scored");
    assert_eq!(again["report"]["package_sha256"], checked["package_sha256"]);

    let board = service.json(&["board"]);
    assert_eq!(board["champion"], id.as_str());
    assert_eq!(board["rows"].as_array().unwrap().len(), 3, "teacher, submission, reference");
    let table = service.run(&["board"]);
    assert!(stdout(&table).contains("teacher") && stdout(&table).contains('±'), "{}", stdout(&table));

    let champion = dir.path().join("champion").display().to_string();
    let pulled = service.json(&["pull", "fashion-mnist", &champion]);
    assert_eq!(pulled["verified"], true);
    let original = fs::read(Path::new(&package).join("model.safetensors")).unwrap();
    assert_eq!(fs::read(Path::new(&champion).join("model.safetensors")).unwrap(), original);
    let predicted = retort().args(["predict", &champion, "fashion-mnist:0", "--json"]).output().unwrap();
    assert!(predicted.status.success(), "{}", stderr(&predicted));
    drop(service);

    let round = retort().args(["validator", "round", "fashion-mnist", "1", "--dir"]).arg(&home).output().unwrap();
    assert!(stdout(&round).contains("round 1 of fashion-mnist is on the ledger"), "{}", stderr(&round));
    let doctor = retort().args(["validator", "doctor", "--dir"]).arg(&home).output().unwrap();
    assert!(doctor.status.success(), "{}", stdout(&doctor));
}

#[test]
fn a_port_in_use_says_how_to_choose_another() {
    let dir = tempfile::tempdir().unwrap();
    assert!(retort().args(["validator", "init", "--dir"]).arg(dir.path()).status().unwrap().success());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = retort().args(["validator", "serve", "--listen", &address, "--dir"]).arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("choose one with --listen"), "{}", stderr(&output));
}
