//! One queue for all that is measured: a round, a submission and a publication wait for each other's turn at most, and what is cut
//! off in the middle of a round is done again, once.

use super::rounds::{by_size, play, submit, wait_for};
use super::support::{Package, Setup, TestApp, competition, competition_toml};
use futures::FutureExt;
use protocol::evaluation::{EvaluationRequest, Scope};
use protocol::round::{EntryRole, Step};
use protocol::submission::State;
use protocol::{Digest, Receipt, SignedReceipt, SubmissionId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use validator::Publisher;
use validator::ScriptedEvaluator;
use validator::evaluator::silent;
use validator::rounds::close_now;

/// How long a test waits for what should come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Members of the long round.
const MEMBERS: u8 = 30;

/// An engine that answers by size, but for what `waits` says of a request: that waits for `gate`, and is counted.
struct Gated {
    gate: Arc<Semaphore>,
    begun: Arc<AtomicUsize>,
}

impl Gated {
    fn new(waits: impl Fn(&EvaluationRequest) -> bool + Send + Sync + 'static) -> (Self, Arc<ScriptedEvaluator>) {
        let (gate, begun, others) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)), by_size());
        let (opened, counted) = (Arc::clone(&gate), Arc::clone(&begun));
        let evaluator = ScriptedEvaluator::new(Arc::new(move |request| {
            let answer = others.follow(request.clone());
            if !waits(&request) {
                return answer;
            }
            let (gate, counted) = (Arc::clone(&opened), Arc::clone(&counted));
            async move {
                counted.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                answer.await
            }
            .boxed()
        }));
        (Self { gate, begun }, Arc::new(evaluator))
    }

    async fn until_begun(&self, count: usize) {
        until("it is measured", async || self.begun.load(Ordering::SeqCst) >= count).await;
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let held = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, held).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A member of the round of letters, whose screening takes the machine until the test lets it go.
fn is_screened(request: &EvaluationRequest) -> bool {
    request.order.scope == Scope::OutputsOnly && request.order.candidate.weights.len() == weights_of(20)
}

fn weights_of(hidden: u32) -> usize {
    Package::mlp(&[hidden], 7).file("model.safetensors").len()
}

