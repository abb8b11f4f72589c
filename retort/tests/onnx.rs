//! Models as ONNX: what `retort model onnx` writes, the users' own onnxruntime loads; and an ONNX file is timed on each
//! engine, in the jail.

#[cfg(feature = "ort")]
use crate::support::onnxruntime;
use crate::support::{manifest, repository, retort, stderr};
use datasets::FashionMnist;
use protocol::Digest;
use protocol::package::PackageConfig;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ITEMS: usize = 20;

/// Reads a model and inputs of as many items as it is told; prints the best class of each.
pub(crate) const PYTHON: &str = "
import json, os, sys
os.environ['ORT_DISABLE_TELEMETRY'] = '1'
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])
[image], [logits] = session.get_inputs(), session.get_outputs()
assert (image.name, logits.name) == ('images', 'logits'), (image.name, logits.name)
items = numpy.fromfile(sys.argv[2], '<f4').reshape(-1, *image.shape)
print(json.dumps([int(session.run(None, {image.name: item})[0].argmax()) for item in items]))
";

fn onnx_of(package: &Path, file: &Path) -> Value {
    let output = retort().args(["model", "onnx", "--json", "--out"]).args([file, package]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn python() -> PathBuf {
    let made = Command::new(repository("scripts/python.sh")).arg("onnx").output().unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    PathBuf::from(String::from_utf8(made.stdout).unwrap().trim())
}

#[test]
fn what_is_written_is_loaded_by_pythons_onnxruntime_and_has_the_same_labels() {
    let (dir, python) = (tempfile::tempdir().unwrap(), python());
    let test = FashionMnist::load_test().unwrap();
    for name in ["reference", "scale/vit-43k-train-1", "scale/mobilenet-12k-train-1", "scale/depthwise-8k-train-1"] {
        let (package, file, inputs) =
            (repository("models").join(name), dir.path().join("model.onnx"), dir.path().join("inputs"));
        let said = onnx_of(&package, &file);
        assert_eq!(said["sha256"], Digest::of(&std::fs::read(&file).unwrap()).to_string());
        let config = PackageConfig::from_json(&std::fs::read(package.join("config.json")).unwrap()).unwrap();
        let table = config.input.normalisation().remove(0);
        let pixels = &test.pixels[..ITEMS * config.input.shape().values() as usize];
        let values: Vec<u8> = pixels.iter().flat_map(|pixel| table[usize::from(*pixel)].to_le_bytes()).collect();
        std::fs::write(&inputs, values).unwrap();
        let output = Command::new(&python).args(["-c", PYTHON]).args([&file, &inputs]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let classes: Vec<usize> = serde_json::from_slice(&output.stdout).unwrap();
        let found: Vec<&str> = classes.iter().map(|class| config.labels[*class].as_str()).collect();
        let named = (0..ITEMS).map(|item| format!("fashion-mnist:{item}"));
        let predicted = retort().args(["predict", "--json"]).arg(&package).args(named).output().unwrap();
        let predicted: Vec<Value> = serde_json::from_slice(&predicted.stdout).unwrap();
        let expected: Vec<&str> = predicted.iter().map(|one| one["label"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_student_in_whole_numbers_says_what_it_loses_and_can_be_entered() {
    let dir = tempfile::tempdir().unwrap();
    let competition = manifest(dir.path()).display().to_string();
    let (package, file) = (repository("models/scale/mobilenet-12k-train-1"), dir.path().join("small.onnx"));
    let unsaid = retort().args(["model", "onnx", "--form", "onnx-int8"]).arg(&package).output().unwrap();
    assert!(unsaid.status.code() == Some(2) && stderr(&unsaid).contains("--competition"), "{}", stderr(&unsaid));
    let args = ["model", "onnx", "--form", "onnx-int8", "--json", "--competition", &competition, "--out"];
    let output = retort().args(args).args([&file, &package]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let loss = |what: &str| said["loss"][what].as_u64().unwrap();
    assert!(loss("same") * 100 >= loss("items") * 95, "{said}");
    assert!(loss("right") * 100 >= loss("right_before") * 97, "{said}");
    assert!(said["bytes"].as_u64().unwrap() < 30_000, "{said}");
    let checked = retort().args(["miner", "check"]).arg(&file).args(["--competition", &competition]).output().unwrap();
    assert!(checked.status.success(), "{}", stderr(&checked));
}

/// The same student as a package of the catalogue, on burn, and as PyTorch's export of it, on rten.
#[test]
fn a_graph_answers_pictures_as_its_competition_prepares_them() {
    let predict = |package: &str, more: &[&str]| {
        let items = (0..ITEMS).map(|item| format!("fashion-mnist:{item}"));
        let package = repository("models/fixtures").join(package);
        retort().args(["predict", "--json"]).arg(package).args(items).args(more).output().unwrap()
    };
    let told = predict("onnx/resnet", &[]);
    assert!(!told.status.success() && stderr(&told).contains("--competition"), "{}", stderr(&told));
    let competition = repository("competitions/fashion-mnist/competition.toml").display().to_string();
    let graph = predict("onnx/resnet", &["--competition", &competition]);
    assert!(graph.status.success(), "{}", stderr(&graph));
    let read = |output: &Output| serde_json::from_slice::<Vec<Value>>(&output.stdout).unwrap();
    let (graph, package) = (read(&graph), read(&predict("pytorch_student", &[])));
    assert_eq!(graph.len(), ITEMS);
    for (one, other) in graph.iter().zip(&package) {
        assert_eq!(one["label"], other["label"], "{one} {other}");
        let confidence = |prediction: &Value| prediction["confidence_ppm"].as_i64().unwrap();
        assert!((confidence(one) - confidence(other)).abs() <= 100, "{one} {other}");
    }
}

#[test]
fn a_model_is_written_beside_its_package_unless_said_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(repository("models/reference").join(file), dir.path().join(file)).unwrap();
    }
    let output = retort().args(["model", "onnx"]).arg(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let bytes = std::fs::read(dir.path().join("onnx/model.onnx")).unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains(&Digest::of(&bytes).to_string()));
    let wrong = retort().args(["model", "onnx"]).arg(dir.path().join("nothing")).output().unwrap();
    assert!(!wrong.status.success() && stderr(&wrong).contains("nothing"), "{}", stderr(&wrong));
}

/// One short measurement of a model beside itself.
fn timed(arguments: &[&str], more: &[(&str, &str)]) -> Value {
    let mut command = retort();
    command.args([
        "bench",
        "latency",
        "--aa",
        "--measurements",
        "1",
        "--effort",
        "quick",
        "--launch-ms",
        "20",
        "--json",
    ]);
    let output = command.args(arguments).envs(more.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn an_onnx_file_is_timed_on_each_engine() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("model.onnx");
    onnx_of(&repository("models/reference"), &file);
    let file = file.to_str().unwrap();
    let found = [timed(&["--package", file], &[]), timed(&["--package", file, "--runtime", "rten"], &[])];
    for measured in found {
        assert!(measured["measurements"][0]["p50_ns"].as_u64().unwrap() > 0, "{measured}");
    }
}

#[cfg(feature = "ort")]
#[test]
fn a_package_and_an_onnx_file_are_timed_on_onnxruntime() {
    let library = onnxruntime();
    let library = library.to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("model.onnx");
    onnx_of(&repository("models/reference"), &file);
    let package = repository("models/reference");
    for subject in [file.to_str().unwrap(), package.to_str().unwrap()] {
        let measured = timed(&["--package", subject, "--runtime", "onnxruntime"], &[("RETORT_ONNXRUNTIME", library)]);
        assert!(measured["measurements"][0]["p50_ns"].as_u64().unwrap() > 0, "{measured}");
    }
    // Another file in its place, and none.
    let other = dir.path().join("libonnxruntime.so");
    std::fs::write(&other, "another").unwrap();
    for (library, words) in [(other.to_str().unwrap(), "run scripts/onnxruntime.sh"), ("/nowhere", "/nowhere")] {
        let mut command = retort();
        command.args(["bench", "latency", "--aa", "--runtime", "onnxruntime"]).env("RETORT_ONNXRUNTIME", library);
        let output = command.output().unwrap();
        assert!(!output.status.success() && stderr(&output).contains(words), "{}", stderr(&output));
    }
}
