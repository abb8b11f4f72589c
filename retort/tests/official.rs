//! onnxruntime as a competition's official engine, by the real binary: refused where its library isn't, named with version and
//! digest where it is, and what ranks, is stated and is checked again was measured on it.

use crate::support::{Service, on_engine, onnxruntime, repository, retort, stderr, stdout};
use protocol::competition::{EngineName, OfficialEngine, Taken};
use protocol::{Digest, Manifest};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const LIBRARY: &str = "RETORT_ONNXRUNTIME";
const WHAT_TO_DO: &str = "scripts/onnxruntime.sh";

fn in_home(arguments: &[&str], home: &Path, library: Option<&Path>) -> Output {
    let mut command = retort();
    command.arg("validator").args(arguments).arg("--dir").arg(home);
    command.envs(library.map(|library| (LIBRARY, library))).output().unwrap()
}

/// `retort` as whoever asks this validator runs it.
fn asked(service: &Service, library: Option<&Path>, arguments: &[&str]) -> Output {
    let mut command: Command = retort();
    command.args(arguments).args(["--validator", &service.address]);
    command.envs(library.map(|library| (LIBRARY, library))).output().unwrap()
}

fn refused(output: &Output, words: &[&str]) {
    let told = [stdout(output), stderr(output)].concat();
    assert!(!output.status.success() && words.iter().all(|word| told.contains(word)), "{words:?}: {told}");
}

#[test]
fn a_competition_goes_over_to_onnxruntime_from_a_named_round_on() {
    let dir = tempfile::tempdir().unwrap();
    let library = onnxruntime();
    let digest = Digest::of(&fs::read(&library).unwrap());
    let home = dir.path().join("validator");
    assert!(in_home(&["init"], &home, None).status.success());
    let manifest = on_engine(dir.path(), "rten");
    let published = in_home(&["publish", manifest.to_str().unwrap()], &home, None);
    assert!(published.status.success(), "{}", stderr(&published));
    let amend = |engine: &str, library: Option<&Path>| {
        in_home(&["amend", "fashion-mnist", "--engine", engine, "--reason", "what users deploy"], &home, library)
    };
    refused(&amend("onnxruntime", None), &["no library here", WHAT_TO_DO]);
    refused(&amend("burn", None), &["only onnxruntime takes all that fashion-mnist admits"]);
    refused(&amend("rten", None), &["is like that already"]);
    let said = amend("onnxruntime", Some(&library));
    let told = format!("fashion-mnist is measured on onnxruntime 1.32.0 sha256:{digest} from round 1 on");
    assert!(said.status.success() && stdout(&said).contains(&told), "{}{}", stdout(&said), stderr(&said));
    assert!(home.join("objects/sha256").join(digest.to_string()).is_file(), "the library is kept with what names it");
    refused(&in_home(&["doctor"], &home, None), &["BAD  engines", "from round 1 on", WHAT_TO_DO]);
}

