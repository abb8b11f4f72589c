//! What happens when things go wrong half way: broken-off uploads, lost evaluations, restarts, ended time.

use super::support::{Package, Setup, TestApp, competition_toml};
use futures::FutureExt;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use protocol::api::{CompetitionView, Leaderboard};
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest};
use protocol::submission::{Code, State};
use protocol::{Digest, SubmissionId};
use safetensors::tensor::{Dtype, TensorView};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use validator::objects::Objects;
use validator::scripted::scripted_evaluation;
use validator::{Evaluator, ScriptedEvaluator};

/// What publishing asks before the first submission: teacher and reference, on public items and in the rehearsal.
const ASKED_BY_PUBLISHING: u32 = 5;

/// An evaluator that answers by request and by how many submissions it was asked about before.
pub(crate) fn script<F>(answer: F) -> Arc<dyn Evaluator>
where
    F: Fn(EvaluationRequest, u32) -> Result<Evaluation, EvaluationFailure> + Send + Sync + 'static,
{
    let asked = AtomicU32::new(0);
    Arc::new(ScriptedEvaluator::new(Arc::new(move |request| {
        let answer = answer(request, asked.fetch_add(1, Ordering::SeqCst).saturating_sub(ASKED_BY_PUBLISHING));
        async move { answer }.boxed()
    })))
}

/// Right on the models of the competition, and `then` on submissions.
pub(crate) fn after_publishing<F>(then: F) -> Arc<dyn Evaluator>
where
    F: Fn(EvaluationRequest) -> futures::future::BoxFuture<'static, Result<Evaluation, EvaluationFailure>>
        + Send
        + Sync
        + 'static,
{
    let asked = AtomicU32::new(0);
    Arc::new(ScriptedEvaluator::new(Arc::new(move |request| {
        if asked.fetch_add(1, Ordering::SeqCst) < ASKED_BY_PUBLISHING {
            async move { scripted_evaluation(&request, 900_000) }.boxed()
        } else {
            then(request)
        }
    })))
}

fn setup(evaluator: Arc<dyn Evaluator>) -> Setup {
    Setup { evaluator, ..Setup::default() }
}

#[tokio::test]
async fn the_same_package_twice_is_one_submission() {
    let app = TestApp::with_competition(Setup::default()).await;
    let (miner, package) = (app.miner(1), Package::mlp(&[8], 7));
    let first = miner.announce("digits", &package).await.unwrap();
    let again = miner.announce("digits", &package).await.unwrap();
    assert_eq!((first.id.clone(), first.uploads.len()), (again.id.clone(), again.uploads.len()));
    miner.upload_all(&again, &package).await.unwrap();
    miner.complete(&first.id).await.unwrap();
    miner.complete(&first.id).await.unwrap();
    app.wait_for(&first.id, State::Scored).await;
    let later = miner.announce("digits", &package).await.unwrap();
    assert_eq!((later.id, later.state, later.uploads), (first.id.clone(), State::Scored, vec![]));
    let other = app.miner(2).submit(&package).await.unwrap();
    assert_ne!(other, first.id, "another hotkey's entry is another submission");
    app.wait_for(&other, State::Scored).await;
}

#[tokio::test]
async fn a_broken_off_upload_goes_on_after_a_restart() {
    let app = TestApp::with_competition(Setup::default()).await;
    let (miner, package) = (app.miner(1), Package::mlp(&[8], 7));
    let created = miner.announce("digits", &package).await.unwrap();
    let (config, weights) = (&created.uploads[0], &created.uploads[1]);
    miner.put(config, package.files[0].1.clone()).await.unwrap();

    // A sender that announces all bytes, sends half and goes away.
    let half = package.files[1].1[..500].to_vec();
    let stream = futures::stream::iter([Ok(half), Err(std::io::Error::other("gone"))]);
    let sent = miner.http.put(app.url(&weights.url)).body(reqwest::Body::wrap_stream(stream)).send().await;
    assert!(sent.is_err());
    let refusal = miner.complete(&created.id).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (409, "upload_incomplete"));

    let (dir, objects) = app.stop().await;
    assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0, "nothing is left of half an upload");
    let app = TestApp::start_in(dir, Setup { objects: Some(objects), ..Setup::default() }).await;
    let miner = app.miner(1);
    let again = miner.announce("digits", &package).await.unwrap();
    assert_eq!(again.id, created.id);
    let missing: Vec<_> = again.uploads.iter().map(|upload| upload.path.as_str()).collect();
    assert_eq!(missing, ["model.safetensors"], "what arrived stays");
    miner.upload_all(&again, &package).await.unwrap();
    miner.complete(&again.id).await.unwrap();
    app.wait_for(&again.id, State::Scored).await;
}

