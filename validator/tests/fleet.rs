//! Workers on other machines, as they speak with a serving validator: let in once, given orders without truth, believed only about what
//! was ordered; what they have is taken back when nobody hears of them, and survives a restart of the validator.

use super::administration::{disqualified, stated};
use super::support::{Miner, Package, Setup, TestApp, competition, validator_hotkey};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::evaluation::{Answer, Evaluation, EvaluationFailure, EvaluationRequest, Measured, Order, little_endian};
use protocol::fleet::{
    AnswerSheet, BUILD, ClaimRequest, Claimed, EnrolRequest, Enrolled, RenewRequest, Standing, Trust, WorkerFacts,
    WorkerName, WorkerReport, Worth, WorthRequest,
};
use protocol::leaf::Act;
use protocol::pixels::Pixels;
use protocol::report::{Estimate, LatencyCheck};
use protocol::submission::State;
use protocol::{Digest, SignedReceipt, SubmissionId};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use validator::db::workers::Worker as Row;
use validator::fleet::{self, FleetAct};
use validator::scripted::scripted_evaluation;
use validator::{App, Evaluator, Machine, ProgressFn, ScriptedEvaluator};

/// How long what a worker has is good in these tests, in seconds.
const LEASE: u64 = 4;
/// Right on so many millionths of the items, as our machine finds, too.
pub(super) const RIGHT: u64 = 900_000;

/// An evaluator whose machine is away once a competition is published, so that whatever is measured is measured elsewhere.
pub(super) struct Away {
    scripted: ScriptedEvaluator,
    pub(super) is_away: AtomicBool,
}

impl Default for Away {
    /// At home. The teacher is right on 96 %, everyone else on as much as workers here say, too.
    fn default() -> Self {
        let script = |request: EvaluationRequest| async move {
            let right_ppm = if request.truth.teacher_logits.is_none() { 960_000 } else { RIGHT };
            scripted_evaluation(&request, right_ppm)
        };
        let scripted = ScriptedEvaluator::new(Arc::new(move |request| script(request).boxed()));
        Self { scripted, is_away: AtomicBool::new(false) }
    }
}

impl Evaluator for Away {
    fn machine(&self) -> BoxFuture<'_, Result<Machine, EvaluationFailure>> {
        async {
            while self.is_away.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            self.scripted.machine().await
        }
        .boxed()
    }

    fn class(&self) -> Option<String> {
        Some("x86_64-v3".into())
    }

    fn evaluate(
        &self,
        machine: Machine,
        request: EvaluationRequest,
        progress: ProgressFn,
    ) -> BoxFuture<'_, Result<Evaluation, EvaluationFailure>> {
        self.scripted.evaluate(machine, request, progress)
    }

    fn try_out(&self, order: Order) -> BoxFuture<'_, Result<(), EvaluationFailure>> {
        self.scripted.try_out(order)
    }
}

/// A validator whose own machine is away.
pub(super) async fn away(lease: u64) -> (TestApp, Arc<Away>) {
    let evaluator = Arc::new(Away::default());
    let app = TestApp::with_competition(setup(&evaluator, lease)).await;
    evaluator.is_away.store(true, Ordering::SeqCst);
    (app, evaluator)
}

fn setup(evaluator: &Arc<Away>, lease: u64) -> Setup {
    let mut setup = Setup { evaluator: Arc::<Away>::clone(evaluator), ..Setup::default() };
    setup.config.limits.worker_lease_seconds = lease;
    setup
}

pub(super) fn name(text: &str) -> WorkerName {
    text.parse().unwrap()
}

/// A worker, by hand.
pub(super) struct Worker {
    pub(super) signer: Miner,
    facts: WorkerFacts,
}

impl Worker {
    fn new(seed: u8, app: &TestApp) -> Self {
        let facts = WorkerFacts {
            build: BUILD.into(),
            class: "x86_64-v3".into(),
            machine: Digest::of(&[seed]),
            engines: vec!["burn".parse().unwrap()],
        };
        Self { signer: app.miner(seed), facts }
    }

