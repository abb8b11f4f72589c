//! Which files somebody means who names pictures, or a folder of them. It does NOT know what becomes of a picture:
//! `datasets::picture` does.

use crate::table::count;
use anyhow::{Context, Result, ensure};
use datasets::picture;
use std::path::{Path, PathBuf};

/// Folders in folders deeper than this are nobody's data; a link to a folder above it is this deep.
const DEPTH_MAX: usize = 16;

/// Pictures, and how many files beside them are none by their names.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Of each folder in the order of their names, those of its folders behind its own.
    pub(crate) files: Vec<PathBuf>,
    /// Files that are left out.
    pub(crate) left_out: usize,
}

/// The pictures of a folder and of all folders in it, as class folders have them; a file itself.
pub(crate) fn find(path: &Path) -> Result<Found> {
    if !path.is_dir() {
        return Ok(Found { files: vec![path.to_owned()], left_out: 0 });
    }
    let mut found = Found::default();
    walk(path, 0, &mut found)?;
    let (at, formats, left_out) = (path.display(), picture::FORMATS, count(found.left_out, "other file"));
    ensure!(!found.files.is_empty(), "there are no pictures in {at}, and {left_out}; known are {formats}");
    Ok(found)
}

fn walk(folder: &Path, depth: usize, found: &mut Found) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    // What is hidden is no data: thumbnails, indices, other systems' notes.
    paths.retain(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
    paths.sort();
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = paths.into_iter().partition(|path| path.is_dir());
    let (pictures, others): (Vec<PathBuf>, Vec<PathBuf>) =
        files.into_iter().partition(|file| picture::is_named_as_one(file));
    found.left_out += others.len();
    found.files.extend(pictures);
    for inner in folders.iter().filter(|_| depth < DEPTH_MAX) {
        walk(inner, depth + 1, found)?;
    }
    Ok(())
}
