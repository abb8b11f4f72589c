//! Beacons that nobody chooses: fetched from a relay that is late, lies, or isn't there; named before they exist and stated
//! after; and a round without one ends, with its reason in the log.
//!
//! The rounds are those that drand's quicknet published, served on loopback; the clock stands where they were new.

use super::rounds::{by_size, play, submit};
use super::support::{Setup, TestApp, competition, competition_toml, validator_keypair};
use axum::Router;
use axum::extract::State;
use chain::{Ledger, LedgerError, LocalLedger, MemoryLedger, Registration, Replica};
use datasets::hidden::RoundView;
use datasets::hidden::{Beacon, BeaconRule, DrandChain, RoundBeacon, RoundClosed};
use http::{StatusCode, Uri, header};
use protocol::round::{BeaconSource, Step};
use protocol::{Digest, Hotkey};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use validator::Publisher;
use validator::evaluator::silent;
use validator::rounds::close_now;

/// `GET /52db9ba7...84e971/public/1000` and `.../123`: genuine.
const QUICKNET_1000: &str = r#"{"round":1000,"randomness":"fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd","signature":"b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"}"#;
const QUICKNET_123_SIGNATURE: &str =
    "b75c69d0b72a5d906e854e808ba7e2accb1542ac355ae486d591aa9d43765482e26cd02df835d3546d23c4b13e0dfc92";
/// When quicknet's round 1000 came.
const ROUND_1000: u64 = 1_692_806_364;
/// A round of an hour that is bound to quicknet's 1000th: it closes 32 seconds before that comes.
const OPENED: u64 = ROUND_1000 - 32 - 3_600;
const DRAND: &str = "rounds = { beacon = \"drand\", seconds = 3600, beacon_seconds_max = 600 }";
const PATIENCE: Duration = Duration::from_secs(60);

