//! The machine that somebody else measures on, and clocks that jump: what waits neither pays nor stands still.

use super::lifecycle::after_publishing;
use super::support::{OPERATOR_TOKEN, Package, Setup, TestApp};
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::Digest;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest, Order};
use protocol::submission::State;
use reqwest::Method;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use validator::scripted::scripted_evaluation;
use validator::{Evaluator, Machine, ProgressFn, ScriptedEvaluator};

/// An engine whose machine is free when the test says so, and which remembers what it was asked about.
struct Elsewhere {
    free: watch::Receiver<bool>,
    asked: Asked,
    engine: ScriptedEvaluator,
}

/// The packages that an engine was asked about, in order.
type Asked = Arc<Mutex<Vec<Digest>>>;

impl Elsewhere {
    /// The engine, and what says whether its machine is free; at first it is.
    fn with_switch() -> (watch::Sender<bool>, Arc<dyn Evaluator>) {
        let (says, evaluator, _) = Self::remembering();
        (says, evaluator)
    }

    fn remembering() -> (watch::Sender<bool>, Arc<dyn Evaluator>, Asked) {
        let ((says, free), asked) = (watch::channel(true), Asked::default());
        let evaluator = Self { free, asked: Arc::clone(&asked), engine: ScriptedEvaluator::default() };
        (says, Arc::new(evaluator), asked)
    }
}

impl Evaluator for Elsewhere {
    fn machine(&self) -> BoxFuture<'_, Result<Machine, EvaluationFailure>> {
        let mut free = self.free.clone();
        async move {
            let waited = free.wait_for(|free| *free).await.map(drop);
            waited.map(Machine::held_by).map_err(|error| EvaluationFailure::Infrastructure(error.to_string()))
        }
        .boxed()
    }

    fn evaluate(
        &self,
        machine: Machine,
        request: EvaluationRequest,
        progress: ProgressFn,
    ) -> BoxFuture<'_, Result<Evaluation, EvaluationFailure>> {
        self.asked.lock().unwrap().push(request.order.package_sha256());
        self.engine.evaluate(machine, request, progress)
    }

    fn try_out(&self, order: Order) -> BoxFuture<'_, Result<(), EvaluationFailure>> {
        self.engine.try_out(order)
    }
}

#[tokio::test]
async fn who_waits_for_the_machine_is_queued_and_pays_nothing_for_it() {
    let (free, evaluator) = Elsewhere::with_switch();
    let app = TestApp::with_competition(Setup { evaluator, ..Setup::default() }).await;
    free.send_replace(false);
    let id = app.miner(1).submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Queued).await;
    // Longer than any evaluation may take; somebody publishes.
    for _ in 0..6 {
        app.app.clock.advance(600);
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(app.miner(1).status(&id).await.state, State::Queued);
    }
    free.send_replace(true);
    app.wait_for(&id, State::Scored).await;
    let events = app.app.db.events(&id).await.unwrap();
    let evaluated = events.iter().filter(|event| event.to == State::Evaluating).count();
    assert_eq!(evaluated, 1, "it was begun once, when the machine was free");
    let found = app.app.db.submission(&id).await.unwrap().unwrap();
    assert_eq!(found.failures, 0);
}

#[tokio::test]
async fn a_validator_that_waits_for_the_machine_stops_at_once() {
    let (free, evaluator) = Elsewhere::with_switch();
    let app = TestApp::with_competition(Setup { evaluator, ..Setup::default() }).await;
    free.send_replace(false);
    let id = app.miner(1).submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Queued).await;
    let began = std::time::Instant::now();
    let (dir, objects) = app.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let app = TestApp::start_in(dir, Setup { objects: Some(objects), ..Setup::default() }).await;
    app.wait_for(&id, State::Scored).await;
}

/// A validator whose machine is taken once it has published, and what its engine is asked about from then on.
async fn taken() -> (TestApp, watch::Sender<bool>, Arc<Mutex<Vec<Digest>>>) {
    let (free, evaluator, asked) = Elsewhere::remembering();
    let app = TestApp::with_competition(Setup { evaluator, ..Setup::default() }).await;
    free.send_replace(false);
    asked.lock().unwrap().clear();
    (app, free, asked)
}

/// The number behind a name in `/metrics`.
async fn metric(app: &TestApp, name: &str) -> i64 {
    let request = app.miner(9).http.get(app.url("/metrics")).bearer_auth(OPERATOR_TOKEN);
    let text = request.send().await.unwrap().text().await.unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{name} is missing in\n{text}"))
}

/// Sets the clock and waits until the validator has noticed.
async fn set(app: &TestApp, seconds: i64) {
    let before = metric(app, "retort_clock_jumps_total").await;
    app.app.clock.jump(seconds);
    noticed(app, before).await;
}

/// Waits until the validator has noticed once more than that that its clock was set.
async fn noticed(app: &TestApp, before: i64) {
    let noticed = async {
        while metric(app, "retort_clock_jumps_total").await == before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), noticed).await.expect("a clock that is set is noticed");
}

#[tokio::test]
async fn a_clock_that_is_set_back_keeps_nobody_waiting_and_the_order_of_arrival() {
    let (app, free, asked) = taken().await;
    set(&app, 3_600).await;
    let mut packages: Vec<Package> = (0..4).map(|seed| Package::mlp(&[8], seed)).collect();
    let mut ids = Vec::new();
    for (miner, package) in (1..).zip(&packages[..3]) {
        ids.push(app.miner(miner).submit(package).await.unwrap());
        app.wait_for(ids.last().unwrap(), State::Queued).await;
    }
    set(&app, -3_600).await;
    ids.push(app.miner(4).submit(&packages[3]).await.unwrap());
    app.wait_for(&ids[3], State::Queued).await;
    assert!((0..60).contains(&metric(&app, "retort_queue_age_seconds").await), "ages go with the clock");
    assert_eq!(metric(&app, "retort_clock_jumped_seconds").await, 0);
    free.send_replace(true);
    for id in &ids {
        app.wait_for(id, State::Scored).await;
    }
    let came: Vec<Digest> = packages.iter_mut().map(Package::sha256).collect();
    assert_eq!(*asked.lock().unwrap(), came);
}