    /// One that was let in.
    async fn enrolled(seed: u8, called: &str, app: &TestApp) -> Self {
        Self::trusted(seed, (called, Trust::Own), app).await
    }

    /// One that was let in, on such a machine.
    pub(super) async fn trusted(seed: u8, (called, trust): (&str, Trust), app: &TestApp) -> Self {
        let worker = Self::new(seed, app);
        let token = fleet::invite(&app.app.db, (&name(called), trust), app.app.clock.now()).await.unwrap();
        let enrolled: Enrolled = worker.enrol(&token).await.json().await.unwrap();
        assert_eq!(enrolled, Enrolled { name: name(called), validator: validator_hotkey() });
        worker
    }

    async fn post(&self, target: &str, body: &impl serde::Serialize) -> Response {
        self.signer.post(target, serde_json::to_vec(body).unwrap()).await
    }

    async fn enrol(&self, token: &str) -> Response {
        self.post("/api/v1/fleet/enrol", &EnrolRequest { token: token.into(), facts: self.facts.clone() }).await
    }

    pub(super) async fn ask(&self) -> Response {
        self.post("/api/v1/fleet/claims", &ClaimRequest { facts: self.facts.clone() }).await
    }

    /// Asks until there is something.
    pub(super) async fn claim(&self) -> Claimed {
        for _ in 0..30 {
            let response = self.ask().await;
            match response.status() {
                StatusCode::OK => return response.json().await.unwrap(),
                StatusCode::NO_CONTENT => {}
                other => panic!("{other}: {}", response.text().await.unwrap()),
            }
        }
        panic!("there was never anything to measure");
    }

    /// All files of an order, by what they are.
    pub(super) async fn fetch(&self, claimed: &Claimed) -> Order {
        let sheet = serde_json::to_value(&claimed.order).unwrap();
        let mut files = HashMap::new();
        for object in ["candidate", "reference"].iter().flat_map(|package| sheet[package].as_object().unwrap().values())
        {
            self.fetch_one(claimed, object, &mut files).await;
        }
        for object in [&sheet["items"], &sheet["probes"]] {
            self.fetch_one(claimed, object, &mut files).await;
        }
        let bytes = |sha256: &Digest| -> Arc<[u8]> { Arc::from(&*files[sha256]) };
        let order = claimed
            .order
            .clone()
            .order::<()>(|object| Ok(bytes(&object.sha256)), |object| Ok(Pixels::from(bytes(&object.sha256))));
        order.unwrap()
    }

    async fn fetch_one(&self, claimed: &Claimed, object: &Value, files: &mut HashMap<Digest, Bytes>) {
        let sha256: Digest = object["sha256"].as_str().unwrap().parse().unwrap();
        let response = self.signer.get(&format!("{}/{sha256}", claimed.files)).await;
        assert_eq!(response.status(), StatusCode::OK);
        let bytes = response.bytes().await.unwrap();
        assert_eq!((Digest::of(&bytes), bytes.len() as u64), (sha256, object["size_bytes"].as_u64().unwrap()));
        files.insert(sha256, bytes);
    }

    async fn bring(&self, files: &str, bytes: Vec<u8>) -> (Digest, StatusCode) {
        let sha256 = Digest::of(&bytes);
        let url = format!("{}{files}/{sha256}", self.signer.base);
        let sent = self.signer.http.put(url).body(bytes).send().await.unwrap();
        (sha256, sent.status())
    }

    pub(super) async fn report(&self, claim: &str, report: &WorkerReport) -> Response {
        self.post(&format!("/api/v1/fleet/claims/{claim}/report"), report).await
    }

    async fn renew(&self, claim: &str) -> Response {
        self.post(&format!("/api/v1/fleet/claims/{claim}/renew"), &RenewRequest::default()).await
    }

