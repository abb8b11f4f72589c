//! A validator's directory, and a process that serves it.

use super::miners::Miner;
use crate::support::{Package, competition_toml};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use validator::Home;

/// The program that is killed.
const PROGRAM: &str = env!("CARGO_BIN_EXE_scripted-validator");
/// How long a process may take for something that takes no time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Settings under which no limit but a test's own is met.
const SETTINGS: &str = "
listen = \"127.0.0.1:0\"
operator_token = \"the token of the tests' operator\"
[limits]
disk_reserve_bytes = 0
pending_max = 1000000
evaluation_retry_seconds = 0
evaluation_attempts_max = 1000
breaker_probe_ms = 100
worker_poll_ms = 10
connections_per_address_max = 1000000
address_requests_per_second_max = 1000000
address_requests_burst_max = 1000000
address_writes_per_second_max = 1000000
address_writes_burst_max = 1000000
hotkey_requests_per_minute_max = 1000000
hotkey_requests_burst_max = 1000000
signed_requests_per_second_max = 1000000
hotkey_pending_max = 1000000
hotkey_pending_bytes_max = 1000000000000
hotkey_announcements_per_day_max = 1000000
shutdown_seconds_max = 5
";

/// A validator's directory with competitions that it will publish.
pub(crate) struct Arena {
    pub(crate) home: Home,
    /// How long an evaluation's process lives.
    evaluation_ms: u32,
    /// Who serves it, if somebody else does.
    pub(crate) user: Option<u32>,
    _dir: Option<tempfile::TempDir>,
}

impl Arena {
    /// A new directory; `settings` are added to the limits.
    pub(crate) fn new(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let arena = Self::at(&dir.path().join("validator"), settings);
        Self { _dir: Some(dir), ..arena }
    }

    /// The same, where workers elsewhere measure all submissions.
    pub(crate) fn elsewhere(settings: &str) -> Self {
        let arena = Self::new(settings);
        let written = std::fs::read_to_string(arena.home.config()).unwrap();
        std::fs::write(arena.home.config(), format!("submissions_elsewhere = true\n{written}")).unwrap();
        arena
    }

    /// A directory at this path.
    pub(crate) fn at(path: &Path, settings: &str) -> Self {
        let home = Home::new(path);
        home.init().unwrap();
        std::fs::write(home.config(), format!("{SETTINGS}{settings}")).unwrap();
        Self { home, evaluation_ms: 5, user: None, _dir: None }
    }

    /// The same, where an evaluation's process lives that long.
    pub(crate) fn with_evaluations_of(self, evaluation_ms: u32) -> Self {
        Self { evaluation_ms, ..self }
    }

    /// A directory at this path that nobody has made yet.
    pub(crate) fn empty_at(path: &Path) -> Self {
        Self { home: Home::new(path), evaluation_ms: 5, user: None, _dir: None }
    }

    /// Adds a competition that the next process publishes.
    pub(crate) fn add(&self, id: &str, change: impl FnOnce(String) -> String) {
        let folder = self.home.path().join("competitions").join(id);
        std::fs::create_dir_all(&folder).unwrap();
        Package::mlp(&[32], 1).write(&folder.join("teacher"));
        Package::mlp(&[4], 2).write(&folder.join("reference"));
        std::fs::write(folder.join("competition.toml"), change(competition_toml(id, ""))).unwrap();
    }

    /// Starts a process on this directory.
    pub(crate) fn spawn(&self, arguments: &[&str], failpoints: &str) -> Process {
        Process::spawn(self, arguments, failpoints)
    }

    /// Starts serving; the address is `None` if it doesn't listen within `limit`, or died before.
    pub(crate) async fn serve_within(&self, limit: Duration, failpoints: &str) -> (Process, Option<String>) {
        let mut process = self.spawn(&["serve"], failpoints);
        let mut line = String::new();
        // It stays open: a process that listens after `limit` is no less alive.
        let stdout = process.stdout.insert(BufReader::new(process.child.stdout.take().unwrap()));
        let _ = tokio::time::timeout(limit, stdout.read_line(&mut line)).await;
        let address = line.strip_suffix('\n').map(|address| format!("http://{address}"));
        if address.is_none() {
            // A process that died is one when it is waited for.
            process.ended(Duration::from_millis(100)).await;
        }
        (process, address)
    }

    /// Starts serving, as it should.
    pub(crate) async fn serve(&self) -> (Process, String) {
        let (process, address) = self.serve_within(PATIENCE, "").await;
        let stderr = process.stderr();
        (process, address.unwrap_or_else(|| panic!("it doesn't listen: {stderr}")))
    }

    /// Waits until nothing is left to do and everything that is stated is in the log.
    pub(crate) async fn until_done(&self, miner: &Miner, base: &str) {
        self.until_done_within(miner, base, 3 * PATIENCE).await;
    }

