//! Whether a store is one that a validator can live on: it reads what was written, writes a name once where that is
//! asked, and removes. For `doctor` and readiness.

use super::{ObjectError, Objects};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use std::sync::LazyLock;

impl Objects {
    /// Writes, reads and removes a small object.
    ///
    /// # Errors
    /// When the store doesn't do that.
    pub async fn probe(&self) -> Result<(), ObjectError> {
        // A name of this process's own, so that two that look at once don't take it from each other.
        static NAME: LazyLock<String> = LazyLock::new(|| format!("probe-{:016x}", rand::random::<u64>()));
        let location = Path::from(NAME.as_str());
        self.store.put(&location, PutPayload::from_static(b"probe")).await?;
        self.store.get(&location).await?.bytes().await?;
        Ok(self.store.delete(&location).await?)
    }

    /// Sees whether a name can be written once only. A store that overwrites what must not be there would let two
    /// validators of one bucket write two public logs.
    ///
    /// # Errors
    /// [`ObjectError::Overwrites`] when it overwrites, or the store's own error.
    pub async fn probe_conditional_writes(&self) -> Result<(), ObjectError> {
        let location = Path::from(format!("probe-once-{:016x}", rand::random::<u64>()));
        let once =
            async |bytes| self.store.put_opts(&location, PutPayload::from_static(bytes), PutMode::Create.into()).await;
        once(b"first").await?;
        let second = once(b"second").await;
        self.store.delete(&location).await?;
        match second {
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err(ObjectError::Overwrites),
        }
    }
}
