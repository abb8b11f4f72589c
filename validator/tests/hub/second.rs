//! Teachers from a Hub that isn't ours: olah, which shows folders of git repositories in the Hub's protocol. It is another
//! program in another language, and knows nothing of us; `offline` keeps it from asking huggingface.co.

use super::client::install;
use super::remote::publish_from;
use crate::support::{Package, TestApp, competition};
use protocol::Digest;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use validator::publishing::{PublishError, Published, RemoteProblem};

/// As long as Python may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running olah with one repository `lab/digits-teacher`.
struct Olah {
    dir: tempfile::TempDir,
    address: String,
    _server: Child,
}

impl Olah {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let settings = format!(
            "[basic]\nhost = \"127.0.0.1\"\nport = 0\nrepos-path = {:?}\nmirrors-path = [{:?}]\n\
             [accessibility]\noffline = true\n",
            path("cache"),
            path("mirrors"),
        );
        std::fs::write(dir.path().join("olah.toml"), settings).unwrap();
        let python = tokio::task::spawn_blocking(|| install("olah")).await.unwrap();
        let mut command = Command::new(python);
        command.args(["-m", "olah.server", "--config", "olah.toml", "--log-path", "logs"]);
        command.current_dir(dir.path()).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut server = command.spawn().unwrap();
        let address = tokio::time::timeout(PATIENCE, address(&mut server)).await.expect("olah never listens");
        let hub = Self { dir, address, _server: server };
        std::fs::create_dir_all(hub.repository()).unwrap();
        hub.git(&["init", "--quiet", "--initial-branch=main"]);
        hub
    }

    fn repository(&self) -> PathBuf {
        self.dir.path().join("mirrors/models/lab/digits-teacher")
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(&self.repository(), arguments)
    }

    /// What anybody with git would do; the commit.
    fn commit(&self, package: &Package) -> String {
        package.write(&self.repository());
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--message=teacher"]);
        self.git(&["rev-parse", "HEAD"])
    }

    async fn publish(&self, revision: &str) -> (TestApp, Result<Published, PublishError>) {
        publish_from(&self.address, &format!("hf://lab/digits-teacher@{revision}")).await
    }

    /// Why it isn't published.
    async fn refusal(&self, revision: &str) -> RemoteProblem {
        match self.publish(revision).await.1.unwrap_err() {
            PublishError::Remote { role: "teacher", problem, .. } => *problem,
            error => panic!("{error}"),
        }
    }
}

/// Runs git, with nobody's settings.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new("git");
    command.args(["-c", "user.name=lab", "-c", "user.email=lab@example.org", "-c", "commit.gpgsign=false"]);
    command.args(arguments).current_dir(folder).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder);
    let output = command.env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Where it says that it listens. What it says later is read too, or it would wait for us.
async fn address(server: &mut Child) -> String {
    let (stdout, stderr) = (server.stdout.take().unwrap(), server.stderr.take().unwrap());
    let (found, mut finds) = tokio::sync::mpsc::unbounded_channel();
    let streams: [Box<dyn tokio::io::AsyncRead + Send + Unpin>; 2] = [Box::new(stdout), Box::new(stderr)];
    for stream in streams {
        let found = found.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let address = line.split_once("running on ").and_then(|(_, rest)| rest.split(' ').next());
                let _ = address.map(|address| found.send(address.to_owned()));
            }
        });
    }
    drop(found);
    finds.recv().await.expect("olah ended")
}

#[tokio::test]
async fn a_teacher_comes_from_a_hub_that_isn_t_ours() {
    let olah = Olah::start().await;
    let mut package = Package::mlp(&[32], 5);
    let commit = olah.commit(&package);
    let files = ["config.json", "model.safetensors"].map(|path| Digest::of(package.file(path)));
    let pin = package.sha256();

    let by_digest = format!("main#sha256:{pin}");
    for revision in [&commit, &by_digest] {
        let (app, published) = olah.publish(revision).await;
        let published = published.unwrap().competition;
        let teacher = published.teacher.model().unwrap();
        assert_eq!([teacher.config_json.sha256, teacher.weights.sha256], files);
        // The bytes themselves, as our own Hub passes them on.
        let sent = app.miner(1).get("/teachers/digits/resolve/main/model.safetensors").await;
        assert_eq!(Digest::of(&sent.bytes().await.unwrap()), files[1]);
        let stored = app.app.db.competition(&competition("digits")).await.unwrap().unwrap().competition;
        assert_eq!(stored.manifest.teacher.model().unwrap().package, format!("hf://lab/digits-teacher@{revision}"));
    }

    // Somebody moves the branch: the digest refuses what is there now, and the commit still means what it meant.
    let mut other = Package::mlp(&[32], 6);
    assert_ne!(olah.commit(&other), commit);
    let problem = olah.refusal(&by_digest).await;
    let exchanged = matches!(&problem, RemoteProblem::Exchanged { expected, found }
        if *expected == pin && *found == other.sha256());
    assert!(exchanged, "{problem}");
    let (_, published) = olah.publish(&commit).await;
    let competition = published.unwrap().competition;
    let teacher = competition.teacher.model().unwrap();
    assert_eq!([teacher.config_json.sha256, teacher.weights.sha256], files);
}

#[tokio::test]
async fn what_another_hub_doesn_t_have_is_an_error_that_names_it() {
    let olah = Olah::start().await;
    let mut package = Package::mlp(&[32], 5);
    olah.commit(&package);
    let pin = package.sha256();

    // olah says of a branch that it doesn't have what huggingface.co says of a private repository: 401.
    let problem = olah.refusal(&format!("v9#sha256:{pin}")).await;
    assert!(matches!(problem, RemoteProblem::NotShown { .. }), "{problem}");
    assert!(problem.to_string().contains("lab/digits-teacher at revision v9"), "{problem}");
    // And of a commit, that it failed.
    let absent = "ab".repeat(20);
    let problem = olah.refusal(&absent).await.to_string();
    assert!(problem.contains(&absent) && problem.contains("500"), "{problem}");

    let (_, published) = publish_from(&olah.address, &format!("hf://lab/none@{absent}")).await;
    let error = published.unwrap_err().to_string();
    assert!(error.contains("lab/none at revision"), "{error}");
    olah.git(&["rm", "--quiet", "config.json"]);
    olah.git(&["commit", "--quiet", "--message=without"]);
    let problem = olah.refusal(&format!("main#sha256:{pin}")).await.to_string();
    assert!(problem.contains("config.json"), "{problem}");
}

#[tokio::test]
async fn a_hub_that_isn_t_there_is_an_error_that_names_it() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_, published) = publish_from(&format!("http://{closed}"), &format!("hf://lab/x@{}", "ab".repeat(20))).await;
    let error = published.unwrap_err().to_string();
    assert!(error.contains("hf://lab/x@") && error.contains(&closed.to_string()), "{error}");
}