fn quicknet_123() -> String {
    let randomness = Digest::of(&hex::decode(QUICKNET_123_SIGNATURE).unwrap());
    format!(r#"{{"round":123,"randomness":"{randomness}","signature":"{QUICKNET_123_SIGNATURE}"}}"#)
}

/// What a relay says, whatever it is asked.
#[derive(Clone)]
enum Says {
    Status(u16),
    Json(String),
    Elsewhere(String),
}

/// A relay of drand.
#[derive(Clone)]
struct Relay {
    says: Arc<Mutex<Says>>,
    asked: Arc<Mutex<Vec<String>>>,
    url: String,
}

impl Relay {
    async fn start(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let relay = Self { says: Arc::new(Mutex::new(says)), asked: Arc::default(), url };
        let router = Router::new().fallback(answer).with_state(relay.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        relay
    }

    fn now_says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(State(relay): State<Relay>, uri: Uri) -> (StatusCode, [(header::HeaderName, String); 1], String) {
    relay.asked.lock().unwrap().push(uri.path().to_owned());
    let (status, to, body) = match relay.says.lock().unwrap().clone() {
        Says::Status(status) => (status, String::new(), String::new()),
        Says::Json(json) => (200, String::new(), json),
        Says::Elsewhere(url) => (302, url, String::new()),
    };
    (StatusCode::from_u16(status).unwrap(), [(header::LOCATION, to)], body)
}

/// A validator at `now` with this relay.
async fn validator_at(now: u64, relay: &str) -> TestApp {
    let mut setup = Setup { evaluator: by_size(), clock: validator::Clock::fixed(now), ..Setup::default() };
    setup.config.drand_url = relay.to_owned();
    TestApp::start(setup).await
}

async fn view(app: &TestApp, round: u64) -> Option<RoundView> {
    let answer = app.miner(9).get(&format!("/api/v1/competitions/digits/rounds/{round}")).await;
    if answer.status() == 200 { answer.json().await.unwrap() } else { None }
}

/// Waits until a round is as it should be.
async fn until(app: &TestApp, round: u64, what: &str, holds: impl Fn(&RoundView) -> bool) -> RoundView {
    let came = async {
        loop {
            if let Some(view) = view(app, round).await.filter(&holds) {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, came).await {
        Ok(view) => view,
        Err(_) => panic!("round {round} never {what}: {:#?}", view(app, round).await),
    }
}

/// What the log says under this name.
async fn leaf(app: &TestApp, name: &str) -> Option<Value> {
    app.app.db.leaf(name).await.unwrap().map(|leaf| leaf.body)
}

/// Publishes, and lets the first round close.
async fn closed(app: &TestApp) -> RoundView {
    app.publish(&competition_toml("digits", DRAND)).await;
    until(app, 1, "opened", |view| view.step == Step::Open).await;
    app.app.clock.advance(3_600);
    until(app, 1, "closed", |view| view.step == Step::Closed).await
}

fn problem(view: &RoundView) -> &str {
    view.wait.as_ref().and_then(|wait| wait.problem.as_deref()).unwrap_or_default()
}

#[tokio::test]
async fn a_manifest_without_a_beacon_takes_drand_from_a_relay_that_follows_it_or_is_refused() {
    let relay = Relay::start(Says::Json(QUICKNET_1000.into())).await;
    let toml = competition_toml("digits", "rounds.seconds = 3600 # no beacon");
    let refused = async |app: &TestApp, why: &str| {
        let error =
            Publisher::of(&app.app).publish(&app.write_competition(&toml), silent()).await.unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("beacon = \"ledger\""), "{error}");
        assert!(app.app.db.competitions().await.unwrap().is_empty());
    };
    refused(&validator_at(ROUND_1000, "").await, "no `drand_url` is set").await;
    let app = validator_at(ROUND_1000 + 1, &relay.url).await;
    for (says, why) in [
        (Says::Status(404), "its answer is 404"),
        (Says::Json(QUICKNET_1000.replace(":1000", ":1001")), "forged"),
        (Says::Json(" ".repeat(5_000)), "more than 4096 bytes"),
        (Says::Json("<html>".into()), "can't be read"),
        (Says::Elsewhere(format!("{}/elsewhere", relay.url)), "its answer is 302"),
        (Says::Json(quicknet_123()), "2632 s old"),
    ] {
        relay.now_says(says);
        refused(&app, why).await;
    }
    assert!(relay.asked().iter().all(|path| path.ends_with("/public/latest")), "{:?}", relay.asked());

    relay.now_says(Says::Json(QUICKNET_1000.into()));
    let published = app.publish(&toml).await;
    assert_eq!(published.competition.manifest.rounds.beacon, Some(BeaconSource::Drand));
    // What is published doesn't depend on a relay any more.
    relay.now_says(Says::Status(503));
    let again = app.publish(&toml).await;
    assert_eq!((again.created, again.sha256), (false, published.sha256));
}

#[tokio::test]
async fn a_round_waits_for_a_late_beacon_takes_it_and_the_log_names_it_before_it_is_there() {
    let relay = Relay::start(Says::Status(404)).await;
    let app = validator_at(OPENED, &relay.url).await;
    let waiting = closed(&app).await;
    let chain = DrandChain::quicknet();
    let rule = BeaconRule::Drand { chain: chain.hash(), round: 1_000 };
    assert_eq!((waiting.beacon_rule.as_ref(), waiting.beacon.as_ref()), (Some(&rule), None));
    assert_eq!(
        waiting.wait.as_ref().map(|wait| (wait.due_at, wait.abandoned_at)),
        Some((ROUND_1000, ROUND_1000 + 600))
    );
    let body = leaf(&app, "round/digits/1/closed").await.unwrap();
    let stated: RoundClosed = serde_json::from_value(body.clone()).unwrap();
    assert_eq!(
        (stated.beacon.clone(), stated.closed_at),
        (BeaconRule::drand_after(&chain, OPENED + 3_600), OPENED + 3_600)
    );
    stated.check(&waiting.commitment).unwrap();
    let other = RoundClosed { beacon: BeaconRule::Drand { chain: chain.hash(), round: 999 }, ..stated.clone() };
    assert!(other.check(&waiting.commitment).is_err(), "another beacon than the one it was bound to");
    assert!(!body.to_string().contains("randomness") && leaf(&app, "round/digits/1/beacon").await.is_none());
    // Nobody asks before its time.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(relay.asked(), Vec::<String>::new());

    app.app.clock.advance(32);
    let late = until(&app, 1, "missed its beacon", |view| !problem(view).is_empty()).await;
    assert_eq!((late.step, problem(&late)), (Step::Closed, "the relay has no round 1000: its answer is 404"));
    let page = app.miner(9).get("/competitions/digits/rounds/1").await.text().await.unwrap();
    assert!(page.contains("waits for its beacon and takes no other") && page.contains("404"), "{page}");
    assert_eq!(app.miner(9).get("/readyz").await.status(), 200);

    relay.now_says(Says::Json(QUICKNET_1000.into()));
    let round = until(&app, 1, "was revealed", |view| view.step == Step::Revealed).await;
    let Some(Beacon::Drand { published, .. }) = &round.beacon else { panic!("{round:#?}") };
    assert_eq!((published.round, round.wait), (1_000, None));
    let stated = leaf(&app, "round/digits/1/beacon").await.unwrap();
    let stated: RoundBeacon = serde_json::from_value(stated).unwrap();
    assert_eq!((stated.round, Some(&stated.beacon)), (1, round.beacon.as_ref()));
    let path = format!("/{}/public/1000", hex::encode(chain.hash()));
    assert!(relay.asked().iter().all(|asked| *asked == path), "{:?}", relay.asked());
}

#[tokio::test]
async fn no_other_beacon_is_taken_whatever_a_relay_says_and_without_its_own_a_round_is_abandoned() {
    let relay = Relay::start(Says::Status(404)).await;
    let app = validator_at(OPENED, &relay.url).await;
    closed(&app).await;
    app.app.clock.advance(32);
    let (signature, randomness) = (QUICKNET_123_SIGNATURE, "fe290beca10872ef");
    for (says, why) in [
        (Says::Json(quicknet_123()), "sent round 123 instead of 1000"),
        (Says::Json(quicknet_123().replace(":123", ":1000")), "forged"),
        (Says::Json(QUICKNET_1000.replace(randomness, "0000000000000000")), "isn't the SHA-256 of its signature"),
        (Says::Json(QUICKNET_1000.replace("signature\":\"b", &format!("signature\":\"{signature}"))), "malformed"),
        (Says::Json(format!("{QUICKNET_1000}{}", " ".repeat(5_000))), "more than 4096 bytes"),
    ] {
        relay.now_says(says);
        let waiting = until(&app, 1, why, |view| problem(view).contains(why)).await;
        assert_eq!((waiting.step, waiting.beacon), (Step::Closed, None));
    }
    app.app.clock.advance(600);
    let over = until(&app, 1, "was abandoned", |view| view.step == Step::Abandoned).await;
    assert_eq!((over.beacon, over.wait, over.drawn, over.weights.len()), (None, None, None, 0));
    let stated = leaf(&app, "round/digits/1/abandoned").await.unwrap();
    assert_eq!((stated["code"].as_str(), stated["blame"].as_str()), (Some("beacon_missing"), Some("validator")));
    assert!(stated["detail"].as_str().unwrap().contains("no round 1000 of drand chain 52db9ba7"), "{stated}");
    for name in ["beacon", "judged", "reward", "revealed"] {
        assert_eq!(leaf(&app, &format!("round/digits/1/{name}")).await, None, "{name}");
    }
    // It came too late, by whatever way.
    relay.now_says(Says::Json(QUICKNET_1000.into()));
    let late = validator::rounds::supply_beacon(&app.app.db, &competition("digits"), QUICKNET_1000.as_bytes()).await;
    assert!(late.is_err(), "{late:?}");
    let next = until(&app, 2, "opened", |view| view.step == Step::Open).await;
    assert_eq!(next.round, 2);
    let page = app.miner(9).get("/competitions/digits/rounds/1").await.text().await.unwrap();
    assert!(page.contains("Round 1 is abandoned"), "{page}");
}

/// A ledger that takes no marks until it is mended.
struct Broken {
    inner: MemoryLedger,
    mended: AtomicBool,
}

impl Ledger for Broken {
    fn register(&self, registration: Registration) -> Result<(), LedgerError> {
        self.inner.register(registration)
    }
    fn registrations(&self) -> Result<Vec<Registration>, LedgerError> {
        self.inner.registrations()
    }
    fn set_weights(&self, round: u64, weights_ppm: &[(Hotkey, u32)]) -> Result<(), LedgerError> {
        self.inner.set_weights(round, weights_ppm)
    }
    fn weights(&self, round: u64) -> Result<Option<Vec<(Hotkey, u32)>>, LedgerError> {
        self.inner.weights(round)
    }
    fn mark(&self, digest: Digest) -> Result<u64, LedgerError> {
        match self.mended.load(Ordering::SeqCst) {
            true => self.inner.mark(digest),
            false => Err(LedgerError::Poisoned { path: "ledger.jsonl".into() }),
        }
    }
    fn height(&self) -> Result<u64, LedgerError> {
        self.inner.height()
    }
    fn block_hash(&self, height: u64) -> Result<Digest, LedgerError> {
        self.inner.block_hash(height)
    }
}

#[tokio::test]
async fn an_abandoned_round_pays_nobody_keeps_the_seat_and_its_submissions_are_in_the_next() {
    let ledger = Arc::new(Broken { inner: MemoryLedger::new(), mended: true.into() });
    let setup = Setup { evaluator: by_size(), ledger: Some(Arc::clone(&ledger) as _), ..Setup::default() };
    let app = TestApp::with_competition(setup).await;
    let close = async |round: u64| {
        until(&app, round, "opened", |view| view.step == Step::Open).await;
        close_now(&app.app.db, app.app.hotkey, &competition("digits"), app.app.clock.now()).await.unwrap();
    };
    let (alice, bob) = (app.miner(1), app.miner(2));
    let first = submit(&app, &alice, 20).await;
    close(1).await;
    let seated = until(&app, 1, "was revealed", |view| view.step == Step::Revealed).await;
    assert_eq!(seated.champion, Some(first.clone()));

    ledger.mended.store(false, Ordering::SeqCst);
    let better = submit(&app, &bob, 25).await;
    close(2).await;
    let waiting = until(&app, 2, "waited", |view| !problem(view).is_empty()).await;
    assert!(problem(&waiting).contains("takes no entry"), "{waiting:#?}");
    app.app.clock.advance(6 * 60 * 60);
    let over = until(&app, 2, "was abandoned", |view| view.step == Step::Abandoned).await;
    assert_eq!((over.weights.len(), over.epoch, over.entries.len()), (0, None, 0));
    assert_eq!((over.champion_before.as_ref(), over.champion.as_ref()), (Some(&first), Some(&first)));

    ledger.mended.store(true, Ordering::SeqCst);
    close(3).await;
    let round = until(&app, 3, "was revealed", |view| view.step == Step::Revealed).await;
    assert_eq!((round.champion_before, round.champion), (Some(first), Some(better)));
    assert_eq!(round.crowned_at, round.closes_at.unwrap(), "the seat was never anybody else's");
    // The fixed part is that of the first round that was drawn.
    assert_eq!(round.drawn.unwrap().fixed_seed, seated.drawn.unwrap().fixed_seed);
    for number in 1..=3 {
        let act = leaf(&app, &format!("administration/round-closed/digits/{number}")).await.unwrap();
        assert_eq!(act["act"]["round_closed_by_hand"]["round"], number, "{act}");
    }
}

#[tokio::test]
async fn a_first_round_that_is_abandoned_leaves_the_fixed_part_to_the_first_that_is_drawn() {
    let ledger = Arc::new(Broken { inner: MemoryLedger::new(), mended: false.into() });
    let setup = Setup { evaluator: by_size(), ledger: Some(Arc::clone(&ledger) as _), ..Setup::default() };
    let app = TestApp::with_competition(setup).await;
    submit(&app, &app.miner(1), 20).await;
    until(&app, 1, "opened", |view| view.step == Step::Open).await;
    app.app.clock.advance(24 * 60 * 60);
    until(&app, 1, "waited", |view| !problem(view).is_empty()).await;
    assert_eq!(leaf(&app, "administration/round-closed/digits/1").await, None, "it closed in its time");
    app.app.clock.advance(6 * 60 * 60);
    until(&app, 1, "was abandoned", |view| view.step == Step::Abandoned).await;
    ledger.mended.store(true, Ordering::SeqCst);
    until(&app, 2, "opened", |view| view.step == Step::Open).await;
    app.app.clock.advance(24 * 60 * 60);
    let second = until(&app, 2, "was revealed", |view| view.step == Step::Revealed).await;
    assert!(second.drawn.unwrap().fixed > 0);
    until(&app, 3, "opened", |view| view.step == Step::Open).await;
    app.app.clock.advance(24 * 60 * 60);
    let third = until(&app, 3, "was revealed", |view| view.step == Step::Revealed).await;
    let again = view(&app, 2).await.unwrap().drawn.unwrap();
    assert_eq!(third.drawn.unwrap().fixed_seed, again.fixed_seed);
}

#[tokio::test]
async fn the_ledger_is_everybodys_to_read_and_holds_the_beacon_and_the_weights() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = LocalLedger::open(&dir.path().join("ledger.jsonl"), validator_keypair()).unwrap();
    let setup = Setup { evaluator: by_size(), ledger: Some(Arc::new(ledger)), ..Setup::default() };
    let app = TestApp::with_competition(setup).await;
    let miner = app.miner(1);
    submit(&app, &miner, 25).await;
    let round = play(&app, 1).await;
    let mut replica = Replica::new(app.app.hotkey);
    loop {
        let answer = miner.get(&format!("/api/v1/ledger?from={}", replica.next_height())).await;
        assert_eq!(answer.status(), 200);
        if replica.take(&answer.bytes().await.unwrap()).unwrap() == 0 {
            break;
        }
    }
    let Some(Beacon::Ledger { height, hash }) = round.beacon else { panic!("{round:#?}") };
    assert_eq!(replica.block_hash(height), Some(Digest::from(hash)));
    assert_eq!(replica.marked_at(&Digest::from(round.commitment.root)), Some(height));
    let paid: Vec<_> = round.weights.iter().map(|weight| (weight.hotkey, weight.weight_ppm)).collect();
    assert_eq!(paid.len(), 1);
    assert_eq!(replica.weights(round.epoch.unwrap()), Some(&paid[..]));
}
