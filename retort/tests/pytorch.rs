//! A PyTorch user's day: install the package with pip, train with a real torch, check, submit, be on the board.

use crate::support::{Service, manifest, repository, retort, stderr, stdout};
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
    assert!(stderr(&tests).contains("Ran 7 tests"), "{}", stderr(&tests));
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
