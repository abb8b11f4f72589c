//! A backend in place of the official engine for the answers to public items, by the real binary: named in the settings, allowed by
//! the manifest, told in report and page, checked again by `verify`; and refused where this build lacks it.

use crate::support::{Service, on_engine, repository, retort, stderr, stdout};
use serde_json::Value;
use std::fs;

/// Those of this build: `--features wgpu` and `--features tch` add a graphics driver (`VK_DRIVER_FILES` names Mesa's software one)
/// and LibTorch (scripts/libtorch.sh).
const BUILT: &[&str] = &[
    "flex",
    #[cfg(feature = "wgpu")]
    "wgpu",
    #[cfg(feature = "tch")]
    "tch",
];

#[test]
fn answers_come_from_the_backend_that_settings_name_and_the_manifest_allows() {
    BUILT.iter().for_each(|backend| answers_come_from(backend));
}

fn answers_come_from(backend: &str) {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("validator");
    assert!(retort().args(["validator", "init", "--dir"]).arg(&home).status().unwrap().success());
    let competition = on_engine(dir.path(), "rten");
    let text = fs::read_to_string(&competition).unwrap();
    fs::write(&competition, format!("{text}\n[backends]\naccuracy = [\"flex\", \"wgpu\", \"tch\"]\n")).unwrap();
    let published = retort().args(["validator", "publish"]).arg(&competition).arg("--dir").arg(&home).output().unwrap();
    assert!(published.status.success(), "{}", stderr(&published));

    let mut command = retort();
    command.env("RETORT_ACCURACY_DEVICE", backend);
    let service = Service::start_as(command, &home);
    let hotkey = dir.path().join("hotkey").display().to_string();
    assert!(retort().args(["keys", "new", &hotkey]).status().unwrap().success());
    let package = repository("models/fixtures/resnet").display().to_string();
    let status = service.json(&["miner", "submit", &package, "--hotkey", &hotkey, "--wait"]);
    let report = &status["report"];
    let told = (&report["on_backend"]["backend"], &report["device"]);
    assert_eq!(told, (&backend.into(), &backend.into()), "{report}");
    assert_eq!((&report["on_backend"]["held_against"], &report["on_backend"]["incident"]), (&32.into(), &Value::Null));
    assert!(report["engine"].as_str().unwrap().ends_with(" rten 0.27.0"), "{report}");

    let id = status["id"].as_str().unwrap();
    let confirmed = service.run(&["verify", id, "--outputs-only"]);
    assert_eq!(confirmed.status.code(), Some(0), "{}{}", stdout(&confirmed), stderr(&confirmed));
    let told = format!("answered on {backend}, a sample of 32");
    assert!(stdout(&confirmed).contains(&told), "{}", stdout(&confirmed));
    let items_per_second = report["cost"]["throughput_milli"].as_f64().unwrap() / 1e3;
    println!("{backend}: {items_per_second:.0} items/s");
    assert!(items_per_second > 0.0, "{report}");
}

#[cfg(not(feature = "wgpu"))]
#[test]
fn a_backend_that_this_build_lacks_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("validator");
    assert!(retort().args(["validator", "init", "--dir"]).arg(&home).status().unwrap().success());
    let mut serve = retort();
    serve.args(["validator", "serve", "--listen", "127.0.0.1:0", "--dir"]).arg(&home);
    let refused = serve.env("RETORT_ACCURACY_DEVICE", "wgpu").output().unwrap();
    let told = stderr(&refused);
    assert!(!refused.status.success() && told.contains("accuracy_device = \"wgpu\""), "{told}");
    assert!(told.contains("--features wgpu"), "{told}");

    let compared = retort().args(["bench", "backends", "--items", "40", "--json"]).output().unwrap();
    assert!(compared.status.success(), "{}", stderr(&compared));
    let rows: Vec<Value> = serde_json::from_slice(&compared.stdout).unwrap();
    let row = |name: &str| rows.iter().find(|row| row["backend"] == name).unwrap();
    for name in ["flex", "rten"] {
        let found = &row(name)["found"];
        assert!(found["items_per_second"].as_f64().unwrap() > 0.0 && found["other_classes"] == 0, "{found}");
        assert!(found["delta_max"].as_f64().unwrap() < 1e-3, "{found}");
    }
    assert!(row("wgpu")["problem"].as_str().unwrap().contains("--features wgpu"));
}
