//! Webhooks: told in order, signed so that a receiver can check it, tried again, and never led to our own machines.

use super::hardening::client_from;
use super::support::{Miner, Package, Setup, TestApp, accept};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chain::Registration;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, StatusCode};
use protocol::submission::State as Reached;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

/// Somebody who is told: what came, and how many deliveries are refused first.
#[derive(Clone, Default)]
pub(crate) struct Receiver {
    came: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    pub(crate) refuses: Arc<Mutex<u32>>,
}

impl Receiver {
    pub(crate) async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().fallback(take).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        url
    }

    /// The events that came, once there are `count` of them.
    async fn events(&self, count: usize) -> Vec<Value> {
        for _ in 0..500 {
            let events: Vec<Value> =
                self.messages().into_iter().filter(|message| message["type"] != "retort.challenge").collect();
            if events.len() >= count {
                return events;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:?}", self.messages());
    }

    pub(crate) fn messages(&self) -> Vec<Value> {
        self.came.lock().unwrap().iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let message: Value = serde_json::from_str(&body).unwrap();
    let challenge = message["data"]["challenge"].as_str().unwrap_or_default().to_owned();
    let mut refuses = receiver.refuses.lock().unwrap();
    if challenge.is_empty() && *refuses > 0 {
        *refuses -= 1;
        return (StatusCode::SERVICE_UNAVAILABLE, String::new());
    }
    receiver.came.lock().unwrap().push((headers, body));
    (StatusCode::OK, challenge)
}

async fn start() -> TestApp {
    let mut setup = Setup::default();
    setup.config.webhooks_private = true;
    TestApp::with_competition(setup).await
}

async fn register(miner: &Miner, body: Value) -> reqwest::Response {
    miner.post("/api/v1/webhooks", body.to_string().into_bytes()).await
}

async fn listed(miner: &Miner) -> Value {
    let headers = miner.sign("GET", "/api/v1/webhooks", b"");
    miner.send(reqwest::Method::GET, "/api/v1/webhooks", &headers, Vec::new()).await.json().await.unwrap()
}

async fn submit(app: &TestApp, miner: &Miner, seed: u32) -> protocol::SubmissionId {
    let id = miner.submit(&Package::mlp(&[8], seed)).await.unwrap();
    app.wait_for(&id, Reached::Scored).await;
    id
}

#[tokio::test]
async fn a_receiver_is_told_every_step_in_order_and_can_check_who_says_so() {
    let app = start().await;
    let (alice, receiver) = (app.miner(1), Receiver::default());
    submit(&app, &alice, 7).await;
    let url = receiver.listen().await;
    let registered: Value = register(&alice, json!({ "url": url })).await.json().await.unwrap();
    let secret = registered["secret"].as_str().unwrap().to_owned();
    // What others do isn't for it.
    submit(&app, &app.miner(2), 8).await;
    let id = submit(&app, &alice, 9).await;
    let told = receiver.events(5).await;
    let states: Vec<&str> = told.iter().map(|message| message["data"]["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["awaiting_upload", "checking", "queued", "evaluating", "scored"]);
    assert!(told.iter().all(|message| message["data"]["submission"] == id.to_string()));
    assert_eq!(told[4]["type"], "retort.submission");
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap();
    for (headers, body) in receiver.came.lock().unwrap().iter() {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp")).as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(header("webhook-signature"), expected);
    }
    let listed = listed(&alice).await;
    assert_eq!(listed[0]["id"], registered["id"]);
    assert!(registered["confirmed_at"].is_null() && listed[0]["confirmed_at"].is_u64());
    assert!(listed[0].get("secret").is_none(), "it is shown once");
}

#[tokio::test]
async fn what_lies_in_the_database_signs_nothing_and_a_restart_changes_no_key() {
    let app = start().await;
    let (alice, receiver) = (app.miner(1), Receiver::default());
    submit(&app, &alice, 7).await;
    let url = receiver.listen().await;
    let body = json!({ "url": url, "competition": "digits" });
    let registered: Value = register(&alice, body).await.json().await.unwrap();
    let secret = registered["secret"].as_str().unwrap().to_owned();
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap();
    let (dir, objects) = app.stop().await;
    let needles =
        [secret.as_bytes(), secret.trim_start_matches("whsec_").as_bytes(), &key, hex::encode(&key).as_bytes()]
            .map(<[u8]>::to_vec);
    let mut read = 0;
    for file in std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap()) {
        if !file.file_name().to_string_lossy().starts_with("data.sqlite") {
            continue;
        }
        let bytes = std::fs::read(file.path()).unwrap();
        read += bytes.len();
        for needle in &needles {
            assert!(!bytes.windows(needle.len()).any(|part| part == needle), "{:?} has the key", file.file_name());
        }
    }
    assert!(read > 0);

    let mut setup = Setup { objects: Some(objects), ..Setup::default() };
    setup.config.webhooks_private = true;
    let app = TestApp::start_in(dir, setup).await;
    let before = receiver.events(0).await.len();
    submit(&app, &app.miner(2), 8).await;
    receiver.events(before + 5).await;
    let came = receiver.came.lock().unwrap();
    let (headers, body) = came.last().unwrap();
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp")).as_bytes());
    assert_eq!(header("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
}

#[tokio::test]
async fn a_receiver_that_fails_is_told_again_later_and_misses_nothing() {
    let app = start().await;
    let (alice, receiver) = (app.miner(1), Receiver::default());
    submit(&app, &alice, 7).await;
    let url = receiver.listen().await;
    *receiver.refuses.lock().unwrap() = 2;
    let body = json!({ "url": url, "competition": "digits" });
    assert_eq!(register(&alice, body).await.status(), 201);
    submit(&app, &app.miner(2), 8).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        app.app.clock.advance(30);
    }
    let told = receiver.events(5).await;
    let ids: Vec<u64> = told.iter().map(|message| message["data"]["id"].as_u64().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    assert_eq!(*receiver.refuses.lock().unwrap(), 0);
}

#[tokio::test]
async fn addresses_that_lead_home_or_want_nothing_are_refused() {
    let app = TestApp::with_competition(Setup::default()).await;
    let (alice, receiver) = (app.miner(1), Receiver::default());
    submit(&app, &alice, 7).await;
    let url = receiver.listen().await;
    for wrong in [url.as_str(), "https://127.0.0.1/", "https://localhost/", "http://hooks.example/", "nonsense"] {
        let refusal = accept(register(&alice, json!({ "url": wrong })).await, &[]).await.unwrap_err();
        assert_eq!((refusal.status, refusal.problem.code.as_str()), (422, "webhook_unusable"), "{wrong}");
    }
    assert!(receiver.came.lock().unwrap().is_empty(), "nobody knocked");
    let refusal = accept(register(&app.miner(2), json!({ "url": url })).await, &[]).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (403, "not_taking_part"));
}

#[tokio::test]
async fn whoever_does_not_answer_the_challenge_is_not_told_and_four_are_enough() {
    let app = start().await;
    let (alice, receiver) = (app.miner(1), Receiver::default());
    submit(&app, &alice, 7).await;
    // Our own address answers, and not with the challenge: that is tried three times.
    assert_eq!(register(&alice, json!({ "url": app.url("/healthz") })).await.status(), 201);
    let ended = async {
        loop {
            let listed = listed(&alice).await;
            if let Some(ended) = listed[0]["ended"].as_str() {
                assert!(ended.contains("not with the challenge") && listed[0]["confirmed_at"].is_null(), "{ended}");
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            app.app.clock.advance(5);
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("it ends");
    let metrics = app.as_operator("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("retort_webhook_failures_total{what=\"challenge\"} 3"), "{metrics}");
    let url = receiver.listen().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        let registered: Value = register(&alice, json!({ "url": url })).await.json().await.unwrap();
        ids.push(registered["id"].as_str().unwrap().to_owned());
    }
    let refusal = accept(register(&alice, json!({ "url": url })).await, &[]).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (409, "webhooks_exhausted"));
    let target = format!("/api/v1/webhooks/{}", ids[0]);
    let remove = async |miner: &Miner| {
        let headers = miner.sign("DELETE", &target, b"");
        miner.send(reqwest::Method::DELETE, &target, &headers, Vec::new()).await.status().as_u16()
    };
    assert_eq!((remove(&app.miner(2)).await, remove(&alice).await, remove(&alice).await), (404, 204, 404));
}

/// Somebody who answers the challenge and takes for ever for everything else; without an answer to the challenge, for that too.
async fn sluggard(answers_challenge: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = Router::new().fallback(async move |body: Bytes| {
        let message: Value = serde_json::from_slice(&body).unwrap();
        match message["data"]["challenge"].as_str() {
            Some(challenge) if answers_challenge => challenge.to_owned(),
            _ => std::future::pending().await,
        }
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_that_never_answer_hold_up_nobody_who_does() {
    let app = start().await;
    let (slow, silent) = (sluggard(true).await, sluggard(false).await);
    let began = std::time::Instant::now();
    for seed in 1..=9 {
        let miner = app.miner(seed);
        submit(&app, &miner, u32::from(seed)).await;
        for url in [&slow, &slow, &slow, &silent] {
            let body = json!({ "url": url, "competition": "digits" });
            assert_eq!(register(&miner, body).await.status(), 201);
        }
    }
    assert!(began.elapsed() < Duration::from_secs(60), "nobody waits for a challenge: {:?}", began.elapsed());
    let (alice, receiver) = (app.miner(20), Receiver::default());
    submit(&app, &alice, 20).await;
    let body = json!({ "url": receiver.listen().await, "competition": "digits" });
    assert_eq!(register(&alice, body).await.status(), 201);
    submit(&app, &app.miner(21), 21).await;
    // Fewer than the seconds that 27 of them would take one after the other.
    let told = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let count = receiver.messages().len();
            if count > 5 {
                return count;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    told.await.expect("it is told all of it");
}

#[tokio::test]
async fn a_hotkey_has_so_many_addresses_challenged() {
    let app = start().await;
    let (alice, receiver) = (app.miner(1), Receiver::default());
    submit(&app, &alice, 7).await;
    let url = receiver.listen().await;
    let mut codes = Vec::new();
    for _ in 0..9 {
        let registered = register(&alice, json!({ "url": url })).await;
        if registered.status() != 201 {
            codes.push(accept(registered, &[]).await.unwrap_err().problem.code);
            continue;
        }
        let webhook: Value = registered.json().await.unwrap();
        let target = format!("/api/v1/webhooks/{}", webhook["id"].as_str().unwrap());
        let headers = alice.sign("DELETE", &target, b"");
        alice.send(reqwest::Method::DELETE, &target, &headers, Vec::new()).await;
    }
    assert_eq!(codes, ["challenge_rate"]);
}

/// A miner at an address who takes part; its webhooks lead to `url`.
async fn taking_part(app: &TestApp, host: u8, key: u8) -> Miner {
    let mut miner = app.miner(key);
    miner.http = client_from(host);
    miner.announce("digits", &Package::mlp(&[8], key.into())).await.unwrap();
    miner
}

/// As if this webhook had been registered so many times more, by others from its address.
async fn multiply(app: &TestApp, webhook: &Value, times: u32) {
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
               INSERT INTO webhooks (id, hotkey, url, salt, cursor, created_at, confirmed_at, address, network_56, network_48)
               SELECT w.id || '-' || i, w.hotkey, w.url, w.salt, 1000000, w.created_at, 1, w.address, w.network_56, w.network_48
               FROM webhooks w, n WHERE w.id = $2";
    sqlx::query(sql).bind(times).bind(webhook["id"].as_str()).execute(app.app.db.pool()).await.unwrap();
}

#[tokio::test]
async fn strangers_do_not_take_all_webhooks_and_what_fails_for_long_makes_room() {
    let mut app = start().await;
    app.leave_unfinished();
    let receiver = Receiver::default();
    let body = json!({ "url": receiver.listen().await });
    let stranger = taking_part(&app, 2, 1).await;
    let first: Value = register(&stranger, body.clone()).await.json().await.unwrap();
    multiply(&app, &first, 498).await;
    let last_of_the_half = register(&taking_part(&app, 2, 2).await, body.clone()).await;
    assert_eq!(last_of_the_half.status(), 201, "half is for anybody");
    let refusal = accept(register(&taking_part(&app, 2, 3).await, body.clone()).await, &[]).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (503, "busy"));
    assert!(refusal.problem.detail.contains("your address"), "{}", refusal.problem.detail);
    // An address and a key that are honest have their share, and whoever is registered as many as ever.
    let honest = taking_part(&app, 9, 4).await;
    assert_eq!(register(&honest, body.clone()).await.status(), 201);
    let refusal = accept(register(&honest, body.clone()).await, &[]).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (409, "webhooks_exhausted"));
    let registered = taking_part(&app, 2, 5).await;
    app.app.ledger.register(Registration::own(registered.hotkey(), 1)).unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for _ in 0..4 {
        assert_eq!(register(&registered, body.clone()).await.status(), 201);
    }
    // All are taken, for strangers.
    let other: Value = register(&taking_part(&app, 3, 6).await, body.clone()).await.json().await.unwrap();
    multiply(&app, &other, 500).await;
    let newcomer = taking_part(&app, 10, 7).await;
    assert_eq!(register(&newcomer, body.clone()).await.status(), 503);
    let failing = "UPDATE webhooks SET failures = 8 WHERE id LIKE '%-%'";
    sqlx::query(failing).execute(app.app.db.pool()).await.unwrap();
    assert_eq!(register(&newcomer, body.clone()).await.status(), 201, "they give their places back");
    let count = "SELECT count(*) FROM webhooks WHERE ended LIKE 'it failed for long%'";
    let ended: i64 = sqlx::query_scalar(count).fetch_one(app.app.db.pool()).await.unwrap();
    assert_eq!(ended, 998);
    assert_eq!(register(&taking_part(&app, 2, 8).await, body).await.status(), 201);
}
