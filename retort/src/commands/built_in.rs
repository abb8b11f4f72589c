//! The competition that is part of this binary: its manifest, its teacher and its reference student, so that nothing else is
//! needed to publish it. It does NOT hold the images, which are `datasets`' own.

use crate::leave::Temporary;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// Its name.
pub(crate) const ID: &str = "fashion-mnist";
/// Its manifest.
pub(crate) const MANIFEST: &str = include_str!("../../../competitions/fashion-mnist/competition.toml");
/// Where the manifest lies among its files; in a clone, too.
const MANIFEST_PATH: &str = "competitions/fashion-mnist/competition.toml";
/// Everything, by where the manifest looks for it.
pub(crate) const FILES: [(&str, &[u8]); 6] = [
    ("models/teacher/config.json", include_bytes!("../../../models/teacher/config.json")),
    ("models/teacher/model.safetensors", include_bytes!("../../../models/teacher/model.safetensors")),
    ("models/teacher/training-logits.parquet", include_bytes!("../../../models/teacher/training-logits.parquet")),
    ("models/reference/config.json", include_bytes!("../../../models/reference/config.json")),
    ("models/reference/model.safetensors", include_bytes!("../../../models/reference/model.safetensors")),
    (MANIFEST_PATH, MANIFEST.as_bytes()),
];

/// Writes all files below `dir`, but none over a changed one; where the manifest lies.
pub(crate) fn write(dir: &Path) -> Result<PathBuf> {
    for (name, bytes) in FILES {
        let path = dir.join(name);
        if fs::read(&path).is_ok_and(|there| there == *bytes) {
            continue;
        }
        ensure!(!path.exists(), "{} is there and was changed; choose another folder", path.display());
        let folder = path.parent().unwrap_or(dir);
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(dir.join(MANIFEST_PATH))
}

/// A manifest that was named, and the folder that goes with it if that was written for it.
pub(crate) struct Named {
    pub(crate) manifest: PathBuf,
    _files: Option<Temporary>,
}

/// The manifest at a path; the built-in one where its name, or its path in a clone that isn't here, was written, or where it lies
/// without the models that it names.
pub(crate) fn named(path: &Path) -> Result<Named> {
    let is_there = path.is_file();
    let is_meant = path == Path::new(ID) || path.ends_with(MANIFEST_PATH);
    let is_alone = is_there
        && fs::read(path).is_ok_and(|text| text == MANIFEST.as_bytes())
        && !path.parent().unwrap_or(Path::new("")).join("../../models/teacher").exists();
    if is_there && !is_alone || !is_there && !is_meant {
        return Ok(Named { manifest: path.to_owned(), _files: None });
    }
    let files = Temporary::new("retort-built-in-")?;
    eprintln!("{ID}: the competition that is part of this binary");
    Ok(Named { manifest: write(files.path())?, _files: Some(files) })
}

/// Says where the models of the built-in competition are to be had, where somebody's copy of its manifest looks for them.
pub(crate) fn where_from(manifest: &Path, error: anyhow::Error) -> anyhow::Error {
    let text = format!("{error:#}");
    let models = ["../../models/teacher", "../../models/reference"];
    if !models.iter().any(|model| text.contains(&format!("{model}/")) && text.contains("os error 2")) {
        return error;
    }
    let at = manifest.parent().unwrap_or(Path::new(""));
    error.context(format!(
        "{} isn't there, which the built-in manifest names: `retort validator example DIR` writes that manifest with its models, \
         to be changed there",
        at.join("../../models").display()
    ))
}
