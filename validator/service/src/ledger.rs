//! Watching over the ledger's file: it never gets shorter, whoever moves files about.
//!
//! A ledger that is gone would be begun anew at the next start, and nobody would notice that weights and marks are
//! missing. So the database remembers how far it was, and while the service runs the file is looked at again and again. It
//! does not know what entries say.

use crate::app::App;
use chain::{Ledger, LedgerError, Registration};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::causes::Chain;
use store::db::ledger::LedgerSeen;
use store::db::{Db, DbError};

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

/// Refuses to begin a ledger where there was one, or to mend one that lacks what it had: nothing is touched then.
pub async fn check_there(db: &Db, path: &Path) -> Result<(), LostLedger> {
    let Some(seen) = db.ledger_seen().await? else { return Ok(()) };
    let (path, expected) = (path.to_owned(), seen.height.saturating_add(1));
    match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(LostLedger::Missing { path, expected }),
        // Who opens it says why it can't be.
        Err(_) => Ok(()),
        Ok(bytes) => {
            // What was seen was on the disk with its line break.
            let found = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            if found < expected { Err(LostLedger::Other { path, found, expected }) } else { Ok(()) }
        }
    }
}

/// Refuses a ledger that lacks what was seen of it.
pub async fn check_same(db: &Db, path: &Path, ledger: &dyn Ledger) -> Result<(), LostLedger> {
    let Some(seen) = db.ledger_seen().await? else { return Ok(()) };
    let height = ledger.height()?;
    if height >= seen.height && ledger.block_hash(seen.height)? == seen.hash {
        return Ok(());
    }
    let (found, expected) = (height.saturating_add(1), seen.height.saturating_add(1));
    Err(LostLedger::Other { path: path.to_owned(), found, expected })
}

/// Looks again and again, and returns once the ledger is lost.
pub async fn lost(app: &App) -> LostLedger {
    let mut known = None;
    loop {
        match look(app, &mut known).await {
            Err(LostLedger::Ledger(
                error @ (LedgerError::Vanished { .. } | LedgerError::Shrunk { .. } | LedgerError::Changed { .. }),
            )) => return error.into(),
            Err(error) => tracing::warn!(error = %Chain(&error), "can't look after the ledger"),
            Ok(()) => {
                if let Err(error) = register_due(app).await {
                    tracing::warn!(error = %Chain(&error), "can't register whom the operator wants registered");
                }
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Registers whom the operator's command named: it has no hold of the ledger.
async fn register_due(app: &App) -> Result<(), LostLedger> {
    for (hotkey, owner) in app.db.registrations_due().await? {
        let ledger = Arc::clone(&app.ledger);
        let registration =
            Registration { owner: Some(owner).filter(|owner| *owner != hotkey), ..Registration::own(hotkey, 0) };
        let Ok(registered) = tokio::task::spawn_blocking(move || ledger.register(registration)).await else { continue };
        registered?;
        app.db.registered(&hotkey, &owner).await?;
        tracing::info!(%hotkey, %owner, "registered {hotkey}, as the operator asked");
    }
    Ok(())
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