#[tokio::test]
async fn a_long_round_of_one_competition_holds_up_neither_submissions_nor_another_round_nor_who_publishes() {
    let (gated, evaluator) = Gated::new(is_screened);
    let app = TestApp::with_competition(Setup { evaluator, ..Setup::default() }).await;
    app.publish(&competition_toml("letters", "")).await;
    for number in 1..=MEMBERS {
        let id = app.miner(number).submit_to("letters", &Package::random(&[20], u64::from(number))).await.unwrap();
        app.wait_for(&id, State::Scored).await;
    }
    submit(&app, &app.miner(1), 25).await;
    wait_for(&app, 1, Step::Open).await;
    close_now(&app.app.db, app.app.hotkey, &competition("letters"), app.app.clock.now()).await.unwrap();
    gated.until_begun(1).await;

    // All of them come while one member is measured. Each is through with a part of the round done.
    let late = app.miner(60).submit(&Package::mlp(&[8], 30)).await.unwrap();
    app.wait_for(&late, State::Queued).await;
    let manifest = app.write_competition(&competition_toml("digits-2", ""));
    let publisher = Publisher::of(&app.app);
    let publishing = tokio::spawn(async move { publisher.publish(&manifest, silent()).await });
    until("the publication is in the queue", async || {
        app.app.db.pieces(64).await.unwrap().iter().any(|piece| piece.asked.kind() == "publication")
    })
    .await;
    let seen: serde_json::Value = app.as_operator("/api/v1/operator").await.json().await.unwrap();
    let kinds: Vec<&str> = seen["work"].as_array().unwrap().iter().map(|work| work["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"round_entry") && kinds.contains(&"publication"), "{kinds:?}");

    let done = Arc::new(AtomicBool::new(false));
    let (gate, ended) = (Arc::clone(&gated.gate), Arc::clone(&done));
    // One member after the other, each as slow as it is looked for.
    let slowly = tokio::spawn(async move {
        while !ended.load(Ordering::SeqCst) {
            gate.add_permits(1);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    app.wait_for(&late, State::Scored).await;
    publishing.await.unwrap().unwrap();
    close_now(&app.app.db, app.app.hotkey, &competition("digits"), app.app.clock.now()).await.unwrap();
    wait_for(&app, 1, Step::Revealed).await;
    let long = app.app.db.round(&competition("letters"), 1).await.unwrap().unwrap();
    assert!(long.step < Step::Screened, "the long round is {} already", long.step);
    assert_eq!(app.app.db.submission(&late).await.unwrap().unwrap().failures, 0);
    done.store(true, Ordering::SeqCst);
    slowly.await.unwrap();
}

/// The measurements of a submission that the public log states for rounds, and the number of the one that counts.
async fn stated(app: &TestApp, id: &SubmissionId) -> (usize, u64) {
    let query =
        "SELECT count(*) FROM log_outbox WHERE kind = 'attempt' AND key LIKE $1 AND body ->> 'purpose' = 'round'";
    let query = sqlx::query_scalar(query).bind(format!("%{id}%"));
    let begun: i64 = query.fetch_one(app.app.db.pool()).await.unwrap();
    let entry = app.app.db.entries_of(id).await.unwrap().remove(&1).unwrap();
    let receipt = app.app.objects.get(&entry.result.unwrap().receipt_object.sha256).await.unwrap();
    let signed: SignedReceipt = serde_json::from_slice(&receipt).unwrap();
    let Receipt { subject, .. } = signed.receipt;
    (usize::try_from(begun).unwrap(), subject.attempt)
}

#[tokio::test]
async fn a_member_that_was_being_measured_when_the_process_died_is_measured_again_once() {
    let decided = Arc::new(AtomicUsize::new(0));
    let hang = |decided: &Arc<AtomicUsize>, hangs: bool| {
        let (counted, others) = (Arc::clone(decided), by_size());
        Arc::new(ScriptedEvaluator::new(Arc::new(move |request: EvaluationRequest| {
            let is_member =
                request.order.scope == Scope::Full && request.truth.public != request.truth.labels.len() as u32;
            if !is_member {
                return others.follow(request);
            }
            counted.fetch_add(1, Ordering::SeqCst);
            if hangs { futures::future::pending().boxed() } else { others.follow(request) }
        })))
    };
    let app = TestApp::with_competition(Setup { evaluator: hang(&decided, true), ..Setup::default() }).await;
    let best = submit(&app, &app.miner(1), 25).await;
    wait_for(&app, 1, Step::Open).await;
    close_now(&app.app.db, app.app.hotkey, &competition("digits"), app.app.clock.now()).await.unwrap();
    until("it is decided", async || decided.load(Ordering::SeqCst) == 1).await;
    let (dir, objects) = app.kill().await;
    let setup = Setup { evaluator: hang(&decided, false), objects: Some(objects), ..Setup::default() };
    let app = TestApp::start_in(dir, setup).await;
    let round = wait_for(&app, 1, Step::Revealed).await;
    assert_eq!(round.champion, Some(best.clone()));
    assert_eq!(decided.load(Ordering::SeqCst), 2, "once more, and no more");
    // Both were stated before they began; the receipt is that of the second round's one, after the submission's own.
    assert_eq!(stated(&app, &best).await, (2, 3));
    let entry = round.entries.iter().find(|entry| entry.submission == best).unwrap();
    assert_eq!((entry.role, entry.failure.as_ref()), (EntryRole::Challenger, None), "being cut off is no failure");
    assert_eq!(app.app.db.entries_of(&best).await.unwrap()[&1].attempts, 0);
}

/// Time passes for the reaper alone: who still measures is told, and what it says later is nobody's.
#[tokio::test]
async fn a_member_that_the_reaper_took_away_is_another_turns_and_counts_as_failed_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let (first, others) = (Arc::clone(&asked), by_size());
    let evaluator = Arc::new(ScriptedEvaluator::new(Arc::new(move |request: EvaluationRequest| {
        match is_screened(&request) && first.fetch_add(1, Ordering::SeqCst) == 0 {
            true => futures::future::pending().boxed(),
            false => others.follow(request),
        }
    })));
    let app = TestApp::with_competition(Setup { evaluator, ..Setup::default() }).await;
    let id = submit(&app, &app.miner(1), 20).await;
    wait_for(&app, 1, Step::Open).await;
    close_now(&app.app.db, app.app.hotkey, &competition("digits"), app.app.clock.now()).await.unwrap();
    until("it is screened", async || asked.load(Ordering::SeqCst) == 1).await;
    app.app.clock.advance(121);
    wait_for(&app, 1, Step::Revealed).await;
    assert_eq!(app.app.db.entries_of(&id).await.unwrap()[&1].attempts, 1);
}

/// What the machine was asked, in order: a round's questions are rows that are gone once nobody needs them, and their objects with
/// them.
#[tokio::test]
async fn what_a_round_asked_is_forgotten_a_day_after_it_is_over() {
    let app = TestApp::with_competition(Setup { evaluator: by_size(), ..Setup::default() }).await;
    submit(&app, &app.miner(1), 25).await;
    play(&app, 1).await;
    let count = async || -> i64 {
        let query = sqlx::query_scalar("SELECT count(*) FROM work WHERE round = 1");
        query.fetch_one(app.app.db.pool()).await.unwrap()
    };
    // Teacher, reference, screening (twice at most) and decision of one member.
    assert!((4..=5).contains(&count().await), "{}", count().await);
    app.app.clock.advance(24 * 3_600 + 1);
    until("it is forgotten", async || count().await == 0).await;
}

/// Nobody serves: whoever publishes measures for himself, on the same way, and leaves nothing behind.
#[tokio::test]
async fn who_publishes_where_nobody_serves_measures_for_himself() {
    let dir = tempfile::tempdir().unwrap();
    let home = validator::Home::new(dir.path().join("validator"));
    home.init().unwrap();
    let mut config = home.load([]).unwrap();
    config.limits.disk_reserve_bytes = 0;
    let asked: Arc<std::sync::Mutex<Vec<Digest>>> = Arc::default();
    let (heard, others) = (Arc::clone(&asked), by_size());
    let evaluator = Arc::new(ScriptedEvaluator::new(Arc::new(move |request: EvaluationRequest| {
        heard.lock().unwrap().push(request.order.package_sha256());
        others.follow(request)
    })));
    let publisher = validator::publishing::Publisher::open(&home, config, evaluator).await.unwrap();
    let manifest = super::support::write_competition(dir.path(), &competition_toml("digits", ""));
    assert!(publisher.publish(&manifest, silent()).await.unwrap().created);
    assert_eq!(asked.lock().unwrap().len(), 5, "each model on the public items and in the rehearsal");
    let db = validator::db::Db::open(&home.database()).await.unwrap();
    assert_eq!(db.pieces(64).await.unwrap(), []);
}
