//! Whom the ledger knows, remembered for a moment.
//!
//! Places are asked for at every turn and a ledger may be far away. It decides nothing that counts: who may submit is
//! asked of the ledger itself.

use chain::Ledger;
use protocol::Hotkey;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer is remembered.
const REMEMBERED: Duration = Duration::from_secs(1);

/// The registered hotkeys.
pub(crate) struct Registered {
    ledger: Arc<dyn Ledger>,
    seen: Mutex<Option<(Instant, Arc<HashSet<Hotkey>>)>>,
}

impl Registered {
    /// Those of this ledger.
    pub(crate) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger, seen: Mutex::default() }
    }

    /// Whether this hotkey is registered; nobody is where the ledger doesn't answer.
    pub(crate) async fn contains(&self, hotkey: &Hotkey) -> bool {
        match self.remembered() {
            Some(known) => known.contains(hotkey),
            None => self.ask().await.is_some_and(|known| known.contains(hotkey)),
        }
    }

    fn remembered(&self) -> Option<Arc<HashSet<Hotkey>>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().filter(|(at, _)| at.elapsed() < REMEMBERED).map(|(_, known)| Arc::clone(known))
    }

    async fn ask(&self) -> Option<Arc<HashSet<Hotkey>>> {
        let ledger = Arc::clone(&self.ledger);
        let asked = tokio::task::spawn_blocking(move || ledger.registrations()).await.ok()?;
        let known = asked.inspect_err(|error| tracing::warn!(%error, "can't see who is registered")).ok()?;
        let known: Arc<HashSet<Hotkey>> = Arc::new(known.iter().map(|registration| registration.hotkey).collect());
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Arc::clone(&known)));
        Some(known)
    }
}
