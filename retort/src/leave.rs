//! How this process ends before its work is done: a signal or a closed pipe. What it made for itself alone is removed first,
//! and whoever waited is told what goes on without it.
//!
//! It does NOT end a service, which finishes what it is doing (`commands::validator::until_interrupted`).

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError, mpsc};
use std::time::Duration;
use std::{fs, process, thread};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

/// What a shell adds to a signal's number.
const BY_SIGNAL: i32 = 128;
/// Other threads may still write into a folder that is being removed.
const REMOVALS_MAX: u32 = 20;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(20);

/// Folders of this process's own.
static OWN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
/// What is said when a signal ends it.
static LAST_WORDS: Mutex<String> = Mutex::new(String::new());
/// Whether somebody else answers signals.
static ANSWERED: AtomicBool = AtomicBool::new(false);

/// A folder that is removed when it is dropped, and when a signal or a closed pipe ends this process.
pub(crate) struct Temporary(Option<TempDir>, PathBuf);

impl Temporary {
    /// Makes one whose name begins with `prefix`.
    pub(crate) fn new(prefix: &str) -> Result<Self> {
        // A signal between the two would leave it behind.
        listen();
        let folder = tempfile::Builder::new().prefix(prefix).tempdir().context("make a folder")?;
        let path = folder.path().to_owned();
        locked(&OWN).push(path.clone());
        Ok(Self(Some(folder), path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.1
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Whoever is told to end meanwhile removes what is left.
        drop(self.0.take());
        locked(&OWN).retain(|own| *own != self.1);
    }
}

/// Says `words` when a signal ends this process; the last ones count, and none are said after an empty text.
pub(crate) fn last_words(words: String) {
    *locked(&LAST_WORDS) = words;
    listen();
}

/// From here on somebody else answers signals, and calls [`now`] in the end.
pub(crate) fn leave_signals() {
    ANSWERED.store(true, Ordering::Relaxed);
}

/// Ends the process with `status`.
pub(crate) fn now(status: i32) -> ! {
    for folder in locked(&OWN).drain(..) {
        for _ in 0..REMOVALS_MAX {
            if fs::remove_dir_all(&folder).is_ok() || !folder.exists() {
                break;
            }
            thread::sleep(BETWEEN_REMOVALS);
        }
    }
    process::exit(status)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens to signals from now on, in a thread of its own. Where that can't be, the system ends this process as it does with
/// all that don't listen.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let (ready, listens) = mpsc::channel();
        if thread::Builder::new().name("leave".into()).spawn(move || wait(&ready)).is_ok() {
            let _ = listens.recv();
        }
    });
}

fn wait(ready: &mpsc::Sender<()>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
        let (Ok(mut interrupted), Ok(mut terminated)) = (signal(interrupt), signal(terminate)) else { return };
        let _ = ready.send(());
        loop {
            let kind = tokio::select! { _ = interrupted.recv() => interrupt, _ = terminated.recv() => terminate };
            if !ANSWERED.load(Ordering::Relaxed) {
                let words = locked(&LAST_WORDS).clone();
                if !words.is_empty() {
                    eprintln!("\n{words}");
                }
                now(BY_SIGNAL + kind.as_raw_value());
            }
        }
    });
}
