//! A PyTorch user's day: install the package with pip, train with a real torch, check, submit, be on the board.

use crate::support::{Service, manifest, repository, retort, stderr, stdout};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The interpreter of the environment that has torch; made once, which takes minutes where nothing is cached.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let made = Command::new(repository("scripts/python.sh")).arg("torch").output().unwrap();
        assert!(made.status.success(), "{}", stderr(&made));
        PathBuf::from(stdout(&made).trim())
    })
}

/// Installs our package as a user would, from a copy, since building it writes beside the source.
fn install(dir: &Path) -> PathBuf {
    let (source, installed) = (dir.join("source"), dir.join("installed"));
    let copied = Command::new("cp").arg("-r").arg(repository("miner-template/python")).arg(&source).status().unwrap();
    assert!(copied.success());
    let pip = Command::new(python())
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"])
        .arg("--target")
        .args([&installed, &source])
        .output()
        .unwrap();
    assert!(pip.status.success(), "{}", stderr(&pip));
    installed
}

#[test]
fn the_catalogue_in_pytorch_is_the_catalogue() {
    let dir = tempfile::tempdir().unwrap();
    let tests = Command::new(python())
        .args(["-m", "unittest", "discover", "--start-directory", "tests", "--verbose"])
        .current_dir(repository("miner-template/python"))
        .env("PYTHONPATH", install(dir.path()))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(tests.status.success(), "{}", stderr(&tests));
    assert!(stderr(&tests).contains("Ran 14 tests"), "{}", stderr(&tests));
}

/// Writes the package and the pictures, and prints the labels that timm gives them.
const FAINT_DEIT: &str = r#"
import json, pathlib, sys
import torch
from PIL import Image
from safetensors.torch import save_file
import retort_miner
from retort_miner.epsilon import with_epsilon
from test_students import VIT, faint_deit
theirs, _ = faint_deit()
package, pictures = map(pathlib.Path, sys.argv[1:])
package.mkdir(), pictures.mkdir()
architecture = with_epsilon(VIT, theirs)
save_file(retort_miner.from_timm(theirs, architecture), package / "model.safetensors")
shape = {"channels": 1, "height": 28, "width": 28, "mean_ppm": [500000], "deviation_ppm": [250000]}
config = {"format": "retort/1", "architecture": architecture, "input": shape, "labels": [str(c) for c in range(10)]}
(package / "config.json").write_text(json.dumps(config))
images = torch.randint(256, (200, 1, 28, 28), dtype=torch.uint8)
for index, image in enumerate(images):
    Image.fromarray(image[0].numpy()).save(pictures / f"{index:03}.png")
competition = retort_miner.Competition("", "", {"manifest": config})
with torch.inference_mode():
    print(json.dumps([str(label) for label in theirs(competition.normalised(images)).argmax(1).tolist()]))
"#;

#[test]
fn the_engine_gives_a_transformer_of_timm_all_its_labels() {
    let dir = tempfile::tempdir().unwrap();
    let (package, pictures) = (dir.path().join("package"), dir.path().join("pictures"));
    let tests = repository("miner-template/python/tests");
    let made = Command::new(python())
        .args(["-c", FAINT_DEIT])
        .args([&package, &pictures])
        .env("PYTHONPATH", format!("{}:{}", install(dir.path()).display(), tests.display()))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    let labels: Vec<String> = serde_json::from_str(&stdout(&made)).unwrap();
    assert!(labels.iter().collect::<BTreeSet<_>>().len() > 5, "{labels:?}");
    let right = || {
        let answered = retort().arg("predict").args([&package, &pictures]).arg("--json").output().unwrap();
        assert!(answered.status.success(), "{}", stderr(&answered));
        let answers: Vec<serde_json::Value> = serde_json::from_slice(&answered.stdout).unwrap();
        assert_eq!(answers.len(), 200);
        answers.iter().zip(&labels).filter(|(answer, label)| answer["label"] == ***label).count()
    };
    assert_eq!(right(), 200);
    let config = fs::read_to_string(package.join("config.json")).unwrap();
    fs::write(package.join("config.json"), config.replace(", \"norm_epsilon_ppb\": 1000", "")).unwrap();
    let misread = right();
    assert!(misread < 190, "{misread} of 200 with the default: this test would see nothing");
}

#[test]
fn a_model_trained_in_pytorch_is_on_the_board() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("validator");
    assert!(retort().args(["validator", "init", "--dir"]).arg(&home).output().unwrap().status.success());
    let manifest = manifest(dir.path());
    let published = retort().args(["validator", "publish"]).arg(&manifest).arg("--dir").arg(&home).output().unwrap();
    assert!(published.status.success(), "{}", stderr(&published));
    let hotkey = dir.path().join("hotkey");
    assert!(retort().args(["keys", "new"]).arg(&hotkey).output().unwrap().status.success());
    let service = Service::start(&home);

    let package = dir.path().join("student");
    let url = format!("{}/competitions/fashion-mnist", service.address);
    let distil = |options: &[&str]| {
        Command::new(python())
            .arg(repository("miner-template/python/distil.py"))
            .args([&url, "--epochs", "1", "--out"])
            .arg(&package)
            .args(options)
            .env("PYTHONPATH", install(dir.path()))
            .env("HOME", dir.path())
            .env("RETORT", env!("CARGO_BIN_EXE_retort"))
            .env("RETORT_LATENCY", "quick")
            .output()
            .unwrap()
    };
    let done = distil(&["--hotkey", &hotkey.display().to_string()]);
    assert!(done.status.success(), "{}{}", stdout(&done), stderr(&done));
    assert!(stdout(&done).contains("would be admitted; predicted rank 1"), "{}", stdout(&done));
    assert!(stdout(&done).contains("is scored, rank 1"), "{}", stdout(&done));

    let board = service.json(&["board"]);
    let row = board["rows"].as_array().unwrap().iter().find(|row| row["kind"] == "submission").unwrap();
    assert!(row["accuracy_ppm"].as_i64().unwrap() > 600_000, "{row}");

    // What costs too much is said before the teacher is asked, in one line.
    let text = fs::read_to_string(repository("miner-template/python/distil.py")).unwrap();
    let large = dir.path().join("large.py");
    fs::write(&large, text.replace("\"width\": 10", "\"width\": 80")).unwrap();
    let refused = Command::new(python())
        .arg(&large)
        .args([&url, "--epochs", "1"])
        .current_dir(dir.path())
        .env("PYTHONPATH", dir.path().join("installed"))
        .env("HOME", dir.path())
        .env("RETORT", env!("CARGO_BIN_EXE_retort"))
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", stdout(&refused));
    assert!(stderr(&refused).contains("error: the validator would reject this package"), "{}", stderr(&refused));
    assert!(stderr(&refused).contains(" parameters, limit "), "not the bytes that they take: {}", stderr(&refused));
    assert!(!stderr(&refused).contains("Traceback") && !stderr(&refused).contains("asking"), "{}", stderr(&refused));

    // What the binary says of a bad package is what the user of Python reads.
    fs::write(package.join("config.json"), "{}").unwrap();
    let refused = Command::new(python())
        .args(["-c", "import retort_miner as r, sys; r.check(sys.argv[1], r.Competition.fetch(sys.argv[2]))"])
        .arg(&package)
        .arg(&url)
        .env("PYTHONPATH", dir.path().join("installed"))
        .env("HOME", dir.path())
        .env("RETORT", env!("CARGO_BIN_EXE_retort"))
        .output()
        .unwrap();
    assert!(!refused.status.success());
    assert!(stderr(&refused).contains("the validator would reject this package"), "{}", stderr(&refused));
}
