//! Receipts and the public log, checked by the real binary against a real validator: what is sound is confirmed, and
//! every lie is named.

use crate::support::{Service, manifest, repository, retort, stderr, stdout};
use copies::disguise::{self, Encoding};
use miner_template::client::{Client, ClientError};
use models::Weights;
use protocol::Digest;
use protocol::package::{CONFIG_FILE, PackageConfig, WEIGHTS_FILE};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use transparency::verify::Reader;
use transparency::{Entry, Envelope, Log, LogStore, Resource, SignedCheckpoint, WitnessSigner, verify_entries};

/// A validator's directory with a published competition.
fn published(dir: &Path) -> PathBuf {
    published_with(dir, |manifest| manifest)
}

/// The same with a manifest that was changed.
pub(crate) fn published_with(dir: &Path, change: impl FnOnce(String) -> String) -> PathBuf {
    let home = dir.join("validator");
    assert!(retort().args(["validator", "init", "--dir"]).arg(&home).status().unwrap().success());
    let manifest = manifest(dir);
    fs::write(&manifest, change(fs::read_to_string(&manifest).unwrap())).unwrap();
    let publish = retort().args(["validator", "publish"]).arg(&manifest).arg("--dir").arg(&home).output().unwrap();
    assert!(publish.status.success(), "{}", stderr(&publish));
    home
}

/// Submits a fixture under a new hotkey and waits for its score.
fn scored(service: &Service, dir: &Path, hotkey: &str) -> String {
    scored_package(service, dir, hotkey, &repository("models/fixtures/mlp"))
}

/// The same with any package.
pub(crate) fn scored_package(service: &Service, dir: &Path, hotkey: &str, package: &Path) -> String {
    let hotkey = dir.join(hotkey).display().to_string();
    assert!(retort().args(["keys", "new", &hotkey]).status().unwrap().success());
    let package = package.display().to_string();
    let status = service.json(&["miner", "submit", &package, "--hotkey", &hotkey, "--wait"]);
    assert_eq!(status["state"], "scored");
    status["id"].as_str().unwrap().to_owned()
}

/// Writes a package's model with its units in another order, other factors and another encoding.
fn disguise_package(package: &Path, to: &Path) {
    let config_json = fs::read(package.join(CONFIG_FILE)).unwrap();
    let plan = PackageConfig::from_json(&config_json).unwrap().plan().unwrap();
    let weights = Weights::from_safetensors(&fs::read(package.join(WEIGHTS_FILE)).unwrap(), &plan).unwrap();
    let other = disguise::rescaled(&plan, &disguise::permuted(&plan, &weights, 5), 6);
    fs::create_dir_all(to).unwrap();
    fs::write(to.join(CONFIG_FILE), config_json).unwrap();
    fs::write(to.join(WEIGHTS_FILE), disguise::encoded(&other, Encoding::Bf16).unwrap()).unwrap();
}

/// The checks that a command printed as JSON, by their verdict.
fn checks(output: &Output, verdict: &str) -> Vec<(String, String)> {
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(output)));
    let checks = printed["checks"].as_array().unwrap().iter().filter(|check| check["verdict"] == verdict);
    let text = |check: &Value, field: &str| check[field].as_str().unwrap().to_owned();
    checks.map(|check| (text(check, "name"), text(check, "detail"))).collect()
}

