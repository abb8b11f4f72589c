//! Files that only their owner may read, each durable before it counts.
//!
//! It knows no validator.

use super::{BackupError, BackupFile};
use protocol::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

/// An error of the file system, with what was being done.
pub(super) fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { path, doing, source }
}

/// Makes a folder and those above it, for the owner alone.
pub(super) fn make_dir(path: &Path) -> Result<(), BackupError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed(path, "make it"))
}

/// Writes a new file in `folder` under a relative path, and says what it is.
pub(super) fn write(folder: &Path, relative: &str, bytes: &[u8]) -> Result<BackupFile, BackupError> {
    let path = folder.join(relative);
    make_dir(path.parent().unwrap_or(folder))?;
    let mut options = File::options();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&path).map_err(failed(&path, "create it"))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed(&path, "write it"))?;
    Ok(BackupFile { path: relative.to_owned(), size_bytes: bytes.len() as u64, sha256: Digest::of(bytes) })
}

/// Describes and protects a file that somebody else wrote.
pub(super) fn describe(folder: &Path, relative: &str) -> Result<BackupFile, BackupError> {
    let path = folder.join(relative);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed(&path, "protect it"))?;
    let mut file = File::open(&path).map_err(failed(&path, "open it"))?;
    file.sync_all().map_err(failed(&path, "sync it"))?;
    let (mut hasher, mut size_bytes, mut buffer) = (Sha256::new(), 0, vec![0; READ_BYTES]);
    loop {
        let count = file.read(&mut buffer).map_err(failed(&path, "read it"))?;
        if count == 0 {
            let sha256 = Digest::from(<[u8; 32]>::from(hasher.finalize()));
            return Ok(BackupFile { path: relative.to_owned(), size_bytes, sha256 });
        }
        hasher.update(&buffer[..count]);
        size_bytes += count as u64;
    }
}

/// Reads a file of a backup, if it is what the backup says.
pub(super) fn read(folder: &Path, expected: &BackupFile) -> Result<Vec<u8>, BackupError> {
    let path = inside(folder, &expected.path)?;
    let bytes = fs::read(&path).map_err(failed(&path, "read it"))?;
    let damaged = |problem: String| BackupError::Damaged { path: expected.path.clone(), problem };
    if bytes.len() as u64 != expected.size_bytes {
        return Err(damaged(format!("{} bytes, should be {}", bytes.len(), expected.size_bytes)));
    }
    let found = Digest::of(&bytes);
    if found == expected.sha256 { Ok(bytes) } else { Err(damaged(format!("its SHA-256 is {found}"))) }
}

/// A path of a backup as one on this machine; none that leads out of the folder.
fn inside(folder: &Path, relative: &str) -> Result<PathBuf, BackupError> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if relative.split('/').all(plain) {
        return Ok(folder.join(relative));
    }
    Err(BackupError::Damaged { path: relative.to_owned(), problem: "not a path inside a backup".into() })
}

/// Makes renames and new names in a folder durable.
pub(super) fn sync_dir(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed(path, "sync it"))
}
