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
use validator::objects::Objects;
use validator::scripted::scripted_evaluation;

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
        let own = request.truth.teacher_logits.is_none()
            || request.order.candidate.weights == request.order.reference.weights;
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
    assert!(why.contains("the reference of digits") && !why.contains("cgroup"), "{why}");
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

/// A validator with a folder of objects and a temporary one, as they lie in a directory.
async fn in_folders(dir: &tempfile::TempDir) -> TestApp {
    let url = Url::from_directory_path(dir.path().join("objects")).unwrap();
    let store = Objects::open(&url, dir.path().join("tmp")).unwrap();
    let app = TestApp::with_competition(Setup { objects: Some(store), ..Setup::default() }).await;
    ready(&app, 200).await;
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_cannot_be_kept_is_told_to_come_again_and_found_out_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let app = in_folders(&dir).await;
    let aside = dir.path().join("aside");
    // The folder for uploads is gone; it is a file, as one that can't be written is for everybody; that of objects is.
    for (number, (folder, is_file)) in [("tmp", false), ("tmp", true), ("objects/sha256", true)].into_iter().enumerate()
    {
        let (miner, package) = (app.miner(number as u8 + 1), Package::mlp(&[8], number as u32));
        let created = miner.announce("digits", &package).await.unwrap();
        let place = dir.path().join(folder);
        std::fs::rename(&place, &aside).unwrap();
        if is_file {
            std::fs::write(&place, b"").unwrap();
        }
        let refusal = miner.upload_all(&created, &package).await.unwrap_err();
        assert_eq!((refusal.status, refusal.problem.code.as_str()), (503, "busy"), "{folder}: {refusal:?}");
        assert!(refusal.problem.retry_after_seconds.is_some(), "{refusal:?}");
        let why = ready(&app, 503).await;
        assert!(!why.contains(dir.path().to_str().unwrap()) && !why.contains("os error"), "{why}");
        if is_file {
            std::fs::remove_file(&place).unwrap();
        }
        std::fs::rename(&aside, &place).unwrap();
        ready(&app, 200).await;
        miner.upload_all(&created, &package).await.expect("it came again");
        miner.complete(&created.id).await.unwrap();
        app.wait_for(&created.id, State::Scored).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_disk_over_the_objects_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let app = in_folders(&dir).await;
    let (named, aside) = (dir.path().join("objects/sha256"), dir.path().join("aside"));
    let (miner, package) = (app.miner(1), Package::mlp(&[8], 7));
    let created = miner.announce("digits", &package).await.unwrap();
    std::fs::rename(&named, &aside).unwrap();
    std::fs::create_dir(&named).unwrap();
    let answer = app.miner(2).get("/readyz").await;
    assert_eq!(answer.status(), 503, "at once: {}", answer.text().await.unwrap());
    assert_eq!(miner.upload_all(&created, &package).await.unwrap_err().status, 503);
    assert_eq!(std::fs::read_dir(&named).unwrap().count(), 0, "nothing is written where the disk belongs");
    std::fs::remove_dir(&named).unwrap();
    std::fs::rename(&aside, &named).unwrap();
    ready(&app, 200).await;
    miner.upload_all(&created, &package).await.unwrap();
    miner.complete(&created.id).await.unwrap();
    app.wait_for(&created.id, State::Scored).await;
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

    // Whoever starts a service and publishes into a new folder at once.
    let new = dir.path().join("new.sqlite");
    let opened = futures::future::join_all((0..6).map(|_| Db::open(&new))).await;
    assert!(opened.iter().all(Result::is_ok), "{:?}", opened.iter().find_map(|opened| opened.as_ref().err()));

    let garbage = dir.path().join("garbage.sqlite");
    std::fs::write(&garbage, [b'?'; 8_192]).unwrap();
    let error = Db::open(&garbage).await.unwrap_err().to_string();
    assert!(error.contains(garbage.to_str().unwrap()) && error.contains("restore"), "{error}");
    assert_eq!(std::fs::read(&garbage).unwrap(), [b'?'; 8_192], "it stays as it was");
}
