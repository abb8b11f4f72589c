//! Appends leaves to the public log, in the order of what happened, each once.
//!
//! The log is written first, then the database says where a leaf is. A kill in between leaves leaves in the log that
//! the database believes to be on their way: when the log is opened, whatever it has beyond what the database knows is
//! held against the leaves of the same name ([`catch_up`]), and only what is left is appended. It knows no statement.

use super::wait;
use crate::app::App;
use crate::db::{DbError, log as leaves};
use crate::error::Chain;
use crate::failpoints::{self, Change};
use crate::log::LOG_PREFIX;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use transparency::{Entry, EntryError, EntryKind, Envelope, Log, LogError};

/// Leaves that are appended at once.
const LEAVES_MAX: u32 = 256;
/// How long a log that can't be written rests.
const REST: Duration = Duration::from_secs(5);

/// Why leaves are not in the log yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Going on would sign a second history of what was promised.
    #[error(
        "the public log has {found} entries and had {expected}: put its files back from a copy; until then nothing is \
         stated in public"
    )]
    Shrunk { found: u64, expected: u64 },
    /// Two different things were stated under one name.
    #[error("entry {index} of the public log states {key} otherwise than the database does")]
    Contradiction { index: u64, key: String },
}

/// Appends until `stop`.
pub(super) async fn run(app: App, stop: CancellationToken) {
    let mut log = None;
    while !stop.is_cancelled() {
        match step(&app, &mut log).await {
            Ok(0) => wait(&app.signals.log, &stop).await,
            Ok(count) => tracing::debug!(count, "appended to the public log"),
            Err(error) => {
                tracing::error!(error = %Chain(&error), "can't write the public log");
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(REST) => {}
                }
            }
        }
    }
}

/// Opens the log where it isn't, and appends what is due; returns how much that was.
async fn step(app: &App, open: &mut Option<Log>) -> Result<usize, AppendError> {
    let log = match open {
        Some(log) => log,
        None => {
            let log = Log::open(app.objects.store(), LOG_PREFIX, app.log.signer().clone()).await?;
            catch_up(app, &log).await?;
            app.log.show(log.view());
            open.insert(log)
        }
    };
    let appended = append(app, log).await;
    if matches!(appended, Err(AppendError::Log(LogError::AnotherWriter { .. }))) {
        *open = None;
    }
    appended
}

async fn append(app: &App, log: &mut Log) -> Result<usize, AppendError> {
    let pending = app.db.pending_leaves(LEAVES_MAX).await?;
    if pending.is_empty() {
        return Ok(0);
    }
    let entries: Vec<Entry> = pending.iter().map(leaves::Leaf::entry).collect::<Result<_, _>>()?;
    // After a failure here or below the same leaves come again, and keep the places that they have.
    let places = log.append(&entries).await?;
    let mut tx = app.db.write().await?;
    let places: Vec<_> = pending.iter().map(|leaf| leaf.id).zip(places).collect();
    leaves::record(&mut tx, &places).await?;
    failpoints::commit(tx, Change::LeafPlaces).await?;
    app.log.show(log.view());
    if pending.iter().any(|leaf| leaf.kind == EntryKind::Administration) {
        app.board.changed_by_hand();
    }
    Ok(pending.len())
}

/// Writes down what the log has and the database doesn't know to be there.
async fn catch_up(app: &App, log: &Log) -> Result<(), AppendError> {
    let (known, _) = app.db.count_leaves().await?;
    let (view, found, expected) = (log.view(), log.checkpoint().size(), app.db.log_end().await?);
    if found < expected {
        return Err(AppendError::Shrunk { found, expected });
    }
    // A database that knows of later leaves and not of all before is a wonder: then all of them are looked at.
    let start = if known == expected { expected } else { 0 };
    for index in start..found {
        let entry = view.entry(index).await?;
        let envelope = Envelope::parse(entry.as_bytes())?;
        let leaf = app.db.leaf(&envelope.key).await?;
        let mut tx = app.db.write().await?;
        match leaf {
            Some(leaf) if leaf.index_in_log == Some(index) && leaf.entry()? == entry => continue,
            Some(leaf) if leaf.index_in_log.is_none() && leaf.entry()? == entry => {
                leaves::record(&mut tx, &[(leaf.id, index)]).await?;
            }
            Some(_) => return Err(AppendError::Contradiction { index, key: envelope.key }),
            None => {
                tracing::warn!(index, key = envelope.key, "the public log states what the database forgot");
                leaves::adopt(&mut tx, &envelope, index).await?;
            }
        }
        failpoints::commit(tx, Change::LeafCatchUp).await?;
    }
    Ok(())
}
