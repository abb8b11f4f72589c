//! What becomes of a latency: scored, measured again at our cost, or refused; and what the operator alone is told.

use super::lifecycle::{after_publishing, script};
use super::support::{Package, Setup, TestApp};
use futures::FutureExt;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest};
use protocol::latency::{Breach, LatencyVerdict, Unstable};
use protocol::report::{Estimate, Latency, LatencyCheck};
use protocol::submission::{Blame, Code, State};
use serde_json::Value;
use std::sync::Arc;
use validator::scripted::scripted_evaluation;
use validator::{Config, Evaluator};

/// A whole measurement, sound but for `change`.
fn measured(request: &EvaluationRequest, change: impl FnOnce(&mut Latency)) -> Result<Evaluation, EvaluationFailure> {
    let mut evaluation = scripted_evaluation(request, 900_000)?;
    let latency = &mut evaluation.report.latency;
    latency.launches = 15;
    latency.ratio = Estimate { value_ppm: 500_000, low_ppm: 498_000, high_ppm: 502_000 };
    latency.checks.control = even(11);
    change(latency);
    Ok(evaluation)
}

/// A check that found nothing.
fn even(launches: u32) -> LatencyCheck {
    LatencyCheck { launches, ratio: Estimate { value_ppm: 1_000_400, low_ppm: 999_000, high_ppm: 1_002_000 } }
}

fn wide(latency: &mut Latency) {
    latency.ratio = Estimate { value_ppm: 500_000, low_ppm: 480_000, high_ppm: 520_000 };
}

/// The first `times` measurements of submissions find `change`; the competition's own are sound.
fn found(times: u32, change: fn(&mut Latency)) -> Arc<dyn Evaluator> {
    let counted = std::sync::atomic::AtomicU32::new(0);
    script(move |request, _| {
        let own = request.truth.teacher_logits.is_none()
            || request.order.candidate.weights == request.order.reference.weights;
        if own || counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) >= times {
            return measured(&request, |_| {});
        }
        measured(&request, change)
    })
}

fn setup(evaluator: Arc<dyn Evaluator>) -> Setup {
    Setup { evaluator, ..Setup::default() }
}

async fn board(app: &TestApp) -> Value {
    app.miner(1).get("/api/v1/competitions/digits/leaderboard").await.json().await.unwrap()
}

#[tokio::test]
async fn a_host_that_is_unstable_twice_costs_the_miner_nothing() {
    let app = TestApp::with_competition(setup(found(2, wide))).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let status = miner.status(&id).await;
    assert_eq!((status.reason, status.latency_verdict), (None, Some(LatencyVerdict::Sound)));

    let submission = app.app.db.submission(&id).await.unwrap().unwrap();
    assert_eq!((submission.failures, submission.attempt), (0, 2), "no failure of the engine");
    let events = app.app.db.events(&id).await.unwrap();
    let returned: Vec<_> = events.iter().filter_map(|event| event.reason.as_ref()).collect();
    assert_eq!(returned.iter().map(|reason| reason.code).collect::<Vec<_>>(), [Code::HostUnstable; 2]);
    assert_eq!(Code::HostUnstable.blame(), Blame::Validator);
    assert!(returned[1].detail.contains("spoiled 2 times"), "{}", returned[1].detail);

    // Three more fill the day's four; the repetitions took none of them.
    for seed in 8..11 {
        let next = miner.submit(&Package::mlp(&[8], seed)).await.unwrap();
        app.wait_for(&next, State::Scored).await;
    }
}

#[tokio::test]
async fn a_host_that_never_calms_down_gives_a_provisional_latency() {
    let app = TestApp::with_competition(setup(found(u32::MAX, wide))).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let attempts = app.app.db.submission(&id).await.unwrap().unwrap().attempt;
    assert_eq!(attempts, Config::default().limits.evaluation_unstable_max);
    let status = miner.status(&id).await;
    assert_eq!(status.latency_verdict, Some(LatencyVerdict::Unstable(Unstable::Width)));
    let board = board(&app).await;
    let row = &board["rows"][1];
    assert_eq!((&row["latency_verdict"]["verdict"], &row["rank"]), (&"unstable".into(), &1.into()));
    assert!(row["why"].as_str().unwrap().contains("its latency is provisional"), "{row}");
    let page = miner.get(&format!("/submissions/{id}")).await.text().await.unwrap();
    assert!(page.contains("The latency is provisional"), "{page}");
}

