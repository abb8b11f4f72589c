//! Objects: immutable bytes under their SHA-256, in any store that `object_store` knows.
//!
//! Bytes are received into a temporary file while they are counted and hashed; only what has the announced size and
//! digest gets its name. It does not know who may read what.

mod error;
mod folder;
mod mounted;
mod open;
mod orphans;
mod probe;
mod signed;
mod spool;
mod written;

pub use error::ObjectError;
pub use spool::{Incoming, Pace, Spool, Spooled};

use crate::disk;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use mounted::Place;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use protocol::Digest;
use protocol::competition::ObjectRef;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::sync::{Notify, RwLock, Semaphore};

/// Where objects lie in the store.
const FOLDER: &str = "sha256";
/// Where the public log's files lie beside them.
const LOG_FOLDER: &str = "log";
/// Received files that are copied into the store at once.
const COPIES_MAX: usize = 4;
/// Bytes of one part of such a copy: the smallest that S3 takes.
const PART_BYTES: u64 = 5 * 1024 * 1024;

/// The object store with its temporary folder.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    signer: Option<Arc<dyn Signer>>,
    /// What the store puts in front of our keys, which a signer doesn't know.
    prefix: Path,
    tmp: PathBuf,
    /// Where objects lie, if that is a folder of this machine.
    place: Option<Place>,
    /// Told when somebody couldn't read or write through no fault of his.
    doubt: Arc<Notify>,
    /// Held for writing while an orphan is removed, so that nobody takes it for stored meanwhile.
    naming: Arc<RwLock<()>>,
    /// Places for received files that are being copied into the store.
    copies: Arc<Semaphore>,
}

/// An object that is being read.
pub struct ObjectBytes {
    /// The bytes of the range.
    pub stream: BoxStream<'static, object_store::Result<Bytes>>,
    /// Which of the object's bytes they are.
    pub range: Range<u64>,
}

impl Objects {
    /// Removes what earlier processes left in the temporary folder. Only the serving process may.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn sweep(&self) -> Result<(), ObjectError> {
        for entry in std::fs::read_dir(&self.tmp)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// The store itself, for the public log, whose files have names of their own.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    /// Bytes free for uploads.
    ///
    /// # Errors
    /// When the file system doesn't say.
    pub fn free_bytes(&self) -> Result<u64, ObjectError> {
        Ok(disk::free_bytes(&self.tmp)?)
    }

