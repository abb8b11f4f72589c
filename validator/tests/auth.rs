//! Signed requests: who may send what, and each failure with the protocol's own name.

use super::support::{Miner, Package, Setup, TestApp, accept, validator_hotkey};
use protocol::Digest;
use protocol::api::SubmissionRequest;
use protocol::auth::{Keypair, OutgoingRequest, sign_request};
use protocol::submission::State;
use reqwest::{Method, StatusCode};
use validator::config::Registration;

const TARGET: &str = "/api/v1/submissions";

fn body() -> Vec<u8> {
    let request = SubmissionRequest {
        competition: "digits".parse().unwrap(),
        files: Package::mlp(&[8], 7).declarations(),
        invite: None,
        name: None,
    };
    serde_json::to_vec(&request).unwrap()
}

#[tokio::test]
async fn each_way_to_sign_wrongly_has_its_code() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let validator = validator_hotkey();
    let request = OutgoingRequest {
        method: "POST",
        target: TARGET,
        body_sha256: Digest::of(&body()),
        receiver: Some(validator),
        nonce_ns: miner.nonce(),
    };
    let signed = |request: OutgoingRequest<'_>| sign_request(&miner.keypair, &request);
    let second = 1_000_000_000;
    let mut forged = signed(request);
    forged.retain(|(name, _)| *name != "X-Bittensor-Hotkey");
    forged.push(("X-Bittensor-Hotkey", Keypair::from_seed(&[9; 32]).hotkey().to_string()));
    let mut twice = signed(request);
    twice.extend(signed(request));
    for (what, headers, code) in [
        ("no signature", vec![], "malformed_auth"),
        ("headers twice", twice, "malformed_auth"),
        ("nobody named", signed(OutgoingRequest { receiver: None, ..request }), "wrong_receiver"),
        ("another validator", signed(OutgoingRequest { receiver: Some(miner.hotkey()), ..request }), "wrong_receiver"),
        ("too old", signed(OutgoingRequest { nonce_ns: request.nonce_ns - 11 * second, ..request }), "stale_request"),
        ("too new", signed(OutgoingRequest { nonce_ns: request.nonce_ns + 3 * second, ..request }), "stale_request"),
        ("another body", signed(OutgoingRequest { body_sha256: Digest::of(b""), ..request }), "bad_signature"),
        ("another target", signed(OutgoingRequest { target: "/api/v1/x", ..request }), "bad_signature"),
        ("another method", signed(OutgoingRequest { method: "PUT", ..request }), "bad_signature"),
        ("another's name", forged, "bad_signature"),
    ] {
        let response = miner.send(Method::POST, TARGET, &headers, body()).await;
        let refusal = accept(response, &[]).await.unwrap_err();
        assert_eq!((refusal.status, refusal.problem.code.as_str()), (401, code), "{what}");
    }
}

#[tokio::test]
async fn a_clock_that_differs_is_told_by_how_much_in_which_direction_and_both_times() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    // The clock of the tests stands at 2027-01-15T08:00:00Z.
    let now_ns = app.app.clock.now_ns();
    for (off_ms, told) in [
        (-12_000, "12.0 s behind this one's: it was signed at 2027-01-15T07:59:48Z and came at 2027-01-15T08:00:00Z"),
        (3_250, "3.2 s ahead of this one's: it was signed at 2027-01-15T08:00:03Z and came at 2027-01-15T08:00:00Z"),
        (600_000, "600.0 s ahead of this one's: it was signed at 2027-01-15T08:10:00Z"),
    ] {
        let request = OutgoingRequest {
            method: "POST",
            target: TARGET,
            body_sha256: Digest::of(&body()),
            receiver: Some(validator_hotkey()),
            nonce_ns: now_ns.saturating_add_signed(off_ms * 1_000_000),
        };
        let response = miner.send(Method::POST, TARGET, &sign_request(&miner.keypair, &request), body()).await;
        assert!(response.headers().contains_key("date"), "what to sign by");
        let problem = accept(response, &[]).await.unwrap_err().problem;
        assert!(problem.code == "stale_request" && problem.detail.contains(told), "{problem:?}");
        assert!(problem.hint.contains("isn't known here"), "{problem:?}");
    }
}

#[tokio::test]
async fn the_account_of_zero_bytes_sends_nothing() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let mut headers = miner.sign("POST", TARGET, &body());
    // What Substrate falls back to; everybody knows a signature of it over anything.
    headers.retain(|(name, _)| !["X-Bittensor-Hotkey", "X-Bittensor-Signature"].contains(name));
    headers.push(("X-Bittensor-Hotkey", protocol::Hotkey::from_bytes([0; 32]).to_string()));
    headers.push(("X-Bittensor-Signature", format!("0x{}80", "00".repeat(63))));
    let refusal = accept(miner.send(Method::POST, TARGET, &headers, body()).await, &[]).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (401, "bad_signature"));
}