fn names(checks: &[(String, String)]) -> Vec<&str> {
    checks.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_receipt_is_confirmed_by_an_evaluation_of_ones_own_and_a_changed_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&published(dir.path()));
    let id = scored(&service, dir.path(), "hotkey");

    let quick = service.run(&["verify", &id, "--outputs-only", "--json"]);
    assert!(quick.status.success(), "{}{}", stdout(&quick), stderr(&quick));
    let all = [
        "signature",
        "competition",
        "log",
        "report",
        "engine",
        "outcomes",
        "times",
        "package",
        "published",
        "data",
        "reference",
        "outputs",
        "figures",
    ];
    assert_eq!(names(&checks(&quick, "ok")), all);
    let address = format!("{}/submissions/{id}", service.address);
    let full = service.run(&["verify", "receipt", &address]);
    let table = stdout(&full);
    // How latencies compare is the machine's business, which may have been restless in the mean time.
    assert!(table.contains("ok   outputs") && table.contains("latency      \u{d7}"), "{table}{}", stderr(&full));

    // The receipt as a file, and what is wrong with others.
    let status = service.json(&["miner", "status", &id]);
    let receipt = format!("/api/v1/objects/sha256/{}", status["receipt"].as_str().unwrap());
    let by_digest = service.run(&["verify", &format!("{}{receipt}", service.address), "--outputs-only"]);
    assert!(by_digest.status.success(), "{}", stdout(&by_digest));
    let objects = dir.path().join("validator/objects");
    let bytes = fs::read(objects.join("sha256").join(status["receipt"].as_str().unwrap())).unwrap();
    let refused = |name: &str, change: &dyn Fn(String) -> String, check: &str, words: &str| {
        let path = dir.path().join(name);
        fs::write(&path, change(String::from_utf8(bytes.clone()).unwrap())).unwrap();
        let output = service.run(&["verify", &path.display().to_string(), "--outputs-only", "--json"]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        let bad = checks(&output, "bad");
        assert!(bad.iter().any(|(name, detail)| name == check && detail.contains(words)), "{name}: {bad:?}");
    };
    refused("unchanged-but-spaced", &|text| text + " ", "receipt", "canonical");
    let items = "\"items\":300";
    refused("changed", &|text| text.replace(items, "\"items\":301"), "signature", "was changed, or not signed by");
    let other = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    let owner = status["hotkey"].as_str().unwrap().to_owned();
    refused("stolen", &|text| text.replace(&owner, other), "signature", "was changed, or not signed by");
    refused("foreign", &|text| text.replace("fashion-mnist", "letters"), "competition", "letters");
    let unknown = service.run(&["verify", &id, "--signer", other, "--json"]);
    assert!(checks(&unknown, "bad")[0].1.contains("which is not a known validator"), "{}", stdout(&unknown));
    let no_receipt = service.run(&["verify", "nothing-of-the-kind"]);
    assert!(stderr(&no_receipt).contains("no file, no submission and no address"), "{}", stderr(&no_receipt));
    let no_round = service.run(&["verify", "round", "fashion-mnist", "99"]);
    for output in [&no_receipt, &no_round] {
        assert_eq!(output.status.code(), Some(2), "what isn't there is no lie: {}", stderr(output));
        assert!(stderr(output).contains("not checked: "), "{}", stderr(output));
    }
    assert_eq!(retort().args(["verify", "--json"]).output().unwrap().status.code(), Some(2));

    // Objects that aren't what their digest says.
    let report: Value = serde_json::from_slice(&bytes).unwrap();
    let report = report["receipt"]["measured"]["report_sha256"].as_str().unwrap();
    let stored = objects.join("sha256").join(report);
    let sound = fs::read_to_string(&stored).unwrap();
    fs::write(&stored, sound.replace("\"correct\":", "\"correct\":1")).unwrap();
    let lied = service.run(&["verify", &id, "--outputs-only", "--json"]);
    assert_eq!(names(&checks(&lied, "bad")), ["report"], "{}", stdout(&lied));
}

