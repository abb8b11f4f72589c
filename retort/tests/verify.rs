//! Receipts and the public log, checked by the real binary against a real validator: what is sound is confirmed, and
//! every lie is named.

use crate::support::{Service, manifest, repository, retort, stderr, stdout};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

/// A validator's directory with a published competition.
fn published(dir: &Path) -> PathBuf {
    let home = dir.join("validator");
    assert!(retort().args(["validator", "init", "--dir"]).arg(&home).status().unwrap().success());
    let manifest = manifest(dir);
    let publish = retort().args(["validator", "publish"]).arg(&manifest).arg("--dir").arg(&home).output().unwrap();
    assert!(publish.status.success(), "{}", stderr(&publish));
    home
}

/// Submits a fixture under a new hotkey and waits for its score.
fn scored(service: &Service, dir: &Path, hotkey: &str) -> String {
    let hotkey = dir.join(hotkey).display().to_string();
    assert!(retort().args(["keys", "new", &hotkey]).status().unwrap().success());
    let package = repository("models/fixtures/mlp").display().to_string();
    let status = service.json(&["miner", "submit", &package, "--hotkey", &hotkey, "--wait"]);
    assert_eq!(status["state"], "scored");
    status["id"].as_str().unwrap().to_owned()
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
        "outcomes",
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
    fs::write(&bundle, &changed).unwrap();
    let found = service.run(&["verify", "log", "--json"]);
    assert_eq!(found.status.code(), Some(1));
    let bad = checks(&found, "bad");
    assert!(bad[0].1.contains(&format!("in tile/entries/000.p/{size} is not the one that was signed")), "{bad:?}");
    fs::write(&bundle, &bytes).unwrap();
    // A hole.
    let tile = home.join(format!("objects/log/tile/0/000.p/{size}"));
    let hidden = tile.with_extension("hidden");
    fs::rename(&tile, &hidden).unwrap();
    let found = service.run(&["verify", "log", "--json"]);
    assert!(checks(&found, "bad")[0].1.contains(&format!("tile/0/000.p/{size} is missing")), "{}", stdout(&found));
    fs::rename(&hidden, &tile).unwrap();
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
