//! How full the disk is, and whether an error says that it is.
//!
//! It does not know what is stored there.

use std::error::Error;
use std::io;
use std::path::Path;

/// Whether `error` or one of its causes says that there is no space left.
pub(crate) fn is_full(error: &(dyn Error + 'static)) -> bool {
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

/// Bytes that an ordinary process may still write below `dir`.
pub(crate) fn free_bytes(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
