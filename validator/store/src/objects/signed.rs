//! Bytes that go past us, between a client and a store that can sign URLs.
//!
//! A client writes to a place of its own (`incoming/`), never under a digest: what was sent there is read back once,
//! counted and hashed on the way, and stored under its name by us. So an upload is bound to its checksum and written
//! once, whatever the signed URL is used for afterwards. Downloads are redirected to the object itself.

use super::orphans::is_older;
use super::{ObjectError, Objects, Pace, key};
use futures::TryStreamExt;
use http::Method;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use protocol::competition::ObjectRef;
use protocol::{Digest, SubmissionId};
use std::collections::HashSet;
use std::time::Duration;
use url::Url;

/// Where clients write.
const INCOMING: &str = "incoming";

impl Objects {
    /// Whether clients talk to the store directly.
    pub fn signs(&self) -> bool {
        self.signer.is_some()
    }

    /// A URL that takes one file of a submission until `expires_in` from now; `None` where uploads come through us.
    ///
    /// # Errors
    /// When the store can't sign.
    pub async fn signed_upload(&self, incoming: &str, expires_in: Duration) -> Result<Option<Url>, ObjectError> {
        self.signed(Method::PUT, &incoming_key(incoming), expires_in).await
    }

    /// Takes over what was sent to a signed URL, once it is what was announced; `false` when nothing was sent.
    ///
    /// # Errors
    /// When it isn't, or the store refuses. A wrong upload is removed, so that a right one can follow.
    pub async fn adopt(&self, incoming: &str, expected: ObjectRef, pace: Pace) -> Result<bool, ObjectError> {
        let location = incoming_key(incoming);
        let read = match self.store.get(&location).await {
            Ok(read) => read,
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let received = self.receive(expected, pace, read.into_stream().map_err(|error| error.to_string())).await;
        if !matches!(received, Err(ObjectError::Store(_) | ObjectError::BrokenOff { .. } | ObjectError::Full)) {
            self.store.delete(&location).await?;
        }
        received.map(|()| true)
    }

    /// A URL from which the object can be read until `expires_in` from now; `None` where downloads come through us.
    ///
    /// # Errors
    /// When the store can't sign.
    pub async fn signed_download(&self, sha256: &Digest, expires_in: Duration) -> Result<Option<Url>, ObjectError> {
        self.signed(Method::GET, &key(sha256), expires_in).await
    }

    async fn signed(&self, method: Method, key: &Path, expires_in: Duration) -> Result<Option<Url>, ObjectError> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let location: Path = self.prefix.parts().chain(key.parts()).collect();
        Ok(Some(signer.signed_url(method, &location, expires_in).await?))
    }

    /// Removes what was sent to signed URLs and is at least this old, unless its submission still waits for it; returns
    /// how much that was.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn remove_abandoned(
        &self,
        waiting: &HashSet<SubmissionId>,
        age_min: Duration,
    ) -> Result<u64, ObjectError> {
        let abandoned = self.abandoned(waiting, age_min).await?;
        for (location, _) in &abandoned {
            self.store.delete(location).await?;
        }
        Ok(abandoned.len() as u64)
    }

    /// What was sent to signed URLs and is at least this old, with its sizes, unless its submission still waits for it.
    pub async fn abandoned(
        &self,
        waiting: &HashSet<SubmissionId>,
        age_min: Duration,
    ) -> Result<Vec<(Path, u64)>, ObjectError> {
        let mut listed = self.store.list(Some(&Path::from(INCOMING)));
        let mut abandoned = Vec::new();
        while let Some(meta) = listed.try_next().await? {
            let submission = meta.location.parts().nth(1).and_then(|part| part.as_ref().parse().ok());
            let waits = submission.is_some_and(|id: SubmissionId| waiting.contains(&id));
            if !waits && is_older(meta.last_modified.into(), age_min) {
                abandoned.push((meta.location, meta.size));
            }
        }
        Ok(abandoned)
    }
}

fn incoming_key(name: &str) -> Path {
    Path::from(format!("{INCOMING}/{name}"))
}
