//! Requests that are sent again: what an `Idempotency-Key` names.
//!
//! Announcing the same package is the same submission anyway, as long as that one lives. A key goes further: the same
//! request is answered with the same submission whatever became of it, so that a client that lost an answer learns its
//! fate instead of entering anew; and a key that comes with another request is an error of the client's.

use crate::refusal::{Meaning, Refusal};
use protocol::{Digest, Hotkey, SubmissionId};
use store::db::Tx;
use store::db::idempotency::{self, Remembered};

/// Longer keys are no names.
const KEY_BYTES_MAX: usize = 128;

/// A request that says which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeatable {
    key: String,
    request_sha256: Digest,
}

impl Repeatable {
    /// The request that came with this key; `None` without one.
    pub fn of(key: Option<&str>, request_sha256: Digest) -> Result<Option<Self>, Refusal> {
        let Some(key) = key else { return Ok(None) };
        // As a structured field it comes in quotes.
        let key = key.trim().trim_matches('"');
        if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let hint = "Send 1 to 128 printable ASCII characters without spaces, such as a UUID.";
            let detail = "Idempotency-Key is no key";
            return Err(Refusal::new(Meaning::Malformed, "bad_idempotency_key", detail, hint));
        }
        Ok(Some(Self { key: key.to_owned(), request_sha256 }))
    }

    /// The submission that this very request came to before.
    pub(super) async fn before(&self, tx: &mut Tx, hotkey: &Hotkey, now: u64) -> Result<Option<SubmissionId>, Refusal> {
        match idempotency::find(tx, hotkey, &self.key, now).await? {
            Some(found) if found.request_sha256 != self.request_sha256 => {
                let hint = "Use a new key for every new request; only the very same body may be sent again.";
                let detail = format!("this key was used for another request, which came to {}", found.submission);
                Err(Refusal::new(Meaning::AgainstTheRules, "idempotency_key_reused", detail, hint))
            }
            found => Ok(found.map(|found| found.submission)),
        }
    }

    /// Remembers what it came to.
    pub(super) async fn remember(
        &self,
        tx: &mut Tx,
        hotkey: &Hotkey,
        submission: &SubmissionId,
        now: u64,
    ) -> Result<(), Refusal> {
        let of = Remembered { request_sha256: self.request_sha256, submission: submission.clone() };
        Ok(idempotency::remember(tx, hotkey, &self.key, &of, now).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_printable() {
        let read = |key| Repeatable::of(Some(key), Digest::of(b"")).map(|found| found.map(|found| found.key));
        assert_eq!(read("\"8e03978e-40d5\"").unwrap().as_deref(), Some("8e03978e-40d5"));
        assert_eq!(read("a").unwrap().as_deref(), Some("a"));
        for wrong in ["", "\"\"", "a b"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        assert!(Repeatable::of(None, Digest::of(b"")).unwrap().is_none());
    }
}
