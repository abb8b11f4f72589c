//! Pages that many ask for, kept as they are sent until something happens.
//!
//! The feed's last number says whether anything did: a page that was made at this number is still true. So nothing has to
//! be told that it is stale, whichever process changed it. What the feed doesn't tell, such as a name, changes boards by hand.
//! It does not know what a page shows.

use service::app::App;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use store::db::DbError;
use store::ready::Ready;
use tokio::sync::Semaphore;

/// Pages that are kept: those of a board in many orders are different ones.
const PAGES_MAX: usize = 128;
/// Bytes of all of them; a single page may be larger than its share.
const BYTES_MAX: usize = 48 << 20;
/// Pages that are made at once. Others wait and mostly find theirs made.
const MAKERS_MAX: usize = 2;

/// What is sent.
#[derive(Debug)]
pub struct KeptPage {
    /// When it was true: the feed's number, and how often boards were changed by hand.
    at: (u64, u64),
    /// From when on it isn't true although nothing happened, in Unix seconds.
    until: u64,
    /// The page.
    pub ready: Ready,
}

/// A page that was made, and from when on it isn't true although nothing happened; never is `u64::MAX`.
pub struct Made {
    pub text: String,
    pub until: u64,
}

/// The pages that are kept.
pub struct PageCache {
    kept: Mutex<HashMap<String, Arc<KeptPage>>>,
    makers: Semaphore,
}

impl Default for PageCache {
    fn default() -> Self {
        Self { kept: Mutex::default(), makers: Semaphore::new(MAKERS_MAX) }
    }
}

impl PageCache {
    /// The page of this key, made by `make` unless one that is true is kept.
    pub async fn page<E: From<DbError>>(
        &self,
        app: &App,
        key: &str,
        make: impl AsyncFnOnce() -> Result<Made, E>,
    ) -> Result<Arc<KeptPage>, E> {
        let at = moment(app).await?;
        if let Some(kept) = self.find(key, at, app.clock.now()) {
            return Ok(kept);
        }
        let _place = self.makers.acquire().await.expect("a place, because nobody closes the semaphore");
        // Somebody else may have made it while we waited.
        let at = moment(app).await?;
        if let Some(kept) = self.find(key, at, app.clock.now()) {
            return Ok(kept);
        }
        let Made { text, until } = make().await?;
        let before = self.kept().get(key).cloned();
        let ready = match before {
            // Something happened that it doesn't show.
            Some(before) if before.ready.plain == text.as_bytes() => before.ready.clone(),
            _ => tokio::task::spawn_blocking(move || Ready::new(text))
                .await
                .expect("no panic, because compressing memory has none"),
        };
        let kept = Arc::new(KeptPage { at, until, ready });
        self.keep(key, &kept);
        Ok(kept)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<KeptPage>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, key: &str, at: (u64, u64), now: u64) -> Option<Arc<KeptPage>> {
        self.kept().get(key).filter(|kept| kept.at == at && now < kept.until).cloned()
    }

    /// Keeps a page; the oldest go when there are too many.
    fn keep(&self, key: &str, page: &Arc<KeptPage>) {
        let mut kept = self.kept();
        kept.insert(key.to_owned(), Arc::clone(page));
        while kept.len() > 1
            && (kept.len() > PAGES_MAX || kept.values().map(|page| page.ready.bytes()).sum::<usize>() > BYTES_MAX)
        {
            let oldest = kept.iter().filter(|(of, _)| *of != key).min_by_key(|(_, page)| page.at);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            kept.remove(&oldest);
        }
    }
}

/// How far the feed is, and how often boards were changed by hand.
async fn moment(app: &App) -> Result<(u64, u64), DbError> {
    Ok((app.db.feed_end().await?, app.board.by_hand()))
}
