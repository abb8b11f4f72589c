//! Which files somebody means who names pictures, or a folder of them. It does NOT know what becomes of a picture:
//! `datasets::picture` does.

use anyhow::{Context, Result, ensure};
use datasets::picture;
use std::path::{Path, PathBuf};

/// The files of a folder, in the order of their names; a file itself.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|file| picture::is_named_as_one(file));
    files.sort();
    ensure!(!files.is_empty(), "there are no pictures in {}", path.display());
    Ok(files)
}
