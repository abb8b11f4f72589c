//! Objects that we write ourselves, however large. Nothing has an object's name before its last byte is there.
//!
//! Where objects lie in a folder of this machine, a file is written beside them and then named, so that it is on the disk once;
//! into other stores it goes as what is received does. It does not know what is written.

use super::mounted::Place;
use super::spool::{Spooled, hashed};
use super::{FOLDER, ObjectError, Objects, unwritable, written};
use protocol::competition::ObjectRef;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use tempfile::NamedTempFile;

/// What a file ends with that has no name yet: `staged` finds it by that, should its process die.
const STAGED: &str = "#0";
/// As other files of a folder are made; what the process masks is taken away.
const MODE: u32 = 0o666;

impl Objects {
    /// Stores what `write` writes.
    ///
    /// # Errors
    /// When the store refuses, or `write` does. Nothing is left behind then.
    pub async fn put_written<E>(
        &self,
        write: impl FnOnce(&mut (dyn io::Write + Send)) -> Result<(), E> + Send + 'static,
    ) -> Result<ObjectRef, E>
    where
        E: From<ObjectError> + Send + 'static,
    {
        let Some(place) = &self.place else {
            let file = self.doubting(written(self.tmp.clone()))?;
            let spooled = in_thread(move || Spooled::written(file, write)).await?;
            let object = spooled.object();
            self.keep(spooled).await?;
            return Ok(object);
        };
        let staged = self.doubting(staged(place).await)?;
        let writing = in_thread(move || {
            let file = staged.as_file().try_clone().map_err(ObjectError::from)?;
            let (object, file) = hashed(file, write)?;
            // What was answered must survive a power cut.
            file.sync_all().map_err(ObjectError::from)?;
            Ok::<_, E>((object, staged))
        });
        let (object, staged) = writing.await?;
        self.doubting(self.name(place, &object, staged).await)?;
        Ok(object)
    }

    /// Gives a file its object's name.
    async fn name(&self, place: &Place, object: &ObjectRef, staged: NamedTempFile) -> Result<(), ObjectError> {
        place.check().await?;
        #[cfg(feature = "failpoints")]
        crate::failpoints::reach_io(crate::failpoints::Point::At(crate::failpoints::Moment::ObjectBefore))?;
        let _naming = self.naming.read().await;
        let folder = place.folder().join(FOLDER);
        let path = folder.join(object.sha256.to_string());
        in_thread(move || {
            staged.persist(path).map_err(|error| ObjectError::from(error.error))?;
            Ok::<_, ObjectError>(File::open(folder)?.sync_all()?)
        })
        .await?;
        #[cfg(feature = "failpoints")]
        crate::failpoints::reach_io(crate::failpoints::Point::At(crate::failpoints::Moment::ObjectAfter))?;
        Ok(())
    }
}

/// A file that is about to be written where objects lie.
async fn staged(place: &Place) -> Result<NamedTempFile, ObjectError> {
    place.check().await?;
    let path = place.folder().join(FOLDER);
    in_thread(move || {
        let mut file = tempfile::Builder::new();
        file.prefix("written-").suffix(STAGED).permissions(Permissions::from_mode(MODE));
        file.tempfile_in(&path).map_err(|source| unwritable(path, source))
    })
    .await
}

async fn in_thread<T: Send + 'static, E: From<ObjectError> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ObjectError::from(io::Error::other(error)))?
}
