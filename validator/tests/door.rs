//! The door to the engine: what every implementation of it promises, and that the service rests on nothing else. What
//! nobody wants any more ends and gives the machine back; what is gone, or about something else, is said to be and ends too.

use super::administration::disqualified;
use super::rounds::{by_size, submit, wait_for};
use super::support::{Package, Setup, TestApp, competition};
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use protocol::Digest;
use protocol::evaluation::{
    Answer, Evaluation, EvaluationFailure, EvaluationRequest, Inputs, Measured, Order, PackageBytes, Scope, Truth,
};
use protocol::package::PackageConfig;
use protocol::report::Latency;
use protocol::round::Step;
use protocol::submission::{Code, State};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use validator::evaluator::conformance::{PROMISE, Subject, evaluator_conformance};
use validator::evaluator::{AtHome, Home, Measurer, silent};
use validator::objects::Objects;
use validator::rounds::close_now;
use validator::scripted::scripted_evaluation;
use validator::{Evaluator, Machine, Progress, ScriptedEvaluator};

/// How long a test waits for what should come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Counts what is under way.
#[derive(Clone, Default)]
struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// `answer`, which is under way until it is there or dropped.
    fn over<T: 'static>(&self, answer: impl Future<Output = T> + Send + 'static) -> BoxFuture<'static, T> {
        struct Ends(UnderWay);
        impl Drop for Ends {
            fn drop(&mut self) {
                self.0.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        let ends = Ends(self.clone());
        async move {
            let _ends = ends;
            answer.await
        }
        .boxed()
    }

    /// Waits until so much is under way.
    async fn until(&self, count: usize) {
        let reached = async {
            while self.count() != count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("never {count} under way"));
    }
}

/// An engine that never comes to an end with what `hangs`, and answers all else by size.
fn hanging(hangs: impl Fn(&EvaluationRequest) -> bool + Send + Sync + 'static) -> (Arc<dyn Evaluator>, UnderWay) {
    let under_way = UnderWay::default();
    let (counted, others) = (under_way.clone(), by_size());
    let evaluator = ScriptedEvaluator::new(Arc::new(move |request| match hangs(&request) {
        true => counted.over(futures::future::pending()),
        false => others.follow(request),
    }));
    (Arc::new(evaluator), under_way)
}

/// The size of a package's weights, by which scripts tell one from another.
fn weights_of(hidden: u32) -> usize {
    Package::mlp(&[hidden], 7).file("model.safetensors").len()
}

/// A script behind the door.
pub(crate) struct Scripted {
    door: Arc<dyn Evaluator>,
    under_way: UnderWay,
}

/// What makes the script take forever.
const ENDLESS: u64 = 1 << 40;

impl Scripted {
    pub(crate) fn new() -> Self {
        let under_way = UnderWay::default();
        let counted = under_way.clone();
        let script = move |request: EvaluationRequest| match request.order.seed {
            ENDLESS => counted.over(futures::future::pending()),
            _ => counted.over(async move { scripted_evaluation(&request, 900_000) }),
        };
        Self { door: Arc::new(ScriptedEvaluator::new(Arc::new(script))), under_way }
    }
}

fn bytes(mut package: Package) -> PackageBytes {
    let mut bytes = |file| Arc::from(package.file(file).as_slice());
    PackageBytes { config_json: bytes("config.json"), weights: bytes("model.safetensors") }
}

impl Subject for Scripted {
    fn door(&self) -> Arc<dyn Evaluator> {
        Arc::clone(&self.door)
    }

    fn order(&self, number: u32) -> EvaluationRequest {
        let candidate = bytes(Package::mlp(&[8 + number], number));
        let config = PackageConfig::from_json(&candidate.config_json).unwrap();
        let items = 10 + number as usize;
        let truth = Truth { labels: vec![0; items].into(), public: items as u32, teacher_logits: None };
        let order = Order {
            candidate,
            reference: bytes(Package::mlp(&[4], 2)),
            inputs: Inputs {
                pixels: vec![number as u8; items * config.input.shape().values() as usize].into(),
                spec: config.input,
            },
            probes: Arc::from([]),
            expected: None,
            engine: Default::default(),
            backends: Vec::new(),
            scope: Scope::Full,
            seed: number.into(),
            wall_seconds_max: 60,
            memory_bytes_max: 1 << 30,
        };
        EvaluationRequest::new(order, truth)
    }

    fn endless(&self, number: u32) -> EvaluationRequest {
        let mut request = self.order(number);
        request.order.seed = ENDLESS;
        request
    }

    fn is_at_work(&self) -> bool {
        self.under_way.count() > 0
    }
}

