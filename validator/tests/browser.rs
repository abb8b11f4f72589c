//! Clients of others against the service: a real browser that watches a board, and requests that Schemathesis makes up.
//! They need Python and Debian's Chromium; what Python needs is pinned in `scripts/python`.

use super::support::{Package, Setup, TestApp};
use protocol::submission::State;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// A client may take its time to start, on a machine that has others to serve.
const PATIENCE: Duration = Duration::from_secs(120);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The interpreter with what `scripts/python/NAME.txt` pins.
async fn python(name: &str) -> PathBuf {
    let made = Command::new(repository().join("scripts/python.sh")).arg(name).output().await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().into()
}

#[tokio::test]
async fn a_browser_sees_a_new_score_without_loading_the_page_again() {
    let app = TestApp::with_competition(Setup::default()).await;
    let (miner, file) = (app.miner(1), app.dir.path().join("submission"));
    let first = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&first, State::Scored).await;
    let mut browser = Command::new(python("pages").await)
        .arg(repository().join("scripts/live.py"))
        .args([app.url("/competitions/digits"), file.display().to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(browser.stdout.take().unwrap()).lines();
    let mut line = async || tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
    assert_eq!(line().await.as_deref(), Some("ready"));
    let id = miner.submit(&Package::mlp(&[9], 8)).await.unwrap();
    std::fs::write(&file, id.to_string()).unwrap();
    app.wait_for(&id, State::Scored).await;
    let scored_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let seen_at: f64 = line().await.expect("the row is seen").parse().unwrap();
    assert!(browser.wait().await.unwrap().success());
    let late = seen_at - scored_at;
    println!("on the screen {late:.2} s after the score");
    // A second is what it takes on a machine of its own; this one may have others to serve.
    assert!(late < 5.0, "{late} s");
}

#[tokio::test]
async fn requests_that_are_made_up_find_no_server_error_and_no_answer_that_is_not_described() {
    let mut setup = Setup::default();
    setup.config.operator_token = "sixteen letters!".into();
    let limits = &mut setup.config.limits;
    (limits.address_requests_per_second_max, limits.address_requests_burst_max) = (100_000, 100_000);
    (limits.address_writes_per_second_max, limits.address_writes_burst_max) = (100_000, 100_000);
    let app = TestApp::with_competition(setup).await;
    let id = app.miner(1).submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let schemathesis = python("api").await.with_file_name("st");
    let run = Command::new(schemathesis)
        .args(["run", &app.url("/openapi.json"), "--max-examples", "6", "--continue-on-failure", "--no-color"])
        .args(["--suppress-health-check", "all", "--warnings", "off", "--generation-deterministic"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args(["--header", "Accept: application/json", "--header", "Authorization: Bearer sixteen letters!"])
        .current_dir(app.dir.path())
        .output();
    // Sixty operations; a machine with others to serve takes minutes.
    let run = tokio::time::timeout(3 * PATIENCE, run).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}");
    let counted = said.lines().find(|line| line.contains(" generated")).unwrap_or_default();
    let count: u32 = counted.trim().split(' ').next().unwrap_or_default().parse().unwrap();
    assert!(count > 200, "{counted}");
}