    /// What comes of a claim; right answers come from beside the worker, which doesn't have them.
    pub(super) async fn measured(&self, app: &App, claimed: &Claimed, right_ppm: u64) -> Answer {
        let stored = app.db.competition(&competition("digits")).await.unwrap().unwrap();
        let materials = app.materials.of(&app.objects, &stored).await.unwrap();
        let request = EvaluationRequest::new(self.fetch(claimed).await, materials.items.truth.clone());
        let Evaluation { report, logits, probe_logits, outcomes, latency_samples } =
            scripted_evaluation(&request, right_ppm).unwrap();
        let measured = Measured {
            about: report.about(),
            engine: report.engine,
            host: report.host,
            device: report.device,
            on_backend: report.on_backend,
            latency: report.latency,
            cost: report.cost,
            phases_ms: report.phases_ms,
        };
        let log_ratio_nanos = outcomes.values().log_ratio_nanos.clone();
        Answer { measured, outputs: logits, probe_outputs: probe_logits, latency_samples, log_ratio_nanos }
    }

    /// Brings an answer's files.
    pub(super) async fn sheet(&self, claimed: &Claimed, answer: &Answer) -> AnswerSheet {
        let bring = async |bytes: Vec<u8>| {
            let (sha256, status) = self.bring(&claimed.files, bytes).await;
            assert_eq!(status, StatusCode::NO_CONTENT);
            sha256
        };
        AnswerSheet {
            measured: answer.measured.clone(),
            outputs: bring(little_endian(&answer.outputs)).await,
            probe_outputs: bring(little_endian(&answer.probe_outputs)).await,
            latency_samples: bring(answer.latency_samples.clone()).await,
            log_ratio_nanos: answer.log_ratio_nanos.clone(),
        }
    }

    pub(super) async fn answered(&self, app: &App, claimed: &Claimed) -> Response {
        let answer = self.measured(app, claimed, RIGHT).await;
        let sheet = self.sheet(claimed, &answer).await;
        self.report(&claimed.claim, &WorkerReport::Answer(Box::new(sheet))).await
    }
}

async fn code(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let problem: Value = response.json().await.unwrap();
    (status, problem["code"].as_str().unwrap().to_owned())
}

pub(super) async fn submitted(app: &TestApp, seed: u8) -> SubmissionId {
    let id = app.miner(seed).submit(&Package::mlp(&[8], seed.into())).await.unwrap();
    app.wait_for(&id, State::Queued).await;
    id
}

pub(super) async fn row(app: &TestApp, called: &str) -> Row {
    let workers = app.app.db.fleet(app.app.clock.now()).await.unwrap();
    workers.into_iter().find(|worker| worker.name == name(called)).unwrap()
}

pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let held = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), held).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_worker_elsewhere_measures_without_the_truth_and_the_receipt_names_it() {
    let (app, _) = away(LEASE).await;
    let worker = Worker::enrolled(101, "bench-1", &app).await;
    let id = submitted(&app, 1).await;
    let claimed = worker.claim().await;
    app.wait_for(&id, State::Evaluating).await;
    assert_eq!(row(&app, "bench-1").await.measures, Some(id.clone()));

    // All that it is told: which files, on what, how long. No label and no answer of the teacher's is among them.
    let told = serde_json::to_value(&claimed).unwrap();
    let said: Vec<&String> = told["order"].as_object().unwrap().keys().collect();
    let all = [
        "candidate",
        "reference",
        "input",
        "items",
        "probes",
        "expected",
        "engine",
        "backends",
        "scope",
        "seed",
        "wall_seconds_max",
        "memory_bytes_max",
    ];
    assert!(said.iter().all(|key| all.contains(&key.as_str())), "{said:?}");
    assert!(worker.renew(&claimed.claim).await.status().is_success());

    let answer = worker.measured(&app.app, &claimed, RIGHT).await;
    let (outputs, _) = worker.bring(&claimed.files, little_endian(&answer.outputs)).await;
    let target = format!("/api/v1/fleet/claims/{}/worth", claimed.claim);
    let worth: Worth = worker.post(&target, &WorthRequest { outputs }).await.json().await.unwrap();
    assert!(worth.timed);
    let sheet = worker.sheet(&claimed, &answer).await;
    let reported = worker.report(&claimed.claim, &WorkerReport::Answer(Box::new(sheet))).await;
    assert_eq!(reported.status(), StatusCode::NO_CONTENT);

    app.wait_for(&id, State::Scored).await;
    let receipt = app.miner(1).get(&format!("/api/v1/submissions/{id}/receipt")).await.bytes().await.unwrap();
    let by = SignedReceipt::parse(&receipt).unwrap().receipt.subject.worker.unwrap();
    assert_eq!((by.name, by.key, by.class.as_str()), (name("bench-1"), worker.signer.hotkey(), "x86_64-v3"));
    let after = row(&app, "bench-1").await;
    assert_eq!((after.answered, after.failed, after.lost, after.measures), (1, 0, 0, None));
    // Who measures is for everybody to see.
    let Act::WorkerStands { worker: who, key, stands, .. } = stated(&app, "administration/worker/1").await else {
        panic!("another act")
    };
    assert_eq!((who, key, stands), (name("bench-1"), worker.signer.hotkey(), Standing::Active));
}

#[tokio::test]
async fn what_isnt_heard_of_is_taken_back_and_measured_by_another_and_the_late_report_changes_nothing() {
    let (app, _) = away(2).await;
    let silent = Worker::enrolled(101, "bench-1", &app).await;
    let id = submitted(&app, 1).await;
    let lost = silent.claim().await;
    let answer = silent.measured(&app.app, &lost, RIGHT).await;
    let began = Instant::now();
    let other = Worker::enrolled(102, "bench-2", &app).await;
    let claimed = other.claim().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_ne!(claimed.claim, lost.claim);
    // It comes back in the middle of the other's measurement.
    let (_, status) = silent.bring(&lost.files, little_endian(&answer.outputs)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(code(silent.renew(&lost.claim).await).await, (409, "claim_over".into()));
    // Nor may it speak for the other.
    assert_eq!(code(silent.renew(&claimed.claim).await).await, (409, "claim_over".into()));
    assert_eq!(code(silent.report(&claimed.claim, &WorkerReport::GivenBack).await).await, (409, "claim_over".into()));

    assert_eq!(other.answered(&app.app, &claimed).await.status(), StatusCode::NO_CONTENT);
    app.wait_for(&id, State::Scored).await;
    let submission = app.app.db.submission(&id).await.unwrap().unwrap();
    assert_eq!(submission.failures, 0, "a lost worker is no failure of the submission's");
    assert_eq!((row(&app, "bench-1").await.lost, row(&app, "bench-2").await.answered), (1, 1));
}

#[tokio::test]
async fn a_restart_of_the_validator_costs_no_measurement_of_a_worker_elsewhere() {
    let (app, evaluator) = away(60).await;
    let mut worker = Worker::enrolled(101, "bench-1", &app).await;
    let id = submitted(&app, 1).await;
    let claimed = worker.claim().await;
    let answer = worker.measured(&app.app, &claimed, RIGHT).await;
    let again = async |(dir, objects)| {
        let app = TestApp::start_in(dir, Setup { objects: Some(objects), ..setup(&evaluator, 60) }).await;
        until("the claim is under way again", async || app.app.fleet.held(&claimed.claim).is_some()).await;
        assert_eq!(app.app.db.submission(&id).await.unwrap().unwrap().attempt, 0);
        app
    };
    // It waits for news while the validator ends, and isn't told that its claim is over.
    let (renewed, left) = tokio::join!(worker.renew(&claimed.claim), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        app.stop().await
    });
    assert_eq!(renewed.status(), StatusCode::OK);
    let app = again(left).await;
    worker.signer = app.miner(101);
    let renewing = tokio::time::timeout(Duration::from_secs(2), worker.renew(&claimed.claim)).await;
    assert!(renewing.is_err(), "it holds, so the answer takes its time");
    // What was brought to a process that is killed is brought again.
    let sheet = worker.sheet(&claimed, &answer).await;
    let app = again(app.kill().await).await;
    worker.signer = app.miner(101);
    let report = WorkerReport::Answer(Box::new(sheet));
    assert_eq!(code(worker.report(&claimed.claim, &report).await).await, (422, "not_brought".into()));
    worker.sheet(&claimed, &answer).await;
    assert_eq!(worker.report(&claimed.claim, &report).await.status(), StatusCode::NO_CONTENT);
    app.wait_for(&id, State::Scored).await;
    assert_eq!(app.app.db.submission(&id).await.unwrap().unwrap().attempt, 0);
}

