//! What a hotkey may have under way and enter in a day; what costs nothing; when it may come again.

use super::hardening::client_from;
use super::lifecycle::{after_publishing, script};
use super::support::{Miner, Package, Refusal, Setup, TestApp, competition_toml};
use chain::Registration;
use protocol::evaluation::EvaluationFailure;
use protocol::submission::State;
use std::sync::Arc;
use tokio::sync::Semaphore;
use validator::scripted::scripted_evaluation;

fn small() -> Setup {
    let mut setup = Setup::default();
    setup.config.limits.hotkey_pending_max = 2;
    setup
}

fn code(refusal: &Refusal) -> (u16, &str, Option<u64>) {
    (refusal.status, refusal.problem.code.as_str(), refusal.problem.retry_after_seconds)
}

async fn announce(miner: &Miner, seed: u32) -> Result<protocol::SubmissionId, Refusal> {
    miner.announce("digits", &Package::mlp(&[8], seed)).await.map(|created| created.id)
}

#[tokio::test]
async fn a_hotkey_has_so_many_under_way_over_all_competitions() {
    let mut app = TestApp::with_competition(small()).await;
    app.publish(&competition_toml("letters", "")).await;
    app.leave_unfinished();
    let miner = app.miner(1);
    let first = announce(&miner, 1).await.unwrap();
    app.app.clock.advance(100);
    miner.announce("letters", &Package::mlp(&[8], 2)).await.unwrap();
    let refusal = announce(&miner, 3).await.unwrap_err();
    assert_eq!(code(&refusal), (429, "pending_exhausted", Some(500)), "when the first one's upload ends");
    announce(&miner, 1).await.expect("asking after one of them again is no new one");
    announce(&app.miner(2), 3).await.expect("another hotkey isn't concerned");
    // Its time is over: the place is free.
    app.app.clock.advance(501);
    app.wait_for(&first, State::Expired).await;
    announce(&miner, 3).await.unwrap();
}

#[tokio::test]
async fn what_is_taken_back_frees_its_place_and_no_quota() {
    let app = TestApp::with_competition(small()).await;
    let (miner, other) = (app.miner(1), app.miner(2));
    let broken_off = announce(&miner, 1).await.unwrap();
    announce(&miner, 2).await.unwrap();
    assert_eq!(code(&announce(&miner, 3).await.unwrap_err()).1, "pending_exhausted");
    assert_eq!(other.withdraw(&broken_off).await.unwrap_err().status, 404, "somebody else's looks like none");
    for _ in 0..2 {
        let status = miner.withdraw(&broken_off).await.expect("saying it twice is harmless");
        assert_eq!(
            (status.state, status.reason.unwrap().blame),
            (State::Withdrawn, protocol::submission::Blame::Nobody)
        );
    }
    let third = announce(&miner, 3).await.expect("its place is free");
    // Four a day: the one that was taken back is among them, and the same package may come again.
    assert_eq!(miner.withdraw(&third).await.unwrap().state, State::Withdrawn);
    let again = announce(&miner, 1).await.unwrap();
    assert_ne!(again, broken_off);
    miner.withdraw(&again).await.unwrap();
    assert_eq!(code(&announce(&miner, 4).await.unwrap_err()).1, "quota_exhausted");
    let mut app = app;
    app.leave_unfinished();
}

#[tokio::test]
async fn what_waits_for_its_turn_can_be_taken_back_and_what_is_measured_can_not() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let slow = after_publishing(move |request| {
        let mut gate = gate.clone();
        Box::pin(async move {
            gate.wait_for(|open| *open).await.unwrap();
            scripted_evaluation(&request, 900_000)
        })
    });
    let app = TestApp::with_competition(Setup { evaluator: slow, ..Setup::default() }).await;
    let first = app.miner(1).submit(&Package::mlp(&[8], 1)).await.unwrap();
    app.wait_for(&first, State::Evaluating).await;
    let second = app.miner(2).submit(&Package::mlp(&[8], 2)).await.unwrap();
    app.wait_for(&second, State::Queued).await;
    assert_eq!(code(&app.miner(1).withdraw(&first).await.unwrap_err()).1, "not_withdrawable");
    assert_eq!(app.miner(2).withdraw(&second).await.unwrap().state, State::Withdrawn);
    go.send(true).unwrap();
    app.wait_for(&first, State::Scored).await;
    assert_eq!(code(&app.miner(1).withdraw(&first).await.unwrap_err()).1, "not_withdrawable");
    assert_eq!(app.miner(2).status(&second).await.state, State::Withdrawn, "nobody measures it any more");
}