#[tokio::test]
async fn an_expired_submission_costs_no_quota_and_may_be_repeated() {
    let app = TestApp::with_competition(Setup::default()).await;
    let (miner, package) = (app.miner(1), Package::mlp(&[8], 7));
    let created = miner.announce("digits", &package).await.unwrap();
    app.app.clock.advance(601);
    let late = miner.put(&created.uploads[0], package.files[0].1.clone()).await.unwrap_err();
    assert!(["upload_closed", "not_found"].contains(&late.problem.code.as_str()), "{late:?}");
    app.wait_for(&created.id, State::Expired).await;
    let reason = miner.status(&created.id).await.reason.unwrap();
    assert_eq!(reason.code, Code::UploadExpired);
    let again = miner.submit(&package).await.unwrap();
    assert_ne!(again, created.id);
    app.wait_for(&again, State::Scored).await;
}

#[tokio::test]
async fn the_fifth_submission_of_a_day_is_refused_until_the_first_is_a_day_old() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    for seed in 0..4 {
        let id = miner.submit(&Package::mlp(&[8], seed)).await.unwrap();
        app.wait_for(&id, State::Scored).await;
        app.app.clock.advance(60);
    }
    let fifth = Package::mlp(&[8], 4);
    let refusal = miner.announce("digits", &fifth).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (429, "quota_exhausted"));
    let other = app.miner(2).submit(&fifth).await.unwrap();
    app.wait_for(&other, State::Scored).await;
    app.app.clock.advance(24 * 3_600 - 4 * 60);
    let id = miner.submit(&fifth).await.unwrap();
    app.wait_for(&id, State::Scored).await;
}

#[tokio::test]
async fn a_closed_and_an_unknown_competition_take_nothing() {
    let app = TestApp::start(Setup::default()).await;
    let closes_at = app.app.clock.now() + 100;
    app.publish(&competition_toml("digits", &format!("closes_at = {closes_at}"))).await;
    let (miner, package) = (app.miner(1), Package::mlp(&[8], 7));
    let before = miner.submit(&package).await.unwrap();
    app.wait_for(&before, State::Scored).await;
    app.app.clock.advance(100);
    let refusal = miner.announce("digits", &Package::mlp(&[8], 8)).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (409, "competition_closed"));
    assert_eq!(miner.announce("digits", &package).await.unwrap().id, before, "asking after an old entry still works");
    let refusal = miner.announce("letters", &package).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (404, "unknown_competition"));
}

/// As a backup, a stopped worker or a slow disk may.
#[tokio::test]
async fn while_somebody_else_holds_the_database_a_request_is_told_to_come_again() {
    let app = TestApp::start(Setup::default()).await;
    app.publish(&competition_toml("digits", "")).await;
    let (miner, package) = (app.miner(1), Package::mlp(&[8], 7));
    let held = app.app.db.write().await.unwrap();
    let refusal = miner.announce("digits", &package).await.unwrap_err();
    let (code, wait) = (refusal.problem.code.as_str(), refusal.problem.retry_after_seconds);
    assert_eq!((refusal.status, code, wait), (503, "busy", Some(5)));
    held.rollback().await.unwrap();
    let id = miner.submit(&package).await.unwrap();
    app.wait_for(&id, State::Scored).await;
}

