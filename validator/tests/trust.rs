//! Workers whose machines aren't the validator's: what one gains by a lie, who wants a model praised, a rival's put out, or its
//! own time paid for nothing. Nothing that they say ends a submission, and whoever is found to have lied is quarantined.

use super::fleet::{Away, RIGHT, Worker, away, name, row, submitted, until};
use super::rounds::play;
use super::support::{TestApp, competition};
use protocol::evaluation::Answer;
use protocol::fleet::{Claimed, Standing, Trust, WorkerReport};
use protocol::report::{Estimate, LatencyCheck};
use protocol::submission::{Code, State};
use protocol::{SignedReceipt, SubmissionId};
use reqwest::StatusCode;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;

async fn rented(app: &TestApp) -> Worker {
    Worker::trusted(101, ("bench-9", Trust::Rented), app).await
}

async fn says(worker: &Worker, claimed: &Claimed, answer: &Answer) {
    let sheet = worker.sheet(claimed, answer).await;
    let said = worker.report(&claimed.claim, &WorkerReport::Answer(Box::new(sheet))).await;
    assert_eq!(said.status(), StatusCode::NO_CONTENT);
}

/// Lets our own machine measure what waits for it.
async fn settled_at_home(app: &TestApp, evaluator: &Arc<Away>, id: &SubmissionId) {
    app.wait_for(id, State::Queued).await;
    assert!(app.app.db.unconfirmed(id).await.unwrap().is_some());
    evaluator.is_away.store(false, Ordering::SeqCst);
    app.wait_for(id, State::Scored).await;
    evaluator.is_away.store(true, Ordering::SeqCst);
    assert!(app.app.db.unconfirmed(id).await.unwrap().is_none());
    let submission = app.app.db.submission(id).await.unwrap().unwrap();
    assert_eq!(submission.failures, 0, "no word of such a worker is a failure of the submission's");
}

/// Who measured it, as its receipt says.
async fn measured_by(app: &TestApp, id: &SubmissionId) -> Option<Trust> {
    let receipt = app.miner(1).get(&format!("/api/v1/submissions/{id}/receipt")).await.bytes().await.unwrap();
    SignedReceipt::parse(&receipt).unwrap().receipt.subject.worker.map(|by| by.trust)
}

async fn board(app: &TestApp) -> Value {
    app.miner(1).get("/api/v1/competitions/digits/leaderboard").await.json().await.unwrap()
}

#[tokio::test]
async fn a_rented_worker_learns_no_probes_and_what_it_says_names_nobody_the_first() {
    let (app, evaluator) = away(60).await;
    let worker = rented(&app).await;
    let mut believed = Vec::new();
    for seed in 1..=4 {
        let id = submitted(&app, seed).await;
        let claimed = worker.claim().await;
        assert_eq!(worker.fetch(&claimed).await.probes.len(), 0, "who knew the probes could train against them");
        let mut answer = worker.measured(&app.app, &claimed, RIGHT).await;
        // A friend's model, which is said to be ten times as fast.
        let latency = &mut answer.measured.latency;
        latency.ratio = Estimate { value_ppm: 100_000, low_ppm: 99_000, high_ppm: 101_000 };
        says(&worker, &claimed, &answer).await;
        // One of twenty is looked at, by chance.
        until("it counts for now, or is measured by ours", async || {
            let state = app.app.db.submission(&id).await.unwrap().unwrap().state;
            state == State::Scored || app.app.db.unconfirmed(&id).await.unwrap().is_some()
        })
        .await;
        if app.app.db.unconfirmed(&id).await.unwrap().is_none() {
            believed.push(id);
        }
    }
    assert!(!believed.is_empty(), "four of four chosen by chance: once in 160,000 runs");
    let id = &believed[0];
    assert_eq!(measured_by(&app, id).await, Some(Trust::Rented));
    let shown = board(&app).await;
    assert_eq!(shown["leader"], Value::Null, "{shown}");
    let of = |row: &&Value| row["submission"].as_str() == Some(&id.to_string());
    let why = shown["rows"].as_array().unwrap().iter().find(of).unwrap()["why"].as_str().unwrap().to_owned();
    assert!(why.contains("somebody else's machine"), "{why}");
    assert!(shown["divisions"].as_array().unwrap().iter().all(|it| it["entries"].as_array().unwrap().is_empty()));

    // In a round our machine times it, and the worker's clock was a lie.
    evaluator.is_away.store(false, Ordering::SeqCst);
    app.app.clock.advance(1);
    play(&app, 1).await;
    until("it is quarantined", async || row(&app, "bench-9").await.state == Standing::Quarantined).await;
    let why = row(&app, "bench-9").await.reason.unwrap();
    assert!(why.contains("by its clock") && why.contains("by ours"), "{why}");
}

