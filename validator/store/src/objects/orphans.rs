//! What a crash leaves in the store: objects that nothing names yet or any more, and files that were being written.
//!
//! It knows ages and places; which objects are named is the database's to say.

use super::{FOLDER, ObjectError, Objects, key};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use protocol::Digest;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

impl Objects {
    /// The objects that are at least this old, with their sizes.
    ///
    /// # Errors
    /// When the store can't list them.
    pub async fn older_than(&self, age_min: Duration) -> Result<Vec<(Digest, u64)>, ObjectError> {
        let mut listed = self.store.list(Some(&Path::from(FOLDER)));
        let mut old = Vec::new();
        while let Some(meta) = listed.try_next().await? {
            let name = meta.location.filename().and_then(|name| name.parse().ok());
            if let Some(sha256) = name.filter(|_| is_older(meta.last_modified.into(), age_min)) {
                old.push((sha256, meta.size));
            }
        }
        Ok(old)
    }

    /// Removes an object, unless it was stored again meanwhile; whether it did.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn remove_if_older(&self, sha256: &Digest, age_min: Duration) -> Result<bool, ObjectError> {
        let _naming = self.naming.write().await;
        let location = key(sha256);
        let meta = match self.store.head(&location).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            meta => meta?,
        };
        if !is_older(meta.last_modified.into(), age_min) {
            return Ok(false);
        }
        self.store.delete(&location).await?;
        Ok(true)
    }

    /// Removes files that a process was writing when it died, at least this old; returns how many. A folder keeps them
    /// under names of their own (`NAME#1`), other stores forget them by themselves.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove_staged(&self, age_min: Duration) -> Result<u64, ObjectError> {
        let staged = self.staged(age_min)?;
        for path in &staged {
            std::fs::remove_file(path)?;
        }
        Ok(staged.len() as u64)
    }

    /// The files that a process was writing when it died, at least this old.
    pub fn staged(&self, age_min: Duration) -> Result<Vec<PathBuf>, ObjectError> {
        let (mut folders, mut found) =
            (Vec::from_iter(self.place.as_ref().map(|place| place.folder().to_owned())), Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                let (kind, name) = (entry.file_type()?, entry.file_name());
                let staged = name.to_str().is_some_and(is_staged);
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if staged && is_older(entry.metadata()?.modified()?, age_min) {
                    found.push(entry.path());
                }
            }
        }
        Ok(found)
    }
}

/// Clocks that were set back make things young, which keeps them.
pub(super) fn is_older(modified: SystemTime, age_min: Duration) -> bool {
    SystemTime::now().duration_since(modified).is_ok_and(|age| age >= age_min)
}

/// `NAME#1`, `NAME#2`, …: what `object_store` writes before a file gets its name.
fn is_staged(name: &str) -> bool {
    let number = name.rsplit_once('#').map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_number_are_staged() {
        for staged in ["00ff#1", "checkpoint#12"] {
            assert!(is_staged(staged), "{staged}");
        }
        for whole in ["00ff", "#", "a#", "a#1b", "checkpoint"] {
            assert!(!is_staged(whole), "{whole}");
        }
    }
}