#[tokio::test]
async fn the_seed_of_the_copy_probes_is_bound_from_the_start_and_shown_when_all_is_over() {
    let app = TestApp::start(Setup::default()).await;
    let closes_at = app.app.clock.now() + 100;
    app.publish(&competition_toml("digits", &format!("closes_at = {closes_at}"))).await;
    let miner = app.miner(1);
    let view = async || miner.get("/api/v1/competitions/digits").await.json::<CompetitionView>().await.unwrap();
    let committed = view().await;
    assert_eq!(committed.probe_seed, None);
    app.app.clock.advance(100);
    let shown = async || view().await.probe_seed;
    // Its last round is on its way to the reveal; a miner who is in it could still gain nothing by knowing.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    let seed = loop {
        match shown().await {
            Some(seed) => break seed,
            None => assert!(tokio::time::Instant::now() < deadline, "the seed never appears"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(Digest::of(seed.as_bytes()), committed.competition.probes_sha256);
}

#[tokio::test]
async fn our_failures_are_repeated_and_then_given_up_without_costing_quota() {
    let failing = script(|request, submissions| match submissions {
        0 if request.truth.teacher_logits.is_none() => scripted_evaluation(&request, 960_000),
        _ if request.order.candidate.weights == request.order.reference.weights => {
            scripted_evaluation(&request, 900_000)
        }
        0 | 1 | 5.. => scripted_evaluation(&request, 900_000),
        _ => Err(EvaluationFailure::Infrastructure("no worker".into())),
    });
    let app = TestApp::with_competition(setup(failing)).await;
    let (miner, package) = (app.miner(1), Package::mlp(&[8], 7));
    for seed in [8, 9] {
        let id = miner.submit(&Package::mlp(&[8], seed)).await.unwrap();
        app.wait_for(&id, State::Scored).await;
    }
    let id = miner.submit(&package).await.unwrap();
    app.wait_for(&id, State::Failed).await;
    let reason = miner.status(&id).await.reason.unwrap();
    assert_eq!(
        (reason.code, reason.detail.as_str()),
        (Code::Infrastructure, "the evaluation failed on the validator's side")
    );
    let history: Vec<State> = app.app.db.events(&id).await.unwrap().iter().map(|event| event.to).collect();
    assert_eq!(history.iter().filter(|state| **state == State::Evaluating).count(), 3);
    let again = miner.submit(&package).await.unwrap();
    app.wait_for(&again, State::Scored).await;
}

#[tokio::test]
async fn outputs_that_are_no_numbers_are_the_miners_fault() {
    let nan = after_publishing(|_| async { Err(Code::OutputsInvalid.because("NaN".into()).into()) }.boxed());
    let app = TestApp::with_competition(setup(nan)).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Rejected).await;
    assert_eq!(miner.status(&id).await.reason.unwrap().code, Code::OutputsInvalid);
}

#[tokio::test]
async fn a_report_about_another_package_is_not_believed() {
    let lying = after_publishing(|mut request| {
        request.order.candidate = request.order.reference.clone();
        async move { scripted_evaluation(&request, 990_000) }.boxed()
    });
    let app = TestApp::with_competition(setup(lying)).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Failed).await;
}

/// Evaluations that never end.
fn endless() -> Arc<dyn Evaluator> {
    after_publishing(|_| futures::future::pending().boxed())
}

#[tokio::test]
async fn an_evaluation_cut_off_by_a_shutdown_goes_on_after_the_restart() {
    let app = TestApp::with_competition(setup(endless())).await;
    let id = app.miner(1).submit(&Package::mlp(&[8], 7)).await.unwrap();
    let waiting = app.miner(2).submit(&Package::mlp(&[8], 8)).await.unwrap();
    app.wait_for(&id, State::Evaluating).await;
    app.wait_for(&waiting, State::Queued).await;
    let status = app.miner(2).status(&waiting).await;
    assert_eq!(status.queue_position, Some(1));
    let began = std::time::Instant::now();
    let (dir, objects) = app.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10), "a shutdown doesn't wait for evaluations");
    let app = TestApp::start_in(dir, Setup { objects: Some(objects), ..Setup::default() }).await;
    app.wait_for(&id, State::Scored).await;
    app.wait_for(&waiting, State::Scored).await;
}

#[tokio::test]
async fn an_evaluation_cut_off_by_a_kill_goes_on_after_the_restart() {
    let app = TestApp::with_competition(setup(endless())).await;
    let id = app.miner(1).submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Evaluating).await;
    let (dir, objects) = app.kill().await;
    let app = TestApp::start_in(dir, Setup { objects: Some(objects), ..Setup::default() }).await;
    app.wait_for(&id, State::Scored).await;
    let history: Vec<State> = app.app.db.events(&id).await.unwrap().iter().map(|event| event.to).collect();
    use State::{AwaitingUpload, Checking, Evaluating, Queued, Scored};
    assert_eq!(history, [AwaitingUpload, Checking, Queued, Evaluating, Queued, Evaluating, Scored]);
}

#[tokio::test]
async fn a_complete_submission_survives_a_kill_before_its_check() {
    let app = TestApp::with_competition(Setup::default()).await;
    let id = app.miner(1).submit(&Package::mlp(&[8], 7)).await.unwrap();
    let (dir, objects) = app.kill().await;
    let app = TestApp::start_in(dir, Setup { objects: Some(objects), ..Setup::default() }).await;
    app.wait_for(&id, State::Scored).await;
}