#[tokio::test]
async fn while_it_waits_for_a_calmer_host_a_submission_says_so() {
    let mut setup = setup(found(1, wide));
    setup.config.limits.evaluation_retry_seconds = 60;
    let app = TestApp::with_competition(setup).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
    let waiting = async {
        loop {
            let status = miner.status(&id).await;
            if let (State::Queued, Some(reason)) = (status.state, status.reason) {
                return reason;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let reason = tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await.unwrap();
    assert_eq!((reason.code, reason.blame), (Code::HostUnstable, Blame::Validator));
    assert!(reason.hint.contains("no quota"), "{}", reason.hint);
    let page = miner.get(&format!("/submissions/{id}")).await.text().await.unwrap();
    assert!(page.contains("our host was too restless"), "{page}");
    app.app.clock.advance(60);
    app.wait_for(&id, State::Scored).await;
}

/// So many times as fast as its twin on one repeated item, and as fast as it on distinct ones.
fn remembers(latency: &mut Latency) {
    let check =
        |low_ppm, value_ppm, high_ppm| LatencyCheck { launches: 11, ratio: Estimate { value_ppm, low_ppm, high_ppm } };
    latency.checks.random_twin = check(995_000, 1_001_000, 1_005_000);
    latency.checks.repeated_item = check(510_000, 527_000, 540_000);
}

#[tokio::test]
async fn a_model_that_twice_behaves_differently_when_timed_is_rejected_with_the_check_that_caught_it() {
    let app = TestApp::with_competition(setup(found(2, remembers))).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Rejected).await;
    let reason = miner.status(&id).await.reason.unwrap();
    assert_eq!((reason.code, reason.blame), (Code::LatencyBreach, Blame::Miner));
    for part in ["one item repeated", "1.899", Breach::RepeatedItem.advice()] {
        assert!(reason.detail.contains(part), "{part}: {}", reason.detail);
    }
    assert!(reason.hint.contains("docs/LATENCY.md"), "{}", reason.hint);
    assert!(app.app.db.evaluation(&id).await.unwrap().is_none(), "a rejected submission has no score");
}

#[tokio::test]
async fn what_one_measurement_finds_is_measured_again_and_costs_the_miner_nothing() {
    let mut setup = setup(found(1, remembers));
    // Less than after what an idle worker is replaced, which would be an attempt more.
    setup.config.limits.evaluation_retry_seconds = 10;
    let app = TestApp::with_competition(setup).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
    let waiting = async {
        loop {
            let status = miner.status(&id).await;
            if let (State::Queued, Some(reason)) = (status.state, status.reason) {
                return reason;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let reason = tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await.unwrap();
    assert_eq!((reason.code, reason.blame), (Code::LatencyUnconfirmed, Blame::Validator));
    assert!(reason.detail.contains("one item repeated") && reason.hint.contains("no quota"), "{reason:?}");
    let page = miner.get(&format!("/submissions/{id}")).await.text().await.unwrap();
    assert!(page.contains("In the queue again: its latency is measured a second time"), "{page}");

    app.app.clock.advance(10);
    app.wait_for(&id, State::Scored).await;
    let submission = app.app.db.submission(&id).await.unwrap().unwrap();
    assert_eq!((submission.failures, submission.attempt), (0, 1), "an attempt, and no failure of the engine");
    let verdicts = app.app.db.latency_verdicts(&id).await.unwrap();
    assert_eq!(verdicts, [LatencyVerdict::Breach(Breach::RepeatedItem), LatencyVerdict::Sound]);
}

#[tokio::test]
async fn other_outputs_are_no_matter_of_chance_and_reject_at_once() {
    let app = TestApp::with_competition(setup(found(1, |latency| latency.checks.output_delta_micro_max = 200))).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Rejected).await;
    assert_eq!(miner.status(&id).await.reason.unwrap().code, Code::LatencyBreach);
    assert_eq!(app.app.db.submission(&id).await.unwrap().unwrap().attempt, 0, "no second measurement");
}

/// So many right answers to 100 items, of which the teacher has 96 and the gate wants nine tenths of that.
fn right(correct_ppm: u64) -> Arc<dyn Evaluator> {
    after_publishing(move |request| async move { scripted_evaluation(&request, correct_ppm) }.boxed())
}

#[tokio::test]
async fn who_is_below_the_gate_beyond_doubt_is_scored_without_being_timed_and_nobody_else_is() {
    for (correct_ppm, is_timed) in [(300_000, false), (800_000, true)] {
        let app = TestApp::with_competition(setup(right(correct_ppm))).await;
        let miner = app.miner(1);
        let id = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
        app.wait_for(&id, State::Scored).await;
        let status = miner.status(&id).await;
        let (report, score) = (status.report.unwrap(), status.score.unwrap());
        assert!(!score.gate && score.composite.value_ppm == 0, "{score:?}");
        assert_eq!(report.latency.is_timed(), is_timed, "{correct_ppm}");
        assert_eq!(status.latency_verdict == Some(LatencyVerdict::Skipped), !is_timed);
        let page = miner.get(&format!("/submissions/{id}")).await.text().await.unwrap();
        assert_eq!(page.contains("not timed: below the gate"), !is_timed);
        let (board, card) = ("/competitions/digits".to_owned(), format!("/submissions/{id}/resolve/main/README.md"));
        for target in [board, format!("/submissions/{id}"), card] {
            let text = miner.get(&target).await.text().await.unwrap();
            assert!(is_timed || text.contains("not timed"), "{target}: {text}");
            assert!(
                !text.contains("0.000×") && !text.contains("0.000 (0.000 to") && !text.contains("| 0 us"),
                "{target}: {text}"
            );
            assert_eq!(text.contains("latency_ratio"), is_timed && target.ends_with(".md"), "{target}");
        }
        assert_eq!(app.app.db.latency_verdicts(&id).await.unwrap().len(), usize::from(is_timed));
    }
}

#[tokio::test]
async fn the_history_of_controls_is_shown_to_the_operator_alone() {
    const TOKEN: &str = "a token that nobody guesses";
    let mut setup = setup(found(1, wide));
    setup.config.operator_token = TOKEN.into();
    let app = TestApp::with_competition(setup).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Scored).await;

    let view: Value = app.as_operator("/api/v1/operator").await.json().await.unwrap();
    let controls = view["controls"].as_array().unwrap();
    let verdicts: Vec<&Value> = controls.iter().map(|control| &control["verdict"]["verdict"]).collect();
    assert_eq!(verdicts, ["unstable", "sound"]);
    assert_eq!((&controls[0]["control_ppm"], &controls[0]["half_width_ppm"]), (&1_000_400.into(), &40_000.into()));
    assert_eq!((&view["latency"], &view["submissions"]["scored"]), (&"full".into(), &1.into()));
    let page = app.as_operator("/operator").await.text().await.unwrap();
    for part in [
        "In 1 of the last 2 latency measurements this machine was too restless",
        id.to_string().as_str(),
        "class=\"band\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }

    // Whoever sits here, a stranger behind a proxy of this machine, and a page in the operator's browser that names this
    // machine its own.
    for target in ["/operator", "/api/v1/operator"] {
        for (name, value) in [("accept", "*/*"), ("x-forwarded-for", "203.0.113.9"), ("host", "evil.example")] {
            let asked = miner.http.get(app.url(target)).header(name, value);
            assert_eq!(asked.send().await.unwrap().status(), 403, "{target} {name}");
            let shown = miner.http.get(app.url(target)).header(name, value).bearer_auth(TOKEN);
            assert_eq!(shown.send().await.unwrap().status(), 200, "{target} {name} with the token");
            let wrong = miner.http.get(app.url(target)).header(name, value).bearer_auth("a token that nobody guessed");
            assert_eq!(wrong.send().await.unwrap().status(), 403, "{target} {name} with another token");
        }
    }
}

#[tokio::test]
async fn the_operators_page_is_locked_for_everybody_and_says_how_it_is_opened() {
    let app = TestApp::start(Setup::default()).await;
    let answer = app.miner(1).get("/operator").await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["cache-control"]), (403, &"no-store".parse().unwrap()));
    let page = answer.text().await.unwrap();
    assert!(page.contains("id=\"locked\"") && page.contains("retort validator operator"), "{page}");
    let problem: Value = app.miner(1).get("/api/v1/operator").await.json().await.unwrap();
    assert_eq!(problem["code"], "operator_only");
    assert!(problem["hint"].as_str().unwrap().contains("retort validator operator"), "{problem}");
}
