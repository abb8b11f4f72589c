//! Where the stories take place: the real binary serving a real competition with everything switched on, shared by all
//! stories that leave it standing, and what the operator sees of it: its log, its folder, its processes.
//!
//! It does not know who attacks, or how.

use crate::support::{Service, manifest, retort, stderr, stdout};
use protocol::Hotkey;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a story waits for what must come, on a crowded machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);
/// What a hotkey may enter in a day, so that spam meets its limit soon.
pub(super) const SUBMISSIONS_PER_DAY: usize = 5;
/// How slow a sender may be.
pub(super) const SLOW: Duration = Duration::from_secs(2);

/// What opens the operator's doors.
pub(super) const OPERATOR_TOKEN: &str = "the token of the hall's operator";

/// All attackers share one address with the honest, so what an address may do is as much as all of them need. The rest is
/// as it is for everybody, but for clocks that run out sooner, and no rests between attempts.
const SETTINGS: [(&str, &str); 12] = [
    ("RETORT_OPERATOR_TOKEN", OPERATOR_TOKEN),
    ("RETORT_LIMITS_CONNECTIONS_PER_ADDRESS_MAX", "1024"),
    ("RETORT_LIMITS_ADDRESS_REQUESTS_PER_SECOND_MAX", "100000"),
    ("RETORT_LIMITS_ADDRESS_REQUESTS_BURST_MAX", "100000"),
    ("RETORT_LIMITS_ADDRESS_WRITES_PER_SECOND_MAX", "100000"),
    ("RETORT_LIMITS_ADDRESS_WRITES_BURST_MAX", "100000"),
    ("RETORT_LIMITS_HEADER_READ_SECONDS_MAX", "2"),
    ("RETORT_LIMITS_BODY_READ_SECONDS_MAX", "2"),
    ("RETORT_LIMITS_UPLOAD_IDLE_SECONDS_MAX", "2"),
    ("RETORT_LIMITS_EVALUATION_RETRY_SECONDS", "0"),
    // A crowded host is scored with a provisional latency at once: no story is about ranks by latency.
    ("RETORT_LIMITS_EVALUATION_UNSTABLE_MAX", "0"),
    ("RUST_LOG", "debug"),
];

/// A validator with a competition.
pub(super) struct Hall {
    pub(super) home: PathBuf,
    pub(super) service: Service,
    /// Whom requests are signed for.
    pub(super) validator: Hotkey,
}

/// The hall that all stories share. It ends with the process of the tests, and its folder with it.
pub(super) fn hall() -> &'static Hall {
    static HALL: OnceLock<Hall> = OnceLock::new();
    HALL.get_or_init(|| {
        // Nothing drops what is shared, so a shell watches whether we still live: its input ends when we do.
        let dir = tempfile::tempdir().unwrap().keep();
        let mut guarded = Command::new("/bin/sh");
        let script = r#"dir=$1; shift; "$@" & read -r line; kill -9 $!; wait $!; rm -rf "$dir""#;
        guarded.args(["-c", script, "guard"]).arg(&dir).arg(env!("CARGO_BIN_EXE_retort")).stdin(Stdio::piped());
        Hall::open(&dir, guarded)
    })
}

impl Hall {
    /// A hall of one's own, in `dir`.
    pub(super) fn of_ones_own(dir: &Path) -> Self {
        Self::open(dir, retort())
    }

    fn open(dir: &Path, serve: Command) -> Self {
        let home = dir.join("validator");
        let init = retort().args(["validator", "init", "--dir"]).arg(&home).output().unwrap();
        assert!(init.status.success(), "{}", stderr(&init));
        let validator = stdout(&init).split_whitespace().next().unwrap().parse().unwrap();
        let manifest = manifest(dir);
        let text = fs::read_to_string(&manifest).unwrap();
        let quota = format!("submissions_per_day = {SUBMISSIONS_PER_DAY}");
        fs::write(&manifest, text.replace("submissions_per_day = 20", &quota)).unwrap();
        let publish = retort().args(["validator", "publish"]).arg(&manifest).arg("--dir").arg(&home).output().unwrap();
        assert!(publish.status.success(), "{}", stderr(&publish));
        Self::serving(home, validator, serve)
    }

    fn serving(home: PathBuf, validator: Hotkey, mut serve: Command) -> Self {
        serve.env("RETORT_LATENCY", "quick").envs(SETTINGS);
        Self { service: Service::start_as(serve, &home), home, validator }
    }

    /// The same after `kill -9` and a new start.
    pub(super) fn killed_and_restarted(self) -> Self {
        let Self { home, service, validator } = self;
        drop(service);
        Self::serving(home, validator, retort())
    }

    /// `HOST:PORT`.
    pub(super) fn address(&self) -> &str {
        self.service.address.strip_prefix("http://").unwrap()
    }

    /// The process that serves.
    pub(super) fn pid(&self) -> u32 {
        let started = self.service.child.id();
        let name = fs::read_to_string(format!("/proc/{started}/comm")).unwrap();
        if name.trim() == "retort" { started } else { children(started)[0] }
    }

    /// The most memory that the service ever had, in bytes.
    pub(super) fn peak_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Whether the operator finds a line with all of these words in the log, now or in a moment.
    pub(super) fn logs(&self, words: &[&str]) -> bool {
        until(Duration::from_secs(5), || {
            self.service.log().iter().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
        })
        .is_some()
    }

    /// Where an object lies, or would.
    pub(super) fn object(&self, sha256: &protocol::Digest) -> PathBuf {
        self.home.join("objects/sha256").join(sha256.to_string())
    }

    /// Whether nothing is held for uploads that are over, now or in a moment. Their files have no name, so they are looked
    /// for among what the service has open.
    pub(super) fn forgets_uploads(&self) -> bool {
        let (tmp, open) = (self.home.join("tmp"), format!("/proc/{}/fd", self.pid()));
        let held = || {
            let open = fs::read_dir(&open).unwrap().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
            open.filter(|path| path.starts_with(&tmp)).count() + fs::read_dir(&tmp).unwrap().count()
        };
        until(Duration::from_secs(20), || (held() == 0).then_some(())).is_some()
    }
}

/// The children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()).collect()
}

/// Asks again and again until there is an answer, or until it took too long.
pub(crate) fn until<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if began.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