#[tokio::test]
async fn what_is_disqualified_or_given_back_ends_at_once() {
    let (app, _) = away(60).await;
    let worker = Worker::enrolled(101, "bench-1", &app).await;
    let id = submitted(&app, 1).await;
    let claimed = worker.claim().await;
    let (began, over) = (Instant::now(), worker.renew(&claimed.claim));
    let ((), over) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            disqualified(&app, &id).await;
        },
        over
    );
    assert_eq!(code(over).await, (409, "claim_over".into()));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    let id = submitted(&app, 2).await;
    let claimed = worker.claim().await;
    assert!(worker.report(&claimed.claim, &WorkerReport::GivenBack).await.status().is_success());
    let again = worker.claim().await;
    assert_ne!(again.claim, claimed.claim);
    assert_eq!(worker.answered(&app.app, &again).await.status(), StatusCode::NO_CONTENT);
    app.wait_for(&id, State::Scored).await;
    let row = row(&app, "bench-1").await;
    assert_eq!((row.answered, row.failed, row.lost), (1, 0, 0), "what is given back isn't answered");
    let held: i64 = sqlx::query_scalar("SELECT count(*) FROM holds").fetch_one(app.app.db.pool()).await.unwrap();
    assert_eq!(held, 1, "what has its end is held no more: the disqualified one was taken away from its worker");
    assert_eq!(app.app.db.submission(&id).await.unwrap().unwrap().failures, 0);
}

#[tokio::test]
async fn a_report_of_something_else_is_refused_and_the_claim_goes_on() {
    let (app, _) = away(60).await;
    let worker = Worker::enrolled(101, "bench-1", &app).await;
    let id = submitted(&app, 1).await;
    let claimed = worker.claim().await;
    let answer = worker.measured(&app.app, &claimed, RIGHT).await;
    let sheet = worker.sheet(&claimed, &answer).await;
    let report = async |sheet: &AnswerSheet| {
        let response = worker.report(&claimed.claim, &WorkerReport::Answer(Box::new(sheet.clone()))).await;
        code(response).await
    };
    for change in [
        |sheet: &mut AnswerSheet| sheet.measured.about.seed += 1,
        |sheet: &mut AnswerSheet| sheet.measured.about.items -= 1,
        |sheet: &mut AnswerSheet| sheet.measured.about.images_sha256 = Digest::of(b"other items"),
        |sheet: &mut AnswerSheet| sheet.measured.about.package_sha256 = Digest::of(b"another package"),
    ] {
        let mut other = sheet.clone();
        change(&mut other);
        assert_eq!(report(&other).await, (422, "other_order".into()));
    }
    let missing = AnswerSheet { outputs: Digest::of(b"never brought"), ..sheet.clone() };
    assert_eq!(report(&missing).await, (422, "not_brought".into()));
    let url = app.url(&format!("{}/{}", claimed.files, Digest::of(b"these")));
    let sent = worker.signer.http.put(url).body("those").send().await.unwrap();
    assert_eq!(code(sent).await, (422, "other_bytes".into()));
    let unknown = worker.signer.get(&format!("{}/{}", claimed.files, Digest::of(b"labels"))).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    let guessed = worker.signer.get(&format!("/api/v1/fleet/files/{}/{}", "0".repeat(32), sheet.outputs)).await;
    assert_eq!(guessed.status(), StatusCode::CONFLICT);

    assert_eq!(
        worker.report(&claimed.claim, &WorkerReport::Answer(Box::new(sheet))).await.status(),
        StatusCode::NO_CONTENT
    );
    app.wait_for(&id, State::Scored).await;
    // What is over is over.
    let late = worker.report(&claimed.claim, &WorkerReport::GivenBack).await;
    assert_eq!(code(late).await, (409, "claim_over".into()));
}

