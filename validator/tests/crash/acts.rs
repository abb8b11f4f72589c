//! Killed in the middle of an act of the operator, and of drawing what a board lost: all of it happened, or none.
//!
//! These points are on no submission's way; [`super::campaign`] kills at all others.

use super::miners::Miner;
use super::service::Arena;
use crate::support::Package;
use protocol::SubmissionId;
use protocol::api::Leaderboard;
use protocol::submission::State;
use std::time::Duration;
use validator::db::Db;
use validator::failpoints::{Change, Point};

const KILLED_WITHIN: Duration = Duration::from_secs(60);
const BOARD: &str = "/api/v1/competitions/digits/leaderboard";

/// Where these tests kill.
pub(super) const POINTS: [Point; 4] = [
    Point::Written(Change::Act),
    Point::Committed(Change::Act),
    Point::Written(Change::Replicates),
    Point::Committed(Change::Replicates),
];

/// A directory with one scored submission, and whose it is.
async fn scored() -> (Arena, Miner, SubmissionId) {
    scored_in(Arena::new("")).await
}

/// The same in this one.
pub(super) async fn scored_in(arena: Arena) -> (Arena, Miner, SubmissionId) {
    arena.add("digits", |toml| toml);
    let mut miner = Miner::new(1, &arena);
    let (process, base) = arena.serve().await;
    miner.begin("digits", Package::mlp(&[8], 7));
    while miner.go_on(&base).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    arena.until_done(&miner, &base).await;
    assert!(process.stop().await.success());
    let id = miner.entries[0].id.clone().unwrap();
    (arena, miner, id)
}

/// The state of a submission, and what is stated of it by the operator.
async fn found(arena: &Arena, id: &SubmissionId) -> (State, usize) {
    let db = Db::open(&arena.home.database()).await.unwrap();
    let state = db.submission(id).await.unwrap().unwrap().state;
    let acts = "SELECT count(*) FROM log_outbox WHERE key LIKE '%disqualified%'";
    let acts: i64 = sqlx::query_scalar(acts).fetch_one(db.pool()).await.unwrap();
    db.close().await;
    (state, acts as usize)
}

#[tokio::test]
async fn an_act_that_is_cut_off_is_done_and_stated_or_neither() {
    let (arena, _, id) = scored().await;
    let before = found(&arena, &id).await;
    assert_eq!(before.0, State::Scored);
    for (point, expected) in
        [(Point::Written(Change::Act), before), (Point::Committed(Change::Act), (State::Rejected, before.1 + 1))]
    {
        let failpoints = format!("{point}=return(kill)");
        let mut process = arena.spawn(&["disqualify", &id.to_string()], &failpoints);
        let ended = process.ended(KILLED_WITHIN).await;
        assert!(ended.is_some_and(|status| !status.success()), "{point}: {}", process.stderr());
        assert_eq!(found(&arena, &id).await, expected, "{point}");
    }
}

#[tokio::test]
async fn a_board_whose_replicates_are_lost_draws_them_again_though_it_is_killed_meanwhile() {
    let (arena, miner, id) = scored().await;
    let forget = async || {
        let db = Db::open(&arena.home.database()).await.unwrap();
        sqlx::query("DELETE FROM replicates").execute(db.pool()).await.unwrap();
        db.close().await;
    };
    for point in [Point::Written(Change::Replicates), Point::Committed(Change::Replicates)] {
        forget().await;
        let (mut process, base) = arena.serve_within(KILLED_WITHIN, &format!("{point}=return(kill)")).await;
        if let Some(base) = base {
            let _ = miner.get(&base, BOARD).await;
        }
        let ended = process.ended(KILLED_WITHIN).await;
        assert!(ended.is_some_and(|status| !status.success()), "{point}: {}", process.stderr());
    }
    forget().await;
    let (process, base) = arena.serve().await;
    let Ok(board) = miner.get(&base, BOARD).await else { panic!("no board: {}", process.stderr()) };
    let board: Leaderboard = serde_json::from_slice(&board).unwrap();
    let row = board.rows.iter().find(|row| row.submission.as_ref() == Some(&id)).unwrap();
    assert_eq!(row.rank, Some(1));
    assert!(process.stop().await.success());
}
