//! Which store a URL names, and opening it: a folder, a bucket, or this process's memory.

use super::mounted::{Mounted, Place};
use super::{COPIES_MAX, FOLDER, ObjectError, Objects};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::signer::Signer;
use object_store::{ObjectStore, ObjectStoreScheme};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Semaphore;
use url::Url;

impl Objects {
    /// Opens the store at `url`, which may be new: a folder is made where there is none.
    ///
    /// # Errors
    /// When the URL names no store, or a folder can't be used.
    pub fn open(url: &Url, tmp: PathBuf) -> Result<Self, ObjectError> {
        if let Some(folder) = folder_of(url) {
            let path = folder.join(FOLDER);
            std::fs::create_dir_all(&path).map_err(|source| ObjectError::Unwritable { path, source })?;
        }
        Self::reopen(url, tmp)
    }

    /// Opens the store at `url`, which is `new` if nothing was ever stored.
    ///
    /// # Errors
    /// When the URL names no store, or a folder can't be used: [`ObjectError::Away`] when one that isn't new is missing.
    pub fn open_or_begin(url: &Url, tmp: PathBuf, new: bool) -> Result<Self, ObjectError> {
        if new { Self::open(url, tmp) } else { Self::reopen(url, tmp) }
    }

    /// Opens the store at `url`, which was filled before.
    ///
    /// # Errors
    /// When the URL names no store, or a folder can't be used: [`ObjectError::Away`] when it isn't there.
    fn reopen(url: &Url, tmp: PathBuf) -> Result<Self, ObjectError> {
        let unknown = |problem: String| ObjectError::Url { url: url.to_string(), problem };
        let (scheme, prefix) = ObjectStoreScheme::parse(url).map_err(|error| unknown(error.to_string()))?;
        match scheme {
            ObjectStoreScheme::Local => {
                let dir = url.to_file_path().map_err(|()| unknown("not a path on this machine".into()))?;
                match std::fs::metadata(dir.join(FOLDER)) {
                    Ok(found) if found.is_dir() => {}
                    Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                        return Err(ObjectError::Unwritable { path: dir, source });
                    }
                    Ok(_) | Err(_) => return Err(ObjectError::Away(dir)),
                }
                // What was answered with 2xx must survive a power cut.
                let store = LocalFileSystem::new_with_prefix(&dir)?.with_fsync(true);
                let place = Place::new(dir);
                let store = Mounted::new(store, place.clone());
                let objects = Self::with_store(Arc::new(store), None, Path::default(), tmp)?;
                Ok(Self { place: Some(place), ..objects })
            }
            ObjectStoreScheme::Memory => Self::with_store(Arc::new(InMemory::new()), None, Path::default(), tmp),
            ObjectStoreScheme::AmazonS3 => {
                // The library takes any text for an address and panics at the first request.
                for name in ["AWS_ENDPOINT", "AWS_ENDPOINT_URL"] {
                    if let Ok(Err(error)) = std::env::var(name).map(|endpoint| Url::parse(&endpoint)) {
                        return Err(unknown(format!("{name} is no address: {error}")));
                    }
                }
                let s3 = Arc::new(AmazonS3Builder::from_env().with_url(url.as_str()).build()?);
                let store = Arc::new(PrefixStore::new(Arc::clone(&s3) as Arc<dyn ObjectStore>, prefix.clone()));
                Self::with_store(store, Some(s3), prefix, tmp)
            }
            other => Err(unknown(format!("{other:?} is not built in; use file, memory or s3"))),
        }
    }

    /// Uses `store`, and `signer` for uploads that go past us; the signer wants `prefix` in front of keys.
    ///
    /// # Errors
    /// When the temporary folder can't be used.
    pub fn with_store(
        store: Arc<dyn ObjectStore>,
        signer: Option<Arc<dyn Signer>>,
        prefix: Path,
        tmp: PathBuf,
    ) -> Result<Self, ObjectError> {
        std::fs::create_dir_all(&tmp).map_err(|source| ObjectError::Unwritable { path: tmp.clone(), source })?;
        #[cfg(feature = "failpoints")]
        let store = Arc::new(crate::failpoints::FailingStore(store));
        let (naming, copies) = (Arc::default(), Arc::new(Semaphore::new(COPIES_MAX)));
        Ok(Self { store, signer, prefix, tmp, place: None, doubt: Arc::default(), naming, copies })
    }
}

/// The folder that a URL names, if it names one of this machine.
fn folder_of(url: &Url) -> Option<PathBuf> {
    url.to_file_path().ok().filter(|_| url.scheme() == "file")
}
