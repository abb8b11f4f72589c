//! Why a submission ended as it did, and what its owner and the operator say about that, in public and for good.

use super::rounds::{by_size, play, submit};
use super::support::{Miner, Package, Refusal, Setup, TestApp, accept, competition_toml, validator_hotkey};
use futures::FutureExt;
use protocol::SubmissionId;
use protocol::api::AppealView;
use protocol::evaluation::Scope;
use protocol::leaf::{Answer, Appeal};
use protocol::submission::State;
use reqwest::StatusCode;
use serde_json::json;
use std::sync::Arc;
use validator::appeals::{self, APPEALS_MAX, AppealError};
use validator::scripted::scripted_evaluation;
use validator::why::{Topic, WhyView};
use validator::{Evaluator, ScriptedEvaluator};

async fn appeal(miner: &Miner, id: &SubmissionId, text: &str) -> Result<Vec<AppealView>, Refusal> {
    let body = json!({ "text": text }).to_string().into_bytes();
    let response = miner.post(&format!("/api/v1/submissions/{id}/appeal"), body).await;
    Ok(accept(response, &[StatusCode::CREATED]).await?.json().await.unwrap())
}

async fn answer(app: &TestApp, id: &SubmissionId, number: u64, text: &str) -> Result<(), AppealError> {
    appeals::answer(&app.app.db, validator_hotkey(), id, number, text.parse()?, app.app.clock.now()).await
}

async fn why(miner: &Miner, id: &SubmissionId) -> WhyView {
    miner.get(&format!("/api/v1/submissions/{id}/why")).await.json().await.unwrap()
}

/// The sentences about a topic.
fn told(why: &WhyView, topic: Topic) -> Vec<&str> {
    why.facts.iter().filter(|fact| fact.topic == topic).map(|fact| fact.sentence.as_str()).collect()
}

/// A submission that the door refused.
async fn refused(app: &TestApp, miner: &Miner) -> SubmissionId {
    let broken = Package::mlp(&[8], 7).with_config(|config| config["labels"] = json!(["a", "b"]));
    let id = miner.submit(&broken).await.unwrap();
    app.wait_for(&id, State::Rejected).await;
    id
}

#[tokio::test]
async fn an_appeal_and_its_answer_are_stated_once_and_shown_to_everybody() {
    let app = TestApp::with_competition(Setup::default()).await;
    let (alice, mallory) = (app.miner(1), app.miner(2));
    let id = refused(&app, &alice).await;
    let words = "my labels are the <competition's>";
    let said = appeal(&alice, &id, words).await.unwrap();
    assert_eq!((said.len(), said[0].number, said[0].text.as_str(), &said[0].answer), (1, 1, words, &None));
    assert_eq!(appeal(&alice, &id, words).await.unwrap(), said, "the same words are the same appeal");

    let strangers = appeal(&mallory, &id, "me too").await.unwrap_err();
    assert_eq!((strangers.status, strangers.problem.code.as_str()), (404, "not_found"));
    for bad in ["", "two\nlines", "\u{202e}turned", &"x".repeat(1_001)] {
        let bad = appeal(&alice, &id, bad).await.unwrap_err();
        assert_eq!((bad.status, bad.problem.code.as_str()), (422, "invalid_body"));
    }
    for number in 2..=APPEALS_MAX {
        appeal(&alice, &id, &format!("once more, {number}")).await.unwrap();
    }
    let spent = appeal(&alice, &id, "and again").await.unwrap_err();
    assert_eq!((spent.status, spent.problem.code.as_str()), (409, "appeal_refused"));

    answer(&app, &id, 1, "they are in another order").await.unwrap();
    let again = answer(&app, &id, 1, "they are fine").await.unwrap_err();
    assert!(matches!(again, AppealError::Answered { number: 1, .. }), "{again}");
    let unknown = answer(&app, &id, 9, "what?").await.unwrap_err();
    assert!(matches!(unknown, AppealError::UnknownAppeal { number: 9, .. }), "{unknown}");

    let story = why(&mallory, &id).await;
    assert_eq!(story.appeals.len() as u64, APPEALS_MAX);
    assert_eq!(story.appeals[0].answer.as_ref().unwrap().text, "they are in another order");
    let page = mallory.get(&format!("/submissions/{id}")).await.text().await.unwrap();
    assert!(page.contains("they are in another order") && page.contains("&#60;competition") && !page.contains(words));
    let appeals: Vec<Appeal> = app.app.db.leaves_under(&Appeal::prefix(&id)).await.unwrap();
    let answers: Vec<Answer> = app.app.db.leaves_under(&Answer::prefix(&id)).await.unwrap();
    assert_eq!((appeals.len() as u64, answers.len()), (APPEALS_MAX, 1));
    assert_eq!((appeals[0].hotkey, answers[0].validator), (alice.hotkey(), validator_hotkey()));
}

fn is_of_width(config_json: &[u8], width: u64) -> bool {
    let config: serde_json::Value = serde_json::from_slice(config_json).unwrap();
    config["architecture"]["hidden"][0] == width
}

