//! What happens at a point in a process that a test armed, and an object store that passes points on the way to disk.
//!
//! Built with the feature `failpoints` only. It does not know which point means what.

use super::{Moment, Point};
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use rustix::process::{Signal, getpid, kill_process};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Points are live while this lives.
pub struct Armed {
    _scenario: fail::FailScenario<'static>,
}

/// Makes points do what `FAILPOINTS` says.
pub fn arm() -> Armed {
    Armed { _scenario: fail::FailScenario::setup() }
}

/// Passes a point; the error is that of a full disk.
pub fn reach_io(point: Point) -> io::Result<()> {
    fail::fail_point!(&point.to_string(), |action: Option<String>| act(point, action.as_deref()));
    Ok(())
}

fn act(point: Point, action: Option<&str>) -> io::Result<()> {
    match action {
        Some("full") => Err(io::Error::new(io::ErrorKind::StorageFull, format!("full at {point}"))),
        Some("tell") => {
            tell(point);
            Ok(())
        }
        _ => die(),
    }
}

/// Ends as `kill -9` ends a process: nothing is put in order any more.
fn die() -> io::Result<()> {
    kill_process(getpid(), Signal::KILL)?;
    loop {
        std::thread::park();
    }
}

fn tell(point: Point) {
    static TOLD: Mutex<BTreeSet<Point>> = Mutex::new(BTreeSet::new());
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(point) {
        eprintln!("reached {point}");
    }
}

/// A store that passes points before and after whatever it writes.
#[derive(Debug)]
pub struct FailingStore(pub Arc<dyn ObjectStore>);

impl FailingStore {
    fn points(location: &Path) -> (Moment, Moment) {
        let path = location.as_ref();
        match path {
            _ if path.starts_with("log/checkpoint") => (Moment::LogCheckpointBefore, Moment::LogCheckpointAfter),
            _ if path.starts_with("log/tile/entries") => (Moment::LogEntriesBefore, Moment::LogEntriesAfter),
            _ if path.starts_with("log/") => (Moment::LogTileBefore, Moment::LogTileAfter),
            _ => (Moment::ObjectBefore, Moment::ObjectAfter),
        }
    }
}

fn pass(moment: Moment) -> Result<()> {
    reach_io(Point::At(moment)).map_err(|error| object_store::Error::Generic { store: "test", source: error.into() })
}

impl fmt::Display for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with points", self.0)
    }
}

#[async_trait::async_trait]
impl ObjectStore for FailingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (before, after) = Self::points(location);
        pass(before)?;
        let put = self.0.put_opts(location, payload, options).await?;
        pass(after)?;
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let (before, after) = Self::points(location);
        pass(before)?;
        Ok(Box::new(FailingUpload { upload: self.0.put_multipart_opts(location, options).await?, after }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FailingUpload {
    upload: Box<dyn MultipartUpload>,
    after: Moment,
}

#[async_trait::async_trait]
impl MultipartUpload for FailingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.upload.put_part(data);
        Box::pin(async move {
            part.await?;
            pass(Moment::ObjectPart)
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let put = self.upload.complete().await?;
        pass(self.after)?;
        Ok(put)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}
