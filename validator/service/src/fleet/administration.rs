//! What an operator does to workers on other machines: lets one in, lets it end and gives it no more, or shuts it out. Each act is
//! stated in the public log with its reason, in the transaction that does it: it changes who measures.
//!
//! It writes to the database, beside a serving validator or without one. It does not know HTTP.

use crate::administration::{ActReason, state_and_commit};
use protocol::fleet::{Standing, WorkerName};
use protocol::leaf::Act;
use protocol::{Digest, Hotkey};
use store::db::leaves::count_under;
use store::db::workers;
use store::db::{Db, DbError, Tx};
use store::failpoints::{self, Change};

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

/// A token that lets one worker of this name in, within a day. One that waited for that name before is good no more.
///
/// # Errors
/// When the database fails.
pub async fn invite(db: &Db, name: &WorkerName, now: u64) -> Result<String, DbError> {
    let token = hex::encode(rand::random::<[u8; 24]>());
    let mut tx = db.write().await?;
    workers::invite(&mut tx, &Digest::of(token.as_bytes()), name, now.saturating_add(ENROLMENT_SECONDS)).await?;
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
    let key = workers::set_standing(&mut tx, name, act.leads_to(), &reason).await?;
    let key = key.ok_or_else(|| FleetActError::Unknown(name.clone()))?;
    state(tx, validator, (name.clone(), key), (act.leads_to(), reason), now).await?;
    tracing::warn!(worker = %name, "the operator: {name} is {}", act.leads_to());
    Ok(())
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
