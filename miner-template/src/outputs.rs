//! Trying where results will go before long work begins: a folder that can't be written costs a second, not a day.
//!
//! Nothing is left behind, and nothing is made that isn't there. It does not know what will be written.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Sees whether files could be written into `folder`, which need not exist.
///
/// # Errors
/// When they couldn't.
pub fn try_folder(folder: &Path) -> io::Result<()> {
    let folder = std::path::absolute(folder)?;
    // What isn't there would be made in the nearest folder that is.
    let there = folder.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(&folder);
    if !fs::metadata(there)?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is no folder", there.display())));
    }
    let probe = there.join(format!(".retort-{}-{:?}", std::process::id(), std::thread::current().id()));
    File::options().write(true).create_new(true).open(&probe)?;
    fs::remove_file(&probe)
}

/// Sees whether the file at `path` could be written, in place of whatever is there.
///
/// # Errors
/// When it couldn't.
pub fn try_file(path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        // Opened, it stays as it is.
        return File::options().append(true).open(path).map(drop);
    }
    try_folder(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_written_is_left_as_it_was_and_what_can_not_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        let file = dir.path().join("file");
        try_folder(&deep).unwrap();
        try_file(&deep.join("new")).unwrap_or_else(|error| panic!("{error}"));
        assert!(!dir.path().join("a").exists() && fs::read_dir(dir.path()).unwrap().next().is_none());
        fs::write(&file, "kept").unwrap();
        try_file(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"kept");
        for blocked in [file.join("under"), file.join("deep/er"), file.clone()] {
            assert!(try_folder(&blocked).is_err(), "{}", blocked.display());
        }
        assert!(try_file(&file.join("under")).is_err() && try_file(dir.path()).is_err());
    }
}
