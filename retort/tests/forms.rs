//! A champion in other forms, by the real binary: measured by the validator, pulled by `retort`, found by the Hub's client, and loaded by
//! Python's onnxruntime, which says to the same items what the validator says that it said.

use crate::onnx::{PYTHON, python};
use crate::support::{Service, manifest, repository, retort, stderr, stdout};
use datasets::published::read;
use protocol::package::PackageConfig;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Public items of a small competition.
const ITEMS: u64 = 300;

#[test]
fn a_champion_is_to_be_had_as_onnx_in_three_forms_that_say_what_they_lose() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("validator");
    assert!(retort().args(["validator", "init", "--dir"]).arg(&home).status().unwrap().success());
    let competition = manifest(dir.path());
    let published = retort().args(["validator", "publish"]).arg(&competition).arg("--dir").arg(&home).output().unwrap();
    assert!(published.status.success(), "{}", stderr(&published));
    let service = Service::start(&home);
    let hotkey = dir.path().join("hotkey").display().to_string();
    assert!(retort().args(["keys", "new", &hotkey]).status().unwrap().success());
    let package = repository("models/scale/resnet-11k-train-1");
    let status = service.json(&["miner", "submit", &package.display().to_string(), "--hotkey", &hotkey, "--wait"]);
    let id = status["id"].as_str().unwrap().to_owned();
    assert_eq!(status["forms"], Value::Array(Vec::new()), "nobody has them before it sits");
    let early = dir.path().join("early").display().to_string();
    let early = service.run(&["pull", &id, &early, "--format", "onnx-int8"]);
    assert!(!dir.path().join("early").exists(), "nothing is left of it");
    assert!(stderr(&early).contains("has no form ONNX, int8: champions have"), "{}", stderr(&early));

    let closed = retort().args(["validator", "round", "close", "fashion-mnist", "--dir"]).arg(&home).output().unwrap();
    assert!(closed.status.success(), "{}", stderr(&closed));
    let forms = forms(&service, &id);
    let [float, half, int8] = &forms[..] else { panic!("{forms:?}\n{}", service.log().join("\n")) };
    let number = |form: &Value, what: &str| form[what].as_u64().unwrap();
    assert!(number(float, "agreed") == ITEMS && number(half, "agreed") >= ITEMS - 2, "{forms:?}");
    assert!(number(int8, "agreed") >= ITEMS * 9 / 10, "{forms:?}");
    let size = |form: &Value| form["object"]["size_bytes"].as_u64().unwrap();
    assert!(size(half) < size(float) * 7 / 10 && size(int8) < size(half), "{forms:?}");

    let asked = Asked::of(&service, &package, dir.path());
    for (format, path, form) in [
        ("onnx", "onnx/model.onnx", float),
        ("onnx-f16", "onnx/model_fp16.onnx", half),
        ("onnx-int8", "onnx/model_quantized.onnx", int8),
    ] {
        let here = dir.path().join(format);
        let pulled = service.run(&["pull", &id, &here.display().to_string(), "--format", format]);
        assert!(pulled.status.success(), "{}", stderr(&pulled));
        let told = format!("says the original's class to {}, the right one to {}", form["agreed"], form["correct"]);
        assert!(stdout(&pulled).contains(&told), "{}", stdout(&pulled));
        // Another engine rounds a sum of whole numbers otherwise now and then.
        let (right, said) = (asked.right(&here.join(path)), number(form, "correct"));
        assert!(right.abs_diff(said) <= if format == "onnx-int8" { 3 } else { 0 }, "{format}: {right}, not {said}");
    }
    // Whoever enters one of them enters somebody's model; and what the official engine refuses isn't sent.
    let checked = service.run(&["miner", "check", &dir.path().join("onnx/onnx/model.onnx").display().to_string()]);
    assert!(stdout(&checked).contains(&format!("it equals {id}: it would count as a copy")), "{}", stdout(&checked));
    let whole = dir.path().join("onnx-int8/onnx/model_quantized.onnx").display().to_string();
    let refused = service.run(&["miner", "submit", &whole, "--hotkey", &hotkey]);
    let told = stderr(&refused);
    assert!(!refused.status.success() && told.contains("would reject this package: engine_refused"), "{told}");
    let listed: Value = serde_json::from_slice(&fetched(&service, "/api/models/arena/fashion-mnist")).unwrap();
    let files: Vec<&str> =
        listed["siblings"].as_array().unwrap().iter().filter_map(|file| file["rfilename"].as_str()).collect();
    assert!(files.contains(&"onnx/model_quantized.onnx") && files.contains(&"model.safetensors"), "{files:?}");
    let page = String::from_utf8(fetched(&service, &format!("/submissions/{id}"))).unwrap();
    assert!(page.contains("In other forms") && page.contains("onnx/model_fp16.onnx"), "{page}");
}

fn fetched(service: &Service, path: &str) -> Vec<u8> {
    let output = Command::new("curl").args(["-sSfL", &format!("{}{path}", service.address)]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    output.stdout
}

/// The forms, once all are there.
fn forms(service: &Service, id: &str) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let status = service.json(&["miner", "status", id]);
        let forms = status["forms"].as_array().unwrap().clone();
        if forms.len() == 3 || began.elapsed() > Duration::from_secs(240) {
            return forms;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// The public items as everybody downloads them.
struct Asked {
    inputs: PathBuf,
    labels: Vec<u16>,
}

impl Asked {
    fn of(service: &Service, package: &Path, dir: &Path) -> Self {
        let config = PackageConfig::from_json(&fs::read(package.join("config.json")).unwrap()).unwrap();
        let view: Value = serde_json::from_slice(&fetched(service, "/api/v1/competitions/fashion-mnist")).unwrap();
        let part = view["competition"]["tables"]["evaluation"]["sha256"].as_str().unwrap();
        let part = fetched(service, &format!("/api/v1/objects/sha256/{part}"));
        let (images, _) = read(part, config.input.shape(), config.labels.len()).unwrap().answered().unwrap();
        let table = config.input.normalisation().remove(0);
        let values: Vec<u8> = images.pixels.iter().flat_map(|pixel| table[usize::from(*pixel)].to_le_bytes()).collect();
        let inputs = dir.join("inputs");
        fs::write(&inputs, values).unwrap();
        Self { inputs, labels: images.labels }
    }

    /// How many of them a file answers right in Python's onnxruntime.
    fn right(&self, file: &Path) -> u64 {
        let output = Command::new(python()).args(["-c", PYTHON]).args([file, &self.inputs]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let found: Vec<u16> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(found.len(), self.labels.len());
        found.iter().zip(&self.labels).filter(|(found, label)| found == label).count() as u64
    }
}