#[test]
fn the_evidence_between_two_submissions_is_found_again_and_with_the_probes_once_all_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let closing = format!("closes_at = {}\n\n[input]", now + 60);
    let home = published_with(dir.path(), |text| text.replacen("[input]", &closing, 1));
    let service = Service::start(&home);
    let package = repository("models/fixtures/mlp");
    let first = scored_package(&service, dir.path(), "author", &package);
    let disguised = dir.path().join("disguised");
    disguise_package(&package, &disguised);
    let second = scored_package(&service, dir.path(), "copier", &disguised);

    let early = service.run(&["verify", "copy", &second, &first, "--json"]);
    assert_eq!(names(&checks(&early, "ok")), ["package", "package", "T0 to T3", "verdict"], "{}", stderr(&early));
    assert!(checks(&early, "unclear")[0].1.contains("secret until the competition is over"), "{}", stdout(&early));
    assert!(checks(&early, "ok")[3].1.contains("counts as the earlier one"), "{}", stdout(&early));

    let (client, deadline) = (Client::new(&service.address), Instant::now() + Duration::from_secs(300));
    while client.competition(&"fashion-mnist".parse().unwrap()).unwrap().probe_seed.is_none() {
        assert!(Instant::now() < deadline, "the seed is never shown");
        std::thread::sleep(Duration::from_secs(1));
    }
    let late = service.run(&["verify", "copy", &first, &second, "--json"]);
    assert!(late.status.success(), "{}{}", stdout(&late), stderr(&late));
    assert_eq!(names(&checks(&late, "ok")), ["package", "package", "probes", "T0 to T3", "T4", "verdict"]);

    // A validator that changes its mind is found out.
    let sql = "UPDATE copy_pairs SET evidence = replace(evidence, 'true', 'false')";
    let script =
        "import sqlite3, sys\nwith sqlite3.connect(sys.argv[1]) as db: print(db.execute(sys.argv[2]).rowcount)";
    let database = home.join("data.sqlite");
    let changed = Command::new("python3").args(["-c", script]).arg(database).arg(sql).output().unwrap();
    assert_eq!(stdout(&changed).trim(), "1", "{}", stderr(&changed));
    let found = service.run(&["verify", "copy", &first, &second, "--json"]);
    assert!(names(&checks(&found, "bad")).contains(&"T0 to T3"), "{}", stdout(&found));
}

/// What a validator answers where the log has no such file.
const NO_FILE: &[u8] = br#"{"type":"/problems/not_found","title":"Not Found","status":404,"code":"not_found",
    "detail":"the log has no such file","hint":"Its checkpoint says how long it is."}"#;

/// A server before a validator's that gives other bytes for some files, or says that there are none.
pub(crate) struct Liar(String);

impl Liar {
    fn before(service: &str, target: &str, bytes: Option<Vec<u8>>) -> Self {
        Self::with(service, BTreeMap::from([(target.to_owned(), bytes)]))
    }

    fn with(service: &str, lies: BTreeMap<String, Option<Vec<u8>>>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let service = service.trim_start_matches("http://").to_owned();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).is_ok_and(|count| count == 1) {
                    head.push(byte[0]);
                }
                let asked = String::from_utf8_lossy(&head);
                let target = asked.strip_prefix("GET ").and_then(|rest| rest.split(' ').next());
                if let Some(bytes) = target.and_then(|target| lies.get(target)) {
                    let (status, bytes) =
                        bytes.as_deref().map_or(("404 Not Found", NO_FILE), |bytes| ("200 OK", bytes));
                    let head =
                        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
                    let _ = socket.write_all(&[head.as_bytes(), bytes].concat());
                } else if head.len() > 4 {
                    let mut truthful = std::net::TcpStream::connect(&service).unwrap();
                    truthful.write_all(&[&head[..head.len() - 2], b"Connection: close\r\n\r\n"].concat()).unwrap();
                    let _ = std::io::copy(&mut truthful, &mut socket);
                }
            }
        });
        Self(address)
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        retort().args(args).args(["--validator", &self.0]).output().unwrap()
    }
}

/// A log's files, and which of them were read.
struct Noted<'a, R>(&'a R, Mutex<BTreeMap<String, Option<Vec<u8>>>>);

impl<R: Reader + Sync> Reader for Noted<'_, R> {
    type Error = R::Error;

    async fn read(&self, resource: &Resource) -> Result<Option<Vec<u8>>, R::Error> {
        let bytes = self.0.read(resource).await?;
        self.1.lock().unwrap().insert(format!("/log/{resource}"), bytes.clone());
        Ok(bytes)
    }
}

struct Http<'a>(&'a Client);

impl Reader for Http<'_> {
    type Error = ClientError;

    async fn read(&self, resource: &Resource) -> Result<Option<Vec<u8>>, ClientError> {
        self.0.log_file(&resource.to_string(), 64 << 20)
    }
}

