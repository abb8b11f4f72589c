//! Orphans: objects and half-written files that no row names, left over by a crash between the store and the database.
//!
//! Objects are stored before the row that names them, so a crash leaves at worst an object too many, never a row without
//! its object. What is old enough and still nameless is removed. It does not know what an object means.

use crate::app::App;
use crate::db::{Db, DbError};
use crate::error::Chain;
use crate::objects::{ObjectError, Objects};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often orphans are looked for.
const INTERVAL: Duration = Duration::from_secs(3_600);

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Objects without a row.
    pub objects: u64,
    /// Files that were being written.
    pub staged: u64,
    /// Uploads to signed URLs that nobody completed.
    pub abandoned: u64,
}

/// Why orphans stay.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The object store failed.
    #[error(transparent)]
    Objects(#[from] ObjectError),
}

/// Looks once an hour, until `stop`.
pub(crate) async fn run(app: App, stop: CancellationToken) {
    let age_min = Duration::from_secs(app.config.limits.orphan_seconds_min);
    while !stop.is_cancelled() {
        let swept = tokio::select! {
            swept = orphans(&app.db, &app.objects, age_min) => swept,
            () = stop.cancelled() => return,
        };
        match swept {
            Ok(swept) if swept == Swept::default() => {}
            Ok(Swept { objects, staged, abandoned }) => {
                tracing::info!(objects, staged, abandoned, "removed what no row names");
            }
            Err(error) => tracing::error!(error = %Chain(&error), "can't look for orphans"),
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Removes what no row names and is at least this old. An object that waits for its row is younger: storing it again
/// makes it young again ([`Objects::put`]).
///
/// # Errors
/// When the database or the store fails; what was removed until then was nameless.
pub async fn orphans(db: &Db, objects: &Objects, age_min: Duration) -> Result<Swept, SweepError> {
    let staged = objects.remove_staged(age_min)?;
    let waiting = db.awaiting_upload().await?;
    let abandoned = objects.remove_abandoned(&waiting, age_min).await?;
    let old = objects.older_than(age_min).await?;
    if old.is_empty() {
        return Ok(Swept { objects: 0, staged, abandoned });
    }
    // Read after the list: what got a name meanwhile is not in it as nameless.
    let named = db.named_objects().await?;
    let mut removed = 0;
    for sha256 in old.into_iter().filter(|sha256| !named.contains(sha256)) {
        removed += u64::from(objects.remove_if_older(&sha256, age_min).await?);
    }
    Ok(Swept { objects: removed, staged, abandoned })
}
