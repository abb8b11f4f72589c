//! A Python with a client of the Hub in it, whose cache is its own.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::process::Command;

/// Nothing that a client does here takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which packages are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Environment {
    /// huggingface_hub 2 and transformers, without torch.
    Hub,
    /// The last huggingface_hub 0.
    HubOld,
    /// Those of `Hub`, and torch.
    Torch,
    /// Hugging Face's datasets, pandas, polars and DuckDB.
    Data,
}

impl Environment {
    /// The interpreter, installed on first use, and where more packages are found.
    fn interpreter(self) -> (PathBuf, Option<PathBuf>) {
        static HUB: OnceLock<PathBuf> = OnceLock::new();
        static HUB_OLD: OnceLock<PathBuf> = OnceLock::new();
        static TORCH: OnceLock<PathBuf> = OnceLock::new();
        static DATA: OnceLock<PathBuf> = OnceLock::new();
        let hub = || HUB.get_or_init(|| install("hub")).clone();
        match self {
            Self::Hub => (hub(), None),
            Self::Data => (DATA.get_or_init(|| install("data")).clone(), None),
            Self::HubOld => (HUB_OLD.get_or_init(|| install("hub-old")).clone(), None),
            Self::Torch => (TORCH.get_or_init(|| install("torch")).clone(), Some(site_packages(&hub()))),
        }
    }
}

/// The interpreter of an environment, installed on first use.
pub(super) fn install(name: &str) -> PathBuf {
    path_from("python.sh", &[name])
}

/// What a script of ours prints: the path of what it made.
fn path_from(script: &str, arguments: &[&str]) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").join(script);
    let mut command = std::process::Command::new(path);
    // Cargo's own variables are this build's.
    command.args(arguments).env_remove("CARGO_TARGET_DIR").stderr(Stdio::inherit());
    let output = command.output().unwrap();
    assert!(output.status.success(), "scripts/{script} {arguments:?} failed");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// Runs the program that uses Rust's client, with the environment of `client`; what it printed.
pub(super) async fn rust(client: &Client, arguments: &[&str]) -> String {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = || PROGRAM.get_or_init(|| path_from("hub-client.sh", &[])).clone();
    let program = tokio::task::spawn_blocking(program).await.unwrap();
    let (success, output) = told(&client.run(&program, None, arguments).await);
    assert!(success, "{arguments:?} failed: {output}");
    output
}

fn site_packages(interpreter: &Path) -> PathBuf {
    let lib = interpreter.parent().unwrap().parent().unwrap().join("lib");
    let version = std::fs::read_dir(lib).unwrap().flatten().find(|entry| entry.path().join("site-packages").is_dir());
    version.unwrap().path().join("site-packages")
}

/// A client.
pub(super) struct Client {
    environment: Environment,
    endpoint: String,
    token: Option<String>,
    home: tempfile::TempDir,
}

impl Client {
    pub(super) fn new(environment: Environment, endpoint: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { environment, endpoint: endpoint.trim_end_matches('/').to_owned(), token: None, home }
    }

    /// The same with a token in its environment, as people have it.
    pub(super) fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        self.home.path()
    }

    async fn command(&self, arguments: &[&str]) -> Output {
        let environment = self.environment;
        let (interpreter, more) = tokio::task::spawn_blocking(move || environment.interpreter()).await.unwrap();
        self.run(&interpreter, more.as_deref(), arguments).await
    }

    async fn run(&self, program: &Path, more: Option<&Path>, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.home.path()).stdin(Stdio::null()).env_clear();
        command.env("HF_ENDPOINT", &self.endpoint).env("HF_HOME", self.home.path().join("hf"));
        command.env("HOME", self.home.path()).env("PATH", "/usr/bin:/bin").kill_on_drop(true);
        if let Some(token) = &self.token {
            command.env("HF_TOKEN", token);
        }
        if let Some(more) = more {
            command.env("PYTHONPATH", more);
        }
        tokio::time::timeout(PATIENCE, command.output()).await.expect("a client hangs").unwrap()
    }

    /// Runs a script that must succeed; what it printed.
    pub(super) async fn python(&self, script: &str) -> String {
        let (success, output) = self.try_python(script).await;
        assert!(success, "{script}\nfailed: {output}");
        output
    }

    /// Runs a script; whether it succeeded, and what it printed or why not.
    pub(super) async fn try_python(&self, script: &str) -> (bool, String) {
        told(&self.command(&["-c", script]).await)
    }

    /// Runs `hf`; whether it succeeded, and what it said.
    pub(super) async fn hf(&self, arguments: &[&str]) -> (bool, String) {
        let mut all = vec!["-m", "huggingface_hub.cli.hf"];
        all.extend(arguments);
        told(&self.command(&all).await)
    }
}

impl Client {
    /// Runs a module that must succeed, beside which JavaScript's clients are installed; what it printed.
    pub(super) async fn javascript(&self, script: &str) -> String {
        static MODULES: OnceLock<PathBuf> = OnceLock::new();
        let modules = || MODULES.get_or_init(|| path_from("node.sh", &[]).join("node_modules")).clone();
        let modules = tokio::task::spawn_blocking(modules).await.unwrap();
        std::os::unix::fs::symlink(modules, self.home.path().join("node_modules")).unwrap();
        std::fs::write(self.home.path().join("script.mjs"), script).unwrap();
        let (success, output) = told(&self.run(Path::new("node"), None, &["script.mjs"]).await);
        assert!(success, "{script}\nfailed: {output}");
        output
    }
}

fn told(output: &Output) -> (bool, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let success = output.status.success();
    (success, if success { text(&output.stdout) } else { text(&output.stdout) + &text(&output.stderr) })
}