/// Whatever comes between the moment at which somebody sets the clock and the moment at which we look.
#[tokio::test]
async fn what_comes_in_the_moment_in_which_the_clock_is_set_keeps_its_age() {
    let (app, free, _) = taken().await;
    let mut ids = Vec::new();
    for (number, seconds) in [-3_600, 3_600, -7_200, -86_400, 86_400].into_iter().enumerate() {
        let before = metric(&app, "retort_clock_jumps_total").await;
        let (late, prompt) = (app.miner(2 * number as u8 + 1), app.miner(2 * number as u8 + 2));
        app.app.clock.jump(seconds);
        let package = Package::mlp(&[8], number as u32);
        let announced = late.announce("digits", &package).await.unwrap();
        ids.push(prompt.submit(&Package::mlp(&[8], 100 + number as u32)).await.unwrap());
        noticed(&app, before).await;
        // The reaper looks by the new clock.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        app.wait_for(ids.last().unwrap(), State::Queued).await;
        let age = metric(&app, "retort_queue_age_seconds").await;
        assert!((0..60).contains(&age), "set by {seconds} s: {age} s");
        assert_eq!(late.status(&announced.id).await.state, State::AwaitingUpload, "set by {seconds} s");
        late.upload_all(&announced, &package).await.unwrap();
        late.complete(&announced.id).await.unwrap();
        ids.push(announced.id);
    }
    free.send_replace(true);
    for id in &ids {
        app.wait_for(id, State::Scored).await;
    }
}

/// An evaluation that begins in that moment, and is under way while we follow.
#[tokio::test]
async fn an_evaluation_that_begins_in_that_moment_counts_no_attempt() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let evaluator = after_publishing(move |request| {
        let gate = Arc::clone(&opened);
        async move {
            gate.acquire().await.unwrap().forget();
            scripted_evaluation(&request, 900_000)
        }
        .boxed()
    });
    let app = TestApp::with_competition(Setup { evaluator, ..Setup::default() }).await;
    for (number, seconds) in [-86_400, 86_400].into_iter().enumerate() {
        let before = metric(&app, "retort_clock_jumps_total").await;
        app.app.clock.jump(seconds);
        let id = app.miner(number as u8 + 1).submit(&Package::mlp(&[8], number as u32)).await.unwrap();
        app.wait_for(&id, State::Evaluating).await;
        noticed(&app, before).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let found = app.app.db.submission(&id).await.unwrap().unwrap();
        assert_eq!((found.state, found.failures), (State::Evaluating, 0), "set by {seconds} s");
        gate.add_permits(1);
        app.wait_for(&id, State::Scored).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_set_forward_ends_nothing_too_soon() {
    let (app, free, _) = taken().await;
    let (miner, package) = (app.miner(1), Package::mlp(&[8], 7));
    let announced = miner.announce("digits", &package).await.unwrap();
    let queued = app.miner(2).submit(&Package::mlp(&[8], 8)).await.unwrap();
    app.wait_for(&queued, State::Queued).await;
    // Longer than uploads, checks and evaluations may take.
    set(&app, 24 * 3_600).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(miner.status(&announced.id).await.state, State::AwaitingUpload);
    assert_eq!(app.miner(2).status(&queued).await.state, State::Queued);
    assert!((0..60).contains(&metric(&app, "retort_queue_age_seconds").await));
    assert_eq!(metric(&app, "retort_clock_jumped_seconds").await, 24 * 3_600);
    miner.upload_all(&announced, &package).await.unwrap();
    miner.complete(&announced.id).await.unwrap();
    free.send_replace(true);
    for id in [&announced.id, &queued] {
        app.wait_for(id, State::Scored).await;
    }
}

#[tokio::test]
async fn what_waits_in_the_queue_waits_for_no_time_of_day() {
    let (app, free, _) = taken().await;
    let mut ids = Vec::new();
    for miner in 1..4 {
        ids.push(app.miner(miner).submit(&Package::mlp(&[8], miner.into())).await.unwrap());
        app.wait_for(ids.last().unwrap(), State::Queued).await;
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let latest: i64 = sqlx::query_scalar("SELECT max(run_at) FROM Jobs").fetch_one(app.app.db.pool()).await.unwrap();
    assert!(latest < 1_000_000, "{latest} is a time, which a clock that is set back makes come late");
    free.send_replace(true);
    for id in &ids {
        app.wait_for(id, State::Scored).await;
    }
}

#[tokio::test]
async fn a_request_is_a_replay_though_the_clock_was_set_back_by_an_hour() {
    const TARGET: &str = "/api/v1/submissions";
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let headers = miner.sign("POST", TARGET, b"{}");
    let again = async || miner.send(Method::POST, TARGET, &headers, b"{}".to_vec()).await.status().as_u16();
    assert_eq!(again().await, 422, "it was signed well and says nothing");
    // Time passes, rows are forgotten; then somebody sets the clock to when the request was signed.
    app.app.clock.advance(3_600);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    app.app.clock.jump(-3_600);
    assert_eq!(again().await, 401);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(again().await, 401);
}
