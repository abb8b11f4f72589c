//! What hotkeys call themselves: signed, theirs for good, and beside the key.

use crate::support::{Miner, Package, Setup, TestApp, accept};
use protocol::api::{Leaderboard, MinerView};
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
