//! A folder of objects that may be away: not mounted yet, unmounted, or moved while somebody looks after the disk.
//!
//! `object_store` makes the folders that it misses, so without this an object would be written below the place where the
//! disk belongs, be acknowledged, and vanish when the disk comes back. The folder of named objects is the sign that the
//! disk is there, and once one is known an object in it, since an empty disk may be mounted over it: without it nothing is
//! written, and what isn't found is away, not gone. It does not know what objects are.

use super::{FOLDER, ObjectError};
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use protocol::Digest;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// A folder of objects, and what shows that it is the one that was filled.
#[derive(Clone, Debug)]
pub(super) struct Place {
    folder: PathBuf,
    /// An object that stays as long as anything does.
    sign: Arc<OnceLock<Digest>>,
}

/// A store in a folder, used only while it is there.
#[derive(Debug)]
pub(super) struct Mounted {
    store: LocalFileSystem,
    place: Place,
}

impl Place {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, sign: Arc::default() }
    }

    pub(super) fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Whether it has a sign.
    pub(super) fn is_known(&self) -> bool {
        self.sign.get().is_some()
    }

    /// From here on the folder is there only if this object is.
    pub(super) fn know_by(&self, sha256: Digest) {
        // The first one does.
        let _ = self.sign.set(sha256);
    }

    /// Whether objects may be written into it.
    pub(super) async fn check(&self) -> Result<(), ObjectError> {
        let named = self.folder.join(FOLDER);
        let found = match self.sign.get() {
            Some(sha256) => tokio::fs::metadata(named.join(sha256.to_string())).await.map(|_| true),
            None => tokio::fs::metadata(named).await.map(|found| found.is_dir()),
        };
        match found {
            Ok(true) => Ok(()),
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                Err(ObjectError::Unwritable { path: self.folder.clone(), source })
            }
            Ok(false) | Err(_) => Err(ObjectError::Away(self.folder.clone())),
        }
    }
}

impl Mounted {
    pub(super) fn new(store: LocalFileSystem, place: Place) -> Self {
        Self { store, place }
    }

    async fn there(&self) -> Result<()> {
        self.place.check().await.map_err(|away| Error::Generic { store: "folder", source: away.into() })
    }
}

impl fmt::Display for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.store)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Mounted {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.there().await?;
        self.store.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.there().await?;
        self.store.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.store.get_opts(location, options).await;
        if matches!(&found, Err(Error::NotFound { .. })) {
            self.there().await?;
        }
        found
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.there().await?;
        self.store.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.there().await?;
        self.store.rename_opts(from, to, options).await
    }
}
