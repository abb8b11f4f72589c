//! Witnesses on loopback beside a validator: what is published is cosigned and served, a witness that is silent, wrong or
//! forged changes nothing but is told of, and none cosigns the second face of a log.

use super::support::{NOW, Package, Setup, TestApp, competition, log_signer};
use axum::Router;
use axum::routing::post;
use protocol::api::CosignedCheckpoints;
use protocol::submission::State;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use transparency::{
    CosignedCheckpoint, LogKey, SignedCheckpoint, Witness, WitnessKey, WitnessSigner, WitnessStore, witnessed,
};
use validator::Publisher;
use validator::doctor::Finding;
use validator::{Clock, Config};

/// How long a test waits for what should come.
const PATIENCE: Duration = Duration::from_secs(30);

fn signer(number: u8) -> WitnessSigner {
    WitnessSigner::from_seed(&format!("witness.test/{number}"), &[number; 32]).unwrap()
}

/// A witness on a free port, until it is stopped or dropped.
struct Running {
    url: String,
    key: WitnessKey,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl Running {
    async fn start(number: u8, folder: &Path, clock: Clock) -> Self {
        let (key, log): (_, LogKey) = (signer(number).key(), log_signer().key());
        let store = WitnessStore::open(Witness::new(signer(number), [log]), folder).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        let server = tokio::spawn(async move { validator::serve_witness(listener, store, clock, shutdown).await });
        Self { url, key, stop: Some(stop), server }
    }

    /// What an operator writes into his settings.
    fn setting(&self) -> String {
        format!("{} {}", self.url, self.key)
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        self.server.await.unwrap();
    }
}

/// Settings that name these witnesses.
fn naming(settings: &[String]) -> Setup {
    let mut setup = Setup::default();
    setup.config = Config { witnesses: settings.iter().map(|text| text.parse().unwrap()).collect(), ..setup.config };
    setup
}

async fn scored(app: &TestApp, seed: u8) {
    let id = app.miner(seed).submit(&Package::mlp(&[8], u32::from(seed))).await.unwrap();
    app.wait_for(&id, State::Scored).await;
}

/// A validator whose competition has opened its first round: that is a leaf, too, and comes by itself.
async fn with_open_round(setup: Setup) -> TestApp {
    let app = TestApp::with_competition(setup).await;
    while app.app.db.latest_round(&competition("digits")).await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app
}

async fn checkpoint(app: &TestApp) -> String {
    app.miner(1).get("/log/checkpoint").await.text().await.unwrap()
}

/// Waits until nothing is on its way into the log and a witness has cosigned all of it; the note.
async fn cosigned(app: &TestApp, witness: &WitnessKey) -> CosignedCheckpoint {
    let reached = async {
        loop {
            let note = checkpoint(app).await;
            let read =
                CosignedCheckpoint::open(note.as_bytes(), &log_signer().key(), std::slice::from_ref(witness)).unwrap();
            let (logged, pending) = app.app.db.count_leaves().await.unwrap();
            if read.times[0].is_some() && pending == 0 && read.checkpoint.size() == logged {
                return read;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("it is cosigned")
}

async fn doctor(app: &TestApp) -> Finding {
    let findings = validator::doctor::examine(&app.app).await;
    findings.into_iter().find(|finding| finding.name == "witnesses").unwrap()
}

/// Waits until the doctor says that something is wrong with the witnesses; what.
async fn ailing(app: &TestApp) -> String {
    let reached = async {
        loop {
            let finding = doctor(app).await;
            if !finding.healthy {
                return finding.detail;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("it is told")
}

async fn notes(app: &TestApp, target: &str) -> Vec<String> {
    app.miner(1).get(target).await.json::<CosignedCheckpoints>().await.unwrap().notes
}

#[tokio::test]
async fn checkpoints_are_cosigned_kept_and_served_and_anybody_can_tell_by_when_an_entry_was_seen() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::fixed(NOW);
    let one = Running::start(1, &dir.path().join("1"), clock.clone()).await;
    let two = Running::start(2, &dir.path().join("2"), clock.clone()).await;
    let app = with_open_round(naming(&[one.setting(), two.setting()])).await;
    scored(&app, 1).await;
    let first = cosigned(&app, &one.key).await;
    cosigned(&app, &two.key).await;
    let index = first.checkpoint.size() - 1;

    clock.advance(60);
    app.app.clock.advance(60);
    scored(&app, 2).await;
    let last = cosigned(&app, &one.key).await;
    cosigned(&app, &two.key).await;
    assert!(last.checkpoint.size() > first.checkpoint.size());
    assert_eq!(last.times, [Some(NOW + 60)]);
    // Whoever reads checkpoints and knows no witness reads this one.
    SignedCheckpoint::open(checkpoint(&app).await.as_bytes(), &log_signer().key()).unwrap();

    let keys = [one.key.clone(), two.key.clone()];
    let read = |notes: Vec<String>| -> Vec<CosignedCheckpoint> {
        let open = |note: &String| CosignedCheckpoint::open(note.as_bytes(), &log_signer().key(), &keys).unwrap();
        notes.iter().map(open).collect()
    };
    let by = |notes: &[CosignedCheckpoint], index| witnessed(index, notes, NOW + 100).map(|seen| seen.by);
    let early = read(notes(&app, &format!("/api/v1/log/cosigned/{index}")).await);
    assert_eq!(by(&early, index), Some(NOW));
    let late = read(notes(&app, &format!("/api/v1/log/cosigned/{}", index + 1)).await);
    assert_eq!(by(&late, index + 1), Some(NOW + 60));
    assert_eq!(notes(&app, "/api/v1/log/cosigned/1000000").await, Vec::<String>::new());
    let latest = read(notes(&app, "/api/v1/log/cosigned").await);
    assert_eq!(latest.iter().map(|note| note.checkpoint.size()).max(), Some(last.checkpoint.size()));

    let finding = doctor(&app).await;
    assert!(finding.healthy && finding.detail.contains("witness.test/1 cosigned"), "{finding:?}");
    let metrics = app.as_operator("/metrics").await.text().await.unwrap();
    let size = last.checkpoint.size();
    for line in [
        "retort_witnesses{cosigns=\"true\"} 2".to_owned(),
        "retort_witnesses{cosigns=\"false\"} 0".to_owned(),
        format!("retort_log_witnessed_entries {size}"),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in\n{metrics}");
    }
    // Monitors ask the witness itself.
    let hash = protocol::Digest::of(log_signer().key().name().as_bytes());
    let monitored = reqwest::get(format!("{}/{hash}/checkpoint", one.url)).await.unwrap().text().await.unwrap();
    let monitored = CosignedCheckpoint::open(monitored.as_bytes(), &log_signer().key(), &keys).unwrap();
    assert_eq!((monitored.checkpoint.root(), monitored.times[0]), (last.checkpoint.root(), Some(NOW + 60)));
    app.stop().await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_silent_witness_holds_up_nothing_and_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let good = Running::start(1, dir.path(), Clock::fixed(NOW)).await;
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = [&silent, &nobody].map(|listener| listener.local_addr().unwrap()).into_iter().zip(2..);
    let mut settings: Vec<String> =
        settings.map(|(address, number)| format!("http://{address} {}", signer(number).key())).collect();
    settings.push(good.setting());
    drop(nobody);
    let app = with_open_round(naming(&settings)).await;
    scored(&app, 1).await;
    cosigned(&app, &good.key).await;
    let reached = async {
        loop {
            let problem = ailing(&app).await;
            if problem.contains("witness.test/2 since") && problem.contains("witness.test/3 since") {
                return problem;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let problem = tokio::time::timeout(PATIENCE, reached).await.expect("both are told of");
    assert!(!problem.contains("witness.test/1"), "{problem}");
    let metrics = app.as_operator("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("retort_witnesses{cosigns=\"false\"} 2"), "{metrics}");
    scored(&app, 2).await;
    cosigned(&app, &good.key).await;
}

#[tokio::test]
async fn a_witness_cosigns_one_face_of_a_log_and_the_other_is_told_why() {
    let dir = tempfile::tempdir().unwrap();
    let witness = Running::start(1, dir.path(), Clock::fixed(NOW)).await;
    let face = with_open_round(naming(&[witness.setting()])).await;
    scored(&face, 1).await;
    let seen = cosigned(&face, &witness.key).await;

    // The same key signs another history, as long and longer.
    let other = with_open_round(naming(&[witness.setting()])).await;
    let problem = ailing(&other).await;
    assert!(problem.contains("an old copy of the log was put back"), "{problem}");
    for seed in 2..6 {
        scored(&other, seed).await;
    }
    let contradicted = async {
        while !ailing(&other).await.contains("another history of this log") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, contradicted).await.expect("the second face is refused");
    assert_eq!(notes(&other, "/api/v1/log/cosigned").await, Vec::<String>::new());
    assert!(!checkpoint(&other).await.contains("witness.test/1"));
    // The first goes on.
    scored(&face, 7).await;
    let later = cosigned(&face, &witness.key).await;
    assert!(later.checkpoint.size() > seen.checkpoint.size());
    assert!(doctor(&face).await.healthy);
}

#[tokio::test]
async fn both_remember_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let witness = Running::start(1, dir.path(), Clock::fixed(NOW)).await;
    let app = with_open_round(naming(&[witness.setting()])).await;
    scored(&app, 1).await;
    let before = cosigned(&app, &witness.key).await;
    let (home, objects) = app.stop().await;
    witness.stop().await;

    let witness = Running::start(1, dir.path(), Clock::fixed(NOW + 10)).await;
    let setup = Setup { objects: Some(objects), ..naming(&[witness.setting()]) };
    let app = TestApp::start_in(home, setup).await;
    let kept = checkpoint(&app).await;
    assert!(kept.contains("witness.test/1"), "what was cosigned is served again: {kept}");
    scored(&app, 2).await;
    let after = cosigned(&app, &witness.key).await;
    assert!(after.checkpoint.size() > before.checkpoint.size());
    assert_eq!(after.times, [Some(NOW + 10)]);
    assert!(doctor(&app).await.healthy);
    // A witness that lost its memory is told no lie: it begins anew with the whole log.
    let (home, objects) = app.stop().await;
    witness.stop().await;
    let fresh = tempfile::tempdir().unwrap();
    let witness = Running::start(1, fresh.path(), Clock::fixed(NOW + 20)).await;
    let setup = Setup { objects: Some(objects), ..naming(&[witness.setting()]) };
    let app = TestApp::start_in(home, setup).await;
    scored(&app, 3).await;
    assert_eq!(cosigned(&app, &witness.key).await.times, [Some(NOW + 20)]);
}

/// A witness that answers every request with this.
async fn answering(answer: impl Fn(String) -> String + Clone + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let handler = move |body: String| {
        let answer = answer(body);
        async move { answer }
    };
    let router = Router::new().route("/add-checkpoint", post(handler));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// The text of the checkpoint in a request.
fn text(body: &str) -> String {
    body.split("\n\n").nth(1).unwrap().to_owned() + "\n"
}

#[tokio::test]
async fn a_cosignature_that_is_forged_of_another_key_or_of_a_wrong_clock_is_not_kept() {
    let forged = answering(|body| {
        let mut line = signer(1).cosign(&text(&body), NOW);
        let at = line.len() - 10;
        let other = if &line[at..=at] == "A" { "B" } else { "A" };
        line.replace_range(at..=at, other);
        line
    });
    let foreign = answering(|body| signer(9).cosign(&text(&body), NOW));
    let pasted = answering(|_| signer(3).cosign("retort.test/log\n5\nAAAA\n", NOW));
    let future = answering(|body| signer(4).cosign(&text(&body), NOW + 100_000));
    let past = answering(|body| signer(5).cosign(&text(&body), NOW - 100_000));
    let garbage = answering(|_| "\u{2014} ".repeat(100_000));
    // Among lines of others that nobody here knows, the right one is found.
    let crowded = answering(|body| signer(9).cosign(&text(&body), NOW) + &signer(7).cosign(&text(&body), NOW));
    let urls = [forged.await, foreign.await, pasted.await, future.await, past.await, garbage.await, crowded.await];
    let settings: Vec<String> =
        urls.iter().zip(1..).map(|(url, number)| format!("{url} {}", signer(number).key())).collect();
    let app = with_open_round(naming(&settings)).await;
    scored(&app, 1).await;
    cosigned(&app, &signer(7).key()).await;
    let reached = async {
        loop {
            let problem = ailing(&app).await;
            if (1..7).all(|number| problem.contains(&format!("witness.test/{number} since"))) {
                return problem;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let problem = tokio::time::timeout(PATIENCE, reached).await.expect("all six are told of");
    assert!(problem.contains("its clock is 100000 seconds away from ours"), "{problem}");
    assert!(problem.contains("no cosignature of its key"), "{problem}");
    let kept = notes(&app, "/api/v1/log/cosigned/0").await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    let lines = checkpoint(&app).await;
    assert!((1..7).all(|number| !lines.contains(&format!("witness.test/{number} "))), "{lines}");
}

#[tokio::test]
async fn a_witness_over_http_answers_as_the_specification_says() {
    let dir = tempfile::tempdir().unwrap();
    let witness = Running::start(1, dir.path(), Clock::fixed(NOW)).await;
    let http = reqwest::Client::new();
    let url = format!("{}/add-checkpoint", witness.url);
    let ask = async |body: String| {
        let answer = http.post(&url).body(body).send().await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), kind, answer.text().await.unwrap())
    };
    let note = |size: u64, root: &str| log_signer().sign(&format!("retort.test/log\n{size}\n{root}\n"));
    let root = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let first = format!("old 0\n\n{}", note(5, root));
    assert_eq!(ask("old 0\n".into()).await.0, 400);
    assert_eq!(ask(format!("old 9\n\n{}", note(5, root))).await.0, 400);
    assert_eq!(ask(first.replace("retort.test/log", "other.test/log")).await.0, 404);
    assert_eq!(ask(first.replace("\n5\n", "\n6\n")).await.0, 403);
    assert_eq!(ask(format!("old 0\n{root}\n\n{}", note(5, root))).await.0, 422);
    assert_eq!(ask("x".repeat(200_000)).await.0, 413);
    let hash = protocol::Digest::of(b"retort.test/log");
    let monitored = async || reqwest::get(format!("{}/{hash}/checkpoint", witness.url)).await.unwrap();
    assert_eq!(monitored().await.status(), 404, "nothing was cosigned yet");
    let (status, _, line) = ask(first.clone()).await;
    assert_eq!(status, 200, "{line}");
    assert_eq!(witness.key.find(&text(&first), &line).map(|(_, time)| time), Some(NOW));
    assert_eq!(ask(first.clone()).await, (409, "text/x.tlog.size".into(), "5\n".into()));
    let other = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
    assert_eq!(ask(format!("old 5\n\n{}", note(5, other))).await.0, 422, "a second history of that size");
    assert_eq!(ask(format!("old 5\n\n{}", note(5, root))).await.0, 200, "the same again");
    assert!(monitored().await.text().await.unwrap().contains("witness.test/1"));
    // Of many at once one wins; nobody rolls it back.
    let many = (0..20).map(|_| ask(format!("old 5\n\n{}", note(5, other))));
    assert!(futures::future::join_all(many).await.iter().all(|(status, ..)| *status == 422));
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 405);
}

#[tokio::test]
async fn a_manifest_names_witnesses_by_keys_that_are_keys() {
    let app = TestApp::start(Setup::default()).await;
    let publish = async |id: &str, keys: &[String]| {
        let toml = super::support::competition_toml(id, "")
            .replace("[limits]", &format!("log.witnesses = {keys:?}\n\n[limits]"));
        let manifest = app.write_competition(&toml);
        Publisher::of(&app.app)
            .publish(&manifest, validator::evaluator::silent())
            .await
            .map_err(|error| error.to_string())
    };
    let key = signer(1).key().to_string();
    let published = publish("good", std::slice::from_ref(&key)).await.unwrap();
    assert_eq!(published.competition.manifest.log.witnesses, std::slice::from_ref(&key));
    for wrong in [
        vec!["nobody".to_owned()],
        vec![log_signer().key().to_string()],
        vec![key.replace("witness.test/1", "witness.test/2")],
        vec![key.clone(), key.clone()],
        (1..17).map(|number| signer(number).key().to_string()).collect(),
    ] {
        let refused = publish("wrong", &wrong).await.unwrap_err();
        assert!(refused.contains("log.witnesses"), "{refused}");
    }
}

/// Another implementation of the same specifications, in another language and of another author.
struct Aics {
    bin: PathBuf,
    folder: tempfile::TempDir,
}

impl Aics {
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// What a program prints, if it says yes.
    async fn run(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(program, arguments).output().await.unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(said(&output.stdout))
        } else {
            Err(said(&output.stdout) + &said(&output.stderr))
        }
    }
}

#[tokio::test]
#[ignore = "needs AICS_BIN: the bin folder of a virtual environment (Python 3.12) with aics-witness and aics-tlog"]
async fn another_implementation_cosigns_our_log_and_checks_what_our_witness_cosigned() {
    let bin = PathBuf::from(std::env::var_os("AICS_BIN").expect("AICS_BIN names a folder"));
    let aics = Aics { bin, folder: tempfile::tempdir().unwrap() };
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let made = aics.run("aics-witness", &["init", "--name", "witness.test/other", "--listen", &free]).await.unwrap();
    let theirs: WitnessKey = made.trim().parse().unwrap();
    let our_log = log_signer().key();
    let log_key = our_log.to_string();
    let known = ["add-log", "--origin", our_log.name(), "--vkey", &log_key];
    aics.run("aics-witness", &known).await.unwrap();
    let _serving = aics.command("aics-witness", &["serve"]).spawn().unwrap();

    let dir = tempfile::tempdir().unwrap();
    let ours = Running::start(1, dir.path(), Clock::System).await;
    let settings = [ours.setting(), format!("http://{free} {theirs}")];
    let app = with_open_round(Setup { clock: Clock::System, ..naming(&settings) }).await;
    scored(&app, 1).await;
    let first = cosigned(&app, &theirs).await;
    cosigned(&app, &ours.key).await;
    let old = aics.folder.path().join("old");
    std::fs::write(&old, checkpoint(&app).await).unwrap();
    scored(&app, 2).await;
    let second = cosigned(&app, &theirs).await;
    cosigned(&app, &ours.key).await;
    assert!(second.checkpoint.size() > first.checkpoint.size(), "it cosigned a continuation that we proved");

    // It reads our log and both cosignatures, and ours as well as its own.
    let (tiles, our_key, their_key) = (app.url("/log"), ours.key.to_string(), theirs.to_string());
    let both = ["--witness-key", &our_key, "--witness-key", &their_key, "--quorum", "2", "--max-age", "600"];
    let from = ["--tiles", tiles.as_str(), "--log-key", &log_key];
    aics.run("aics-tlog", &[&["verify-checkpoint"][..], &from, &both].concat()).await.unwrap();
    let old = old.display().to_string();
    let grown = [&["verify-consistency", "--old-checkpoint", &old][..], &from, &both].concat();
    aics.run("aics-tlog", &grown).await.unwrap();
    let stranger = signer(9).key().to_string();
    let none = [&["verify-checkpoint"][..], &from, &["--witness-key", &stranger, "--quorum", "1"]].concat();
    aics.run("aics-tlog", &none).await.unwrap_err();
}
