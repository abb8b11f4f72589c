//! What an operator does to workers on other machines: lets one in, lets it end and gives it no more, or shuts it out. Each act is
//! stated in the public log with its reason, in the transaction that does it: it changes who measures.
//!
//! It writes to the database, beside a serving validator or without one. It does not know HTTP.

use crate::administration::{ActReason, state_and_commit};
use crate::app::App;
use crate::state::fleet::Seat;
use protocol::fleet::{Standing, Trust, WorkerName};
use protocol::leaf::Act;
use protocol::{Digest, Hotkey};
use store::db::leaves::count_under;
use store::db::workers;
use store::db::{Db, DbError, Tx};
use store::failpoints::{self, Change};

/// Measurements of a worker that are looked at, and how many of them are spoiled at least before it is quarantined: one in a restless
/// minute is nobody's fault.
const LOOKED_AT: u32 = 20;
const SPOILED_MIN: u64 = 3;
/// For how long a token lets a worker in.
const ENROLMENT_SECONDS: u64 = 24 * 3_600;

/// What an operator does to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FleetAct {
    /// It ends what it has and is given no more.
    Drain,
    /// The same, because its measurements are in doubt.
    Quarantine,
    /// It is given work again.
    Resume,
    /// Its key opens nothing any more, and what it has is somebody else's.
    Revoke,
}

impl FleetAct {
    fn leads_to(self) -> Standing {
        match self {
            Self::Drain => Standing::Draining,
            Self::Quarantine => Standing::Quarantined,
            Self::Resume => Standing::Active,
            Self::Revoke => Standing::Revoked,
        }
    }
}

/// Why an act was not done. Nothing changed then.
#[derive(Debug, thiserror::Error)]
pub enum FleetActError {
    /// There is no such worker.
    #[error(
        "no worker is called {0}, or it was shut out: `retort fleet ls` lists who there is, and `retort fleet enrol {0}` lets one in"
    )]
    Unknown(WorkerName),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// A token that lets one worker of this name in, on a machine of whom `trust` says, within a day. One that waited for that name before is good no more.
///
/// # Errors
/// When the database fails.
pub async fn invite(db: &Db, (name, trust): (&WorkerName, Trust), now: u64) -> Result<String, DbError> {
    let token = hex::encode(rand::random::<[u8; 24]>());
    let mut tx = db.write().await?;
    let expires_at = now.saturating_add(ENROLMENT_SECONDS);
    workers::invite(&mut tx, &Digest::of(token.as_bytes()), (name, trust), expires_at).await?;
    failpoints::commit(tx, Change::Act).await?;
    Ok(token)
}

/// Lets a worker stand otherwise.
///
/// # Errors
/// When there is none of this name.
pub async fn act(
    db: &Db,
    validator: Hotkey,
    (name, act): (&WorkerName, FleetAct),
    reason: ActReason,
    now: u64,
) -> Result<(), FleetActError> {
    let reason = reason.into_text();
    let mut tx = db.write().await?;
    let key = workers::set_standing(&mut tx, name, (act.leads_to(), &reason), now).await?;
    let key = key.ok_or_else(|| FleetActError::Unknown(name.clone()))?;
    state(tx, validator, (name.clone(), key), (act.leads_to(), reason), now).await?;
    tracing::warn!(worker = %name, "the operator: {name} is {}", act.leads_to());
    Ok(())
}

/// Quarantines a worker whose machine was too restless in more than a fifth of its last measurements: what it spoils costs submissions
/// their time.
///
/// # Errors
/// When the database fails.
pub async fn look_at(app: &App, seat: &Seat) -> Result<(), DbError> {
    let Some(worker) = app.db.worker(&seat.key).await?.filter(|worker| worker.state == Standing::Active) else {
        return Ok(());
    };
    // What was before it was looked at and given work again is forgiven.
    let (spoiled, of) = app.db.spoiled_by(&seat.key, worker.stands_since, LOOKED_AT).await?;
    if spoiled < SPOILED_MIN || spoiled * 5 <= of {
        return Ok(());
    }
    quarantine(app, &worker.name, format!("its machine was too restless in {spoiled} of its last {of} measurements"))
        .await
}

/// Quarantines the worker with this key, whose word was found to be wrong.
///
/// # Errors
/// When the database fails.
pub async fn distrust(app: &App, key: &Hotkey, reason: String) -> Result<(), DbError> {
    match app.db.worker(key).await?.filter(|worker| matches!(worker.state, Standing::Active | Standing::Draining)) {
        Some(worker) => quarantine(app, &worker.name, reason).await,
        None => Ok(()),
    }
}

async fn quarantine(app: &App, name: &WorkerName, reason: String) -> Result<(), DbError> {
    match act(&app.db, app.hotkey, (name, FleetAct::Quarantine), ActReason(reason), app.clock.now()).await {
        Err(FleetActError::Db(error)) => Err(error),
        // Somebody shut it out meanwhile.
        Err(FleetActError::Unknown(_)) | Ok(()) => Ok(()),
    }
}

/// States how a worker stands, in the transaction that makes it so, which is then done.
pub(super) async fn state(
    mut tx: Tx,
    validator: Hotkey,
    (worker, key): (WorkerName, Hotkey),
    (stands, reason): (Standing, String),
    now: u64,
) -> Result<(), DbError> {
    let number = count_under(&mut tx, "administration/worker").await? + 1;
    state_and_commit(tx, validator, Act::WorkerStands { number, worker, key, stands, reason }, now).await
}
