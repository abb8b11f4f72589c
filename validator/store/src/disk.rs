//! How full the disk is, whether an error says that it is, and whose a file is.
//!
//! It does not know what is stored there.

use std::error::Error;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether `error` or one of its causes says that there is no space left.
pub fn is_full(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io_kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(io_kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whose `path` is and who we are, where they differ: for a message about what can't be written.
pub fn owner(path: &Path) -> String {
    let own = rustix::process::geteuid().as_raw();
    match std::fs::metadata(path).map(|found| found.uid()) {
        Ok(owner) if owner != own => format!("; it belongs to user {owner}, and this runs as user {own}"),
        _ => String::new(),
    }
}

/// With fewer bytes free a disk is full: SQLite needs half a MiB to open a database that somebody left.
pub const NEEDED: u64 = 1 << 20;

/// Whether `path` is there and may not be written.
pub fn is_denied(path: &Path) -> bool {
    path.exists() && rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_err()
}

/// Bytes that an ordinary process may still write below `dir`.
pub fn free_bytes(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
