//! What is broken on the validator's side is nobody's fault: everything waits, `/readyz` says why, and it goes on by itself.

use super::lifecycle::after_publishing;
use super::support::{Package, Setup, TestApp};
use futures::FutureExt;
use protocol::evaluation::EvaluationFailure;
use protocol::submission::State;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use url::Url;
use validator::ScriptedEvaluator;
use validator::db::Db;
use validator::evaluator::scripted_evaluation;
use validator::objects::Objects;

/// How long a test waits for what should come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `/readyz` answers so; what it says.
async fn ready(app: &TestApp, status: u16) -> String {
    let asked = async {
        loop {
            let answer = app.miner(1).get("/readyz").await;
            if answer.status() == status {
                return answer.text().await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("/readyz is never {status}"))
}

/// Waits until so many submissions are in `state`, and fails as soon as one failed.
async fn until(app: &TestApp, state: State, wanted: u64) {
    let counted = async {
        loop {
            let counts = app.app.db.count_by_state().await.unwrap();
            let count = |of| counts.iter().find(|(state, _)| *state == of).map_or(0, |(_, count)| *count);
            assert_eq!(count(State::Failed), 0, "{counts:?}");
            if count(state) >= wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.unwrap_or_else(|_| panic!("never {wanted} {state}"));
}

/// `AWAY_QUEUED=40 cargo test -p validator --test all breaker::a_folder` is the figure of docs/SECURITY.md.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_objects_that_is_away_fails_nothing_and_all_are_scored_when_it_is_back() {
    let queued: u64 = std::env::var("AWAY_QUEUED").map_or(12, |count| count.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let (objects, away) = (dir.path().join("objects"), dir.path().join("away"));
    let store = Objects::open(&Url::from_directory_path(&objects).unwrap(), dir.path().join("tmp")).unwrap();
    // Nothing is measured before the folder is away.
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let evaluator = after_publishing(move |request| {
        let gate = Arc::clone(&opened);
        async move {
            let _passed = gate.acquire().await;
            scripted_evaluation(&request, 900_000)
        }
        .boxed()
    });
    let mut setup = Setup { evaluator, objects: Some(store), ..Setup::default() };
    setup.config.limits.check_seconds_max = 1;
    let app = TestApp::with_competition(setup).await;
    ready(&app, 200).await;
    for number in 0..queued {
        app.miner(number as u8 + 1).submit(&Package::mlp(&[8], number as u32)).await.unwrap();
    }
    until(&app, State::Queued, queued - 1).await;

    std::fs::rename(&objects, &away).unwrap();
    gate.add_permits(1_000);
    let why = ready(&app, 503).await;
    assert!(why.contains("folder of objects") && !why.contains(dir.path().to_str().unwrap()), "{why}");
    let refusal = app.miner(99).submit(&Package::mlp(&[8], 99)).await.unwrap_err();
    assert_eq!(refusal.status, 503, "an upload is told to come again: {refusal:?}");
    // Longer than all attempts and the check's limit would last, and an hour for whoever uploads.
    app.app.clock.advance(3_600);
    tokio::time::sleep(Duration::from_secs(2)).await;
    until(&app, State::Queued, queued - 1).await;
    assert!(!objects.exists(), "nothing is written where the disk belongs");

    std::fs::rename(&away, &objects).unwrap();
    ready(&app, 200).await;
    app.miner(99).submit(&Package::mlp(&[8], 99)).await.expect("its time stood still");
    until(&app, State::Scored, queued + 1).await;
    let failures: i64 =
        sqlx::query_scalar("SELECT sum(failures) FROM submissions").fetch_one(app.app.db.pool()).await.unwrap();
    assert_eq!(failures, 0, "no attempt is counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_fails_for_everybody_is_waited_for_and_one_that_fails_for_one_is_not() {
    let broken = Arc::new(AtomicBool::new(false));
    let (seen, tried) = (Arc::clone(&broken), Arc::clone(&broken));
    let no_jail = || EvaluationFailure::Infrastructure("prepare the sandbox: /sys/fs/cgroup is read-only".into());
    let evaluator = ScriptedEvaluator::new(Arc::new(move |request| {
        let own = request.items.teacher_logits.is_none() || request.candidate.weights == request.reference.weights;
        let works = own || !seen.load(Ordering::SeqCst);
        let answer = if works { scripted_evaluation(&request, 900_000) } else { Err(no_jail()) };
        async move { answer }.boxed()
    }));
    let evaluator = evaluator.fit(Arc::new(move || if tried.load(Ordering::SeqCst) { Err(no_jail()) } else { Ok(()) }));
    let app = TestApp::with_competition(Setup { evaluator: Arc::new(evaluator), ..Setup::default() }).await;
    ready(&app, 200).await;
    broken.store(true, Ordering::SeqCst);
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(app.miner(number + 1).submit(&Package::mlp(&[8], number.into())).await.unwrap());
    }
    let why = ready(&app, 503).await;
    assert!(why.contains("prepare the sandbox") && !why.contains("cgroup"), "{why}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    broken.store(false, Ordering::SeqCst);
    until(&app, State::Scored, 3).await;
    ready(&app, 200).await;
    for id in &ids {
        assert_eq!(app.app.db.submission(id).await.unwrap().unwrap().failures, 0);
        let events = app.app.db.events(id).await.unwrap();
        assert!(events.iter().filter(|event| event.to == State::Evaluating).count() <= 2, "{events:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_found_at_the_start_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (objects, tmp) = (dir.path().join("objects"), dir.path().join("tmp"));
    let url = Url::from_directory_path(&objects).unwrap();
    let refused = |opened: Result<Objects, validator::objects::ObjectError>| opened.err().unwrap().to_string();
    let gone = refused(Objects::open_or_begin(&url, tmp.clone(), false));
    assert!(gone.contains(objects.to_str().unwrap()) && gone.contains("mounted"), "{gone}");
    assert!(!objects.exists(), "the place of a disk stays as it is");
    Objects::open_or_begin(&url, tmp.clone(), true).unwrap().look().await.unwrap();

    std::fs::remove_dir(&tmp).unwrap();
    let opened = Objects::open_or_begin(&url, tmp.clone(), false).unwrap();
    std::fs::remove_dir(&tmp).unwrap();
    let unusable = opened.look().await.unwrap_err().to_string();
    assert!(unusable.contains(tmp.to_str().unwrap()), "{unusable}");

    let database = dir.path().join("no/such/folder/data.sqlite");
    let error = Db::open(&database).await.unwrap_err().to_string();
    assert_eq!(error.matches(database.to_str().unwrap()).count(), 1, "{error}");
}
