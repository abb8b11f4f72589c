//! A folder of objects that may be away: not mounted yet, unmounted, or moved while somebody looks after the disk.
//!
//! `object_store` makes the folders that it misses, so without this an object would be written below the place where the
//! disk belongs, be acknowledged, and vanish when the disk comes back. The folder of named objects is the sign that the
//! disk is there: without it nothing is written, and what isn't found is away, not gone. It knows no object.

use super::FOLDER;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use std::fmt;
use std::path::PathBuf;

/// The folder isn't there.
#[derive(Debug, thiserror::Error)]
#[error("the folder of objects {} is not there, or empty: is its disk mounted?", .0.display())]
pub(super) struct Away(pub(super) PathBuf);

/// A store in a folder, used only while it is there.
#[derive(Debug)]
pub(super) struct Mounted {
    store: LocalFileSystem,
    folder: PathBuf,
}

impl Mounted {
    pub(super) fn new(store: LocalFileSystem, folder: PathBuf) -> Self {
        Self { store, folder }
    }

    /// Whether objects may be written below `folder`.
    pub(super) async fn check(folder: &std::path::Path) -> Result<(), Away> {
        match tokio::fs::metadata(folder.join(FOLDER)).await {
            Ok(found) if found.is_dir() => Ok(()),
            _ => Err(Away(folder.into())),
        }
    }

    async fn there(&self) -> Result<()> {
        Self::check(&self.folder).await.map_err(|away| Error::Generic { store: "folder", source: away.into() })
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
