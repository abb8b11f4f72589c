//! What an operator does by hand: for the operator alone, and never in silence.

use super::lifecycle::script;
use super::rounds::{by_size, play, submit};
use super::support::{Miner, Package, Setup, TestApp, accept, competition, competition_toml, validator_hotkey};
use protocol::SubmissionId;
use protocol::amendment::{Amended, Amendment};
use protocol::api::{CompetitionView, Leaderboard, SubmissionStatus};
use protocol::evaluation::EvaluationFailure;
use protocol::leaf::{Act, Administration};
use protocol::round::Step;
use protocol::submission::{Code, State};
use reqwest::{Response, StatusCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use validator::Evaluator;
use validator::amend::{self, AmendError, Wish, amend};
use validator::db::rounds::Round;
use validator::scripted::scripted_evaluation;

const TOKEN: &str = "the operator's own token";

fn setup(evaluator: Option<Arc<dyn Evaluator>>) -> Setup {
    let mut setup = Setup::default();
    setup.config.operator_token = TOKEN.into();
    setup.evaluator = evaluator.unwrap_or(setup.evaluator);
    setup
}

/// An engine that fails with every submission's model while it is broken.
fn failing_while(broken: &Arc<AtomicBool>) -> Arc<dyn Evaluator> {
    let broken = Arc::clone(broken);
    script(move |request, _| {
        let own = request.truth.teacher_logits.is_none()
            || request.order.candidate.weights == request.order.reference.weights;
        if !own && broken.load(Ordering::SeqCst) {
            return Err(EvaluationFailure::Infrastructure("no worker".into()));
        }
        scripted_evaluation(&request, if request.truth.teacher_logits.is_none() { 960_000 } else { 900_000 })
    })
}

async fn act(miner: &Miner, id: &SubmissionId, act: &str, token: Option<&str>, body: &str) -> Response {
    let url = format!("{}/api/v1/operator/submissions/{id}/{act}", miner.base);
    let mut request = miner.http.post(url).body(body.to_owned());
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.send().await.unwrap()
}

async fn done(miner: &Miner, id: &SubmissionId, what: &str, reason: &str) -> SubmissionStatus {
    let body = serde_json::json!({ "reason": reason }).to_string();
    let response = act(miner, id, what, Some(TOKEN), &body).await;
    accept(response, &[StatusCode::OK]).await.unwrap().json().await.unwrap()
}

/// Takes a submission out of its competition, as its operator.
pub(crate) async fn disqualified(app: &TestApp, id: &SubmissionId) {
    let reason = r#"{"reason":"it is another's"}"#;
    let token = app.app.config.operator_token.expose();
    accept(act(&app.miner(9), id, "disqualify", Some(token), reason).await, &[StatusCode::OK]).await.unwrap();
}

/// The act that stands in the log under this name.
pub(crate) async fn stated(app: &TestApp, key: &str) -> Act {
    for _ in 0..500 {
        if let Some(leaf) = app.app.db.leaf(key).await.unwrap()
            && leaf.index_in_log.is_some()
        {
            let stated: Administration = serde_json::from_value(leaf.body).unwrap();
            assert_eq!(stated.validator, validator_hotkey());
            return stated.act;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{key} never came into the log");
}

async fn board(app: &TestApp) -> Leaderboard {
    app.miner(1).get("/api/v1/competitions/digits/leaderboard").await.json().await.unwrap()
}

#[tokio::test]
async fn only_who_shows_the_token_may_act_wherever_they_sit() {
    let app = TestApp::with_competition(setup(None)).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::mlp(&[8], 1)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let body = r#"{"reason":"because"}"#;
    for token in [None, Some(""), Some("the operator's own toke"), Some("another token altogether")] {
        let refusal = accept(act(&miner, &id, "disqualify", token, body).await, &[]).await.unwrap_err();
        assert_eq!((refusal.status, refusal.problem.code.as_str()), (403, "operator_only"), "{token:?}");
    }
    for (body, status) in [("", 422), ("{}", 422), (r#"{"reason":""}"#, 422), (r#"{"reason":"a\nb"}"#, 422)] {
        let refusal = accept(act(&miner, &id, "disqualify", Some(TOKEN), body).await, &[]).await.unwrap_err();
        assert_eq!(refusal.status, status, "{body}");
    }
    assert_eq!(miner.status(&id).await.state, State::Scored);
    let none = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    let refusal = accept(act(&miner, &none, "requeue", Some(TOKEN), body).await, &[]).await.unwrap_err();
    assert_eq!(refusal.status, 404);

    let without = TestApp::start(Setup::default()).await;
    let refusal = accept(act(&without.miner(1), &none, "requeue", Some(""), body).await, &[]).await.unwrap_err();
    assert_eq!(refusal.status, 403, "without a token in the settings nobody may act");
}

#[tokio::test]
async fn a_failure_of_ours_is_tried_again_and_stated() {
    let broken = Arc::new(AtomicBool::new(true));
    let app = TestApp::with_competition(setup(Some(failing_while(&broken)))).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::mlp(&[8], 1)).await.unwrap();
    app.wait_for(&id, State::Failed).await;
    broken.store(false, Ordering::SeqCst);
    let status = done(&miner, &id, "requeue", "the worker is mended").await;
    assert_eq!((status.id.clone(), status.reason), (id.clone(), None));
    app.wait_for(&id, State::Scored).await;
    let attempt = 3;
    let Act::SubmissionRequeued { submission, reason, attempt: found, .. } =
        stated(&app, &format!("administration/requeued/{id}/{attempt}")).await
    else {
        panic!("another act")
    };
    assert_eq!((submission, reason.as_str(), found), (id.clone(), "the worker is mended", attempt));
    let refusal = accept(act(&miner, &id, "requeue", Some(TOKEN), r#"{"reason":"again"}"#).await, &[]).await;
    assert_eq!(refusal.unwrap_err().problem.code, "act_refused", "what is scored is not measured again");
}

#[tokio::test]
async fn a_failure_whose_package_was_entered_again_stays_as_it_is() {
    let broken = Arc::new(AtomicBool::new(true));
    let app = TestApp::with_competition(setup(Some(failing_while(&broken)))).await;
    let miner = app.miner(1);
    let first = miner.submit(&Package::mlp(&[8], 1)).await.unwrap();
    app.wait_for(&first, State::Failed).await;
    broken.store(false, Ordering::SeqCst);
    let second = miner.submit(&Package::mlp(&[8], 1)).await.unwrap();
    app.wait_for(&second, State::Scored).await;
    let refusal = accept(act(&miner, &first, "requeue", Some(TOKEN), r#"{"reason":"again"}"#).await, &[]).await;
    let refusal = refusal.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (409, "act_refused"));
    assert_eq!(miner.status(&first).await.state, State::Failed);
}

#[tokio::test]
async fn a_disqualified_submission_has_no_place_and_its_reason_is_public() {
    let app = TestApp::with_competition(setup(None)).await;
    let (alice, bob) = (app.miner(1), app.miner(2));
    let first = alice.submit(&Package::mlp(&[8], 1)).await.unwrap();
    app.wait_for(&first, State::Scored).await;
    let second = bob.submit(&Package::mlp(&[16], 2)).await.unwrap();
    app.wait_for(&second, State::Scored).await;
    let before = board(&app).await;
    let champion = before.leader.clone().unwrap();
    let status = done(&alice, &champion, "disqualify", "the weights are another's").await;
    assert_eq!((status.state, status.rank), (State::Rejected, None));
    let reason = status.reason.unwrap();
    assert_eq!((reason.code, reason.detail.as_str()), (Code::Disqualified, "the weights are another's"));
    let after = board(&app).await;
    assert_eq!(after.rows.len(), before.rows.len() - 1);
    assert!(after.rows.iter().all(|row| row.submission.as_ref() != Some(&champion)));
    assert!(after.leader.is_some() && after.leader != Some(champion.clone()), "the next one leads");
    let Act::SubmissionDisqualified { submission, from, .. } =
        stated(&app, &format!("administration/disqualified/{champion}")).await
    else {
        panic!("another act")
    };
    assert_eq!((submission, from), (champion.clone(), State::Scored));
    let page = alice.get(&format!("/submissions/{champion}")).await;
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("the weights are another"));
    // It can't be done twice, nor be entered again.
    let refusal = accept(act(&alice, &champion, "disqualify", Some(TOKEN), r#"{"reason":"x"}"#).await, &[]).await;
    let refusal = refusal.unwrap_err();
    assert_eq!(refusal.status, 409);
    assert!(refusal.problem.detail.contains("it was disqualified already"), "{}", refusal.problem.detail);
}

#[tokio::test]
async fn a_disqualified_champion_loses_its_seat_and_is_paid_no_more() {
    let app = TestApp::start(setup(Some(by_size()))).await;
    app.publish(&competition_toml("digits", "reward = { policy = \"last_champions\" }")).await;
    let (alice, bob, carol) = (app.miner(1), app.miner(2), app.miner(3));
    let first = submit(&app, &alice, 20).await;
    assert_eq!(play(&app, 1).await.champion, Some(first.clone()));
    let second = submit(&app, &bob, 25).await;
    let round = play(&app, 2).await;
    assert_eq!((round.champion.as_ref(), round.weights.len()), (Some(&second), 2));
    // The third round is open already and names the one that held the seat when it opened.
    done(&alice, &second, "disqualify", "trained on hidden items").await;
    let after = board(&app).await;
    assert_eq!(
        (after.champion, after.leader),
        (None, Some(first.clone())),
        "the seat is empty, and the first place leads"
    );
    let third = submit(&app, &carol, 8).await;
    let round = play(&app, 3).await;
    assert_eq!(round.champion_before, None);
    assert!(round.entries.iter().all(|entry| entry.submission != second));
    let champion = round.champion.clone().unwrap();
    assert!([first, third].contains(&champion), "an empty seat is competed for");
    assert!(round.weights.iter().all(|weight| weight.hotkey != bob.hotkey()), "{:?}", round.weights);
    assert!(!round.weights.is_empty());
}

#[tokio::test]
async fn a_submission_under_way_can_be_disqualified_and_its_evaluation_records_nothing() {
    let app = TestApp::with_competition(setup(None)).await;
    let miner = app.miner(1);
    let created = miner.announce("digits", &Package::mlp(&[8], 1)).await.unwrap();
    let status = done(&miner, &created.id, "disqualify", "announced by mistake").await;
    assert_eq!(status.state, State::Rejected);
    let refusal = miner.upload_all(&created, &Package::mlp(&[8], 1)).await.unwrap_err();
    assert_eq!(refusal.problem.code, "upload_closed");
}

const DAY_SECONDS: u64 = 24 * 3_600;

async fn amended(app: &TestApp, wish: Wish) -> Result<Amendment, AmendError> {
    let reason = "miners asked for it".parse().unwrap();
    amend(&app.app.db, validator_hotkey(), &competition("digits"), wish, reason, app.app.clock.now()).await
}

async fn view(app: &TestApp) -> CompetitionView {
    app.miner(1).get("/api/v1/competitions/digits").await.json().await.unwrap()
}

#[tokio::test]
async fn what_hurts_nobody_is_changed_stated_and_shown_and_what_was_published_stays() {
    let app = TestApp::start(setup(None)).await;
    let now = app.app.clock.now();
    let ends_at = now + 3 * DAY_SECONDS;
    app.publish(&competition_toml("digits", &format!("closes_at = {ends_at}"))).await;
    let published = view(&app).await;
    amended(&app, Wish::Title("Numbers, by hand".into())).await.unwrap();
    let later = amended(&app, Wish::ClosesAt(ends_at + DAY_SECONDS)).await.unwrap();
    assert_eq!((later.number, &later.change), (2, &Amended::ClosesAt(ends_at + DAY_SECONDS)));

    let after = view(&app).await;
    assert_eq!((after.sha256, &after.competition), (published.sha256, &published.competition));
    let manifest = after.manifest(0);
    assert_eq!((manifest.title.as_str(), manifest.closes_at), ("Numbers, by hand", Some(ends_at + DAY_SECONDS)));
    let page = app.miner(1).get("/competitions/digits").await.text().await.unwrap();
    for said in ["Numbers, by hand", "Changed since it was published", "miners asked for it"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert_eq!(manifest.contact, None);
    amended(&app, Wish::Contact("arena@example.com".into())).await.unwrap();
    amended(&app, Wish::Contact("https://example.com/arena?x=1".into())).await.unwrap();
    assert_eq!(view(&app).await.manifest(0).contact.as_deref(), Some("https://example.com/arena?x=1"));
    let page = app.miner(1).get("/competitions/digits").await.text().await.unwrap();
    assert!(page.contains(r#"<a href="https://example.com/arena?x=1" rel="nofollow noopener">"#), "{page}");
    let act = stated(&app, "administration/amended/digits/2").await;
    assert_eq!(act, Act::CompetitionAmended { competition: competition("digits"), amendment: later });

    // It takes submissions after the old end.
    app.app.clock.advance(3 * DAY_SECONDS + 1);
    app.miner(1).submit(&Package::mlp(&[8], 1)).await.unwrap();
    // Less than a day before the new one nobody moves it any more.
    for (wish, why) in [
        (Wish::ClosesAt(ends_at + 9 * DAY_SECONDS), "at least 24 hours before"),
        (Wish::ClosesAt(ends_at), "no later end"),
        (Wish::SubmissionsPerDay(4), "only rise"),
        (Wish::Title(String::new()), "title"),
        (Wish::Title("Numbers, by hand".into()), "is like that already"),
        (Wish::Contact("https://example.com/arena?x=1".into()), "is like that already"),
        (Wish::Hidden(false), "is like that already"),
        (Wish::Contact("javascript:alert(1)".into()), "contact"),
    ] {
        let error = amended(&app, wish).await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let mut app = app;
    app.leave_unfinished();
}

#[tokio::test]
async fn a_hidden_competition_is_found_by_its_name_alone() {
    let app = TestApp::with_competition(setup(None)).await;
    let listed = async || {
        let all: Vec<CompetitionView> = app.miner(1).get("/api/v1/competitions").await.json().await.unwrap();
        (all.len(), app.miner(1).get("/").await.text().await.unwrap().contains("/competitions/digits\""))
    };
    assert_eq!(listed().await, (1, true));
    amended(&app, Wish::Hidden(true)).await.unwrap();
    let error = amended(&app, Wish::Hidden(true)).await.unwrap_err().to_string();
    assert!(error.contains("is like that already"), "{error}");
    assert_eq!(listed().await, (0, false));
    assert_eq!(app.miner(1).get("/competitions/digits").await.status(), StatusCode::OK);
    amended(&app, Wish::Hidden(false)).await.unwrap();
    assert_eq!(listed().await, (1, true));
}

/// The round of this number, once it runs.
async fn opened(app: &TestApp, number: u64) -> Round {
    for _ in 0..1_500 {
        if let Some(round) = app.app.db.latest_round(&competition("digits")).await.unwrap()
            && round.number == number
        {
            return round;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("round {number} doesn't open");
}

#[tokio::test]
async fn an_early_end_leaves_a_full_round_a_quota_rises_with_the_next_and_three_changes_are_all() {
    let app = TestApp::start(setup(Some(by_size()))).await;
    app.publish(&competition_toml("digits", "rounds.seconds = 1000")).await;
    let miner = app.miner(1);
    opened(&app, 1).await;
    for seed in 0..4 {
        miner.submit(&Package::mlp(&[8], seed)).await.unwrap();
    }
    let raised = amended(&app, Wish::SubmissionsPerDay(5)).await.unwrap();
    let Amended::SubmissionsPerDay { quota: 5, from_round } = raised.change else { panic!("{raised:?}") };
    let again = amended(&app, Wish::SubmissionsPerDay(5)).await.unwrap_err().to_string();
    assert!(again.contains("is like that already"), "also before it holds: {again}");
    let refusal = miner.submit(&Package::mlp(&[8], 9)).await.unwrap_err();
    assert_eq!(refusal.problem.code, "quota_exhausted", "not before the next round");
    assert_eq!(opened(&app, from_round - 1).await.step, Step::Open);
    play(&app, from_round - 1).await;
    let running = opened(&app, from_round).await;
    miner.submit(&Package::mlp(&[8], 9)).await.expect("one more in the next round");

    let now = app.app.clock.now();
    let foreseen = amend::foreseen(&app.app.db, &competition("digits"), Wish::CloseEarly, now).await.unwrap();
    let early = amended(&app, Wish::CloseEarly).await.unwrap();
    assert_eq!(foreseen, early.change, "what was said before is what was done");
    assert_eq!(early.change, Amended::ClosesAt(running.closes_at.unwrap() + 1000), "the next full round");
    assert!(amended(&app, Wish::CloseEarly).await.unwrap_err().to_string().contains("no later than"));
    amended(&app, Wish::SubmissionsPerDay(6)).await.unwrap();
    let error = amended(&app, Wish::SubmissionsPerDay(7)).await.unwrap_err().to_string();
    assert!(error.contains("3 times at most"), "{error}");
    amended(&app, Wish::Description("As long as one likes.".into())).await.expect("words change as often as one likes");
    let mut app = app;
    app.leave_unfinished();
}