#[tokio::test]
async fn a_request_counts_once_even_across_a_restart() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let headers = miner.sign("POST", TARGET, &body());
    let first = miner.send(Method::POST, TARGET, &headers, body()).await;
    assert_eq!(first.status(), StatusCode::CREATED);
    let refusal = accept(miner.send(Method::POST, TARGET, &headers, body()).await, &[]).await.unwrap_err();
    assert_eq!(refusal.problem.code, "replayed_request");
    let (dir, objects) = app.stop().await;
    let mut app = TestApp::start_in(dir, Setup { objects: Some(objects), ..Setup::default() }).await;
    app.leave_unfinished();
    let refusal = accept(app.miner(1).send(Method::POST, TARGET, &headers, body()).await, &[]).await.unwrap_err();
    assert_eq!(refusal.problem.code, "replayed_request");
}

#[tokio::test]
async fn a_query_is_part_of_what_is_signed() {
    let mut app = TestApp::with_competition(Setup::default()).await;
    app.leave_unfinished();
    let miner = app.miner(1);
    let target = "/api/v1/submissions?via=%2Fproxy";
    let response = miner.post(target, body()).await;
    assert_eq!(response.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn nobody_completes_anothers_submission() {
    let app = TestApp::with_competition(Setup::default()).await;
    let (alice, mallory, package) = (app.miner(1), app.miner(2), Package::mlp(&[8], 7));
    let created = alice.announce("digits", &package).await.unwrap();
    alice.upload_all(&created, &package).await.unwrap();
    let refusal = mallory.complete(&created.id).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (404, "not_found"));
    alice.complete(&created.id).await.unwrap();
    app.wait_for(&created.id, State::Scored).await;
}

#[tokio::test]
async fn where_the_settings_ask_for_invites_each_code_lets_one_hotkey_in_once() {
    let mut setup = Setup::default();
    setup.config.registration = Registration::Invite;
    let app = TestApp::with_competition(setup).await;
    let (alice, mallory, bob) = (app.miner(1), app.miner(2), app.miner(3));
    let codes = app.app.db.make_invites(2, app.app.clock.now()).await.unwrap();
    assert!(codes[0] != codes[1] && codes[0].len() >= 32, "{codes:?}");
    let announce = async |miner: &Miner, package: &Package, invite: Option<&str>| {
        let (competition, files) = ("digits".parse().unwrap(), package.declarations());
        let request = SubmissionRequest { competition, files, invite: invite.map(str::to_owned), name: None };
        let answer = miner.post("/api/v1/submissions", serde_json::to_vec(&request).unwrap()).await;
        let status = answer.status().as_u16();
        let body: serde_json::Value = answer.json().await.unwrap();
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    let package = Package::mlp(&[8], 7);
    assert_eq!(announce(&alice, &package, None).await, (403, "not_invited".into()));
    assert_eq!(announce(&alice, &package, Some("no such code")).await, (403, "invite_invalid".into()));
    assert_eq!(announce(&alice, &package, Some(&codes[0])).await.0, 201);
    let id = alice.submit(&package).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let second = alice.submit(&Package::mlp(&[8], 8)).await.expect("whoever is in stays in");
    app.wait_for(&second, State::Scored).await;
    assert_eq!(announce(&mallory, &package, Some(&codes[0])).await, (403, "invite_invalid".into()));
    app.app.ledger.register(chain::Registration::own(bob.hotkey(), 0)).unwrap();
    let id = bob.submit(&package).await.expect("whoever is registered needs no code");
    app.wait_for(&id, State::Scored).await;
    let kept: Vec<String> =
        sqlx::query_scalar("SELECT code_sha256 FROM invites").fetch_all(app.app.db.pool()).await.unwrap();
    assert!(kept.iter().all(|kept| !codes.contains(kept)), "digests only");
}

#[tokio::test]
async fn only_registered_hotkeys_submit_where_the_settings_say_so() {
    let mut setup = Setup::default();
    setup.config.registration = Registration::Required;
    let app = TestApp::with_competition(setup).await;
    let (miner, package) = (app.miner(1), Package::mlp(&[8], 7));
    let refusal = miner.announce("digits", &package).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (403, "not_registered"));
    app.app.ledger.register(chain::Registration::own(miner.hotkey(), 0)).unwrap();
    let id = miner.submit(&package).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    // As `retort validator register` does beside the service, which alone writes the ledger.
    let (other, package, owner) = (app.miner(2), Package::mlp(&[9], 7), app.miner(3).hotkey());
    app.app.db.want_registration(&other.hotkey(), &owner).await.unwrap();
    let registered =
        async || app.app.ledger.registrations().unwrap().into_iter().find(|it| it.hotkey == other.hotkey());
    let registered = until(registered).await;
    assert_eq!(registered.owner(), owner);
    until(async || app.app.db.registrations_due().await.unwrap().is_empty().then_some(())).await;
    let id = other.submit(&package).await.unwrap();
    app.wait_for(&id, State::Scored).await;
}

/// Waits until `found` is something.
async fn until<T>(mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = found().await {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), waiting).await.expect("it comes")
}