/// The same validator, after whose round a witness saw the log; its page names a beacon that is still to come.
pub(crate) fn with_late_witness(home: &Path, service: &Service, page: &str, witness: &WitnessSigner) -> Liar {
    let key = validator::Home::new(home).log_signer().unwrap().key();
    let client = Client::new(&service.address);
    let note = client.log_file("checkpoint", 1 << 16).unwrap().unwrap();
    let checkpoint = SignedCheckpoint::open(&note, &key).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let seen = checkpoint.cosigned([witness.cosign(checkpoint.text(), now).as_str()]);
    let seen = json!({"notes": [seen]}).to_string().into_bytes();
    let at = |index| (format!("/api/v1/log/cosigned/{index}"), Some(seen.clone()));
    let mut lies: BTreeMap<_, _> = (0..checkpoint.size()).map(at).collect();
    let mut shown: Value = client.get_json(page).unwrap();
    let chain = Digest::from(datasets::hidden::DrandChain::quicknet().hash());
    let published = json!({"round": 1_000_000_000, "randomness": "00".repeat(32), "signature": "00"});
    shown["beacon"] = json!({"kind": "drand", "chain": chain, "published": published});
    lies.insert(page.to_owned(), Some(shown.to_string().into_bytes()));
    Liar::with(&service.address, lies)
}

/// The same validator with other leaves in its log, which its operator signed all the same.
pub(crate) fn with_log(home: &Path, service: &Service, change: impl FnOnce(&mut Vec<Envelope>)) -> Liar {
    let signer = || validator::Home::new(home).log_signer().unwrap();
    let (client, mut leaves) = (Client::new(&service.address), Vec::new());
    let visit = |_, entry: &[u8]| leaves.push(Envelope::parse(entry).unwrap());
    futures::executor::block_on(verify_entries(&Http(&client), &signer().key(), None, visit)).unwrap();
    change(&mut leaves);
    let entries: Vec<Entry> = leaves.iter().map(|leaf| Entry::new(leaf.kind, &leaf.key, &leaf.body).unwrap()).collect();
    let files = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = Arc::new(object_store::memory::InMemory::new());
        let mut log = Log::open(store.clone(), "log", signer()).await.unwrap();
        log.append(&entries).await.unwrap();
        let files = LogStore::new(store, "log").unwrap();
        let noted = Noted(&files, Mutex::default());
        verify_entries(&noted, &signer().key(), None, |_, _| ()).await.unwrap();
        noted.1.into_inner().unwrap()
    });
    Liar::with(&service.address, files)
}

