//! The public log as the service holds it: its key, and the latest view of it for readers.
//!
//! What is stated comes through `db::leaves`, what appends is `jobs::append`; this room knows neither. It does not know HTTP.

use crate::db::{Db, DbError, leaves};
use crate::failpoints::{self, Change};
use crate::objects::Objects;
use protocol::Hotkey;
use protocol::leaf::{Act, Administration};
use tokio::sync::{Notify, watch};
use transparency::{EntryKind, LogError, LogKey, LogSigner, LogView};

/// Where the log's files lie in the object store.
pub const LOG_PREFIX: &str = "log";
/// The file there that says how far it is.
pub const CHECKPOINT: &str = "checkpoint";

/// The log's key and its latest view.
#[derive(Debug)]
pub struct PublicLog {
    signer: LogSigner,
    view: watch::Sender<Option<LogView>>,
    /// Why nothing can be stated at the moment, in words for everybody.
    trouble: watch::Sender<Option<&'static str>>,
    /// Told when a reader finds a file missing or damaged.
    pub damage: Notify,
}

impl PublicLog {
    /// The log of this key, of which nothing has been seen yet.
    pub fn new(signer: LogSigner) -> Self {
        Self { signer, view: watch::Sender::new(None), trouble: watch::Sender::new(None), damage: Notify::new() }
    }

    /// The public key.
    pub fn key(&self) -> LogKey {
        self.signer.key()
    }

    pub fn signer(&self) -> &LogSigner {
        &self.signer
    }

    /// Shows readers the log as it is now.
    pub fn show(&self, view: LogView) {
        self.view.send_replace(Some(view));
    }

    /// Why nothing can be stated in the log at the moment, if so, in words for everybody.
    pub fn trouble(&self) -> Option<&'static str> {
        *self.trouble.borrow()
    }

    /// Says whether something can be stated; whether that is a change.
    pub fn set_trouble(&self, trouble: Option<&'static str>) -> bool {
        self.trouble.send_replace(trouble) != trouble
    }

    /// Follows what readers are shown.
    pub fn watch(&self) -> watch::Receiver<Option<LogView>> {
        self.view.subscribe()
    }

    /// The log as it was last seen; as it is stored, while nobody writes it.
    ///
    /// # Errors
    /// When nobody writes it and its checkpoint can't be read.
    pub async fn view(&self, objects: &Objects) -> Result<LogView, LogError> {
        let seen = self.view.borrow().clone();
        match seen {
            Some(view) => Ok(view),
            None => LogView::open(objects.store(), LOG_PREFIX, &self.key()).await,
        }
    }
}

/// States that this hotkey's log begins, unless that was done before.
pub async fn begin(db: &Db, key: &LogKey, validator: Hotkey, at: u64) -> Result<(), DbError> {
    let act = Act::LogBegun { log_key: key.to_string() };
    let name = act.key();
    if db.leaf(&name).await?.is_some() {
        return Ok(());
    }
    let mut tx = db.write().await?;
    leaves::enqueue(&mut tx, &name, EntryKind::Administration, &Administration { validator, act, at }).await?;
    failpoints::commit(tx, Change::LogBegun).await
}