    /// Stores bytes that we made ourselves.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn put(&self, bytes: Bytes) -> Result<ObjectRef, ObjectError> {
        self.put_parts(vec![bytes]).await
    }

    /// Stores pieces of bytes that we made ourselves as one object, without copying them together.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn put_parts(&self, parts: Vec<Bytes>) -> Result<ObjectRef, ObjectError> {
        let size_bytes = parts.iter().map(|part| part.len() as u64).sum();
        let object = ObjectRef { sha256: Digest::of_parts(parts.iter().map(AsRef::as_ref)), size_bytes };
        self.doubting(self.create(&object.sha256, parts.into_iter().collect()).await)?;
        Ok(object)
    }

    /// Receives bytes that were announced as `expected`, and stores them if that is what they are.
    ///
    /// # Errors
    /// When they aren't, when they stop, or when the store refuses. Nothing is left behind then.
    pub async fn receive<S, E>(&self, expected: ObjectRef, pace: Pace, stream: S) -> Result<(), ObjectError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        self.doubting(self.receive_all(expected, pace, stream).await)
    }

    async fn receive_all<S, E>(&self, expected: ObjectRef, pace: Pace, stream: S) -> Result<(), ObjectError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let mut spool = self.spool(expected.size_bytes)?;
        let mut incoming = Incoming::new(stream, pace);
        while let Some(chunk) = incoming.next().await? {
            spool.write(&chunk).await?;
        }
        let spooled = spool.finish().await?;
        let ObjectRef { sha256, size_bytes } = spooled.object();
        if size_bytes != expected.size_bytes {
            return Err(ObjectError::Size { expected: expected.size_bytes, received: size_bytes });
        }
        if sha256 != expected.sha256 {
            return Err(ObjectError::Digest { expected: expected.sha256, received: sha256 });
        }
        self.keep(spooled).await
    }

    /// A place for a file that is about to come, of at most so many bytes.
    ///
    /// # Errors
    /// When the temporary folder can't be used.
    pub fn spool(&self, size_bytes_max: u64) -> Result<Spool, ObjectError> {
        self.doubting(written(self.tmp.clone()).map(|file| Spool::new(file, size_bytes_max)))
    }

    /// Stores what was received under its digest.
    ///
    /// # Errors
    /// When the store refuses. Nothing is left behind then.
    pub async fn keep(&self, spooled: Spooled) -> Result<(), ObjectError> {
        #[cfg(feature = "failpoints")]
        crate::failpoints::reach_io(crate::failpoints::Point::At(crate::failpoints::Moment::UploadSpooled))?;
        let (object, mut file) = spooled.rewound().await?;
        self.doubting(self.copy_in(&object, &mut file).await)
    }

    /// Calls for a look where something failed that isn't one object's.
    fn doubting<T>(&self, done: Result<T, ObjectError>) -> Result<T, ObjectError> {
        if done.as_ref().is_err_and(ObjectError::is_everybodys) {
            self.doubt.notify_one();
        }
        done
    }

    /// Waits until somebody couldn't read or write.
    pub async fn doubted(&self) {
        self.doubt.notified().await;
    }

    /// Whether the folder of objects is known by one of them, if they lie in one.
    pub fn is_known(&self) -> bool {
        self.place.as_ref().is_none_or(Place::is_known)
    }

    /// From here on a folder of objects without this one is another: its disk isn't there.
    pub fn know_by(&self, sha256: Digest) {
        if let Some(place) = &self.place {
            place.know_by(sha256);
        }
    }

    /// Stores a file's bytes under their name. Few at a time and part by part, so that many large uploads at once need
    /// little memory.
    async fn copy_in(&self, object: &ObjectRef, file: &mut tokio::fs::File) -> Result<(), ObjectError> {
        let _place = self.copies.acquire().await.map_err(io::Error::other)?;
        if object.size_bytes <= PART_BYTES {
            let mut bytes = Vec::with_capacity(object.size_bytes as usize);
            file.read_to_end(&mut bytes).await?;
            return self.create(&object.sha256, bytes.into()).await;
        }
        let location = key(&object.sha256);
        let _naming = self.naming.read().await;
        // Nothing has the object's name until the last part is there, and two that finish at once have the same bytes.
        let mut upload = self.store.put_multipart(&location).await?;
        let copied = copy_parts(file, upload.as_mut()).await;
        if copied.is_err() {
            // The store forgets unfinished parts by itself in time, should this fail too.
            let _ = upload.abort().await;
        }
        copied
    }

    /// Reads a whole object and checks that it is the one that was stored.
    ///
    /// # Errors
    /// When there is none, or its bytes changed.
    pub async fn get(&self, sha256: &Digest) -> Result<Bytes, ObjectError> {
        let read = self.store.get(&key(sha256)).await.map_err(|error| missing(error, sha256))?;
        let bytes = read.bytes().await?;
        let received = Digest::of(&bytes);
        if received == *sha256 { Ok(bytes) } else { Err(ObjectError::Digest { expected: *sha256, received }) }
    }

    /// An object as a file to read from, once it is shown to be the one that was stored. Of objects that lie on no disk of this
    /// machine it is a copy without a name, which is gone when it is closed.
    ///
    /// # Errors
    /// When there is none, or its bytes changed.
    pub async fn file(&self, sha256: &Digest) -> Result<File, ObjectError> {
        if let Some(place) = &self.place {
            return self.doubting(folder::file(place, sha256).await);
        }
        let ObjectBytes { mut stream, range } = self.stream(sha256, None).await?;
        let mut spool = self.spool(range.end)?;
        while let Some(bytes) = stream.next().await {
            spool.write(&bytes?).await?;
        }
        let (object, file) = spool.finish().await?.rewound().await?;
        match object.sha256 == *sha256 {
            true => Ok(file.into_std().await),
            false => Err(ObjectError::Digest { expected: *sha256, received: object.sha256 }),
        }
    }

    /// Reads an object or a part of it as a stream.
    ///
    /// # Errors
    /// When there is none.
    pub async fn stream(&self, sha256: &Digest, range: Option<Range<u64>>) -> Result<ObjectBytes, ObjectError> {
        if let Some(place) = &self.place {
            return self.doubting(folder::stream(place, sha256, range).await);
        }
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let read = self.store.get_opts(&key(sha256), options).await.map_err(|error| missing(error, sha256))?;
        Ok(ObjectBytes { range: read.range.clone(), stream: read.into_stream() })
    }

    /// Whether the folder of objects is there, where they lie in one.
    ///
    /// # Errors
    /// [`ObjectError::Away`] when it isn't, and [`ObjectError::Unwritable`] when it can't be looked into.
    pub async fn there(&self) -> Result<(), ObjectError> {
        match &self.place {
            Some(place) => place.check().await,
            None => Ok(()),
        }
    }

    /// Whether the folders of objects and uploads are there and may be written. What is no folder isn't looked at.
    ///
    /// # Errors
    /// [`ObjectError::Away`] or [`ObjectError::Unwritable`], with the folder's name.
    pub async fn look(&self) -> Result<(), ObjectError> {
        self.there().await?;
        let objects = self.place.as_ref().map(|place| place.folder().to_owned());
        let tmp = self.tmp.clone();
        let looked = tokio::task::spawn_blocking(move || {
            if let Some(objects) = objects {
                written(objects.clone())?;
                written(objects.join(FOLDER))?;
                let log = objects.join(LOG_FOLDER);
                // There is none before the first statement.
                if log.exists() {
                    written(log)?;
                }
            }
            written(tmp).map(drop)
        });
        looked.await.map_err(io::Error::other)?
    }

    /// How large an object is; `None` if there is none.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn size_bytes(&self, sha256: &Digest) -> Result<Option<u64>, ObjectError> {
        match self.store.head(&key(sha256)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            meta => Ok(Some(meta?.size)),
        }
    }

    /// Gives bytes their name. Bytes that have it already are the same; they are written anew, so that an old object
    /// that nobody named is young again and no orphan, until the row is there that names it.
    async fn create(&self, sha256: &Digest, bytes: PutPayload) -> Result<(), ObjectError> {
        let _naming = self.naming.read().await;
        self.store.put(&key(sha256), bytes).await?;
        Ok(())
    }
}

/// A file without a name in a folder, where the file system has them.
fn written(path: PathBuf) -> Result<File, ObjectError> {
    tempfile::tempfile_in(&path).map_err(|source| unwritable(path, source))
}

/// Why a file can't be made in a folder.
fn unwritable(path: PathBuf, source: io::Error) -> ObjectError {
    if disk::is_full(&source) { ObjectError::Full } else { ObjectError::Unwritable { path, source } }
}

/// Hands a file over in parts, one after the other.
async fn copy_parts(file: &mut tokio::fs::File, upload: &mut dyn MultipartUpload) -> Result<(), ObjectError> {
    loop {
        let mut part = Vec::with_capacity(PART_BYTES as usize);
        (&mut *file).take(PART_BYTES).read_to_end(&mut part).await?;
        if part.is_empty() {
            upload.complete().await?;
            return Ok(());
        }
        upload.put_part(part.into()).await?;
    }
}

fn missing(error: object_store::Error, sha256: &Digest) -> ObjectError {
    match error {
        object_store::Error::NotFound { .. } => ObjectError::Missing(*sha256),
        error => error.into(),
    }
}

fn key(sha256: &Digest) -> Path {
    Path::from(format!("{FOLDER}/{sha256}"))
}
