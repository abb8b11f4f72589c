//! What a witness has cosigned, in a folder: one file a log, replaced whole, durable before anybody is told of it.
//!
//! A witness that forgot would cosign a second history, so a file that can't be read stops it, and one process alone has
//! the folder. It does NOT decide anything: [`Witness`] does.

use crate::merkle::Hash;
use crate::witness::{AddCheckpoint, Latest, Refusal, Witness};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A witness with its memory.
#[derive(Debug)]
pub struct WitnessStore {
    witness: Witness,
    folder: PathBuf,
    latest: Mutex<HashMap<String, Latest>>,
    /// Held as long as this lives.
    _lock: File,
}

/// Why a witness can't go on.
#[derive(Debug, thiserror::Error)]
pub enum WitnessStoreError {
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
    /// Another process has the folder.
    #[error("another process is this witness: it has {}", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// What was cosigned can't be read any more. To go on without it would let the log tell a second history.
    #[error("{} is not what this witness wrote; put it back from a copy: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Refusal,
    },
    /// The request is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl WitnessStore {
    /// Opens the memory in `folder`, which is made if it isn't there.
    ///
    /// # Errors
    /// When another process has it, or something in it can't be read.
    pub fn open(witness: Witness, folder: &Path) -> Result<Self, WitnessStoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder, "make it"))?;
        let path = folder.join("lock");
        let lock = File::options().write(true).create(true).truncate(false).open(&path);
        let lock = lock.map_err(failed(&path, "open it"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(WitnessStoreError::InUse { folder: folder.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed(&path, "lock it")(source)),
        }
        let mut latest = HashMap::new();
        for origin in witness.origins() {
            let path = folder.join(file_name(origin));
            let note = match fs::read_to_string(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                note => note.map_err(failed(&path, "read it"))?,
            };
            let recalled = witness.recall(&note).map_err(|problem| WitnessStoreError::Damaged { path, problem })?;
            latest.insert(origin.to_owned(), recalled);
        }
        Ok(Self { witness, folder: folder.to_owned(), latest: Mutex::new(latest), _lock: lock })
    }

    /// The witness.
    pub fn witness(&self) -> &Witness {
        &self.witness
    }

    /// Judges a request and keeps what is cosigned; returns it once it is durable. One request at a time is judged.
    ///
    /// # Errors
    /// When it is refused, or can't be kept.
    pub fn add_checkpoint(&self, request: &AddCheckpoint, now: u64) -> Result<Latest, WitnessStoreError> {
        let origin = self.witness.origin(request)?;
        // What a panic left is whole: an entry is replaced after its file.
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let cosigned = self.witness.judge(request, latest.get(origin), now)?;
        self.keep(&file_name(origin), &cosigned.note())?;
        latest.insert(origin.to_owned(), cosigned.clone());
        Ok(cosigned)
    }

    /// The note that was cosigned last of the log whose origin has this SHA-256, in lower-case hexadecimal digits.
    pub fn monitored(&self, origin_hash: &str) -> Option<String> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let found = latest.iter().find(|(origin, _)| hex(&hash_of(origin)) == origin_hash);
        found.map(|(_, latest)| latest.note())
    }

    /// Replaces a file durably.
    fn keep(&self, name: &str, note: &str) -> Result<(), WitnessStoreError> {
        let (path, aside) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        let mut file = File::create(&aside).map_err(failed(&aside, "create it"))?;
        file.write_all(note.as_bytes()).and_then(|()| file.sync_all()).map_err(failed(&aside, "write it"))?;
        fs::rename(&aside, &path).map_err(failed(&path, "give it its name"))?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed(&self.folder, "sync it"))
    }
}

/// Where what was cosigned of a log is kept.
fn file_name(origin: &str) -> String {
    format!("{}.checkpoint", hex(&hash_of(origin)))
}

fn hash_of(origin: &str) -> Hash {
    Sha256::digest(origin.as_bytes()).into()
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> WitnessStoreError {
    let path = path.to_owned();
    move |source| WitnessStoreError::Io { path, doing, source }
}
