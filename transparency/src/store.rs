//! A log's files in an object store: reading with limits, writing, and clearing partial tiles away.
//!
//! Durability is the store's: what it has accepted must survive (`LocalFileSystem::with_fsync(true)`). It does NOT know
//! in which order files have to be written.

use crate::tile::{Resource, Tile};
use crate::verify::Reader;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion};
use std::sync::Arc;

/// Where a log lies.
#[derive(Clone, Debug)]
pub struct LogStore {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// Why a file can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store refused.
    #[error("log file {path}: can't {doing}")]
    Refused {
        /// The file.
        path: String,
        /// What was being done.
        doing: &'static str,
        /// The store's answer.
        source: object_store::Error,
    },
    /// More bytes than such a file has.
    #[error("log file {path} has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// The file.
        path: String,
        /// How many.
        bytes: u64,
        /// How many are read at most.
        limit: usize,
    },
}

impl LogStore {
    /// The log under `prefix`, which may be empty.
    ///
    /// # Errors
    /// When the prefix is no path.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self, object_store::path::Error> {
        Ok(Self { store, prefix: Path::parse(prefix)? })
    }

    /// The bytes of a file; `None` if there is none.
    ///
    /// # Errors
    /// When the store refuses, or the file is larger than it can be.
    pub async fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.get_versioned(resource).await?.map(|(bytes, _)| bytes))
    }

    /// The bytes of a file, and which version of it they are.
    pub(crate) async fn get_versioned(
        &self,
        resource: &Resource,
    ) -> Result<Option<(Vec<u8>, UpdateVersion)>, StoreError> {
        let path = self.path(&resource.to_string());
        let failed = |source| StoreError::Refused { path: path.to_string(), doing: "read it", source };
        let found = match self.store.get(&path).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed)?,
        };
        let limit = resource.bytes_max();
        if found.meta.size > limit as u64 {
            return Err(StoreError::TooLarge { path: path.to_string(), bytes: found.meta.size, limit });
        }
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        Ok(Some((found.bytes().await.map_err(failed)?.to_vec(), version)))
    }

    /// Writes a file, in place of whatever was there.
    pub(crate) async fn put(&self, resource: &Resource, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.put_as(resource, bytes, PutMode::Overwrite).await
    }

    /// Writes a file that must not exist yet.
    pub(crate) async fn create(&self, resource: &Resource, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.put_as(resource, bytes, PutMode::Create).await
    }

    /// Writes a file if it still is of this version. A store that can't tell, like a file system, writes it anyway.
    pub(crate) async fn replace(
        &self,
        resource: &Resource,
        bytes: Vec<u8>,
        version: UpdateVersion,
    ) -> Result<(), StoreError> {
        match self.put_as(resource, bytes.clone(), PutMode::Update(version)).await {
            Err(StoreError::Refused { source: object_store::Error::NotImplemented { .. }, .. }) => {
                self.put(resource, bytes).await
            }
            written => written,
        }
    }

    /// Deletes the partial tiles, and bundles, whose place this full tile has taken. C2SP allows it: whoever wants one
    /// finds its beginning in the full tile. What can't be deleted stays, and costs only space.
    pub(crate) async fn prune(&self, tile: Tile) {
        let mut folders = vec![Resource::Hashes(tile.full())];
        if tile.level == 0 {
            folders.push(Resource::Entries(tile.full()));
        }
        for folder in folders {
            let path = self.path(&format!("{folder}.p"));
            let Ok(listed) = self.store.list_with_delimiter(Some(&path)).await else { continue };
            for partial in listed.objects {
                let _ = self.store.delete(&partial.location).await;
            }
        }
    }

    /// Writes and removes a file that is none of the log's.
    pub(crate) async fn probe(&self) -> Result<(), StoreError> {
        let path = self.path("probe");
        let failed = |source| StoreError::Refused { path: path.to_string(), doing: "write it", source };
        self.store.put(&path, Vec::from(b"probe").into()).await.map_err(failed)?;
        self.store.delete(&path).await.map_err(failed)
    }

    /// Whether there is any tile.
    pub(crate) async fn has_tiles(&self) -> Result<bool, StoreError> {
        let path = self.path("tile");
        let listed = self.store.list_with_delimiter(Some(&path)).await;
        let listed =
            listed.map_err(|source| StoreError::Refused { path: path.to_string(), doing: "list it", source })?;
        Ok(!listed.objects.is_empty() || !listed.common_prefixes.is_empty())
    }

    async fn put_as(&self, resource: &Resource, bytes: Vec<u8>, mode: PutMode) -> Result<(), StoreError> {
        let path = self.path(&resource.to_string());
        let options = PutOptions { mode, ..PutOptions::default() };
        let written = self.store.put_opts(&path, bytes.into(), options).await;
        written.map(drop).map_err(|source| StoreError::Refused { path: path.to_string(), doing: "write it", source })
    }

    fn path(&self, relative: &str) -> Path {
        relative.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }
}

impl Reader for LogStore {
    type Error = StoreError;

    async fn read(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(resource).await
    }
}