#[test]
fn one_changed_byte_of_the_log_and_a_second_history_are_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let home = published(dir.path());
    let service = Service::start(&home);
    let key = fs::read_to_string(home.join("log.key")).unwrap();
    assert!(key.starts_with("PRIVATE+KEY+retort/"));
    let first = scored(&service, dir.path(), "first");
    // The receipt is on its way for a moment; this waits for it.
    assert!(service.run(&["verify", &first, "--outputs-only"]).status.success());
    let before = dir.path().join("before").display().to_string();
    let sound = service.run(&["verify", "log", "--save", &before]);
    assert!(sound.status.success(), "{}{}", stdout(&sound), stderr(&sound));
    for stated in ["1 administration", "1 competition", "1 commitment", "1 receipt"] {
        assert!(stdout(&sound).contains(stated), "{stated}: {}", stdout(&sound));
    }
    let size: u64 = fs::read_to_string(&before).unwrap().lines().nth(1).unwrap().parse().unwrap();

    // One byte of one file.
    let bundle = home.join(format!("objects/log/tile/entries/000.p/{size}"));
    let bytes = fs::read(&bundle).unwrap();
    let mut changed = bytes.clone();
    changed[bytes.len() / 3] ^= 1;
    // The service itself doesn't give it away: whoever lies must stand before it.
    let liar = Liar::before(&service.address, &format!("/log/tile/entries/000.p/{size}"), Some(changed));
    let found = liar.run(&["verify", "log", "--json"]);
    assert_eq!(found.status.code(), Some(1));
    let bad = checks(&found, "bad");
    let named = format!("in tile/entries/000.p/{size} is not the one that was signed");
    assert!(bad[0].1.contains(&named), "{bad:?}");
    // Who watches ends there, and has somebody told.
    let hook = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", hook.local_addr().unwrap());
    let told = std::thread::spawn(move || {
        let (mut socket, _) = hook.accept().unwrap();
        let (mut request, mut part) = (Vec::new(), [0; 4_096]);
        while !request.ends_with(b"}") {
            let count = socket.read(&mut part).unwrap();
            request.extend_from_slice(&part[..count]);
        }
        socket.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
        String::from_utf8(request).unwrap()
    });
    let watched = liar.run(&["verify", "watch", "fashion-mnist", "--webhook", &url]);
    assert_eq!(watched.status.code(), Some(1));
    assert!(stderr(&watched).contains(&named), "{}", stderr(&watched));
    let told = told.join().unwrap();
    assert!(told.contains(r#""event":"lie""#) && told.contains(&named), "{told}");
    // A hole.
    let liar = Liar::before(&service.address, &format!("/log/tile/0/000.p/{size}"), None);
    let found = liar.run(&["verify", "log", "--json"]);
    assert!(checks(&found, "bad")[0].1.contains(&format!("tile/0/000.p/{size} is missing")), "{}", stdout(&found));
    drop(service);

    // Two histories from here on, signed by one key.
    let other_home = dir.path().join("other");
    assert!(std::process::Command::new("cp").arg("-r").arg(&home).arg(&other_home).status().unwrap().success());
    let one = Service::start(&home);
    let id = scored(&one, dir.path(), "second");
    assert!(one.run(&["verify", &id, "--outputs-only"]).status.success());
    let seen = dir.path().join("seen").display().to_string();
    let grown = one.run(&["verify", "log", "--previous", &before, "--save", &seen]);
    let begins = format!("begins with the {size} entries seen before");
    assert!(stdout(&grown).contains(&begins), "{}{}", stdout(&grown), stderr(&grown));
    drop(one);
    let other = Service::start(&other_home);
    // At least as long as the first, so that it isn't taken for an old copy of it.
    for hotkey in ["third", "fourth"] {
        let id = scored(&other, dir.path(), hotkey);
        assert!(other.run(&["verify", &id, "--outputs-only"]).status.success());
    }
    assert!(other.run(&["verify", "log", "--previous", &before]).status.success(), "by itself it is sound");
    let split = other.run(&["verify", "log", "--previous", &seen, "--json"]);
    assert_eq!(split.status.code(), Some(1));
    let found = &checks(&split, "bad")[0].1;
    let words = ["signed two histories of", "signed another history of its first"];
    assert!(words.iter().any(|words| found.contains(words)), "{found}");
    let printed: Value = serde_json::from_slice(&split.stdout).unwrap();
    assert_eq!(printed["evidence"].as_array().unwrap().len(), 2, "both notes, for everybody");
    let stranger = retort().args(["validator", "init", "--dir"]).arg(dir.path().join("stranger")).output().unwrap();
    let stranger = stdout(&stranger).lines().find_map(|line| line.strip_prefix("public log: ").map(str::to_owned));
    let wrong = other.run(&["verify", "log", "--key", &stranger.unwrap(), "--json"]);
    assert!(checks(&wrong, "bad")[0].1.contains("not signed by the log"), "{}", stdout(&wrong));
}

/// A package whose weights have eight spaces more in their header: the same model, other bytes.
fn padded_package(package: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::copy(package.join(CONFIG_FILE), to.join(CONFIG_FILE)).unwrap();
    let weights = fs::read(package.join(WEIGHTS_FILE)).unwrap();
    let length = u64::from_le_bytes(weights[..8].try_into().unwrap());
    let (header, data) = weights[8..].split_at(length as usize);
    let padded = [&(length + 8).to_le_bytes()[..], header, b"        ", data].concat();
    fs::write(to.join(WEIGHTS_FILE), padded).unwrap();
}

#[test]
fn published_weights_are_downloaded_and_others_in_their_place_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&published(dir.path()));
    let package = dir.path().join("package");
    padded_package(&repository("models/fixtures/mlp"), &package);
    let id = scored_package(&service, dir.path(), "hotkey", &package);
    let sound = service.run(&["verify", &id, "--outputs-only", "--json"]);
    assert!(sound.status.success(), "{}{}", stdout(&sound), stderr(&sound));
    let status = service.json(&["miner", "status", &id]);
    let digest = |files: &str| {
        let files = status[files].as_array().unwrap();
        let file = files.iter().find(|file| file["path"] == WEIGHTS_FILE).unwrap();
        file["sha256"].as_str().unwrap().to_owned()
    };
    assert_ne!(digest("files"), digest("published"), "what is published is written by the validator");
    // The last bytes are a number of the model.
    let stored = dir.path().join("validator/objects/sha256").join(digest("published"));
    let mut weights = fs::read(&stored).unwrap();
    *weights.last_mut().unwrap() ^= 1;
    fs::write(&stored, weights).unwrap();
    let lied = service.run(&["verify", &id, "--outputs-only", "--json"]);
    let bad = checks(&lied, "bad");
    assert!(bad[0].0 == "published" && bad[0].1.contains("arrived as"), "{}", stdout(&lied));
}

