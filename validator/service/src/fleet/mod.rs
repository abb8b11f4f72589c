//! What is said to workers on other machines: who is let in, a claim, whether it still holds, its files, and what is taken of what
//! they report. What may have been decided otherwise in the meantime is looked up where it is decided: in the database.
//!
//! It does not know HTTP, nor whose turn it is; what measures by such a worker is [`Seated`].

mod administration;
mod seated;

pub use administration::{FleetAct, FleetActError, act, distrust, invite, look_at};
pub use seated::{Hand, Seated};

use crate::app::App;
use crate::evaluator::Progress;
use crate::refusal::{Meaning, Refusal};
use crate::state::fleet::{Held, Seat};
use bytes::Bytes;
use protocol::evaluation::{Answer, EvaluationFailure, from_little_endian};
use protocol::fleet::{
    AnswerSheet, BUILD, Claimed, EnrolRequest, Enrolled, OrderFile, RenewRequest, Renewed, Standing, WorkerFacts,
    WorkerReport, Worth,
};
use protocol::{Digest, Hotkey};
use std::sync::Arc;
use std::time::Duration;
use store::db::workers::{self, ClaimEnd, Hold, Worker};
use tokio::sync::OwnedMutexGuard;

/// Bytes that a worker brings for one claim: answers of a thousand classes to 100,000 items, and some.
pub const BROUGHT_BYTES_MAX: u64 = 512 << 20;

/// The longest name of a class, and the most engines of one worker.
const CLASS_BYTES_MAX: usize = 64;
const ENGINES_MAX: usize = 8;

/// Lets a worker in that has a token which the operator made; its key is known from then on.
///
/// # Errors
/// When the token isn't good any more, or the worker is of another build.
pub async fn enrol(app: &App, key: Hotkey, request: EnrolRequest) -> Result<Enrolled, Refusal> {
    same_build(&request.facts)?;
    plain(&request.facts)?;
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    let name = workers::use_up(&mut tx, &Digest::of(request.token.trim().as_bytes()), now).await?;
    let Some((name, trust)) = name else {
        let hint = "It is good once and for a time: `retort fleet enrol NAME` makes another.";
        return Err(Refusal::new(Meaning::Forbidden, "enrolment_unknown", "no worker is let in by this token", hint));
    };
    let enrolled = workers::enrol(&mut tx, &key, (&name, trust), &request.facts, now).await;
    enrolled.map_err(|error| taken(error, &key))?;
    let reason = if trust.is_own() { "enrolled".to_owned() } else { format!("enrolled, {trust}") };
    let enrolled = (Standing::Active, reason);
    administration::state(tx, app.hotkey, (name.clone(), key), enrolled, now).await?;
    app.signals.log.notify_one();
    tracing::warn!(worker = %name, %key, "{name} works for us from here on");
    Ok(Enrolled { name, validator: app.hotkey })
}

fn taken(error: store::db::DbError, key: &Hotkey) -> Refusal {
    match error {
        store::db::DbError::Sql(error) if store::db::is_duplicate(&error) => {
            let hint = "Give each worker a key of its own: `retort keys new FILE`.";
            Refusal::conflict("worker_key_taken", format!("{key} is another worker's"), hint)
        }
        error => error.into(),
    }
}

/// Something to measure for this worker, once there is: `None` if there is nothing for some seconds.
///
/// # Errors
/// When it is no worker of ours, or is given none at the moment.
pub async fn claim(app: &App, key: Hotkey, facts: WorkerFacts) -> Result<Option<Claimed>, Refusal> {
    let worker = known(app, &key).await?;
    same_build(&facts)?;
    plain(&facts)?;
    standing(&worker)?;
    same_class(app, &facts)?;
    if let Some(other) = app.fleet.neighbour(&key, &facts.machine) {
        let hint = "One worker a machine: two would spoil each other's times. End the other one first.";
        return Err(Refusal::conflict("machine_taken", format!("{other} asks for work on this machine, too"), hint));
    }
    if worker.facts != facts {
        tracing::info!(worker = %worker.name, class = facts.class, "{} says something else of itself", worker.name);
    }
    for held in app.fleet.held_by(&key) {
        // Whoever asks has nothing: it was started again, and what it had is another's.
        give_up(app, &held).await?;
    }
    app.db.worker_seen(&key, &facts, app.clock.now()).await?;
    let (seat, is_new) = app.fleet.seat(key, (&worker.name, worker.trust), &facts);
    if is_new {
        app.fleet.joined.notify_one();
        // It may be given a turn.
        app.signals.queue.notify_one();
    }
    Ok(tokio::time::timeout(app.fleet.wait(), handed(&seat)).await.ok())
}

/// What the seat is given. A machine that was at hand and not needed is at hand again.
async fn handed(seat: &Arc<Seat>) -> Claimed {
    loop {
        if let Ok(claimed) = seat.wait().await {
            return claimed;
        }
    }
}

