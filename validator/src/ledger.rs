//! Watching over the ledger's file: it never gets shorter, whoever moves files about.
//!
//! A ledger that is gone would be begun anew at the next start, and nobody would notice that weights and marks are
//! missing. So the database remembers how far it was, and while the service runs the file is looked at again and again. It
//! does not know what entries say.

use crate::app::App;
use crate::db::ledger::LedgerSeen;
use crate::db::{Db, DbError};
use crate::error::Chain;
use chain::{Ledger, LedgerError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// A ledger that is not the one that was here.
#[derive(Debug, thiserror::Error)]
pub enum LostLedger {
    /// There is no file.
    #[error(
        "ledger {} is missing and had {expected} entries: put it back from a backup (`retort validator restore` does). Where it \
         is lost for good, what it said of weights and beacons is lost, and this validator must begin in a new directory",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// How many it had.
        expected: u64,
    },
    /// It is shorter, or another.
    #[error(
        "ledger {} has {found} entries, and the one that was here had {expected} that aren't all among them: put it back from \
         a backup that has them",
        path.display()
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// How many it has.
        found: u64,
        /// How many there were.
        expected: u64,
    },
    /// It was lost while it was in use, or can't be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The database doesn't say how far it was.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Refuses to begin a ledger where there was one.
pub(crate) async fn check_there(db: &Db, path: &Path) -> Result<(), LostLedger> {
    match db.ledger_seen().await? {
        Some(seen) if !path.exists() => {
            Err(LostLedger::Missing { path: path.to_owned(), expected: seen.height.saturating_add(1) })
        }
        _ => Ok(()),
    }
}

/// Refuses a ledger that lacks what was seen of it.
pub(crate) async fn check_same(db: &Db, path: &Path, ledger: &dyn Ledger) -> Result<(), LostLedger> {
    let Some(seen) = db.ledger_seen().await? else { return Ok(()) };
    let height = ledger.height()?;
    if height >= seen.height && ledger.block_hash(seen.height)? == seen.hash {
        return Ok(());
    }
    let (found, expected) = (height.saturating_add(1), seen.height.saturating_add(1));
    Err(LostLedger::Other { path: path.to_owned(), found, expected })
}

/// Looks again and again, and returns once the ledger is lost.
pub(crate) async fn lost(app: &App) -> LostLedger {
    let mut known = None;
    loop {
        match look(app, &mut known).await {
            Err(LostLedger::Ledger(error @ (LedgerError::Vanished { .. } | LedgerError::Shrunk { .. }))) => {
                return error.into();
            }
            Err(error) => tracing::warn!(error = %Chain(&error), "can't look after the ledger"),
            Ok(()) => {}
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Looks at the file, and remembers how far it is.
async fn look(app: &App, known: &mut Option<LedgerSeen>) -> Result<(), LostLedger> {
    let ledger = Arc::clone(&app.ledger);
    let looking = tokio::task::spawn_blocking(move || {
        ledger.check()?;
        let height = ledger.height()?;
        Ok::<_, LedgerError>(LedgerSeen { height, hash: ledger.block_hash(height)? })
    });
    let Ok(seen) = looking.await else { return Ok(()) };
    let seen = seen?;
    if *known != Some(seen) {
        app.db.see_ledger(seen).await?;
        *known = Some(seen);
    }
    Ok(())
}
