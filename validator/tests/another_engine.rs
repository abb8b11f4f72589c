//! A change of engine at a named round: champions are measured on both, everybody is timed again by the new one before anything of
//! theirs is compared, and an auditor follows by the log alone.

use super::audit::{RULES, Samples, World, answer, honest, two_rounds};
use super::rounds::{play, wait_for};
use super::support::{Package, Setup, TestApp, competition, competition_toml, validator_hotkey};
use ::audit::Verdict;
use datasets::hidden::{RoundEntryView, RoundView};
use protocol::amendment::Amended;
use protocol::competition::ObjectRef;
use protocol::dethrone::Rule;
use protocol::digest::canonical_json;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest};
use protocol::outcomes::{OutcomeValues, Outcomes};
use protocol::round::{EntryRole, Step};
use protocol::submission::State;
use protocol::{Digest, Report, SubmissionId};
use referee::{RecordedMember, RoundRecord};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use validator::ScriptedEvaluator;
use validator::amend::{AmendError, Wish, amend};

/// How much longer everything takes on rten, beside the reference.
const SLOWER: i64 = 3;

/// A machine that has burn, and rten by whose clock students are slower.
fn two_engines() -> Arc<ScriptedEvaluator> {
    Arc::new(ScriptedEvaluator::new(Arc::new(|request: EvaluationRequest| {
        let evaluation = on_its_engine(&request);
        Box::pin(async move { evaluation })
    })))
}

fn on_its_engine(request: &EvaluationRequest) -> Result<Evaluation, EvaluationFailure> {
    let mut evaluation = answer(honest, request)?;
    let engine = request.order.engine.to_string();
    evaluation.report.engine = format!("script/1 {engine}");
    if engine.starts_with("rten") {
        let Evaluation { report, outcomes, latency_samples, .. } = &mut evaluation;
        let ratio = &mut report.latency.ratio;
        [&mut ratio.value_ppm, &mut ratio.low_ppm, &mut ratio.high_ppm].into_iter().for_each(|ppm| *ppm *= SLOWER);
        let values = outcomes.values();
        let later = (SLOWER as f64).ln() * 1e9;
        let log_ratio_nanos = values.log_ratio_nanos.iter().map(|nanos| nanos + later as i64).collect();
        *outcomes = Outcomes::new(OutcomeValues { log_ratio_nanos, ..values.clone() }).unwrap();
        let (seed, latency) = (report.data.seed, report.latency.clone());
        let samples = Samples { seed, latency, log_ratio_nanos: outcomes.values().log_ratio_nanos.clone() };
        *latency_samples = serde_json::to_vec(&samples).unwrap();
        report.latency.samples_sha256 = Some(Digest::of(latency_samples));
    }
    Ok(evaluation)
}

async fn change(app: &TestApp, engine: &str, from_round: Option<u64>) -> Result<Amended, AmendError> {
    let wish = Wish::Engine { engine: engine.parse().unwrap(), from_round };
    let reason = "what users deploy".parse().unwrap();
    let now = app.app.clock.now();
    amend(&app.app.db, validator_hotkey(), &competition("digits"), wish, reason, now).await.map(|stated| stated.change)
}

/// What was measured on a member in a round, if it was.
async fn report(app: &TestApp, entry: &RoundEntryView) -> Option<Report> {
    let path = format!("/api/v1/objects/sha256/{}", entry.report?.sha256);
    Some(app.miner(9).get(&path).await.json().await.unwrap())
}

/// Who waits after a round, and on which engine each was measured in it.
async fn waiting(app: &TestApp, round: &RoundView) -> BTreeMap<SubmissionId, Option<String>> {
    let mut found = BTreeMap::new();
    let is_waiting = |entry: &&RoundEntryView| {
        entry.role == EntryRole::Screened && entry.verdict.is_some_and(|verdict| verdict.rule == Rule::Screened)
    };
    for entry in round.entries.iter().filter(is_waiting) {
        found.insert(entry.submission.clone(), report(app, entry).await.map(|report| report.engine));
    }
    found
}

/// Utility of latency by a round's places.
async fn speed(app: &TestApp, round: u64, id: &SubmissionId) -> i64 {
    let round = app.app.db.round(&competition("digits"), round).await.unwrap().unwrap();
    let stands = round.record.settled.unwrap().stands;
    stands.iter().find(|stand| stand.submission == *id).unwrap().merit.utilities_ppm.latency
}