/// Whether a claim still holds, after a while or as soon as it doesn't; how far it is gets told on.
///
/// # Errors
/// When it is over: whatever runs for it is for nobody.
pub async fn renew(app: &App, key: Hotkey, claim: &str, at: RenewRequest) -> Result<Renewed, Refusal> {
    trusted(app, &key, claim).await?;
    still_holds(app, &key, claim).await?;
    match app.fleet.held(claim).filter(|held| held.worker == key) {
        // We were started again a moment ago, and whoever waits for it isn't there yet.
        None => tokio::time::sleep(Duration::from_secs(1)).await,
        Some(held) => {
            held.renew();
            (held.home.progress)(Progress { phase: at.phase, done: at.done, total: at.total });
            if tokio::time::timeout(app.fleet.wait(), held.over()).await.is_ok() {
                // Where we are about to end it isn't over: the next process waits for it.
                still_holds(app, &key, claim).await?;
            }
        }
    }
    Ok(Renewed { lease_seconds: app.config.limits.worker_lease_seconds })
}

/// Renews a claim.
async fn still_holds(app: &App, key: &Hotkey, claim: &str) -> Result<(), Refusal> {
    let now = app.clock.now();
    let until = now.saturating_add(app.config.limits.worker_lease_seconds);
    if app.db.renew_hold(key, claim, (now, until)).await? { Ok(()) } else { Err(over()) }
}

/// Whether outputs that were brought are worth timing.
///
/// # Errors
/// When the claim is over, or they weren't brought.
pub async fn worth(app: &App, key: Hotkey, claim: &str, outputs: &Digest) -> Result<Worth, Refusal> {
    let held = at_work(app, &key, claim).await?;
    let outputs = brought(&held, outputs)?;
    let asked = tokio::task::spawn_blocking(move || (held.home.is_worth_timing)(&from_little_endian(&outputs))).await;
    asked.map(|timed| Worth { timed }).map_err(|error| Refusal::internal(&error))
}

/// A file of a claim's order.
///
/// # Errors
/// When the claim is over, or has no such file.
pub async fn file(app: &App, secret: &str, sha256: &Digest) -> Result<OrderFile, Refusal> {
    let held = under_way(app, app.fleet.with_secret(secret), |hold| hold.secret == secret).await?;
    held.files.get(sha256).cloned().ok_or_else(|| Refusal::not_found("the order has no such file"))
}

/// A claim that a worker brings a file for. While it is there, nothing else is brought for that claim.
pub struct Room {
    /// The claim.
    pub held: Arc<Held>,
    /// How many bytes the file may have.
    pub bytes: u64,
    _turn: OwnedMutexGuard<()>,
}

/// The claim that a worker brings a file for, and how many bytes it may have at most.
///
/// # Errors
/// When the claim is over, or brought too much.
pub async fn room(app: &App, secret: &str) -> Result<Room, Refusal> {
    let held = under_way(app, app.fleet.with_secret(secret), |hold| hold.secret == secret).await?;
    let turn = Arc::clone(&held.bringing).lock_owned().await;
    match BROUGHT_BYTES_MAX.checked_sub(held.bytes()) {
        Some(bytes) if bytes > 0 => Ok(Room { held, bytes, _turn: turn }),
        _ => {
            let hint = "An answer has its outputs and its times, and nothing else.";
            Err(Refusal::new(Meaning::AgainstTheRules, "too_much_brought", "the claim has brought too much", hint))
        }
    }
}

/// Takes what came of a claim. What isn't about the order is refused, and the claim goes on.
///
/// # Errors
/// When the claim is over, or the report isn't of it.
pub async fn report(app: &App, key: Hotkey, claim: &str, report: WorkerReport) -> Result<(), Refusal> {
    let held = at_work(app, &key, claim).await?;
    let (end, came) = match report {
        WorkerReport::Answer(sheet) => (Some(ClaimEnd::Answered), Ok(answer(&held, *sheet)?)),
        WorkerReport::Rejected(rejection) => (Some(ClaimEnd::Answered), Err(EvaluationFailure::Package(rejection))),
        WorkerReport::Failed { problem } => {
            tracing::error!(worker = %held.worker, claim, "a worker failed: {problem}");
            (Some(ClaimEnd::Failed), Err(EvaluationFailure::Infrastructure(problem)))
        }
        WorkerReport::GivenBack => (None, Err(seated::given_back())),
    };
    if !held.end(came) {
        return Err(over());
    }
    match end {
        Some(end) => Ok(app.db.count_claim(&key, claim, end).await?),
        None => Ok(()),
    }
}

fn answer(held: &Held, sheet: AnswerSheet) -> Result<Answer, Refusal> {
    if sheet.measured.about != held.about {
        let hint =
            "It is about another package, other items or another seed than the order's: measure what was ordered.";
        return Err(Refusal::new(Meaning::AgainstTheRules, "other_order", "the report isn't about this order", hint));
    }
    Ok(Answer {
        measured: sheet.measured,
        outputs: from_little_endian(&brought(held, &sheet.outputs)?),
        probe_outputs: from_little_endian(&brought(held, &sheet.probe_outputs)?),
        latency_samples: brought(held, &sheet.latency_samples)?.to_vec(),
        log_ratio_nanos: sheet.log_ratio_nanos,
    })
}