    /// The same where there is much to do.
    pub(crate) async fn until_done_within(&self, miner: &Miner, base: &str, patience: Duration) {
        let began = Instant::now();
        loop {
            let metrics = Metrics::of(miner, base).await;
            if metrics.open() == 0 && metrics.value("retort_log_pending") == 0 {
                return;
            }
            assert!(began.elapsed() < patience, "not done: {}", metrics.0);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What is in which state, for the message of a test that fails.
    pub(crate) async fn queue(&self) -> String {
        let db = validator::db::Db::open_copy(&self.home.database()).await.unwrap();
        let mut lines = Vec::new();
        for sql in [
            "SELECT 'submissions ' || state || ' ' || count(*) FROM submissions GROUP BY state",
            "SELECT 'jobs ' || status || ' ' || count(*) FROM Jobs GROUP BY status",
            "SELECT 'due ' || id || ' attempt ' || attempt || ' since ' || changed_at || ' now ' || strftime('%s') || ' job ' ||
             coalesce((SELECT status FROM Jobs WHERE idempotency_key = s.id || '/' || s.attempt), 'none')
             FROM submissions s WHERE state IN ('queued', 'evaluating') ORDER BY arrival LIMIT 5",
        ] {
            lines.extend(sqlx::query_scalar::<_, String>(sql).fetch_all(db.pool()).await.unwrap());
        }
        db.close().await;
        lines.join("; ")
    }

    /// Removes every orphan, however young. Nothing may serve meanwhile.
    pub(crate) async fn sweep(&self) {
        let mut sweep = self.spawn(&["sweep"], "");
        let swept = sweep.ended(PATIENCE).await;
        assert!(swept.is_some_and(|status| status.success()), "{}", sweep.stderr());
    }

    /// Processes that work for this directory.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let marker = self.home.path().as_os_str().as_encoded_bytes();
        let pids = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|argument| argument == marker)
        })
        .collect()
    }

    /// Waits until no process works for this directory; those that still do after a second.
    pub(crate) async fn orphans(&self) -> Vec<u32> {
        let began = Instant::now();
        loop {
            let left = self.processes();
            if left.is_empty() || began.elapsed() > Duration::from_secs(1) {
                return left;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A copy of the database as a killed process left it, in a folder of its own.
    pub(crate) fn database_copy(&self) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        for suffix in ["", "-wal"] {
            let name = format!("data.sqlite{suffix}");
            let from = self.home.path().join(&name);
            if from.exists() {
                std::fs::copy(from, dir.path().join(name)).unwrap();
            }
        }
        let path = dir.path().join("data.sqlite");
        (dir, path)
    }
}

/// What `/metrics` says.
pub(crate) struct Metrics(String);

impl Metrics {
    pub(crate) async fn of(miner: &Miner, base: &str) -> Self {
        Self(String::from_utf8(miner.as_operator(base, "/metrics").await.unwrap().to_vec()).unwrap())
    }

    pub(crate) fn value(&self, name: &str) -> u64 {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    }

    pub(crate) fn state(&self, state: &str) -> u64 {
        self.value(&format!("retort_submissions{{state=\"{state}\"}}"))
    }

    /// Submissions that aren't done.
    pub(crate) fn open(&self) -> u64 {
        ["awaiting_upload", "checking", "queued", "evaluating"].iter().map(|state| self.state(state)).sum()
    }
}

/// A process of ours.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) spawned: Instant,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Arc<Mutex<String>>,
}

impl Process {
    fn spawn(arena: &Arena, arguments: &[&str], failpoints: &str) -> Self {
        let (what, rest) = arguments.split_first().unwrap();
        let mut command = Command::new(PROGRAM);
        command
            .arg(what)
            .arg(arena.home.path())
            .args(rest)
            .env("FAILPOINTS", failpoints)
            // What `retort validator serve` sets itself (`sandbox::give_memory_back`): its memory is measured here.
            .env("MALLOC_ARENA_MAX", "2")
            .env("MALLOC_MMAP_THRESHOLD_", "1048576")
            .env("SCRIPTED_MS", arena.evaluation_ms.to_string())
            .env(
                "RUST_LOG",
                std::env::var("RUST_LOG").unwrap_or_else(|_| "validator=warn,face=warn,service=warn,store=warn".into()),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(user) = arena.user {
            command.uid(user).gid(user);
        }
        let mut child = command.spawn().unwrap();
        let (stderr, mut pipe) = (Arc::new(Mutex::new(String::new())), child.stderr.take().unwrap());
        let heard = Arc::clone(&stderr);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Self { child, spawned: Instant::now(), stdout: None, stderr }
    }

    /// Whether this user may run the program where it lies.
    pub(crate) fn can_be_run_as(user: u32) -> bool {
        std::process::Command::new(PROGRAM).uid(user).gid(user).output().is_ok()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// What it said on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// SIGKILL, and waits for the end.
    pub(crate) async fn kill(&mut self) {
        let _ = self.child.start_kill();
        self.child.wait().await.unwrap();
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends when asked").unwrap()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the end; `None` if it is still there after `limit`.
    pub(crate) async fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        tokio::time::timeout(limit, self.child.wait()).await.ok().map(Result::unwrap)
    }

    /// How long after its start it answered; `None` if it died before.
    pub(crate) async fn healthy(&mut self, base: &str) -> Option<Duration> {
        let http = reqwest::Client::new();
        loop {
            let answer = http.get(format!("{base}/healthz")).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return Some(self.spawned.elapsed());
            }
            if self.child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(self.spawned.elapsed() < PATIENCE, "it doesn't answer: {}", self.stderr());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
