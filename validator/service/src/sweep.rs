//! What nobody needs any more: objects and half-written files that no row names, left over by a crash between the store and
//! the database, and the files of submissions that were rejected some hours ago.
//!
//! Objects are stored before the row that names them, so a crash leaves at worst an object too many, never a row without
//! its object. What is old enough and still nameless is removed. What was ever scored, and so what any round or audit
//! needs, keeps its names. It does not know what an object means.

use crate::app::App;
use protocol::Digest;
use std::collections::HashSet;
use std::time::Duration;
use store::causes::Chain;
use store::clock::Clock;
use store::db::{Db, DbError, files};
use store::objects::{ObjectError, Objects};
use tokio_util::sync::CancellationToken;

/// How often it is looked.
const INTERVAL: Duration = Duration::from_secs(3_600);
/// What was given up on purpose need not be as old as what was forgotten: only older than a moment in which it may be on its
/// way to another row.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// What was removed, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Objects without a row.
    pub objects: u64,
    /// Files that were being written.
    pub staged: u64,
    /// Uploads to signed URLs that nobody completed.
    pub abandoned: u64,
    /// Objects of rejected submissions.
    pub rejected: u64,
    /// Bytes of all objects among them.
    pub bytes: u64,
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
pub async fn run(app: App, stop: CancellationToken) {
    let age_min = Duration::from_secs(app.config.limits.orphan_seconds_min);
    while !stop.is_cancelled() {
        let horizon = app.clock.now().saturating_sub(app.config.limits.rejected_seconds_max);
        let sweeping = async {
            let rejected = rejected(&app.db, &app.objects, horizon, GIVEN_UP, Really::Remove).await?;
            Ok::<_, SweepError>(orphans(&app.db, &app.objects, age_min).await?.and(rejected))
        };
        let swept = tokio::select! {
            swept = sweeping => swept,
            () = stop.cancelled() => return,
        };
        match swept {
            Ok(swept) if swept == Swept::default() => {}
            Ok(Swept { objects, staged, abandoned, rejected, bytes }) => {
                tracing::info!(objects, staged, abandoned, rejected, bytes, "removed what nobody needs");
            }
            Err(error) => tracing::error!(error = %Chain(&error), "can't look for what nobody needs"),
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Whether something is removed, or only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Really {
    /// It is removed.
    Remove,
    /// It is counted, and stays.
    Count,
}

/// Removes, or counts, all that nobody needs at this moment: what no row names and is at least this old, and the files of
/// all rejected submissions.
///
/// # Errors
/// When the database or the store fails.
pub async fn prune(db: &Db, objects: &Objects, age_min: Duration, really: Really) -> Result<Swept, SweepError> {
    prune_until(db, objects, age_min, Clock::System.now(), GIVEN_UP, really).await
}

/// The same for submissions that were rejected until `horizon`, and for their objects once they are at least `given_up_min`
/// old.
///
/// # Errors
/// When the database or the store fails.
pub async fn prune_until(
    db: &Db,
    objects: &Objects,
    age_min: Duration,
    horizon: u64,
    given_up_min: Duration,
    really: Really,
) -> Result<Swept, SweepError> {
    let rejected = rejected(db, objects, horizon, given_up_min, really).await?;
    Ok(nameless(db, objects, age_min, really).await?.and(rejected))
}

/// Removes what no row names and is at least this old. An object that waits for its row is younger: storing it again
/// makes it young again ([`Objects::put`]).
///
/// # Errors
/// When the database or the store fails; what was removed until then was nameless.
pub async fn orphans(db: &Db, objects: &Objects, age_min: Duration) -> Result<Swept, SweepError> {
    nameless(db, objects, age_min, Really::Remove).await
}

async fn nameless(db: &Db, objects: &Objects, age_min: Duration, really: Really) -> Result<Swept, SweepError> {
    let remove = really == Really::Remove;
    let waiting = db.awaiting_upload().await?;
    let (staged, abandoned) = match really {
        Really::Remove => (objects.remove_staged(age_min)?, objects.remove_abandoned(&waiting, age_min).await?),
        Really::Count => {
            (objects.staged(age_min)?.len() as u64, objects.abandoned(&waiting, age_min).await?.len() as u64)
        }
    };
    let mut swept = Swept { staged, abandoned, ..Swept::default() };
    let old = objects.older_than(age_min).await?;
    if old.is_empty() {
        return Ok(swept);
    }
    // Read after the list: what got a name meanwhile is not in it as nameless.
    let named = db.named_objects().await?;
    for (sha256, size_bytes) in old.into_iter().filter(|(sha256, _)| !named.contains(sha256)) {
        if !remove || objects.remove_if_older(&sha256, age_min).await? {
            swept.objects += 1;
            swept.bytes += size_bytes;
        }
    }
    Ok(swept)
}

/// Gives up the files of submissions that were rejected before `horizon` and never scored, and removes those that nothing
/// else names.
async fn rejected(
    db: &Db,
    objects: &Objects,
    horizon: u64,
    age_min: Duration,
    really: Really,
) -> Result<Swept, SweepError> {
    let given_up: HashSet<Digest> = files::of_rejected(db, horizon).await?;
    if given_up.is_empty() {
        return Ok(Swept::default());
    }
    if really == Really::Remove {
        files::give_up_rejected(db, horizon).await?;
    }
    let named = match really {
        Really::Remove => db.named_objects().await?,
        Really::Count => db.named_beside_rejected(horizon).await?,
    };
    let mut swept = Swept::default();
    for sha256 in given_up.into_iter().filter(|sha256| !named.contains(sha256)) {
        let Some(size_bytes) = objects.size_bytes(&sha256).await? else { continue };
        if really == Really::Count || objects.remove_if_older(&sha256, age_min).await? {
            swept.rejected += 1;
            swept.bytes += size_bytes;
        }
    }
    Ok(swept)
}

impl Swept {
    /// Both together.
    fn and(self, other: Self) -> Self {
        Self {
            objects: self.objects + other.objects,
            staged: self.staged + other.staged,
            abandoned: self.abandoned + other.abandoned,
            rejected: self.rejected + other.rejected,
            bytes: self.bytes + other.bytes,
        }
    }
}