fn brought(held: &Held, sha256: &Digest) -> Result<Bytes, Refusal> {
    let missing = || {
        let hint = "PUT each file to the claim's address first: it is kept until the claim is over.";
        Refusal::new(Meaning::AgainstTheRules, "not_brought", format!("no file {sha256} was brought"), hint)
    };
    held.brought(sha256).ok_or_else(missing)
}

/// Ends a claim that its worker can't or mustn't answer any more, at nobody's cost: another measures it.
async fn give_up(app: &App, held: &Held) -> Result<(), Refusal> {
    // One that was answered a moment ago has its end.
    if held.end(Err(seated::given_back())) {
        app.db.count_claim(&held.worker, &held.name, ClaimEnd::Lost).await?;
    }
    Ok(())
}

/// Whether a worker's word counts. What one has that was quarantined or shut out meanwhile is measured by another.
async fn trusted(app: &App, key: &Hotkey, claim: &str) -> Result<(), Refusal> {
    if matches!(known(app, key).await?.state, Standing::Active | Standing::Draining) {
        return Ok(());
    }
    if let Some(held) = app.fleet.held(claim).filter(|held| held.worker == *key) {
        give_up(app, &held).await?;
    }
    Err(over())
}

/// The claim, if it is this worker's, whose word counts, and under way here.
async fn at_work(app: &App, key: &Hotkey, claim: &str) -> Result<Arc<Held>, Refusal> {
    trusted(app, key, claim).await?;
    let held = under_way(app, app.fleet.held(claim), |hold| hold.claim == claim).await?;
    if held.worker == *key { Ok(held) } else { Err(over()) }
}

/// A claim, if it is under way here. Where we were started again a moment ago, whoever waits for it may not be there yet.
async fn under_way(app: &App, held: Option<Arc<Held>>, is_it: impl Fn(&Hold) -> bool) -> Result<Arc<Held>, Refusal> {
    if let Some(held) = held {
        return Ok(held);
    }
    let now = app.clock.now();
    match app.db.holds().await?.iter().any(|hold| is_it(hold) && hold.held_until >= now) {
        true => Err(Refusal::busy("the validator was started again and isn't that far").retry_after(1)),
        false => Err(over()),
    }
}

/// The worker with this key.
async fn known(app: &App, key: &Hotkey) -> Result<Worker, Refusal> {
    let unknown = || {
        let hint = "`retort fleet enrol NAME`, on the validator's machine, makes a token that lets a worker in.";
        Refusal::new(Meaning::Forbidden, "worker_unknown", format!("no worker has the key {key}"), hint)
    };
    app.db.worker(key).await?.ok_or_else(unknown)
}

fn same_build(facts: &WorkerFacts) -> Result<(), Refusal> {
    if facts.build == BUILD {
        return Ok(());
    }
    let theirs: String = facts.build.chars().take(80).collect();
    let hint = "Run the validator's version of `retort` here: orders and answers are read by the same build alone.";
    Err(Refusal::new(Meaning::OtherBuild, "other_build", format!("this is {BUILD}, and the worker {theirs:?}"), hint))
}

/// Whether what a worker says of itself can be shown to people.
fn plain(facts: &WorkerFacts) -> Result<(), Refusal> {
    let class = facts.class.bytes();
    let fits = (1..=CLASS_BYTES_MAX).contains(&class.len()) && facts.engines.len() <= ENGINES_MAX;
    if fits && class.into_iter().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let hint = "`retort worker` says by itself what it is.";
    Err(Refusal::new(Meaning::AgainstTheRules, "worker_facts", "a class has 1 to 64 plain characters", hint))
}

fn same_class(app: &App, facts: &WorkerFacts) -> Result<(), Refusal> {
    let Some(ours) = app.evaluator.class().filter(|ours| *ours != facts.class) else { return Ok(()) };
    let theirs: String = facts.class.chars().take(80).collect();
    let hint = "Latencies of two classes of hardware are never compared: take a machine of the validator's class.";
    let detail = format!("this validator measures on {ours}, and the worker is {theirs:?}");
    Err(Refusal::new(Meaning::Forbidden, "other_class", detail, hint))
}

fn standing(worker: &Worker) -> Result<(), Refusal> {
    let why = worker.reason.as_deref().unwrap_or("no reason was given");
    let (code, detail) = match worker.state {
        Standing::Active => return Ok(()),
        Standing::Draining => ("worker_draining", format!("{} is given no more work: {why}", worker.name)),
        Standing::Quarantined => ("worker_quarantined", format!("{} is quarantined: {why}", worker.name)),
        Standing::Revoked => ("worker_revoked", format!("{} was shut out: {why}", worker.name)),
    };
    let hint = "`retort fleet resume NAME` gives it work again; whoever was shut out is enrolled anew.";
    Err(Refusal::new(Meaning::Forbidden, code, detail, hint))
}

fn over() -> Refusal {
    let hint = "End whatever runs for it, and ask for the next: somebody else measures it by now, or nobody wants it.";
    Refusal::conflict("claim_over", "this claim is over", hint)
}