#[tokio::test]
async fn a_rented_worker_puts_nobody_out_and_is_quarantined_for_trying() {
    let (app, evaluator) = away(60).await;
    let honest = rented(&app).await;
    // Whom it says to be below the gate is measured by our machine, which finds the same outputs if it spoke the truth.
    let id = submitted(&app, 1).await;
    let claimed = honest.claim().await;
    let answer = honest.measured(&app.app, &claimed, RIGHT).await;
    let failed = WorkerReport::Failed { problem: "out of memory".into() };
    assert_eq!(honest.report(&claimed.claim, &failed).await.status(), StatusCode::NO_CONTENT);
    settled_at_home(&app, &evaluator, &id).await;
    assert_eq!(measured_by(&app, &id).await, None);
    drop(answer);
    let stands = async || row(&app, "bench-9").await.state;
    assert_eq!(stands().await, Standing::Active, "a failure is no lie");

    for (seed, lie) in [(2, Lie::Wrong), (3, Lie::Cheats), (4, Lie::Unfit)] {
        let id = submitted(&app, seed).await;
        let claimed = honest.claim().await;
        lie.tell(&app, &honest, &claimed).await;
        settled_at_home(&app, &evaluator, &id).await;
        match lie {
            // What a clock says of a model differs from machine to machine; its outputs are the same.
            Lie::Cheats => assert_eq!((stands().await, row(&app, "bench-9").await.confirmed), (Standing::Active, 1)),
            Lie::Wrong | Lie::Unfit => {
                until("it is quarantined", async || stands().await == Standing::Quarantined).await;
                let (db, now) = (&app.app.db, app.app.clock.now());
                let resume = (&name("bench-9"), validator::fleet::FleetAct::Resume);
                validator::fleet::act(db, app.app.hotkey, resume, "a test".parse().unwrap(), now).await.unwrap();
            }
        }
    }
    assert!(board(&app).await["leader"].is_string(), "what our machine found counts");
}

/// What a worker may say to put somebody out.
#[derive(Clone, Copy)]
enum Lie {
    /// That it is wrong on most items.
    Wrong,
    /// That it behaves otherwise while it is timed.
    Cheats,
    /// That it can't be measured.
    Unfit,
}

impl Lie {
    async fn tell(self, app: &TestApp, worker: &Worker, claimed: &Claimed) {
        match self {
            Self::Wrong => says(worker, claimed, &worker.measured(&app.app, claimed, 100_000).await).await,
            Self::Cheats => {
                let mut answer = worker.measured(&app.app, claimed, RIGHT).await;
                let ratio = answer.measured.latency.ratio;
                let far = |ppm: i64| ppm * 3;
                answer.measured.latency.checks.other_items = LatencyCheck {
                    launches: 15,
                    ratio: Estimate {
                        value_ppm: far(ratio.value_ppm),
                        low_ppm: far(ratio.low_ppm),
                        high_ppm: far(ratio.high_ppm),
                    },
                };
                says(worker, claimed, &answer).await;
            }
            Self::Unfit => {
                let rejection = Code::OutputsInvalid.because("NaN".into());
                let said = worker.report(&claimed.claim, &WorkerReport::Rejected(rejection)).await;
                assert_eq!(said.status(), StatusCode::NO_CONTENT);
            }
        }
    }
}

#[tokio::test]
async fn who_leaves_with_a_submission_has_it_measured_at_home_and_others_of_its_kind_arent_asked() {
    let (app, evaluator) = away(2).await;
    let silent = rented(&app).await;
    let id = submitted(&app, 1).await;
    silent.claim().await;
    app.wait_for(&id, State::Queued).await;
    let other = Worker::trusted(102, ("bench-8", Trust::Partner), &app).await;
    for _ in 0..3 {
        assert_eq!(other.ask().await.status(), StatusCode::NO_CONTENT, "only a machine of ours may measure it");
    }
    // One of ours may be elsewhere, too.
    let ours = Worker::trusted(103, ("bench-7", Trust::Own), &app).await;
    let claimed = ours.claim().await;
    assert_eq!(ours.answered(&app.app, &claimed).await.status(), StatusCode::NO_CONTENT);
    app.wait_for(&id, State::Scored).await;
    assert_eq!(measured_by(&app, &id).await, Some(Trust::Own));
    assert!(app.app.db.evaluation(&id).await.unwrap().unwrap().worker.is_none());
    assert!(app.app.db.competition(&competition("digits")).await.unwrap().is_some());
    drop(evaluator);
}