/// A witness in a process of its own, which dies with its owner; its key and the line for the settings.
struct Witnessing(Child, String, String);

impl Witnessing {
    fn start(folder: &Path, log: &str) -> Self {
        let mut command = retort();
        command.args(["witness", "--listen", "127.0.0.1:0", "--name", "witness.test/1", "--log", log, "--dir"]);
        let mut child = command.arg(folder).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let key = lines.next().unwrap().strip_prefix("witness: ").unwrap().to_owned();
        let setting = lines.next().unwrap().strip_prefix("for validator.toml: ").unwrap().to_owned();
        // The pipe is read on, or what it says next would end it.
        std::thread::spawn(move || lines.for_each(drop));
        Self(child, key, setting)
    }
}

impl Drop for Witnessing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_log_is_witnessed_by_another_process_and_only_who_is_trusted_counts() {
    let dir = tempfile::tempdir().unwrap();
    let home = published(dir.path());
    let log = validator::Home::new(&home).log_signer().unwrap().key().to_string();
    let witness = Witnessing::start(&dir.path().join("witness"), &log);
    let settings = home.join("validator.toml");
    fs::write(&settings, fs::read_to_string(&settings).unwrap() + "\n" + &witness.2 + "\n").unwrap();
    let service = Service::start(&home);
    scored(&service, dir.path(), "hotkey");
    let deadline = Instant::now() + Duration::from_secs(30);
    let seen = loop {
        let found = service.run(&["verify", "log", "--witness", &witness.1, "--json"]);
        if found.status.success() {
            break checks(&found, "ok");
        }
        assert!(Instant::now() < deadline, "{}{}", stdout(&found), stderr(&found));
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(seen.iter().any(|(name, detail)| name == "witnesses" && detail.contains("witness.test/1 saw")), "{seen:?}");
    let stranger = WitnessSigner::from_seed("witness.test/2", &[2; 32]).unwrap().key().to_string();
    for trusted in [vec![&stranger], vec![&witness.1, &stranger]] {
        let named: Vec<&str> = trusted.iter().flat_map(|key| ["--witness", key.as_str()]).collect();
        let found = service.run(&[&["verify", "log", "--json"][..], &named].concat());
        assert_eq!(found.status.code(), Some(2), "one of two is not more than half, which is nobody's lie");
        let said = stderr(&found);
        assert!(said.contains("not checked: the public log: nothing is wrong") && !said.contains("error"), "{said}");
        assert_eq!(names(&checks(&found, "unclear")), ["witnesses"], "{}", stdout(&found));
    }
    let confused = service.run(&["verify", "log", "--witness", &log]);
    assert_eq!(confused.status.code(), Some(2), "a log's key is no witness's");
    assert!(stderr(&confused).contains("the key of a log, not of a witness"), "{}", stderr(&confused));
}
