//! Background work that can't be kept running ends the process in order; a panic of the engine is one failed attempt.

use super::lifecycle::script;
use super::log::Silent;
use super::overdue::put;
use super::support::{
    NOW, Package, Setup, TestApp, competition_toml, log_signer, validator_keypair, write_competition,
};
use object_store::path::Path;
use protocol::submission::State;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use validator::Publisher;
use validator::db::Db;
use validator::evaluator::silent;
use validator::objects::Objects;
use validator::scripted::scripted_evaluation;
use validator::{App, Clock, Config, ScriptedEvaluator, ServeError};

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_whose_background_work_panics_again_and_again_ends_with_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("data.sqlite")).await.unwrap();
    let store = Arc::new(Silent::default());
    let objects = Objects::with_store(store.clone(), None, Path::default(), dir.path().join("tmp"));
    let (keys, ledger) = ((validator_keypair(), log_signer()), Arc::new(chain::MemoryLedger::new()));
    let (evaluator, clock) = (Arc::new(ScriptedEvaluator::default()), Clock::fixed(NOW));
    let app = App::compose(Config::default(), keys, db, objects.unwrap(), ledger, evaluator, clock).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let manifest = write_competition(dir.path(), &competition_toml("digits", ""));
    Publisher::of(&app).publish(&manifest, silent()).await.unwrap();
    // Whoever reads a file of the submission meets a bug.
    let id = put(&app, 1, State::Checking, NOW).await;
    let files = app.db.files(&id).await.unwrap().into_iter().map(|file| file.declared.sha256);
    store.broken.set(files.collect()).unwrap();
    let served =
        tokio::time::timeout(Duration::from_secs(60), validator::run(listener, app.clone(), std::future::pending()));
    let error = served.await.expect("it ends by itself").unwrap_err();
    assert!(matches!(&error, ServeError::Background { work } if *work == "admission checks"), "{error}");
    assert!(app.db.pool().is_closed(), "the database was closed in order");
    assert!(reqwest::get(format!("http://{address}/healthz")).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_engine_is_a_failed_attempt_of_ours() {
    let asked = AtomicU32::new(0);
    let panicking = script(move |request, _| {
        let own = request.truth.teacher_logits.is_none()
            || request.order.candidate.weights == request.order.reference.weights;
        assert!(own || asked.fetch_add(1, Ordering::SeqCst) > 1, "this panic is part of the test");
        scripted_evaluation(&request, if request.truth.teacher_logits.is_none() { 960_000 } else { 900_000 })
    });
    let app = TestApp::with_competition(Setup { evaluator: panicking, ..Setup::default() }).await;
    let id = app.miner(1).submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let submission = app.app.db.submission(&id).await.unwrap().unwrap();
    assert_eq!(submission.failures, 2);
    let metrics = app.as_operator("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("retort_background_restarts_total 0"), "the worker itself went on: {metrics}");
}
