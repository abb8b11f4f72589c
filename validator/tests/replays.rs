//! Ten thousand signatures that were used before, are too old, too new, or made for somebody else: none is accepted.

use super::support::{Package, Setup, TestApp, accept, validator_hotkey};
use futures::StreamExt;
use protocol::Digest;
use protocol::api::SubmissionRequest;
use protocol::auth::{OutgoingRequest, sign_request};
use protocol::submission::State;
use reqwest::Method;
use std::collections::BTreeMap;

const TARGET: &str = "/api/v1/submissions";
const SECOND: u64 = 1_000_000_000;

/// Limits that let everything through to the signature.
fn open() -> Setup {
    let mut setup = Setup::default();
    let limits = &mut setup.config.limits;
    (limits.address_requests_per_second_max, limits.address_requests_burst_max) = (1_000_000, 1_000_000);
    (limits.address_writes_per_second_max, limits.address_writes_burst_max) = (1_000_000, 1_000_000);
    (limits.hotkey_requests_per_minute_max, limits.hotkey_requests_burst_max) = (1_000_000, 1_000_000);
    limits.signed_requests_per_second_max = 1_000_000;
    setup
}

fn body(seed: u32) -> Vec<u8> {
    let files = Package::mlp(&[8], seed).declarations();
    serde_json::to_vec(&SubmissionRequest { competition: "digits".parse().unwrap(), files, invite: None, name: None })
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_replayed_expired_and_foreign_signatures_none_is_accepted() {
    const EACH: usize = 2_500;
    let mut app = TestApp::with_competition(open()).await;
    app.leave_unfinished();
    let miner = app.miner(1);
    let (body, validator) = (body(7), validator_hotkey());
    let once = miner.sign("POST", TARGET, &body);
    assert_eq!(miner.send(Method::POST, TARGET, &once, body.clone()).await.status(), 201);
    let entered = app.app.db.count_by_state().await.unwrap();
    let signed = |receiver, nonce_ns| {
        let request =
            OutgoingRequest { method: "POST", target: TARGET, body_sha256: Digest::of(&body), receiver, nonce_ns };
        sign_request(&miner.keypair, &request)
    };
    let attempts = (0..EACH).flat_map(|index| {
        let age = 11 * SECOND + index as u64 * SECOND;
        [
            ("replayed", once.clone()),
            ("expired", signed(Some(validator), miner.nonce() - age)),
            ("from the future", signed(Some(validator), miner.nonce() + age)),
            ("for another", signed(Some(miner.hotkey()), miner.nonce())),
        ]
    });
    let (miner_ref, body_ref) = (&miner, &body);
    let sent = futures::stream::iter(attempts).map(|(what, headers)| async move {
        let response = miner_ref.send(Method::POST, TARGET, &headers, body_ref.clone()).await;
        let refusal = accept(response, &[]).await.unwrap_err();
        (what, refusal.status, refusal.problem.code)
    });
    let answers: Vec<_> = sent.buffer_unordered(16).collect().await;
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    answers.into_iter().for_each(|answer| *counts.entry(answer).or_default() += 1);
    let expected = [
        ("expired", 401, "stale_request"),
        ("for another", 401, "wrong_receiver"),
        ("from the future", 401, "stale_request"),
        ("replayed", 401, "replayed_request"),
    ];
    let expected = expected.map(|(what, status, code)| ((what, status, code.to_owned()), EACH));
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(app.app.db.count_by_state().await.unwrap(), entered, "nothing came of any of them");
    assert_eq!(nonces(&app).await, 1, "what is refused leaves no row");
}

#[tokio::test]
async fn replays_by_a_stranger_cost_their_victim_nothing() {
    let mut setup = open();
    let limits = &mut setup.config.limits;
    (limits.hotkey_requests_per_minute_max, limits.hotkey_requests_burst_max) = (1, 2);
    let mut app = TestApp::with_competition(setup).await;
    app.leave_unfinished();
    let miner = app.miner(1);
    let body = body(7);
    let headers = miner.sign("POST", TARGET, &body);
    assert_eq!(miner.send(Method::POST, TARGET, &headers, body.clone()).await.status(), 201);
    for _ in 0..20 {
        let refusal = accept(miner.send(Method::POST, TARGET, &headers, body.clone()).await, &[]).await.unwrap_err();
        assert_eq!(refusal.problem.code, "replayed_request");
    }
    assert_eq!(miner.post(TARGET, body).await.status(), 200, "the victim still has its second request");
}

#[tokio::test]
async fn the_table_of_nonces_is_bounded_and_forgets_what_can_t_be_replayed() {
    let mut setup = open();
    setup.config.limits.signed_requests_per_second_max = 5;
    let app = TestApp::with_competition(setup).await;
    let miner = app.miner(1);
    let mut refused = 0;
    for _ in 0..60 {
        let status = miner.post(TARGET, b"{}".to_vec()).await.status().as_u16();
        assert!([422, 503].contains(&status), "{status}");
        refused += u32::from(status == 503);
    }
    let rows = nonces(&app).await;
    assert_eq!(rows + u64::from(refused), 60);
    assert!(refused > 0, "more than the limit were let through");
    app.app.clock.advance(3_901);
    let forgotten = async {
        while nonces(&app).await > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), forgotten).await.expect("old nonces are forgotten");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let id = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
}

async fn nonces(app: &TestApp) -> u64 {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM nonces").fetch_one(app.app.db.pool()).await.unwrap();
    count.unsigned_abs()
}
