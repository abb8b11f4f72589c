//! Blocking: whose requests an operator refuses, a hotkey's or a network's. Each act is stated in the public log with its
//! reason, in the transaction that does it, so that nobody is shut out in silence.
//!
//! What the door knows follows the database, which a command beside the service may change. Blocking touches no
//! submission: what a hotkey has entered goes its way unless it is disqualified. It does not know HTTP.

use crate::administration::{ActError, ActReason, state_and_commit};
use crate::app::App;
pub use crate::guard::blocks::{Whom, WhomError};
use protocol::Hotkey;
use protocol::leaf::Act;
use std::time::Duration;
use store::causes::Chain;
use store::db::blocks::{self, BlockRow};
use store::db::leaves::count_under;
use store::db::{Db, DbError};
use tokio_util::sync::CancellationToken;

/// How soon the door knows what was done beside the service.
const INTERVAL: Duration = Duration::from_secs(1);
/// More than that is a firewall's work.
const BLOCKS_MAX: u64 = 10_000;

/// Blocks a hotkey or a network.
///
/// # Errors
/// When they are blocked already, or too many are.
pub async fn block(db: &Db, validator: Hotkey, whom: Whom, reason: ActReason, now: u64) -> Result<(), ActError> {
    let reason = reason.into_text();
    let mut tx = db.write().await?;
    if blocks::count(&mut tx).await? >= BLOCKS_MAX {
        return Err(ActError::Blocked { whom, why: "is one too many: use a firewall, or a shorter prefix" });
    }
    if !blocks::add(&mut tx, &BlockRow { who: whom.to_string(), reason: reason.clone(), since: now }).await? {
        return Err(ActError::Blocked { whom, why: "is blocked already" });
    }
    let number = count_under(&mut tx, "administration/blocked").await? + 1;
    state_and_commit(tx, validator, Act::Blocked { number, who: whom.to_string(), reason }, now).await?;
    tracing::warn!(%whom, "the operator blocked {whom}");
    Ok(())
}

/// Lets a hotkey or a network come again.
///
/// # Errors
/// When they aren't blocked.
pub async fn allow(db: &Db, validator: Hotkey, whom: Whom, reason: ActReason, now: u64) -> Result<(), ActError> {
    let mut tx = db.write().await?;
    if !blocks::remove(&mut tx, &whom.to_string()).await? {
        return Err(ActError::Blocked { whom, why: "isn't blocked; retort validator blocks lists who is" });
    }
    let number = count_under(&mut tx, "administration/allowed").await? + 1;
    let act = Act::Allowed { number, who: whom.to_string(), reason: reason.into_text() };
    state_and_commit(tx, validator, act, now).await?;
    tracing::warn!(%whom, "the operator allows {whom} again");
    Ok(())
}

/// Tells the door whom the database has.
pub async fn refresh(app: &App) -> Result<(), DbError> {
    let rows = app.db.blocks().await?;
    if app.guard.blocks.replace(rows.iter().filter_map(|row| row.who.parse().ok())) {
        tracing::info!(blocked = rows.len(), "the door knows who is blocked");
    }
    Ok(())
}

/// Keeps the door up to date until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = refresh(&app).await {
            tracing::error!(error = %Chain(&error), "can't see who is blocked");
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.cancelled() => {}
        }
    }
}
