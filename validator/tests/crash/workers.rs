//! Workers as processes of their own, beside the process that serves: one that is away for too long changes nothing.

use super::audit;
use super::miners::Miner;
use super::service::{Arena, Process};
use crate::support::Package;
use protocol::SubmissionId;
use protocol::api::SubmissionStatus;
use protocol::submission::State;
use rustix::process::Signal;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::time::{Duration, Instant};
use validator::db::Db;

/// A task that a worker took and never began is handed out again when nothing was for a minute.
const PATIENCE: Duration = Duration::from_secs(180);

/// The children of a process.
fn children(parent: u32, arena: &Arena) -> Vec<u32> {
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name is in brackets and may hold anything.
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        after.split(' ').nth(1).and_then(|ppid| ppid.parse::<u32>().ok()) == Some(parent)
    };
    arena.processes().into_iter().filter(is_child).collect()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn status(miner: &Miner, base: &str, id: &SubmissionId) -> SubmissionStatus {
    serde_json::from_slice(&miner.get(base, &format!("/api/v1/submissions/{id}")).await.unwrap()).unwrap()
}

/// What a worker holds that was stopped a moment ago beside another that goes on; `None` if it holds nothing, or was
/// stopped within a transaction: then it holds up everybody who shares its database.
async fn held_alone(arena: &Arena, db: &Db) -> Option<SubmissionId> {
    let database = SqliteConnectOptions::new().filename(arena.home.database()).busy_timeout(Duration::from_millis(300));
    let mut writer = database.connect().await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut writer).await.ok()?;
    let evaluating =
        async || db.in_state(State::Evaluating, 8).await.unwrap().into_iter().map(|submission| submission.id);
    let mut held: Vec<SubmissionId> = evaluating().await.collect();
    while held.len() > 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let still: Vec<SubmissionId> = evaluating().await.collect();
        held.retain(|id| still.contains(id));
    }
    held.pop()
}

/// Submits until the worker has something to do; gives the submission that it holds.
async fn keep_busy(miner: &mut Miner, base: &str, worker: &Process, arena: &Arena, db: &Db) -> SubmissionId {
    let began = Instant::now();
    loop {
        if !children(worker.pid(), arena).is_empty() {
            worker.signal(Signal::STOP);
            if let Some(id) = held_alone(arena, db).await {
                return id;
            }
            worker.signal(Signal::CONT);
        }
        let seed = miner.entries.len() as u64 + 1;
        miner.begin("digits", Package::random(&[8], seed));
        // While the worker was stopped nothing could be written; what was refused then is sent again.
        while let Err(failed) = miner.go_on(base).await {
            assert!(began.elapsed() < PATIENCE, "{failed:?}");
        }
        assert!(began.elapsed() < PATIENCE, "the worker never had work");
    }
}

/// A directory with a lease of thirteen seconds: the evaluation's limit and the grace. Each evaluation takes a third of one;
/// a machine may stand still for several between, and nobody's work is lost thereby.
fn arena() -> Arena {
    let arena = Arena::new("evaluation_grace_seconds = 1\n").with_evaluations_of(300);
    arena.add("digits", |toml| {
        let toml = toml.replace("submissions_per_day = 4", "submissions_per_day = 1000000");
        let toml = toml.replace("evaluation_seconds_max = 60", "evaluation_seconds_max = 12");
        toml.replace("[limits]", "rounds.seconds = 0\n\n[limits]")
    });
    arena
}

#[tokio::test]
async fn a_worker_that_is_stopped_past_its_lease_and_resumed_gives_no_second_result() {
    let arena = arena();
    let mut miner = Miner::new(1, &arena);
    let (server, base) = arena.serve().await;
    let published = async || miner.get(&base, "/api/v1/competitions/digits").await.is_ok();
    until("the competition is published", published).await;
    let worker = arena.spawn(&["work"], "");
    let db = Db::open(&arena.home.database()).await.unwrap();
    let held = keep_busy(&mut miner, &base, &worker, &arena, &db).await;

    // The lease ends, somebody else does the work.
    until("another worker scores it", async || status(&miner, &base, &held).await.state == State::Scored).await;
    let first = status(&miner, &base, &held).await;
    let receipt = miner.get(&base, &format!("/api/v1/submissions/{held}/receipt")).await.unwrap();
    let attempt = db.submission(&held).await.unwrap().unwrap().attempt;
    assert!(attempt > 0, "it was taken away");

    worker.signal(Signal::CONT);
    // Whichever it sees first: that its work is done, or that it is somebody else's.
    let given_up = ["a result came after its time", "the submission was taken away from it"];
    let heard = async || given_up.iter().any(|words| worker.stderr().contains(words));
    until("the stopped worker comes back and gives its work up", heard).await;
    let later = status(&miner, &base, &held).await;
    assert_eq!((later.state, &later.report), (State::Scored, &first.report));
    assert_eq!(miner.get(&base, &format!("/api/v1/submissions/{held}/receipt")).await.unwrap(), receipt);
    let events = db.events(&held).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.to == State::Scored).count(), 1);
    db.close().await;

    arena.until_done(&miner, &base).await;
    assert!(worker.stop().await.success());
    assert!(server.stop().await.success());
    arena.sweep().await;
    audit::at_rest(&arena, std::slice::from_ref(&miner)).await;
}

#[tokio::test]
async fn a_worker_that_is_killed_takes_its_child_along_and_its_work_is_done_by_another() {
    let arena = arena();
    let mut miner = Miner::new(1, &arena);
    let (server, base) = arena.serve().await;
    until("it is published", async || miner.get(&base, "/api/v1/competitions/digits").await.is_ok()).await;
    let mut worker = arena.spawn(&["work"], "");
    let db = Db::open(&arena.home.database()).await.unwrap();
    let held = keep_busy(&mut miner, &base, &worker, &arena, &db).await;
    db.close().await;
    let orphans = children(worker.pid(), &arena);
    worker.kill().await;
    until("its child is gone", async || arena.processes().iter().all(|pid| !orphans.contains(pid))).await;
    until("another worker scores it", async || status(&miner, &base, &held).await.state == State::Scored).await;
    arena.until_done(&miner, &base).await;
    assert!(server.stop().await.success());
}