/// Two rounds on burn; while the third runs, rten is announced from the fourth on. Then three more are played.
async fn changed() -> (TestApp, BTreeMap<usize, SubmissionId>) {
    let app = TestApp::start(Setup { evaluator: two_engines(), ..Setup::default() }).await;
    app.publish(&competition_toml("digits", &format!("engine = \"burn 0.22.1\"\n{RULES}"))).await;
    let mut entered = two_rounds(&app).await;
    wait_for(&app, 3, Step::Open).await;
    for (engine, round, why) in [
        ("rten 0.27.0", Some(3), "round 3 has begun: the first that can go by another engine is 4"),
        ("burn 0.22.1", None, "is like that already"),
    ] {
        let refused = change(&app, engine, round).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
    let stated = change(&app, "rten 0.27.0", None).await.unwrap();
    assert_eq!(stated, Amended::Engine { engine: "rten 0.27.0".parse().unwrap(), from_round: 4 });
    let again = change(&app, "onnxruntime", Some(4)).await.unwrap_err().to_string();
    assert!(again.contains("a further change comes after that"), "{again}");
    play(&app, 3).await;
    wait_for(&app, 4, Step::Open).await;
    let id = app.miner(22).submit(&Package::mlp(&[22], 22)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    app.app.clock.advance(1);
    entered.insert(22, id);
    play(&app, 4).await;
    play(&app, 5).await;
    (app, entered)
}

#[tokio::test]
async fn from_a_named_round_on_everybody_is_timed_by_another_engine_and_champions_were_by_both() {
    let (app, entered) = changed().await;
    let [third, fourth, fifth] = [3, 4, 5].map(|number| wait_for(&app, number, Step::Revealed));
    let (third, fourth, fifth) = (third.await, fourth.await, fifth.await);
    let champion = third.champion.clone().unwrap();
    assert_eq!(fourth.champion_before.as_ref(), Some(&champion));
    for (round, engine) in [(&third, "script/1 burn 0.22.1"), (&fourth, "script/1 rten 0.27.0")] {
        let entry = round.entries.iter().find(|entry| entry.submission == champion).unwrap();
        assert_eq!(report(&app, entry).await.unwrap().engine, engine, "the champion is measured on both");
    }
    // What was entered in the fourth round was timed by its engine already; the others that wait are timed again, once.
    let own = app.app.db.evaluation(&entered[&22]).await.unwrap().unwrap();
    assert_eq!(own.report.engine, "script/1 rten 0.27.0");
    let waited = waiting(&app, &fourth).await;
    let by_burn = waited.keys().filter(|id| **id != entered[&22]).count();
    assert!(by_burn > 0, "{waited:?}");
    for (id, engine) in &waited {
        let expected = (*id != entered[&22]).then(|| "script/1 rten 0.27.0".to_owned());
        assert_eq!(*engine, expected, "{id}");
    }
    assert!(waiting(&app, &third).await.values().chain(waiting(&app, &fifth).await.values()).all(Option::is_none));
    // Nobody is worth in a place what another clock said.
    for width in [20, 21, 25] {
        let by_round = [speed(&app, 3, &entered[&width]).await, speed(&app, 4, &entered[&width]).await];
        assert!(by_round[1] < by_round[0], "{width}: {by_round:?}");
        assert_eq!(speed(&app, 5, &entered[&width]).await, by_round[1], "{width}");
    }
    let page = app.miner(1).get("/competitions/digits").await.text().await.unwrap();
    assert!(page.contains("measured on rten 0.27.0 from round 4 on"), "{page}");
    let board = app.miner(1).get("/api/v1/competitions/digits/leaderboard").await.text().await.unwrap();
    assert!(board.contains("rounds go by rten 0.27.0, and the latency shown is of the engine before"), "{board}");
}

fn recorded(world: &World, round: u64) -> RoundRecord {
    let key = format!("round/digits/{round}/judged");
    let leaf = world.log.iter().find(|leaf| leaf.key == key).unwrap();
    let object: ObjectRef = serde_json::from_value(leaf.body["record"].clone()).unwrap();
    serde_json::from_slice(&world.objects[&object.sha256]).unwrap()
}

#[tokio::test]
async fn an_auditor_follows_a_change_of_engine_by_the_log_alone() {
    let (app, entered) = changed().await;
    let mut world = World::taken(&app, entered).await;
    let lies = |world: &World, round: u64| -> Vec<String> {
        let bad = world.audited(round).unwrap().into_iter().filter(|finding| finding.verdict != Verdict::Ok);
        bad.map(|finding| format!("{}: {}", finding.check, finding.detail)).collect()
    };
    for round in 2..=5 {
        // The board is that of the last round.
        let found: Vec<String> =
            lies(&world, round).into_iter().filter(|lie| round == 5 || !lie.starts_with("board")).collect();
        assert!(found.is_empty(), "round {round}: {found:#?}");
    }
    // A validator that leaves somebody's new time out is told so, whatever it signs.
    let (mut forged, mut record) = (world.clone(), recorded(&world, 4));
    let timed = |member: &&mut RecordedMember| member.role == EntryRole::Screened && member.receipt.is_some();
    let member = record.members.iter_mut().find(timed).unwrap();
    member.receipt = None;
    let told = format!("{} was never timed on rten 0.27.0", member.submission);
    let object = forged.put(canonical_json(&record).unwrap());
    forged.log.iter_mut().find(|leaf| leaf.key == "round/digits/4/judged").unwrap().body["record"] = json!(object);
    let found = lies(&forged, 4);
    assert!(found.iter().any(|lie| lie.contains(&told)), "{found:#?}");
    // Without the announcement it is a measurement on another engine than the competition's.
    let announced = world.log.iter().position(|leaf| leaf.key == "administration/amended/digits/1").unwrap();
    let leaf = world.log.remove(announced);
    let found = lies(&world, 4);
    assert!(found.iter().any(|lie| lie.contains("measured on script/1 rten 0.27.0")), "{found:#?}");
    // Nor is one believed that came after the round had begun.
    world.log.push(leaf);
    let found = lies(&world, 4);
    assert!(found.iter().any(|lie| lie.contains("announced after that began")), "{found:#?}");
}