#[tokio::test]
async fn a_check_that_gives_no_verdict_ends_as_our_failure() {
    let (store, tmp) = (Arc::new(InMemory::new()), tempfile::tempdir().unwrap());
    let objects = Objects::with_store(store.clone(), None, Path::default(), tmp.path().into()).unwrap();
    let app = TestApp::with_competition(Setup { objects: Some(objects), ..Setup::default() }).await;
    let (miner, mut package) = (app.miner(1), Package::mlp(&[8], 7));
    let created = miner.announce("digits", &package).await.unwrap();
    miner.upload_all(&created, &package).await.unwrap();
    let sha256 = protocol::Digest::of(package.file("model.safetensors"));
    store.delete(&Path::from(format!("sha256/{sha256}"))).await.unwrap();
    miner.complete(&created.id).await.unwrap();
    app.app.clock.advance(301);
    app.wait_for(&created.id, State::Failed).await;
    let again = miner.submit(&package).await.unwrap();
    app.wait_for(&again, State::Scored).await;
}

/// Longer than the job engine takes for a worker that is lost: `cargo test -p validator a_long -- --ignored`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes four minutes"]
async fn a_long_idle_worker_still_works_and_a_long_evaluation_is_done_once() {
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let evaluator = after_publishing(move |request| {
        let seconds = if counter.fetch_add(1, Ordering::SeqCst) == 20 { 80 } else { 0 };
        async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            scripted_evaluation(&request, 900_000)
        }
        .boxed()
    });
    let app = TestApp::with_competition(setup(evaluator)).await;
    for burst in 0..2 {
        for seed in 0..20 {
            app.miner(burst * 20 + seed).submit(&Package::mlp(&[8], u32::from(seed))).await.unwrap();
        }
        // The first of the second burst takes longer than the patience of `wait_for`.
        let scored = |counts: Vec<(State, u64)>| counts.contains(&(State::Scored, u64::from(burst + 1) * 20));
        let began = std::time::Instant::now();
        while !scored(app.app.db.count_by_state().await.unwrap()) {
            assert!(began.elapsed() < Duration::from_secs(150), "{:?}", app.app.db.count_by_state().await.unwrap());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        println!("burst {burst} is done after {:?}", began.elapsed());
        tokio::time::sleep(Duration::from_secs(if burst == 0 { 100 } else { 0 })).await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 40);
}

/// The package with answers of its own to the first public items.
fn answering(hidden: &[u32], seed: u64, logits: &[f32]) -> Package {
    let values: Vec<u8> = logits.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![logits.len() / 10, 10], &values).unwrap();
    let mut package = Package::random(hidden, seed);
    package.files.push(("expected.safetensors".into(), safetensors::serialize([("logits", view)], None).unwrap()));
    package
}

#[tokio::test]
async fn a_model_that_answers_otherwise_than_its_package_says_is_refused_with_the_first_difference() {
    // The script gives the same answers for every model.
    let evaluator = script(|request, _| scripted_evaluation(&request, 900_000));
    let app = TestApp::with_competition(Setup { evaluator, ..Setup::default() }).await;
    let silent = app.miner(1).submit(&Package::random(&[8], 1)).await.unwrap();
    app.wait_for(&silent, State::Scored).await;
    let said = app.app.db.evaluation(&silent).await.unwrap().unwrap().logits_sha256;
    let bytes = app.app.objects.get(&said).await.unwrap();
    let mut logits: Vec<f32> = bytes.as_chunks::<4>().0.iter().take(160).copied().map(f32::from_le_bytes).collect();

    let alike = app.miner(2).submit(&answering(&[9], 2, &logits)).await.unwrap();
    app.wait_for(&alike, State::Scored).await;
    logits[25] += 1.0;
    let other = app.miner(3).submit(&answering(&[10], 3, &logits)).await.unwrap();
    app.wait_for(&other, State::Rejected).await;
    let reason = app.miner(3).status(&other).await.reason.unwrap();
    assert_eq!(reason.code, Code::ExpectedDiffers);
    assert!(reason.detail.contains("public item 2, class 5"), "{}", reason.detail);
    let unreadable = app.miner(4).submit(&answering(&[11], 4, &[0.0; 170])).await.unwrap();
    app.wait_for(&unreadable, State::Rejected).await;
    assert_eq!(app.miner(4).status(&unreadable).await.reason.unwrap().code, Code::ExpectedInvalid);

    let board: Leaderboard = app.miner(1).get("/api/v1/competitions/digits/leaderboard").await.json().await.unwrap();
    let marked = |id: &SubmissionId| {
        let row = board.rows.iter().find(|row| row.submission.as_ref() == Some(id)).unwrap();
        (row.brings_answers, row.details.iter().any(|sentence| sentence.contains("no expected.safetensors")))
    };
    assert_eq!((marked(&silent), marked(&alike)), ((false, true), (true, false)));
}
