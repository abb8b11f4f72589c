//! The word that a measurement is no longer wanted.
//!
//! Watchdogs look for it as often as for time and memory, so its workers end within a few hundredths of a second. It
//! doesn't know who gives it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends a measurement from another thread. Clones are the same word.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ends it: its workers are killed, and it fails.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is to end.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// What ends it when dropped.
    pub fn on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }
}

/// Ends a measurement when it is dropped; one that is over by then takes no notice.
#[derive(Debug)]
pub struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
