//! Backups: a validator's directory as it was at one moment, in a folder of its own, and back.
//!
//! A backup is taken beside a serving process. It holds a snapshot of the database, the public log, the ledger, the
//! settings, every object that the database names (or a list of them, where the object store is kept in another way),
//! and the keys if asked for; `backup.json` names each file with its digest. All of it fits together: what was stated,
//! paid and stored by the moment of the snapshot is there, and nothing that came after it.
//!
//! Only the owner may read it: even without keys it holds the secrets of splits and open rounds.

mod files;
mod restore;
mod take;

pub use restore::restore;
pub use take::backup;

use crate::config::ConfigError;
use crate::db::DbError;
use crate::objects::ObjectError;
use protocol::competition::ObjectRef;
use protocol::{Digest, Hotkey};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use transparency::LogError;

/// What `backup.json` says first.
pub const BACKUP_FORMAT: &str = "retort-backup/1";
/// The file that names all others.
pub const BACKUP_FILE: &str = "backup.json";
/// The database in a backup.
const DATABASE: &str = "data.sqlite";

/// What goes into a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The hotkey and the log's key too.
    pub keys: bool,
    /// Objects are named only, not copied: for stores that are backed up by other means.
    pub objects_listed: bool,
}

/// What a backup holds: its `backup.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// [`BACKUP_FORMAT`].
    pub format: String,
    /// When the snapshot was taken, in Unix seconds.
    pub taken_at: u64,
    /// Whose it is.
    pub hotkey: Hotkey,
    /// The public log's key.
    pub log_key: String,
    /// Entries of the public log.
    pub log_size: u64,
    /// Whether objects are copied; otherwise they are only listed.
    pub objects_copied: bool,
    /// Every file but objects and this one, by its path in the backup.
    pub files: Vec<BackupFile>,
    /// Every object that the database names.
    pub objects: Vec<ObjectRef>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupFile {
    /// Its path in the backup, with `/` between parts.
    pub path: String,
    /// Its bytes.
    pub size_bytes: u64,
    /// Their digest.
    pub sha256: Digest,
}

/// Why there is no backup, or why it can't be put back. Nothing half-finished is left where it could be taken for whole.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something is there already.
    #[error("{} exists; choose a new place", path.display())]
    Exists {
        /// What exists.
        path: PathBuf,
    },
    /// Nothing was stated, paid or stored yet.
    #[error("this validator never served, so its public log hasn't begun and there is nothing to back up but its keys")]
    NeverServed,
    /// The folder to restore into holds a validator.
    #[error("{} holds a validator's database; a backup is put back into a new directory", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{}: can't {doing}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// A file isn't what was backed up.
    #[error("{path} of the backup is damaged: {problem}")]
    Damaged {
        /// Its path in the backup.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// Objects that are only listed aren't in the store.
    #[error("the object store lacks {count} of the backup's objects, {first} among them; put them back first")]
    ObjectsMissing {
        /// How many.
        count: u64,
        /// One of them.
        first: Digest,
    },
    /// The validator never stands still for long enough.
    #[error("the validator changed while it was copied, {tries} times; try again")]
    Busy {
        /// How often it was tried.
        tries: u32,
    },
    /// The settings or the keys.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The object store failed.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// The public log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
}