/// What it answers of fresh items is worse than what it answers of public ones: it learnt those by heart.
#[tokio::test]
async fn why_says_how_far_below_the_gate_hidden_items_found_it() {
    let evaluator: Arc<dyn Evaluator> = Arc::new(ScriptedEvaluator::new(Arc::new(|request| {
        let by_heart = is_of_width(&request.order.candidate.config_json, 9);
        let screened = matches!(request.order.scope, Scope::OutputsOnly);
        let correct_ppm = if by_heart && screened { 300_000 } else { 1_000_000 };
        async move { scripted_evaluation(&request, correct_ppm) }.boxed()
    })));
    let app = TestApp::with_competition(Setup { evaluator, ..Setup::default() }).await;
    let (alice, bob) = (app.miner(1), app.miner(2));
    submit(&app, &alice, 25).await;
    let id = submit(&app, &bob, 9).await;
    play(&app, 1).await;
    let story = why(&bob, &id).await;
    let gates = told(&story, Topic::Gate);
    let figures = gates.last().unwrap();
    assert!(
        figures.contains("hidden items right, where the gate asks for") && figures.starts_with("33.33 % ["),
        "{story:?}"
    );
    assert!(figures.contains("of what the teacher gets right, 100.00 %"), "{figures}");

    let mut app = app;
    app.leave_unfinished();
    let id = bob.announce("digits", &Package::mlp(&[10], 3)).await.unwrap().id;
    bob.withdraw(&id).await.unwrap();
    assert_eq!(told(&why(&bob, &id).await, Topic::Admission), ["withdrawn: its miner took it back"]);
}

/// Of whom a round asked some items and no more: what it saw, and the line that had to be passed.
#[tokio::test]
async fn why_says_what_screening_saw_of_whom_it_didn_t_let_compete() {
    let evaluator: Arc<dyn Evaluator> = Arc::new(ScriptedEvaluator::new(Arc::new(|request| {
        let is_of = |width| is_of_width(&request.order.candidate.config_json, width);
        let screened = matches!(request.order.scope, Scope::OutputsOnly);
        let correct_ppm = if screened && is_of(9) {
            720_000
        } else if screened && is_of(20) {
            910_000
        } else {
            1_000_000
        };
        async move { scripted_evaluation(&request, correct_ppm) }.boxed()
    })));
    let app = TestApp::start(Setup { evaluator, ..Setup::default() }).await;
    app.publish(&competition_toml("digits", "rounds = { challengers_max = 1, beacon = \"ledger\" }")).await;
    let (alice, bob, carol) = (app.miner(1), app.miner(2), app.miner(3));
    let best = submit(&app, &alice, 25).await;
    let waits = submit(&app, &bob, 20).await;
    let below = submit(&app, &carol, 9).await;
    let round = play(&app, 1).await;
    assert_eq!(round.champion, Some(best));

    let story = why(&bob, &waits).await;
    let figures = *told(&story, Topic::Gate).last().unwrap();
    assert!(figures.contains(" of 63 hidden items right, where the gate asks for 90.00 %"), "{story:?}");
    let line = figures.split_once("; it stood for a place with a score of ").unwrap_or_else(|| panic!("{figures}")).1;
    let (own, least) = line.split_once(", and the last one went for ").unwrap();
    assert!(own.parse::<f64>().unwrap() < least.parse::<f64>().unwrap(), "{figures}");
    assert!(told(&story, Topic::Round)[0].contains("it gains priority"), "{story:?}");

    let story = why(&carol, &below).await;
    let figures = *told(&story, Topic::Gate).last().unwrap();
    assert!(figures.starts_with("76.19 % [") && figures.contains("of 21 hidden items right"), "{story:?}");
    assert!(told(&story, Topic::Round)[0].contains("not beyond doubt: the next round asks it again"), "{story:?}");
    let page = carol.get("/competitions/digits/rounds/1").await.text().await.unwrap();
    assert!(page.contains("of 21 hidden items right") && page.contains("and the last one went for"), "{page}");
}

#[tokio::test]
async fn what_is_under_way_has_nothing_to_appeal_against() {
    let mut app = TestApp::with_competition(Setup::default()).await;
    app.leave_unfinished();
    let miner = app.miner(1);
    let id = miner.announce("digits", &Package::mlp(&[8], 7)).await.unwrap().id;
    let refused = appeal(&miner, &id, "too slow").await.unwrap_err();
    assert_eq!((refused.status, refused.problem.code.as_str()), (409, "appeal_refused"));
}

#[tokio::test]
async fn why_tells_everything_that_decided() {
    let app = TestApp::with_competition(Setup { evaluator: by_size(), ..Setup::default() }).await;
    let (alice, bob) = (app.miner(1), app.miner(2));
    let best = submit(&app, &alice, 25).await;
    let worse = submit(&app, &bob, 8).await;
    let before = why(&bob, &best).await;
    assert_eq!(told(&before, Topic::Weights), ["its package becomes public when round 1 is over"]);
    play(&app, 1).await;

    let story = why(&bob, &best).await;
    assert!(told(&story, Topic::Admission)[0].starts_with("admitted"));
    let measured = told(&story, Topic::Measurement);
    assert!(measured.len() >= 2 && measured[0] == "measurement 1 began, on public items", "{measured:?}");
    assert!(told(&story, Topic::Gate)[0].ends_with("above the gate"), "{story:?}");
    assert!(!told(&story, Topic::Rank).is_empty());
    assert!(told(&story, Topic::Round).contains(&"it holds the seat at the end of the round"), "{story:?}");
    assert!(told(&story, Topic::Weights).is_empty());
    assert!(!told(&story, Topic::Pay).is_empty(), "{story:?}");
    let first = story.facts.iter().find(|fact| fact.topic == Topic::Round).unwrap();
    assert_eq!((first.round, first.link.as_deref()), (Some(1), Some("/competitions/digits/rounds/1")));
    assert!(!told(&why(&bob, &worse).await, Topic::Round).is_empty());

    let id = refused(&app, &bob).await;
    let story = why(&bob, &id).await;
    assert!(told(&story, Topic::Admission)[0].starts_with("rejected: labels_mismatch: "), "{story:?}");
    assert_eq!(bob.get("/api/v1/submissions/01ARZ3NDEKTSV4RRFFQ69G5FAV/why").await.status(), 404);
}
