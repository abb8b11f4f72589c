//! Packages become public with the round that they were entered in, and not before: over the API, the Hub and the pages.

use super::rounds::{by_size, play, submit, wait_for};
use super::support::{Miner, Package, Setup, TestApp, competition, competition_toml};
use protocol::SubmissionId;
use protocol::api::Leaderboard;
use protocol::round::Step;
use protocol::submission::State;
use serde_json::Value;
use std::time::Duration;
use validator::administration::disqualify;
use validator::rounds::close_now;

async fn app() -> TestApp {
    TestApp::with_competition(Setup { evaluator: by_size(), ..Setup::default() }).await
}

/// Addresses of a submission's files: all that were uploaded, and what is offered of them.
async fn files(miner: &Miner, id: &SubmissionId) -> Vec<String> {
    let status = miner.status(id).await;
    let files = status.files.iter().chain(&status.published);
    files.map(|file| format!("/api/v1/objects/sha256/{}", file.sha256)).collect()
}

/// Whether everybody has all of a submission's files, or nobody any.
async fn is_public(app: &TestApp, id: &SubmissionId) -> bool {
    let miner = app.miner(9);
    let mut found = Vec::new();
    for target in files(&miner, id).await {
        let answer = miner.get(&target).await;
        found.push(answer.status() == 200);
        if answer.status() != 200 {
            let problem: Value = answer.json().await.unwrap();
            assert_eq!((problem["status"].as_u64(), problem["code"].as_str()), (Some(403), Some("weights_withheld")));
        }
    }
    let weights = miner.get(&format!("/submissions/{id}/resolve/main/model.safetensors")).await;
    found.push(weights.status() == 200);
    let waits = miner.status(id).await.withheld_until_round;
    found.push(waits.is_none());
    assert!(found.iter().all(|public| *public == found[0]), "{found:?}");
    found[0]
}

#[tokio::test]
async fn a_package_is_kept_back_until_its_round_is_revealed() {
    let app = app().await;
    let miner = app.miner(1);
    wait_for(&app, 1, Step::Open).await;
    let id = submit(&app, &miner, 25).await;
    assert!(!is_public(&app, &id).await);
    let status = miner.status(&id).await;
    assert_eq!(status.withheld_until_round, Some(1));
    // What was measured is for everybody at once.
    for sha256 in [status.receipt.unwrap(), status.report.unwrap().latency.samples_sha256.unwrap()] {
        assert_eq!(miner.get(&format!("/api/v1/objects/sha256/{sha256}")).await.status(), 200);
    }
    let page = miner.get(&format!("/submissions/{id}")).await.text().await.unwrap();
    assert!(page.contains("becomes public when round 1 is over"), "{page}");
    // The Hub's clients see the repository, and are told why they don't get the file.
    let info: Value = miner.get(&format!("/api/models/submissions/{id}")).await.json().await.unwrap();
    let listed: Vec<_> = info["siblings"].as_array().unwrap().iter().map(|file| file["rfilename"].clone()).collect();
    assert!(listed.contains(&"model.safetensors".into()) && listed.contains(&"README.md".into()), "{listed:?}");
    for head in [false, true] {
        let target = app.url(&format!("/submissions/{id}/resolve/main/model.safetensors"));
        let request = if head { miner.http.head(target) } else { miner.http.get(target) };
        let answer = request.send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["x-error-code"].to_str().unwrap()), (403, "GatedRepo"));
        let said = answer.headers()["x-error-message"].to_str().unwrap();
        assert!(said.contains("kept back until round 1 is revealed"), "{said}");
    }
    assert_eq!(miner.get(&format!("/submissions/{id}/resolve/main/README.md")).await.status(), 200);

    play(&app, 1).await;
    assert!(is_public(&app, &id).await);
    let page = miner.get(&format!("/submissions/{id}")).await.text().await.unwrap();
    assert!(page.contains("retort pull"), "{page}");
}

#[tokio::test]
async fn what_comes_after_the_close_waits_for_the_next_round() {
    let app = app().await;
    wait_for(&app, 1, Step::Open).await;
    let first = submit(&app, &app.miner(1), 20).await;
    close_now(&app.app.db, app.app.hotkey, &competition("digits"), app.app.clock.now()).await.unwrap();
    let second = app.miner(2).submit(&Package::mlp(&[25], 7)).await.unwrap();
    app.wait_for(&second, State::Scored).await;
    wait_for(&app, 1, Step::Revealed).await;
    assert!(is_public(&app, &first).await);
    assert!(!is_public(&app, &second).await);
    assert_eq!(app.miner(2).status(&second).await.withheld_until_round, Some(2));
    app.app.clock.advance(1);
    play(&app, 2).await;
    assert!(is_public(&app, &second).await);
}

#[tokio::test]
async fn a_manifest_may_show_packages_at_once() {
    let app = TestApp::start(Setup { evaluator: by_size(), ..Setup::default() }).await;
    app.publish(&competition_toml("digits", "weights_public = \"at_once\"")).await;
    let id = submit(&app, &app.miner(1), 20).await;
    assert!(is_public(&app, &id).await);
}

