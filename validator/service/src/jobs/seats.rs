//! Has each worker elsewhere that asks for work take turns, for as long as it is heard of, and goes on with what such workers had
//! claimed from an earlier process. It does not know how they are spoken with.

use super::evaluate::{self, Post};
use super::{IDLE, engine};
use crate::app::App;
use crate::evaluator::AtHome;
use crate::fleet::{Hand, Seated};
use crate::state::fleet::Seat;
use std::sync::Arc;
use store::causes::Chain;
use store::db::workers::{ClaimEnd, Hold};
use store::db::{DbError, attempts};
use store::failpoints::{self, Change};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How much later than its time a claim is taken back that somebody here may be about to end.
const GRACE_SECONDS: u64 = 2;

/// Until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut working = JoinSet::new();
    if let Err(error) = go_on(&app, &mut working, &stop).await {
        tracing::error!(error = %Chain(&error), "can't see what workers had claimed");
    }
    let mut looks = tokio::time::interval(app.fleet.lease / 3);
    let mut seated: Vec<Arc<Seat>> = Vec::new();
    while !stop.is_cancelled() {
        seated.retain(|seat| app.fleet.has(seat));
        for seat in app.fleet.seats() {
            if !seated.iter().any(|known| Arc::ptr_eq(known, &seat)) {
                working.spawn(take_turns(app.clone(), Arc::clone(&seat), stop.clone()));
                seated.push(seat);
            }
        }
        tokio::select! {
            () = app.fleet.joined.notified() => {}
            Some(_) = working.join_next() => {}
            _ = looks.tick() => {
                if let Err(error) = reclaim(&app).await {
                    tracing::error!(error = %Chain(&error), "can't take back what wasn't renewed");
                }
            }
            () = stop.cancelled() => {}
        }
    }
    while working.join_next().await.is_some() {}
}

/// Has a worker take turns until it is silent.
async fn take_turns(app: App, seat: Arc<Seat>, stop: CancellationToken) {
    tracing::info!(worker = %seat.name, class = seat.facts.class, "{} asks for work", seat.name);
    let worker = AtHome(Seated { app: app.clone(), seat: Arc::clone(&seat) });
    let leaves = stop.child_token();
    let silent = async {
        while !seat.is_silent(app.fleet.lease) || !app.fleet.held_by(&seat.key).is_empty() {
            tokio::time::sleep(IDLE).await;
            if !app.fleet.has(&seat) {
                return;
            }
        }
    };
    let mut turns = std::pin::pin!(engine::worker(&app, Some(worker), &leaves));
    tokio::select! {
        () = &mut turns => {}
        () = silent => {
            tracing::info!(worker = %seat.name, "{} isn't there any more", seat.name);
            leaves.cancel();
            turns.await;
        }
    }
    app.fleet.leave(&seat);
}

/// Gives back what wasn't renewed in time and nobody here waits for.
async fn reclaim(app: &App) -> Result<(), DbError> {
    let now = app.clock.now();
    for hold in app.db.holds().await? {
        if hold.held_until.saturating_add(GRACE_SECONDS) >= now || app.fleet.held(&hold.claim).is_some() {
            continue;
        }
        app.db.count_claim(&hold.worker, &hold.claim, ClaimEnd::Lost).await?;
        let mut tx = app.db.write().await?;
        attempts::take_back(&mut tx, &hold.submission, hold.attempt, false, now).await?;
        failpoints::commit(tx, Change::Recovery).await?;
        tracing::warn!(submission.id = %hold.submission, "{} wasn't renewed; it returns to the queue", hold.submission);
        app.signals.queue.notify_one();
    }
    Ok(())
}

/// Waits for the answers to what workers had claimed from an earlier process.
async fn go_on(app: &App, working: &mut JoinSet<()>, stop: &CancellationToken) -> Result<(), DbError> {
    for hold in app.db.holds().await? {
        let Some(worker) = app.db.worker(&hold.worker).await? else { continue };
        if app.fleet.held(&hold.claim).is_none() && hold.held_until >= app.clock.now() {
            let seat = Arc::new(Seat::new(worker.key, (worker.name, worker.trust), worker.facts));
            working.spawn(await_answer(app.clone(), seat, hold, stop.clone()));
        }
    }
    Ok(())
}

async fn await_answer(app: App, seat: Arc<Seat>, hold: Hold, stop: CancellationToken) {
    tracing::info!(submission.id = %hold.submission, worker = %seat.name, "{} is still at {}", seat.name, hold.submission);
    let worker = AtHome(Seated { app: app.clone(), seat: Arc::clone(&seat) });
    let post = Post { evaluator: &worker, machine: Hand::again(seat, &hold).into_machine() };
    if let Err(error) = evaluate::go_on(&app, post, &hold, &stop).await {
        tracing::error!(error = %Chain(&error), "a measurement's end wasn't recorded");
    }
}
