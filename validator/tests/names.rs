//! What hotkeys call themselves and their models: signed, nobody else's, and beside key and id.

use crate::support::{Miner, Package, Refusal, Setup, TestApp, accept};
use protocol::SubmissionId;
use protocol::api::{Leaderboard, MinerView, SubmissionSummary};
use protocol::submission::State;
use reqwest::StatusCode;

async fn call(miner: &Miner, name: &str) -> Result<(), (u16, String)> {
    let body = serde_json::json!({ "name": name }).to_string().into_bytes();
    let answer = accept(miner.post("/api/v1/names", body).await, &[StatusCode::OK]).await;
    answer.map(drop).map_err(|refusal| (refusal.status, refusal.problem.code))
}

#[tokio::test]
async fn a_hotkey_has_a_name_that_nobody_else_takes_and_boards_show_it_beside_the_key() {
    let app = TestApp::with_competition(Setup::default()).await;
    let (alice, bob) = (app.miner(1), app.miner(2));
    assert_eq!(call(&alice, "small nets").await, Err((409, "nothing_entered".into())));
    for (miner, seed) in [(&alice, 1), (&bob, 2)] {
        let id = miner.submit(&Package::random(&[8], seed)).await.unwrap();
        app.wait_for(&id, State::Scored).await;
    }
    call(&alice, "small nets").await.unwrap();
    assert_eq!(call(&bob, "Smal1-Nets").await, Err((409, "name_taken".into())), "it looks the same");
    assert_eq!(call(&bob, "<script>").await.unwrap_err().0, 422);
    for reserved in ["teacher", "Champi0n", "va1idator 2"] {
        assert_eq!(call(&bob, reserved).await, Err((409, "name_reserved".into())), "{reserved}");
    }
    let board = async || -> Leaderboard {
        app.miner(1).get("/api/v1/competitions/digits/leaderboard").await.json().await.unwrap()
    };
    let name = |board: &Leaderboard, miner: &Miner| {
        board.rows.iter().find(|row| row.hotkey == Some(miner.hotkey())).unwrap().owner_name.clone()
    };
    let shown = board().await;
    assert_eq!((name(&shown, &alice), name(&shown, &bob)), (Some("small nets".into()), None));
    let page = app.miner(1).get("/competitions/digits").await.text().await.unwrap();
    assert!(page.contains("small nets <code>5"), "beside the key: {page}");

    // The last one said counts, and what was given up stays hers.
    call(&alice, "tall nets").await.unwrap();
    assert_eq!(name(&board().await, &alice), Some("tall nets".into()));
    assert_eq!(call(&bob, "small nets").await, Err((409, "name_taken".into())));
    call(&alice, "Small Nets").await.unwrap();
    let view: MinerView = app.miner(1).get(&format!("/api/v1/miners/{}", alice.hotkey())).await.json().await.unwrap();
    assert_eq!(view.name, Some("Small Nets".into()));
    for more in ["a", "b", "c"] {
        call(&alice, more).await.unwrap();
    }
    assert_eq!(call(&alice, "d").await, Err((409, "too_many_names".into())));
}

#[tokio::test]
async fn a_model_has_a_name_that_no_other_has_shown_beside_its_id() {
    let app = TestApp::with_competition(Setup::default()).await;
    let (alice, bob) = (app.miner(1), app.miner(2));
    let called = async |miner: &Miner, seed: u64, name: &str| {
        let package = Package::random(&[8], seed);
        let id = miner.announce_as("digits", &package, Some(name.parse().unwrap())).await?.id;
        miner.submit(&package).await?;
        Ok::<SubmissionId, Refusal>(id)
    };
    let refused = async |miner: &Miner, seed: u64, name: &str| {
        called(miner, seed, name).await.map_err(|refusal| (refusal.status, refusal.problem.code)).unwrap_err()
    };
    assert_eq!(refused(&alice, 1, "The Teacher").await, (409, "name_reserved".into()));
    let first = called(&alice, 1, "small net 1").await.unwrap();
    assert_eq!(refused(&bob, 2, "Small-Net-l").await, (409, "name_taken".into()), "it looks the same");
    assert_eq!(refused(&alice, 3, "small net 1").await, (409, "name_taken".into()), "one model, one name");
    // What has no name yet gets it by being announced again; what has one keeps it.
    let second = bob.submit(&Package::random(&[8], 2)).await.unwrap();
    assert_eq!(called(&bob, 2, "wide").await.unwrap(), second);
    assert_eq!(refused(&bob, 2, "wider").await, (409, "name_stays".into()));
    for id in [&first, &second] {
        app.wait_for(id, State::Scored).await;
    }
    assert_eq!(call(&bob, "small net 1").await, Err((409, "name_taken".into())), "nor may a hotkey look like it");
    call(&bob, "tall").await.unwrap();
    assert_eq!(refused(&alice, 4, "tall").await, (409, "name_taken".into()), "nor a model like another's owner");

    assert_eq!(alice.status(&second).await.name, Some("wide".into()));
    let board: Leaderboard = alice.get("/api/v1/competitions/digits/leaderboard").await.json().await.unwrap();
    let named: Vec<_> =
        board.rows.iter().filter_map(|row| Some((row.submission.clone()?, row.model_name.clone()?))).collect();
    assert!(named.contains(&(first.clone(), "small net 1".into())) && named.len() == 2, "{named:?}");
    let listed: Vec<SubmissionSummary> = alice.get("/api/v1/submissions").await.json().await.unwrap();
    assert!(listed.iter().any(|it| it.id == second && it.name.as_deref() == Some("wide")), "{listed:?}");
    let tail = first.to_string().split_off(18);
    for (target, shown) in [
        ("/competitions/digits".to_owned(), format!("small net 1 <code>…{tail}</code>")),
        (format!("/submissions/{first}"), format!("small net 1 <code class=\"digest\">{first}</code>")),
        (format!("/miners/{}", alice.hotkey()), format!("small net 1 <code>…{tail}</code>")),
        (format!("/submissions/{first}/resolve/main/README.md"), "small net 1, `mlp`".into()),
    ] {
        let page = alice.get(&target).await.text().await.unwrap();
        assert!(page.contains(&shown), "{target} lacks {shown}: {page}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_plain_is_refused_and_what_never_came_frees_its_name() {
    let app = TestApp::with_competition(Setup::default()).await;
    let (alice, bob) = (app.miner(1), app.miner(2));
    let package = Package::random(&[8], 1);
    for bad in ["", "<b>", "two  spaces", "n\u{e4}me", "a name of more than thirty-two letters"] {
        let mut body = serde_json::to_value(alice.request("digits", &package)).unwrap();
        body["name"] = bad.into();
        let refused =
            accept(alice.post("/api/v1/submissions", body.to_string().into_bytes()).await, &[StatusCode::OK]).await;
        let refused = refused.map(drop).unwrap_err();
        assert_eq!(refused.status, 422, "{bad}: {}", refused.problem.code);
        assert!(refused.problem.detail.contains("1 to 32"), "{}", refused.problem.detail);
    }
    let id = alice.announce_as("digits", &package, Some("early".parse().unwrap())).await.unwrap().id;
    assert!(bob.announce_as("digits", &package, Some("early".parse().unwrap())).await.is_err());
    alice.withdraw(&id).await.unwrap();
    let mut app = app;
    app.leave_unfinished();
    bob.announce_as("digits", &package, Some("early".parse().unwrap())).await.unwrap();
}