/// What measures and knows nothing: an item's class is its first pixel, and everything takes as long as the reference.
#[derive(Default)]
struct Blind {
    under_way: UnderWay,
    machine: Arc<Mutex<()>>,
}

impl Measurer for Blind {
    fn machine(&self) -> BoxFuture<'_, Result<Machine, EvaluationFailure>> {
        Arc::clone(&self.machine).lock_owned().map(|held| Ok(Machine::held_by(held))).boxed()
    }

    fn measure(&self, machine: Machine, order: Order, home: Home) -> BoxFuture<'_, Result<Answer, EvaluationFailure>> {
        self.under_way.over(async move {
            let _machine = machine;
            (home.progress)(Progress { phase: "accuracy".into(), done: 0, total: 1 });
            if order.seed == ENDLESS {
                return std::future::pending().await;
            }
            answer(&order, &home)
        })
    }
}

fn answer(order: &Order, home: &Home) -> Result<Answer, EvaluationFailure> {
    let about = order.about()?;
    // All that an order says, field by field, so that whoever adds one comes by here: is it the truth of anything?
    let Order {
        candidate,
        reference: _,
        inputs: Inputs { spec, pixels },
        probes,
        expected: _,
        engine: _,
        backends: _,
        scope,
        seed: _,
        wall_seconds_max: _,
        memory_bytes_max: _,
    } = order;
    let classes = PackageConfig::from_json(&candidate.config_json)?.labels.len();
    let answers = |pixels: &[u8]| -> Vec<f32> {
        let answers = pixels.chunks(spec.shape().values() as usize).map(|item| usize::from(item[0]) % classes);
        answers.flat_map(|answer| (0..classes).map(move |class| f32::from(class == answer))).collect()
    };
    let outputs = answers(&pixels.read(0..pixels.bytes()).map_err(EvaluationFailure::unread)?);
    let is_timed = match scope {
        Scope::Full => true,
        Scope::FullIfWorthIt => (home.is_worth_timing)(&outputs),
        Scope::OutputsOnly => false,
    };
    let launches = if is_timed { 15 } else { 0 };
    let measured = Measured {
        about,
        engine: "blind/1".into(),
        host: Default::default(),
        device: "blind".into(),
        on_backend: None,
        latency: Latency { launches, ..Latency::default() },
        cost: Default::default(),
        phases_ms: Default::default(),
    };
    let (probe_outputs, log_ratio_nanos) = (answers(probes), vec![0; launches as usize]);
    Ok(Answer { measured, outputs, probe_outputs, latency_samples: Vec::new(), log_ratio_nanos })
}

#[tokio::test(start_paused = true)]
async fn what_measures_without_the_truth_keeps_what_every_door_promises() {
    let blind = Blind::default();
    let under_way = blind.under_way.clone();
    evaluator_conformance(&Scripted { door: Arc::new(AtHome(blind)), under_way }, PROMISE).await;
}

/// Waits for the machine and evaluates.
async fn evaluated(door: &dyn Evaluator, request: EvaluationRequest) -> Result<Evaluation, EvaluationFailure> {
    let machine = door.machine().await?;
    door.evaluate(machine, request, silent()).await
}

