//! Nothing that isn't done stays that way beyond its limit plus a minute, whatever state it is in and however time goes.

use super::lifecycle::script;
use super::support::{NOW, Package, Setup, TestApp};
use protocol::auth::Keypair;
use protocol::evaluation::EvaluationFailure;
use protocol::submission::State;
use protocol::{Digest, SubmissionId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;
use validator::App;
use validator::db::submissions::{self, Submission};
use validator::scripted::scripted_evaluation;

/// How much later than its limit something may still not be done.
const GRACE_SECONDS: u64 = 60;
const EVALUATION_SECONDS: u64 = 60;

/// How long a submission may be in a state, by the settings and the competition's manifest.
fn limit_seconds(app: &App, state: State) -> u64 {
    let limits = &app.config.limits;
    match state {
        State::AwaitingUpload => 600,
        State::Checking => limits.check_seconds_max,
        State::Evaluating => EVALUATION_SECONDS,
        _ => u64::MAX,
    }
}

/// Writes a submission that came to `state` at `since`.
pub(crate) async fn put(app: &App, number: u64, state: State, since: u64) -> SubmissionId {
    let digest = Digest::of(&number.to_le_bytes());
    let new = Submission {
        arrival: 0,
        id: SubmissionId::new(NOW * 1_000 + number, number.into()),
        competition: "digits".parse().unwrap(),
        origin: Default::default(),
        hotkey: Keypair::from_seed(digest.as_bytes()).hotkey(),
        name: None,
        package_sha256: digest,
        state: State::AwaitingUpload,
        created_at: since,
        changed_at: since,
        upload_until: since + 600,
        first_byte_until: None,
        attempt: 0,
        failures: 0,
        reason: None,
        architecture: None,
        costs: None,
    };
    let mut tx = app.db.write().await.unwrap();
    submissions::insert(&mut tx, &new, &Package::mlp(&[8], 1).declarations()).await.unwrap();
    let way = [State::AwaitingUpload, State::Checking, State::Queued, State::Evaluating];
    let steps = way.iter().position(|step| *step == state).unwrap();
    for step in way.windows(2).take(steps) {
        submissions::transition(&mut tx, &new.id, step[0], step[1], None, since).await.unwrap();
    }
    tx.commit().await.unwrap();
    new.id
}

/// Whoever is in a state for longer than it may be.
async fn overstaying(app: &App, ids: &[SubmissionId]) -> Vec<String> {
    let now = app.clock.now();
    let mut found = Vec::new();
    for id in ids {
        let submission = app.db.submission(id).await.unwrap().unwrap();
        let age = now.saturating_sub(submission.changed_at);
        if !submission.state.is_terminal() && age > limit_seconds(app, submission.state).saturating_add(GRACE_SECONDS) {
            found.push(format!("{id} is {} for {age} s", submission.state));
        }
    }
    found
}

/// Waits until nobody overstays; the reaper looks every second of real time.
async fn swept(app: &App, ids: &[SubmissionId]) {
    let mut left = overstaying(app, ids).await;
    for _ in 0..100 {
        if left.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        left = overstaying(app, ids).await;
    }
    panic!("{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outlives_the_limit_of_its_state_by_more_than_a_minute() {
    let mut evaluations = 0;
    for seed in 0..4 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut setup = Setup {
            // An engine that always fails, so that what is queued comes and goes until it is given up.
            evaluator: script(|request, _| {
                let own = request.truth.teacher_logits.is_none()
                    || request.order.candidate.weights == request.order.reference.weights;
                if own {
                    scripted_evaluation(&request, 900_000)
                } else {
                    Err(EvaluationFailure::Infrastructure("none".into()))
                }
            }),
            ..Setup::default()
        };
        setup.config.limits.check_seconds_max = 10 + u64::from(rng.next_u32() % 500);
        let app = TestApp::with_competition(setup).await;
        let states = [State::AwaitingUpload, State::Checking, State::Queued, State::Evaluating];
        let mut ids = Vec::new();
        for number in 0..40 {
            let state = states[(rng.next_u32() % 4) as usize];
            let since = NOW - u64::from(rng.next_u32()) % (2 * limit_seconds(&app.app, state).min(5_000));
            ids.push(put(&app.app, seed * 1_000 + number, state, since).await);
        }
        swept(&app.app, &ids).await;
        for _ in 0..8 {
            app.app.clock.advance(u64::from(rng.next_u32()) % 900);
            swept(&app.app, &ids).await;
        }
        // Failed and repeated evaluations end too: nobody waits so long that he fails, and attempts are counted.
        app.app.clock.advance(GRACE_SECONDS + EVALUATION_SECONDS + 1);
        let began = std::time::Instant::now();
        while app.app.db.count_by_state().await.unwrap().iter().any(|(state, _)| !state.is_terminal()) {
            assert!(began.elapsed() < Duration::from_secs(60), "{:?}", app.app.db.count_by_state().await.unwrap());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
        for id in &ids {
            let submission = app.app.db.submission(id).await.unwrap().unwrap();
            assert!(submission.state.is_terminal(), "{id} is {}", submission.state);
            assert!(submission.reason.is_some(), "every end has a reason");
            *ends.entry(submission.state.as_str()).or_default() += 1;
            let events = app.app.db.events(id).await.unwrap();
            evaluations += events.iter().filter(|event| event.from == Some(State::Evaluating)).count();
        }
        assert!(ends.contains_key("expired") && ends.contains_key("failed"), "{ends:?}");
    }
    assert!(evaluations > 0, "evaluations were cut off as well");
}

#[tokio::test]
async fn the_age_of_whoever_waits_longest_is_a_metric_for_each_state() {
    let mut app = TestApp::with_competition(Setup::default()).await;
    app.leave_unfinished();
    put(&app.app, 1, State::AwaitingUpload, NOW - 400).await;
    put(&app.app, 2, State::AwaitingUpload, NOW - 40).await;
    let metrics = app.as_operator("/metrics").await.text().await.unwrap();
    for line in [
        "retort_waiting_seconds{state=\"awaiting_upload\"} 400",
        "retort_waiting_seconds{state=\"evaluating\"} 0",
        "retort_background_restarts_total 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in\n{metrics}");
    }
    assert!(!metrics.contains(&app.miner(1).hotkey().to_string()) && !metrics.contains("5C"), "no hotkeys as labels");
}

#[tokio::test]
async fn metrics_are_for_the_operator_alone() {
    for public_url in ["", "https://validator.example"] {
        let mut setup = Setup::default();
        setup.config.public_url = public_url.into();
        let app = TestApp::start(setup).await;
        let miner = app.miner(1);
        assert_eq!(miner.get("/metrics").await.status(), 403, "a proxy on this machine connects from here too");
        let response = miner.get("/healthz").await;
        let strict = response.headers().get("strict-transport-security").map(|value| value.as_bytes());
        assert_eq!(strict, (!public_url.is_empty()).then_some(&b"max-age=31536000"[..]));
        assert_eq!(app.as_operator("/metrics").await.status(), 200);
    }
}

#[tokio::test]
async fn metrics_have_an_address_without_a_token_where_the_settings_say_so_and_nothing_else_is_there() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut setup = Setup::default();
    setup.config.metrics_listen = free.to_string();
    let app = TestApp::start(setup).await;
    let miner = app.miner(1);
    let get = async |target: &str| {
        // It listens as soon as the other address does; a crowded machine may take the test there first.
        loop {
            match miner.http.get(format!("http://{free}{target}")).send().await {
                Ok(answer) => return answer,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
    };
    let metrics = tokio::time::timeout(std::time::Duration::from_secs(30), get("/metrics")).await.unwrap();
    assert!(metrics.text().await.unwrap().contains("retort_http_connections"));
    for target in ["/", "/operator", "/api/v1/operator", "/healthz", "/api/v1/competitions"] {
        assert_eq!(get(target).await.status(), 404, "{target}");
    }
    assert_eq!(miner.get("/metrics").await.status(), 403, "at the public address as ever");
}