#[tokio::test]
async fn only_a_worker_that_was_let_in_of_this_build_and_class_and_alone_on_its_machine_is_given_work() {
    let (app, _) = away(LEASE).await;
    let stranger = Worker::new(9, &app);
    assert_eq!(code(stranger.ask().await).await, (403, "worker_unknown".into()));
    assert_eq!(code(stranger.enrol("0123").await).await, (403, "enrolment_unknown".into()));

    let token = fleet::invite(&app.app.db, (&name("bench-1"), Trust::Own), app.app.clock.now()).await.unwrap();
    let mut worker = Worker::new(101, &app);
    worker.facts.build = "retort/9.9.9 fleet/1".into();
    assert_eq!(code(worker.enrol(&token).await).await, (426, "other_build".into()), "and the token is still good");
    worker.facts.build = BUILD.into();
    assert!(worker.enrol(&token).await.status().is_success());
    assert_eq!(code(stranger.enrol(&token).await).await, (403, "enrolment_unknown".into()), "it is good once");

    let other_build = WorkerFacts { build: "retort/9.9.9 fleet/1".into(), ..worker.facts.clone() };
    let other_class = WorkerFacts { class: "x86_64-v4".into(), ..worker.facts.clone() };
    for (facts, refused) in [(other_build, (426, "other_build")), (other_class, (403, "other_class"))] {
        let response = worker.post("/api/v1/fleet/claims", &ClaimRequest { facts }).await;
        assert_eq!(code(response).await, (refused.0, refused.1.into()));
    }
    assert_eq!(worker.ask().await.status(), StatusCode::NO_CONTENT);
    let mut beside = Worker::enrolled(102, "bench-2", &app).await;
    beside.facts.machine = worker.facts.machine;
    assert_eq!(code(beside.ask().await).await, (409, "machine_taken".into()));

    let act = async |act, reason: &str| {
        let (db, now) = (&app.app.db, app.app.clock.now());
        fleet::act(db, app.app.hotkey, (&name("bench-1"), act), reason.parse().unwrap(), now).await.unwrap();
    };
    for (made, refused) in [
        (FleetAct::Drain, "worker_draining"),
        (FleetAct::Quarantine, "worker_quarantined"),
        (FleetAct::Revoke, "worker_revoked"),
    ] {
        act(made, "a test").await;
        assert_eq!(code(worker.ask().await).await, (403, refused.into()));
        if made != FleetAct::Revoke {
            act(FleetAct::Resume, "a test").await;
            assert_eq!(worker.ask().await.status(), StatusCode::NO_CONTENT);
        }
    }
    // Who was shut out comes back by a new token alone, under the same name and another key.
    let back = Worker::enrolled(103, "bench-1", &app).await;
    assert_eq!(back.ask().await.status(), StatusCode::NO_CONTENT);
    assert_eq!(code(worker.ask().await).await, (403, "worker_unknown".into()));
    let seen: Value = app.as_operator("/api/v1/operator/fleet").await.json().await.unwrap();
    assert_eq!(seen.as_array().unwrap().len(), 2);
    let stranger = reqwest::get(app.url("/api/v1/operator/fleet")).await.unwrap();
    assert_eq!(stranger.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_worker_on_a_restless_machine_is_quarantined_and_what_it_spoiled_is_measured_by_another() {
    let (app, _) = away(LEASE).await;
    let restless = Worker::enrolled(101, "bench-1", &app).await;
    let mut ids = Vec::new();
    for seed in 1..=3 {
        let id = submitted(&app, seed).await;
        let claimed = restless.claim().await;
        let mut answer = restless.measured(&app.app, &claimed, RIGHT).await;
        // Something else used the machine: the reference over itself is 1.2.
        let control = &mut answer.measured.latency.checks.control;
        *control = LatencyCheck {
            launches: 15,
            ratio: Estimate { value_ppm: 1_200_000, low_ppm: 1_190_000, high_ppm: 1_210_000 },
        };
        let sheet = restless.sheet(&claimed, &answer).await;
        let reported = restless.report(&claimed.claim, &WorkerReport::Answer(Box::new(sheet))).await;
        assert_eq!(reported.status(), StatusCode::NO_CONTENT);
        app.wait_for(&id, State::Queued).await;
        ids.push(id);
        if seed < 3 {
            assert_eq!(row(&app, "bench-1").await.state, Standing::Active);
            // Others take what it spoiled.
            let calm = Worker::enrolled(110 + seed, &format!("bench-1{seed}"), &app).await;
            let claimed = calm.claim().await;
            assert_eq!(calm.answered(&app.app, &claimed).await.status(), StatusCode::NO_CONTENT);
            app.wait_for(&ids[usize::from(seed) - 1], State::Scored).await;
        }
    }
    until("it is quarantined", async || row(&app, "bench-1").await.state == Standing::Quarantined).await;
    let why = row(&app, "bench-1").await.reason.unwrap();
    assert!(why.contains("3 of its last 3"), "{why}");
    assert_eq!(code(restless.ask().await).await, (403, "worker_quarantined".into()));
    let other = Worker::enrolled(102, "bench-2", &app).await;
    let claimed = other.claim().await;
    assert_eq!(other.answered(&app.app, &claimed).await.status(), StatusCode::NO_CONTENT);
    app.wait_for(&ids[2], State::Scored).await;
    // Looked at, it is given work again, and isn't quarantined for what was before.
    let (db, now) = (&app.app.db, app.app.clock.now() + 1);
    let resume = (&name("bench-1"), FleetAct::Resume);
    fleet::act(db, app.app.hotkey, resume, "looked at".parse().unwrap(), now).await.unwrap();
    let id = submitted(&app, 4).await;
    let claimed = restless.claim().await;
    assert_eq!(restless.answered(&app.app, &claimed).await.status(), StatusCode::NO_CONTENT);
    app.wait_for(&id, State::Scored).await;
    assert_eq!(row(&app, "bench-1").await.state, Standing::Active);
}

#[tokio::test]
async fn what_a_worker_has_is_anothers_once_it_asks_again_or_is_doubted() {
    let (app, _) = away(60).await;
    let worker = Worker::enrolled(101, "bench-1", &app).await;
    let id = submitted(&app, 1).await;
    let forgotten = worker.claim().await;
    // It was started again and remembers nothing: nobody waits for a lease to end.
    let claimed = worker.claim().await;
    assert_ne!(claimed.claim, forgotten.claim);
    assert_eq!(code(worker.renew(&forgotten.claim).await).await, (409, "claim_over".into()));
    let answer = worker.measured(&app.app, &claimed, RIGHT).await;
    let sheet = worker.sheet(&claimed, &answer).await;
    let doubted = (&name("bench-1"), FleetAct::Quarantine);
    let (db, now) = (&app.app.db, app.app.clock.now());
    fleet::act(db, app.app.hotkey, doubted, "a test".parse().unwrap(), now).await.unwrap();
    let report = worker.report(&claimed.claim, &WorkerReport::Answer(Box::new(sheet))).await;
    assert_eq!(code(report).await, (409, "claim_over".into()), "its word counts no more");
    let other = Worker::enrolled(102, "bench-2", &app).await;
    let claimed = other.claim().await;
    assert_eq!(other.answered(&app.app, &claimed).await.status(), StatusCode::NO_CONTENT);
    app.wait_for(&id, State::Scored).await;
    assert_eq!(app.app.db.submission(&id).await.unwrap().unwrap().failures, 0);
    assert_eq!(row(&app, "bench-1").await.lost, 2);
}

#[tokio::test]
async fn several_workers_share_the_queue_and_each_submission_is_measured_once() {
    let (app, _) = away(LEASE).await;
    let mut workers = Vec::new();
    for seed in 101..104 {
        workers.push(Worker::enrolled(seed, &format!("bench-{seed}"), &app).await);
    }
    let mut ids = Vec::new();
    for seed in 1..=12 {
        ids.push(submitted(&app, seed).await);
    }
    let work = async |worker: Worker| {
        let mut measured = 0;
        loop {
            let response = worker.ask().await;
            if response.status() == StatusCode::NO_CONTENT {
                return measured;
            }
            let claimed: Claimed = response.json().await.unwrap();
            assert_eq!(worker.answered(&app.app, &claimed).await.status(), StatusCode::NO_CONTENT);
            measured += 1;
        }
    };
    let measured = futures::future::join_all(workers.into_iter().map(work)).await;
    assert_eq!(measured.iter().sum::<usize>(), ids.len(), "{measured:?}");
    assert!(measured.iter().all(|count| *count > 0), "{measured:?}");
    for id in ids {
        app.wait_for(&id, State::Scored).await;
        let scored = app.app.db.events(&id).await.unwrap().iter().filter(|event| event.to == State::Evaluating).count();
        assert_eq!(scored, 1, "{id}");
    }
}

/// What a claim costs, and how much of eight workers is left of eight: prints docs/BENCHMARKS.md's figures.
///
/// `cargo test -p validator --release --test all -- --ignored --nocapture fleet::the_overhead`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn the_overhead_of_a_claim_and_what_eight_workers_do() {
    const EACH: Duration = Duration::from_secs(1);
    const ROUNDS: usize = 6;
    for count in [1, 8] {
        let (app, _) = away(60).await;
        let mut workers = Vec::new();
        for seed in 200..200 + count {
            workers.push(Worker::enrolled(seed, &format!("bench-{seed}"), &app).await);
        }
        let submissions = usize::from(count) * ROUNDS;
        for seed in 1..=submissions {
            submitted(&app, u8::try_from(seed).unwrap()).await;
        }
        let work = async |worker: Worker| {
            let (mut gaps, mut first) = (Vec::new(), None);
            let mut free = Instant::now();
            for _ in 0..ROUNDS {
                let claimed = worker.claim().await;
                first.get_or_insert_with(Instant::now);
                let answer = worker.measured(&app.app, &claimed, RIGHT).await;
                tokio::time::sleep(EACH).await;
                let sheet = worker.sheet(&claimed, &answer).await;
                worker.report(&claimed.claim, &WorkerReport::Answer(Box::new(sheet))).await;
                gaps.push(free.elapsed().saturating_sub(EACH));
                free = Instant::now();
            }
            (first.unwrap(), gaps)
        };
        let done = futures::future::join_all(workers.into_iter().map(work)).await;
        let ended = Instant::now();
        let first = done.iter().map(|(first, _)| *first).min().unwrap();
        let mut gaps: Vec<Duration> = done.into_iter().flat_map(|(_, gaps)| gaps.into_iter().skip(1)).collect();
        gaps.sort_unstable();
        let efficiency = EACH.as_secs_f64() * ROUNDS as f64 / (ended - first).as_secs_f64();
        println!(
            "{count} workers, {submissions} submissions of {EACH:?}: {:?} beside each measurement (median), {:?} at most, {:.1} % of \
             the workers' time measured",
            gaps[gaps.len() / 2],
            gaps.last().unwrap(),
            efficiency * 100.0
        );
    }
}