#[tokio::test]
async fn what_measures_asks_at_home_whether_it_is_worth_timing_and_the_report_is_made_there() {
    let mut request = Scripted::new().order(1);
    request.order.scope = Scope::FullIfWorthIt;
    request.truth.labels = Arc::from([1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
    request.truth.public = 6;
    let door = AtHome(Blind::default());
    for (timed_from, launches) in [(4, 15), (5, 0)] {
        request.timed_from = timed_from;
        let found = evaluated(&door, request.clone()).await.unwrap();
        let (quality, outcomes) = (&found.report.quality, found.outcomes.values());
        assert_eq!((quality.correct, quality.public_correct, found.report.data.public_items), (4, 4, 6));
        assert_eq!(outcomes.right.iter().filter(|right| **right).count(), 4);
        assert_eq!((found.report.latency.launches, outcomes.log_ratio_nanos.len()), (launches, launches as usize));
    }
    door.try_out(request.order.clone()).await.unwrap();
    request.truth.labels = Arc::from([1]);
    let failure = evaluated(&door, request).await.unwrap_err();
    assert!(matches!(&failure, EvaluationFailure::Infrastructure(why) if why.contains("items")), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_script_keeps_what_every_door_promises() {
    evaluator_conformance(&Scripted::new(), PROMISE).await;
}

#[tokio::test]
async fn who_is_disqualified_while_it_is_measured_gives_the_machine_to_the_next() {
    let hangs = weights_of(20);
    let (evaluator, under_way) = hanging(move |request| request.order.candidate.weights.len() == hangs);
    let app = TestApp::with_competition(Setup { evaluator, ..Setup::default() }).await;
    let out = app.miner(1).submit(&Package::mlp(&[20], 7)).await.unwrap();
    app.wait_for(&out, State::Evaluating).await;
    let next = app.miner(2).submit(&Package::mlp(&[8], 7)).await.unwrap();
    under_way.until(1).await;
    disqualified(&app, &out).await;
    under_way.until(0).await;
    app.wait_for(&next, State::Scored).await;
    let ended = app.miner(1).status(&out).await;
    assert_eq!((ended.state, ended.reason.unwrap().code), (State::Rejected, Code::Disqualified));
    assert!(app.app.db.evaluation(&out).await.unwrap().is_none(), "nothing is recorded of it");
}

/// A round goes on without a member that is taken out while the round measures it, and doesn't wait for its end.
async fn a_member_is_taken_out_of_a_round(hangs_at: Scope) {
    let hangs = weights_of(25);
    let (evaluator, under_way) =
        hanging(move |request| request.order.candidate.weights.len() == hangs && request.order.scope == hangs_at);
    let app = TestApp::with_competition(Setup { evaluator, ..Setup::default() }).await;
    let out = submit(&app, &app.miner(1), 25).await;
    let other = submit(&app, &app.miner(2), 20).await;
    wait_for(&app, 1, Step::Open).await;
    close_now(&app.app.db, app.app.hotkey, &competition("digits"), app.app.clock.now()).await.unwrap();
    under_way.until(1).await;
    disqualified(&app, &out).await;
    let round = wait_for(&app, 1, Step::Revealed).await;
    assert_eq!(under_way.count(), 0);
    assert_eq!(round.champion, Some(other), "{round:#?}");
}

#[tokio::test]
async fn who_is_disqualified_while_a_round_screens_it_holds_up_no_round() {
    a_member_is_taken_out_of_a_round(Scope::OutputsOnly).await;
}

#[tokio::test]
async fn who_is_disqualified_while_a_round_measures_it_holds_up_no_round() {
    a_member_is_taken_out_of_a_round(Scope::Full).await;
}

/// Time passes for the reaper alone: the worker still measures, and is told.
#[tokio::test]
async fn an_attempt_that_the_reaper_took_away_ends_and_the_next_one_has_the_machine() {
    let asked = Arc::new(AtomicUsize::new(0));
    let first = Arc::clone(&asked);
    let hangs = weights_of(20);
    let (evaluator, under_way) = hanging(move |request| {
        request.order.candidate.weights.len() == hangs && first.fetch_add(1, Ordering::SeqCst) == 0
    });
    let app = TestApp::with_competition(Setup { evaluator, ..Setup::default() }).await;
    let id = app.miner(1).submit(&Package::mlp(&[20], 7)).await.unwrap();
    under_way.until(1).await;
    app.app.clock.advance(121);
    app.wait_for(&id, State::Scored).await;
    assert_eq!((under_way.count(), asked.load(Ordering::SeqCst)), (0, 2), "it was measured once more, alone");
    assert_eq!(app.app.db.submission(&id).await.unwrap().unwrap().failures, 1);
}

#[tokio::test]
async fn an_order_for_a_package_that_is_gone_is_our_failure_and_holds_nobody_up() {
    let (store, tmp) = (Arc::new(InMemory::new()), tempfile::tempdir().unwrap());
    let objects = Objects::with_store(store.clone(), None, Path::default(), tmp.path().into()).unwrap();
    let hangs = weights_of(20);
    let (evaluator, under_way) = hanging(move |request| request.order.candidate.weights.len() == hangs);
    let app = TestApp::with_competition(Setup { evaluator, objects: Some(objects), ..Setup::default() }).await;
    let holds = app.miner(1).submit(&Package::mlp(&[20], 7)).await.unwrap();
    under_way.until(1).await;
    let mut package = Package::mlp(&[8], 7);
    let gone = app.miner(2).submit(&package).await.unwrap();
    app.wait_for(&gone, State::Queued).await;
    let next = app.miner(3).submit(&Package::mlp(&[9], 8)).await.unwrap();
    let weights = Digest::of(package.file("model.safetensors"));
    store.delete(&Path::from(format!("sha256/{weights}"))).await.unwrap();
    disqualified(&app, &holds).await;
    app.wait_for(&next, State::Scored).await;
    app.wait_for(&gone, State::Failed).await;
    assert_eq!(app.miner(2).status(&gone).await.reason.unwrap().code, Code::Infrastructure);
}