#[tokio::test]
async fn nothing_is_kept_back_once_a_competition_is_over() {
    let app = TestApp::start(Setup { evaluator: by_size(), ..Setup::default() }).await;
    let closes_at = app.app.clock.now() + 100;
    app.publish(&competition_toml("digits", &format!("closes_at = {closes_at}"))).await;
    wait_for(&app, 1, Step::Open).await;
    let first = submit(&app, &app.miner(1), 20).await;
    close_now(&app.app.db, app.app.hotkey, &competition("digits"), app.app.clock.now()).await.unwrap();
    // Too late for the round that closes, and no other comes.
    let last = app.miner(2).submit(&Package::mlp(&[25], 7)).await.unwrap();
    app.app.clock.advance(200);
    app.wait_for(&last, State::Scored).await;
    for _ in 0..1_500 {
        // All of a package becomes public at once, but not between two questions about it.
        if app.miner(2).status(&last).await.withheld_until_round.is_none() {
            assert!(is_public(&app, &first).await && is_public(&app, &last).await);
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{last} is never public");
}

/// Whoever enters what is public has nothing to keep back: everybody has it by every way.
#[tokio::test]
async fn a_model_that_everybody_has_is_not_kept_back() {
    let app = app().await;
    wait_for(&app, 1, Step::Open).await;
    let mut copy = Package::mlp(&[4], 2);
    let config: Value = serde_json::from_slice(copy.file("config.json")).unwrap();
    *copy.file("config.json") = serde_json::to_vec_pretty(&config).unwrap();
    let id = app.miner(1).submit(&copy).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    assert!(is_public(&app, &id).await);
    let other = submit(&app, &app.miner(2), 25).await;
    assert!(!is_public(&app, &other).await);
}

/// Announced before the end and complete soon after it: the last round waits, and page, board and round name one champion.
#[tokio::test]
async fn who_is_in_time_for_the_end_is_in_the_last_round_and_paid() {
    let app = TestApp::start(Setup { evaluator: by_size(), ..Setup::default() }).await;
    let closes_at = app.app.clock.now() + 100;
    app.publish(&competition_toml("digits", &format!("closes_at = {closes_at}"))).await;
    wait_for(&app, 1, Step::Open).await;
    app.app.clock.advance(95);
    let (miner, package) = (app.miner(1), Package::mlp(&[25], 7));
    let created = miner.announce("digits", &package).await.unwrap();
    app.app.clock.advance(10);
    let refused = app.miner(2).announce("digits", &Package::mlp(&[20], 7)).await.unwrap_err();
    assert_eq!(refused.problem.code, "competition_closed");
    miner.upload_all(&created, &package).await.unwrap();
    miner.complete(&created.id).await.unwrap();
    app.wait_for(&created.id, State::Scored).await;
    let round = wait_for(&app, 1, Step::Revealed).await;
    assert_eq!(round.champion, Some(created.id.clone()));
    assert_eq!(round.weights.iter().map(|weight| weight.hotkey).collect::<Vec<_>>(), [miner.hotkey()]);
    let board: Leaderboard = miner.get("/api/v1/competitions/digits/leaderboard").await.json().await.unwrap();
    assert_eq!(board.champion, Some(created.id.clone()));
    let page = miner.get("/competitions/digits").await.text().await.unwrap();
    let hero = page.split("id=\"champion\"").nth(1).expect("the page names a champion");
    assert!(hero.split("</section>").next().unwrap().contains(&created.id.to_string()), "{page}");
}

/// Who asked for the list before keeps the list, and no more.
#[tokio::test]
async fn a_package_that_is_taken_out_before_its_time_is_nobodys() {
    let app = app().await;
    let miner = app.miner(1);
    let id = submit(&app, &miner, 25).await;
    assert_eq!(miner.get(&format!("/api/models/submissions/{id}")).await.status(), 200);
    let reason = "a copy from elsewhere".parse().unwrap();
    disqualify(&app.app.db, app.app.hotkey, &id, reason, app.app.clock.now()).await.unwrap();
    play(&app, 1).await;
    let weights = miner.get(&format!("/submissions/{id}/resolve/main/model.safetensors")).await;
    assert_eq!(weights.status(), 404);
    for target in files(&miner, &id).await {
        assert_eq!(miner.get(&target).await.status(), 404, "{target}");
    }
}

/// Whoever asks for the bytes of what was refused learns nothing.
#[tokio::test]
async fn what_is_not_scored_is_as_if_it_were_not_there() {
    let app = app().await;
    let miner = app.miner(1);
    let broken = Package::mlp(&[8], 7).with_config(|config| config["labels"] = serde_json::json!(["a", "b"]));
    let id = miner.submit(&broken).await.unwrap();
    app.wait_for(&id, State::Rejected).await;
    for target in files(&miner, &id).await {
        assert_eq!(miner.get(&target).await.status(), 404, "{target}");
    }
    assert_eq!(miner.status(&id).await.withheld_until_round, None);
}