#[test]
fn a_competition_is_measured_on_the_onnxruntime_that_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let library = onnxruntime();
    let official = format!("onnxruntime 1.32.0 sha256:{}", Digest::of(&fs::read(&library).unwrap()));
    let home = dir.path().join("validator");
    assert!(in_home(&["init"], &home, None).status.success());
    let manifest = on_engine(dir.path(), "onnxruntime");
    let manifest = manifest.to_str().unwrap();

    // Without the library, or with another file in its place, nothing is published, and it is said what to do.
    let other = dir.path().join("libonnxruntime.so");
    fs::write(&other, "another").unwrap();
    for (library, word) in [(None, "no library here"), (Some(other.as_path()), "libonnxruntime.so is ")] {
        for arguments in [&["publish", manifest][..], &["publish", manifest, "--check"]] {
            refused(&in_home(arguments, &home, library), &["manifest field `engine`: onnxruntime", word, WHAT_TO_DO]);
        }
    }

    let published = in_home(&["publish", manifest], &home, Some(&library));
    assert!(published.status.success(), "{}", stderr(&published));
    let kept = home.join("objects/sha256").join(&official[official.len() - 64..]);
    assert_eq!(
        fs::metadata(kept).unwrap().len(),
        fs::metadata(&library).unwrap().len(),
        "it is kept with what names it"
    );

    // Nor is it served where the library is gone. Settings name it as well as the variable does.
    refused(&in_home(&["serve", "--listen", "127.0.0.1:0"], &home, None), &[&official, WHAT_TO_DO]);
    refused(&in_home(&["doctor"], &home, None), &["BAD  engines", &official, WHAT_TO_DO]);
    let settings = home.join("validator.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("onnxruntime = {:?}\n{text}", library.display().to_string())).unwrap();
    let doctor = stdout(&in_home(&["doctor"], &home, None));
    let engines = doctor.lines().find(|line| line.contains(" engines ")).unwrap_or_else(|| panic!("{doctor}"));
    assert!(engines.starts_with("ok") && engines.contains("burn 0.") && engines.contains("rten 0."), "{engines}");
    assert!(engines.contains(&official), "{engines}");

    let service = Service::start(&home);
    let hotkey = dir.path().join("hotkey").display().to_string();
    assert!(retort().args(["keys", "new", &hotkey]).status().unwrap().success());
    let shown = service.json(&["competitions"]);
    assert!(shown.to_string().contains(&official), "{shown}");

    // A miner without the library hears that what is predicted isn't official.
    let file = repository("models/fixtures/onnx/mlp/model.onnx").display().to_string();
    let check = |library: Option<&Path>| {
        let output = asked(&service, library, &["miner", "check", &file]);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let (with, without) = (check(Some(&library)), check(None));
    assert!(!with.contains("not official"), "{with}");
    assert!(
        without.contains("not official, since it was measured on rten 0.") && without.contains(&official),
        "{without}"
    );

    // In whole numbers of 8 bits, too.
    let package = repository("models/scale/depthwise-8k-train-1").display().to_string();
    let small = dir.path().join("small.onnx").display().to_string();
    let competition = format!("{}/competitions/fashion-mnist", service.address);
    let form = ["model", "onnx", &package, "--form", "onnx-int8", "--competition", &competition, "--out", &small];
    let made = retort().args(form).output().unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    let small = asked(&service, Some(&library), &["miner", "check", &small]);
    assert!(small.status.success() && !stdout(&small).contains("not official"), "{}{}", stdout(&small), stderr(&small));

    // Either format, ranked beside the other.
    let mut ids = Vec::new();
    for what in [&file, &package] {
        let status = service.json(&["miner", "submit", what, "--hotkey", &hotkey, "--wait"]);
        assert_eq!(status["state"], "scored", "{status}");
        let engine = status["report"]["engine"].as_str().unwrap();
        assert!(engine.ends_with(&format!(" {official}")), "{engine}");
        assert_eq!(status["report"]["device"], "onnxruntime");
        ids.push(status["id"].as_str().unwrap().to_owned());
    }
    let board = service.json(&["board"]);
    let rows = board["rows"].as_array().unwrap();
    let ranked: Vec<&str> =
        rows.iter().filter(|row| row["rank"].is_u64()).map(|row| row["submission"].as_str().unwrap()).collect();
    assert!(ids.iter().all(|id| ranked.contains(&id.as_str())), "{board}");

    // Whoever doubts it runs it again on the same; who lacks it shows nothing to be wrong.
    for id in &ids {
        let confirmed = asked(&service, Some(&library), &["verify", id]);
        assert_eq!(confirmed.status.code(), Some(0), "{}{}", stdout(&confirmed), stderr(&confirmed));
        assert!(stdout(&confirmed).contains(&official), "{}", stdout(&confirmed));
    }
    let lacking = asked(&service, None, &["verify", &ids[0], "--outputs-only", "--json"]);
    assert_eq!(lacking.status.code(), Some(2), "{}{}", stdout(&lacking), stderr(&lacking));
    let lacking: Value = serde_json::from_slice(&lacking.stdout).unwrap();
    assert!(lacking["checks"].to_string().contains(WHAT_TO_DO), "{lacking}");
}

#[test]
fn a_new_manifest_names_onnxruntime_where_its_library_is() {
    let dir = tempfile::tempdir().unwrap();
    crate::own_data::write_all(dir.path());
    for (library, engine) in [(Some(onnxruntime()), EngineName::Onnxruntime), (None, EngineName::Burn)] {
        let out = format!("{engine}.toml");
        let mut command = retort();
        command.current_dir(dir.path()).args(["validator", "new", "my-pictures", "--teacher", "my-teacher"]);
        command.args(["--reference", "my-reference", "--id", "my-task", "--out", &out]);
        let written = command.envs(library.map(|library| (LIBRARY, library))).output().unwrap();
        assert!(written.status.success(), "{}", stderr(&written));
        let text = fs::read_to_string(dir.path().join(out)).unwrap();
        let manifest = Manifest::from_toml(&text).unwrap();
        assert_eq!((manifest.engine, manifest.takes(Taken::Onnx)), (OfficialEngine::any(engine), true));
    }
}