#[tokio::test]
async fn what_is_scored_is_not_under_way() {
    let app = TestApp::with_competition(small()).await;
    let miner = app.miner(1);
    for seed in 0..4 {
        let id = miner.submit(&Package::mlp(&[8], seed)).await.unwrap();
        app.wait_for(&id, State::Scored).await;
    }
    assert_eq!(app.app.db.pending_of(&miner.hotkey()).await.unwrap(), Default::default());
}

#[tokio::test]
async fn announced_bytes_count_before_they_come() {
    let mut setup = Setup::default();
    let size: u64 = Package::mlp(&[8], 1).declarations().iter().map(|file| file.size).sum();
    setup.config.limits.hotkey_pending_bytes_max = 2 * size;
    let mut app = TestApp::with_competition(setup).await;
    app.leave_unfinished();
    let miner = app.miner(1);
    announce(&miner, 1).await.unwrap();
    announce(&miner, 2).await.unwrap();
    let refusal = announce(&miner, 3).await.unwrap_err();
    assert_eq!(code(&refusal), (429, "pending_bytes_exhausted", Some(600)));
    assert_eq!(app.app.db.pending_of(&miner.hotkey()).await.unwrap().bytes, 2 * size);
}

#[tokio::test]
async fn a_hotkey_with_nothing_under_way_may_enter_whatever_the_competition_takes() {
    let mut setup = Setup::default();
    setup.config.limits.hotkey_pending_bytes_max = 1;
    let app = TestApp::with_competition(setup).await;
    let id = app.miner(1).submit(&Package::mlp(&[8], 1)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
}

#[tokio::test]
async fn whoever_announces_and_never_uploads_is_stopped_for_the_day() {
    let mut setup = Setup::default();
    setup.config.limits.hotkey_announcements_per_day_max = 3;
    let mut app = TestApp::with_competition(setup).await;
    app.leave_unfinished();
    let miner = app.miner(1);
    for seed in 0..3 {
        let id = announce(&miner, seed).await.unwrap();
        app.app.clock.advance(601);
        app.wait_for(&id, State::Expired).await;
    }
    let refusal = announce(&miner, 3).await.unwrap_err();
    assert_eq!(code(&refusal), (429, "announcements_exhausted", Some(24 * 3_600 - 3 * 601)));
    app.app.clock.advance(24 * 3_600 - 3 * 601);
    announce(&miner, 3).await.unwrap();
}

#[tokio::test]
async fn failures_of_ours_cost_nothing() {
    let failing = script(|request, submissions| match submissions {
        0 if request.truth.teacher_logits.is_none() => scripted_evaluation(&request, 960_000),
        _ if request.order.candidate.weights == request.order.reference.weights => {
            scripted_evaluation(&request, 900_000)
        }
        _ => Err(EvaluationFailure::Infrastructure("/srv/retort/worker: no such file".into())),
    });
    let mut setup = Setup { evaluator: failing, ..small() };
    setup.config.limits.hotkey_announcements_per_day_max = 4;
    let app = TestApp::with_competition(setup).await;
    let miner = app.miner(1);
    // More than any quota allows: four a day in the competition and from the hotkey, two under way.
    for seed in 0..6 {
        let id = miner.submit(&Package::mlp(&[8], seed)).await.unwrap();
        app.wait_for(&id, State::Failed).await;
        let text = miner.get(&format!("/api/v1/submissions/{id}")).await.text().await.unwrap();
        assert!(!text.contains("/srv"), "what happens inside is nobody's business: {text}");
    }
}

#[tokio::test]
async fn announcements_whose_bytes_never_come_keep_nobody_out_and_end_soon() {
    let mut setup = Setup::default();
    setup.config.limits.pending_max = 4;
    let mut app = TestApp::start(setup).await;
    app.publish(&competition_toml("digits", "").replace("upload_seconds_max = 600", "upload_seconds_max = 3600")).await;
    app.leave_unfinished();
    // Those that came whole don't count as announced, and those that are announced don't as waiting.
    let client = |host: u8| {
        let mut miner = app.miner(host);
        miner.http = client_from(host);
        miner
    };
    let silent = [announce(&client(2), 1).await.unwrap(), announce(&client(2), 2).await.unwrap()];
    let refusal = announce(&client(2), 3).await.unwrap_err();
    assert_eq!(code(&refusal), (503, "busy", Some(1)), "beyond the half an address has its share");
    let begun = client(3).announce("digits", &Package::mlp(&[8], 4)).await.unwrap();
    assert_eq!(begun.uploads[0].expires_at, app.app.clock.now() + 600);
    client(3).put(&begun.uploads[0], Package::mlp(&[8], 4).files[0].1.clone()).await.unwrap();
    app.app.clock.advance(600);
    for id in &silent {
        app.wait_for(id, State::Expired).await;
    }
    assert_eq!(app.app.db.submission(&begun.id).await.unwrap().unwrap().state, State::AwaitingUpload);
    let again = client(3).announce("digits", &Package::mlp(&[8], 4)).await.unwrap();
    assert_eq!(again.uploads[0].expires_at, app.app.clock.now() + 3_000);
    announce(&client(2), 3).await.expect("their places are free");
}

/// A miner with a key of its own at an address.
fn miner_at(app: &TestApp, host: u8, key: u8) -> Miner {
    let mut miner = app.miner(key);
    miner.http = client_from(host);
    miner
}

#[tokio::test]
async fn what_is_announced_holds_its_place_after_a_restart_and_no_address_stands_in_the_database() {
    let setup = || {
        let mut setup = Setup::default();
        setup.config.limits.pending_max = 4;
        setup
    };
    let app = TestApp::with_competition(setup()).await;
    for key in [1, 2] {
        announce(&miner_at(&app, 2, key), key.into()).await.unwrap();
    }
    let full = (503, "busy", Some(1));
    assert_eq!(code(&announce(&miner_at(&app, 2, 3), 3).await.unwrap_err()), full);
    let (dir, objects) = app.stop().await;
    let mut read = 0;
    for file in std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap()) {
        if file.file_name().to_string_lossy().starts_with("data.sqlite") {
            let bytes = std::fs::read(file.path()).unwrap();
            read += bytes.len();
            assert!(!bytes.windows(9).any(|part| part == b"127.0.0.2"), "{:?} names an address", file.file_name());
        }
    }
    assert!(read > 0);

    let mut app = TestApp::start_in(dir, Setup { objects: Some(objects), ..setup() }).await;
    app.leave_unfinished();
    assert_eq!(code(&announce(&miner_at(&app, 2, 3), 3).await.unwrap_err()), full);
    announce(&miner_at(&app, 3, 4), 4).await.expect("another address has its share");
    let places: serde_json::Value = app.as_operator("/api/v1/operator").await.json().await.unwrap();
    let places = places["places"].as_array().unwrap();
    let announced = places.iter().find(|place| place["kind"] == "announcements").unwrap();
    assert_eq!((&announced["taken"], &announced["of"]), (&3.into(), &4.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_waits_an_address_has_its_share_and_free_keys_never_stop_whoever_is_registered() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let evaluator = after_publishing(move |request| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            let _passed = gate.acquire().await;
            scripted_evaluation(&request, 900_000)
        })
    });
    let mut setup = Setup { evaluator, ..Setup::default() };
    setup.config.limits.pending_max = 8;
    let app = TestApp::with_competition(setup).await;
    let submit = async |host: u8, key: u8| miner_at(&app, host, key).submit(&Package::mlp(&[8], key.into())).await;
    let refused = |refusal: Refusal| {
        assert_eq!(code(&refusal), (503, "busy", Some(60)));
        refusal.problem.detail
    };
    // Half is for anybody; then it is two for each.
    for (host, key) in [(2, 1), (2, 2), (2, 3), (2, 4), (3, 5), (3, 6)] {
        submit(host, key).await.unwrap();
    }
    for (host, key) in [(2, 7), (3, 8)] {
        assert!(refused(submit(host, key).await.unwrap_err()).contains("your address"));
    }
    for key in [9, 10] {
        submit(4, key).await.expect("another address has its share");
    }
    assert!(!refused(submit(5, 11).await.unwrap_err()).contains("your address"), "all are taken");
    // Whoever waits already takes no more by sending another.
    let second = miner_at(&app, 2, 1).submit(&Package::mlp(&[8], 50)).await.unwrap();
    let registered = miner_at(&app, 2, 12);
    app.app.ledger.register(Registration::own(registered.hotkey(), 1)).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let id = registered.submit(&Package::mlp(&[8], 12)).await.expect("it has paid for its place");
    gate.add_permits(1_000);
    app.wait_for(&id, State::Scored).await;
    app.wait_for(&second, State::Scored).await;
    for (host, key) in [(2, 1), (2, 2), (2, 3), (2, 4), (3, 5), (3, 6), (4, 9), (4, 10)] {
        let living = submit(host, key).await.unwrap();
        app.wait_for(&living, State::Scored).await;
    }
}
