//! What tests and measurements of the real binary share: how to run it, a small competition, a validator that serves.

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

/// The binary under test, with nothing of the caller's settings.
pub(crate) fn retort() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_retort"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RETORT_")) {
        command.env_remove(name);
    }
    // The same protocol in a fifth of the time.
    command.env("RETORT_LATENCY", "quick");
    // A round on a restless host waits for calm: who was never timed at rest takes no seat.
    command.env("RETORT_LIMITS_EVALUATION_RETRY_SECONDS", "1").env("RETORT_LIMITS_EVALUATION_UNSTABLE_MAX", "8");
    command
}

/// A folder of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A small competition on real images: the teacher is what PyTorch trained, the reference a small network.
pub(crate) fn manifest(dir: &Path) -> PathBuf {
    let text = fs::read_to_string(repository("competitions/fashion-mnist/competition.toml")).unwrap();
    let logits = text.lines().find(|line| line.starts_with("training_teacher_logits")).unwrap();
    let text = text
        .replace(logits, "")
        // Most stories play no round.
        .replace("weights_public = \"at_reveal\"", "weights_public = \"at_once\"\nteacher_distance = \"none\"")
        .replace("public_items = 5000", "public_items = 300")
        .replace("hidden_items = 5000", "hidden_items = 300")
        // So may costs be as they were: a description is refused for what it costs beside multiply-accumulates, too.
        .replace("macs_max = 15500000", "macs_max = 50000000")
        // The fixtures were trained for seconds.
        .replace("gate_ppm = 900000", "gate_ppm = 100000")
        .replace("../../models/teacher", &repository("models/fixtures/pytorch_student").display().to_string())
        .replace("../../models/reference", &repository("models/fixtures/mlp").display().to_string());
    let path = dir.join("competition.toml");
    fs::write(&path, text).unwrap();
    path
}

/// The same, with all models on `engine`.
pub(crate) fn on_engine(dir: &Path, engine: &str) -> PathBuf {
    let path = manifest(dir);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("title = ", &format!("engine = \"{engine}\"\ntitle = "), 1)).unwrap();
    path
}

/// Where the library of onnxruntime lies, which `scripts/onnxruntime.sh` fetches if it isn't there.
#[cfg(feature = "ort")]
pub(crate) fn onnxruntime() -> PathBuf {
    let made = Command::new(repository("scripts/onnxruntime.sh")).output().unwrap();
    let said = stdout(&made);
    let library = said.lines().find_map(|line| line.strip_prefix("export RETORT_ONNXRUNTIME='")?.strip_suffix('\''));
    PathBuf::from(library.unwrap_or_else(|| panic!("{}", stderr(&made))))
}

/// A serving validator that dies with its owner.
pub(crate) struct Service {
    pub(crate) child: Child,
    pub(crate) address: String,
    /// What it wrote to its log so far, line by line.
    lines: Arc<Mutex<Vec<String>>>,
}

impl Service {
    /// Serves the directory `home` on a free port.
    pub(crate) fn start(home: &Path) -> Self {
        Self::start_as(retort(), home)
    }

    /// The same by a command that ends in the binary's name, such as `taskset 1 retort`.
    pub(crate) fn start_as(command: Command, home: &Path) -> Self {
        Self::listen(command, home, "127.0.0.1:0")
    }

    /// Serves again where one served before.
    pub(crate) fn start_again(home: &Path, address: &str) -> Self {
        Self::start_as_again(retort(), home, address)
    }

    /// The same by a command.
    pub(crate) fn start_as_again(command: Command, home: &Path, address: &str) -> Self {
        let address = address.strip_prefix("http://").unwrap_or(address);
        Self::listen(command, home, address)
    }

    fn listen(mut command: Command, home: &Path, address: &str) -> Self {
        let mut child = command
            .args(["validator", "serve", "--listen", address, "--dir"])
            .arg(home)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut read = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = read.find_map(|line| line.unwrap().strip_prefix("the page is at ").map(str::to_owned)).unwrap();
        let lines = Arc::default();
        let kept = Arc::clone(&lines);
        // The pipe is read on, so that the service never blocks on its log.
        std::thread::spawn(move || read.map_while(Result::ok).for_each(|line| keep(&kept, line)));
        Self { child, address: address.trim_end_matches('/').to_owned(), lines }
    }

    /// The lines of its log since it began to serve.
    pub(crate) fn log(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        retort().args(args).args(["--validator", &self.address]).output().unwrap()
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn keep(lines: &Mutex<Vec<String>>, line: String) {
    lines.lock().unwrap().push(line);
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
