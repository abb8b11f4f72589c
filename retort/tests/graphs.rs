//! An ONNX file as PyTorch's exporter leaves it, by the real binary: checked, made a package, entered, and what becomes of
//! it where no engine runs it.

use crate::support::{Service, manifest, on_engine, repository, retort, stderr, stdout};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Output;

fn check(package: &Path, competition: &Path, more: &[&str]) -> Output {
    let mut command = retort();
    command.args(["miner", "check"]).arg(package).arg("--competition").arg(competition).args(more);
    command.output().unwrap()
}

#[test]
fn an_exported_file_is_checked_and_made_a_package() {
    let dir = tempfile::tempdir().unwrap();
    let competition = on_engine(dir.path(), "rten");
    let file = dir.path().join("student.onnx");
    fs::copy(repository("models/fixtures/onnx/mlp/model.onnx"), &file).unwrap();
    let checked = check(&file, &competition, &[]);
    let (said, told) = (stdout(&checked), stderr(&checked));
    assert!(checked.status.success(), "{told}");
    assert!(said.contains("admitted: onnx, 12730 parameters, 12704 MACs") && said.contains("Gemm 2"), "{said}");
    assert!(told.contains("config.json was made for it") && told.contains("--out DIR"), "{told}");

    // As the bare call leaves it, beside what it is put into.
    let split = repository("models/fixtures/onnx/split");
    let out = dir.path().join("package");
    let checked = check(&split, &competition, &["--json", "--out", &out.display().to_string()]);
    assert!(checked.status.success(), "{}", stderr(&checked));
    assert!(stderr(&checked).contains("model.onnx.data was put into the file itself"), "{}", stderr(&checked));
    assert!(!stderr(&checked).contains("--out DIR"), "it is there: {}", stderr(&checked));
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((&checked["model"]["kind"], &checked["model"]["operators"]["Gemm"]), (&"onnx".into(), &2.into()));
    let mut names: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["config.json", "model.onnx"]);
    let again = check(&out, &competition, &["--json"]);
    assert!(again.status.success() && !stderr(&again).contains("was made"), "{}", stderr(&again));
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["package_sha256"], checked["package_sha256"], "what is written is what is sent");
}

#[test]
fn a_file_that_is_not_taken_says_what_to_do_instead() {
    let dir = tempfile::tempdir().unwrap();
    let competition = on_engine(dir.path(), "rten");
    let refused = |file: &Path| {
        let output = check(file, &competition, &[]);
        assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
        stderr(&output)
    };
    let hostile = repository("program/tests/hostile");
    let told = refused(&hostile.join("einsum_bad.onnx"));
    assert!(told.contains("onnx_input") && told.contains("operators that aren't read: Einsum (1)"), "{told}");
    let told = refused(&hostile.join("external_abs.onnx"));
    assert!(told.contains("onnx_external_data") && told.contains("no file beside the model"), "{told}");
    let told = refused(&hostile.join("dec_deep.onnx"));
    assert!(told.contains("onnx_control_flow") && told.contains("nn.EmbeddingBag"), "{told}");
    // Where only the catalogue is taken.
    let plain = manifest(dir.path());
    let text = fs::read_to_string(&plain).unwrap().replace("models = [\"catalogue\", \"onnx\"]", "");
    fs::write(&plain, text).unwrap();
    let output = check(&repository("models/fixtures/onnx/mlp"), &plain, &[]);
    assert!(stderr(&output).contains("kind_not_taken"), "{}", stderr(&output));
}

#[test]
fn an_exported_graph_is_measured_beside_the_catalogue_on_burn_too() {
    for (engine, named, device) in [("rten", " rten 0.", "rten"), ("burn", "burn-0.", "flex")] {
        enters(engine, named, device);
    }
}

/// An exported graph and a package of the catalogue in a competition on `engine`, which reports call so.
fn enters(engine: &str, named: &str, device: &str) {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("validator");
    assert!(retort().args(["validator", "init", "--dir"]).arg(&home).status().unwrap().success());
    let competition = on_engine(dir.path(), engine);
    let published = retort().args(["validator", "publish"]).arg(&competition).arg("--dir").arg(&home).output().unwrap();
    assert!(published.status.success(), "{}", stderr(&published));
    let hotkey = dir.path().join("hotkey");
    assert!(retort().args(["keys", "new"]).arg(&hotkey).status().unwrap().success());
    let (hotkey, service) = (hotkey.display().to_string(), Service::start(&home));

    let file = repository("models/fixtures/onnx/resnet/model.onnx").display().to_string();
    let checked = service.run(&["miner", "check", &file]);
    assert!(checked.status.success(), "{}", stderr(&checked));
    assert!(stdout(&checked).contains("on the public part: accuracy"), "{}", stdout(&checked));
    // It is tried before it is sent, as a package of the catalogue is.
    let other = dir.path().join("other").display().to_string();
    assert!(retort().args(["keys", "new", &other]).status().unwrap().success());
    let mlp = repository("models/fixtures/onnx/mlp/model.onnx").display().to_string();
    let told = stderr(&service.run(&["miner", "submit", &mlp, "--hotkey", &other]));
    assert!(told.contains("tried on 300 of 300 public items; not tried: latency and likeness"), "{told}");
    assert!(!told.contains("--out DIR") && told.contains("for trying out: "), "{told}");
    let submit = |what: &str| service.json(&["miner", "submit", what, "--hotkey", &hotkey, "--wait"]);
    let package = repository("models/fixtures/resnet").display().to_string();
    for status in [submit(&file), submit(&package)] {
        assert_eq!(status["state"], "scored", "{status}");
        // What ranks one beside the other was measured on one engine.
        let engine = status["report"]["engine"].as_str().unwrap();
        assert!(engine.contains(named), "{engine}");
        assert_eq!(status["report"]["device"], device);
    }
    let status = submit(&file);
    let told = service.run(&["miner", "status", status["id"].as_str().unwrap()]);
    assert!(stdout(&told).contains("onnx: ") && stdout(&told).contains("Conv "), "{}", stdout(&told));
    // Whoever doubts it runs it again on the same engine.
    // How latencies compare is the machine's business, which may have been restless in the mean time.
    let again = service.run(&["verify", status["id"].as_str().unwrap(), "--outputs-only"]);
    assert_eq!(again.status.code(), Some(0), "{}{}", stdout(&again), stderr(&again));
}
