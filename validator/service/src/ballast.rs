//! Room for the database on a disk that somebody else filled: a file that holds nothing, and is given up when there is no
//! other space left at the start.
//!
//! Even to read, SQLite writes an index of its write-ahead log. Without room for that a validator on a full disk could
//! not show what it has. It does not know the database.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use store::causes::Chain;
use store::config::Home;
use store::disk;

/// Bytes of the file where there is plenty of space; on a small disk a sixteenth of what is free.
const BYTES: u64 = 4 << 20;
/// A smaller one helps nobody.
const BYTES_MIN: u64 = 256 << 10;

/// Gives the file up where the disk is full.
pub fn give_up_if_full(home: &Home) {
    let path = home.ballast();
    if !disk::free_bytes(home.path()).is_ok_and(|free| free < disk::NEEDED) {
        return;
    }
    match fs::remove_file(&path) {
        Ok(()) => tracing::warn!("the disk is full: {} is given up, so that what there is can be read", path.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "the disk is full, and {} can't be removed", path.display());
        }
    }
}

/// Makes the file again once there is space for it and for `reserve_bytes` beside. That it can't be made is told, and stops
/// nothing.
pub fn make_if_roomy(home: &Home, reserve_bytes: u64) {
    let path = home.ballast();
    let Ok(free) = disk::free_bytes(home.path()) else { return };
    let bytes = BYTES.min(free / 16);
    if path.exists() || bytes < BYTES_MIN || free < reserve_bytes.saturating_add(bytes) {
        return;
    }
    let made = File::options().write(true).create_new(true).mode(0o600).open(&path).and_then(|file| fill(file, bytes));
    if let Err(error) = made {
        let _ = fs::remove_file(&path);
        tracing::warn!(error = %Chain(&error), "can't make {}", path.display());
    }
}

/// Writes all of it: a file with holes would hold no space.
fn fill(mut file: File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; BYTES_MIN as usize];
    for _ in 0..bytes / BYTES_MIN {
        file.write_all(&zeros)?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn it_holds_the_space_that_it_says_and_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        make_if_roomy(&home, u64::MAX);
        assert!(!home.ballast().exists(), "the reserve is kept");
        make_if_roomy(&home, 0);
        let made = fs::metadata(home.ballast()).unwrap();
        assert!(made.len() >= BYTES_MIN && made.blocks() * 512 >= made.len(), "{made:?}");
        make_if_roomy(&home, 0);
        give_up_if_full(&home);
        assert_eq!(fs::metadata(home.ballast()).unwrap().ino(), made.ino());
    }
}
