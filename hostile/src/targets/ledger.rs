//! Lines of the local ledger: a file that somebody else may have written to.

use chain::{Ledger, LocalLedger, Registration};
use protocol::Digest;
use protocol::auth::Keypair;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use tempfile::TempDir;

fn owner() -> Keypair {
    Keypair::from_seed(&[9; 32])
}

/// The ledger is a file with its lock, so each run writes one; in memory where the system has such a folder.
fn folder() -> PathBuf {
    static FOLDER: OnceLock<Option<TempDir>> = OnceLock::new();
    let made = FOLDER.get_or_init(|| tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).ok());
    made.as_ref().map_or_else(std::env::temp_dir, |folder| folder.path().to_owned())
}

/// A file that opens holds what it held, and stays open to the same history.
pub(super) fn ledger(input: &[u8]) {
    let thread = format!("{:?}", std::thread::current().id());
    let path = folder().join(format!("ledger-{thread}"));
    fs::write(&path, input).expect("a file, because the folder is ours");
    let opened = LocalLedger::open(&path, owner());
    if let Ok(ledger) = opened {
        let height = ledger.height().expect("a height, because it is open");
        let hash = ledger.block_hash(height).expect("a hash, because the block is there");
        drop(ledger);
        let again = LocalLedger::open(&path, owner()).expect("a ledger, because it was one");
        assert_eq!(again.height().ok(), Some(height), "a ledger that changes when it is opened");
        assert_eq!(again.block_hash(height).ok(), Some(hash));
        assert_eq!(again.recovery(), None, "recovered once");
    }
    // What a recovery saved beside it goes too.
    for entry in fs::read_dir(folder()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&format!("ledger-{thread}")) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Changes one line as JSON.
pub(super) fn mutate(input: &[u8], seed: u64) -> Option<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = input.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let index = usize::try_from(seed).ok()? % lines.len();
    let line = lines.get_mut(index)?;
    *line = crate::mutate::edit_json(line, seed)?;
    Some(lines.join(&b'\n'))
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let path = folder().join("seed");
    let _ = fs::remove_file(&path);
    let ledger = LocalLedger::open(&path, owner()).expect("a new ledger, because nothing is there");
    let filled = ledger
        .register(Registration::own(Keypair::from_seed(&[1; 32]).hotkey(), 5))
        .and_then(|()| ledger.set_weights(1, &[(Keypair::from_seed(&[1; 32]).hotkey(), 1_000_000)]))
        .and_then(|()| ledger.mark(Digest::of(b"mark")));
    filled.expect("entries, because they are in range");
    drop(ledger);
    let bytes = fs::read(&path).expect("bytes, because it was just written");
    let _ = fs::remove_file(&path);
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or_default();
    vec![bytes[..=line].to_vec(), bytes[..line].to_vec(), bytes[..bytes.len() - 20].to_vec(), bytes, Vec::new()]
}
