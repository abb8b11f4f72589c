//! A package that is made of an ONNX file, as exporters leave it: the numbers that lie beside it are put in, and `config.json` is
//! written, so that what is checked is what is sent.
//!
//! What such a file may be `program` says. It runs no model.

use anyhow::{Context, Result, bail, ensure};
use miner_template::files::{self, Beside, PackageFiles};
use program::onnx;
use protocol::digest::canonical_json;
use protocol::package::{
    CONFIG_BYTES_MAX, CONFIG_FILE, Format, ONNX_FILE, OnnxConfig, WEIGHTS_FILE, is_numbers_beside_onnx,
};
use protocol::submission::{Code, Rejection};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A package as it lies on the disk, or as it was made of what lies there.
pub(super) struct Given {
    pub(super) files: PackageFiles,
    /// The folder that it lies in; `None` where it is in memory alone.
    pub(super) folder: Option<PathBuf>,
    /// What was made, in words.
    pub(super) made: Vec<String>,
}

/// Whether there is anything at a path, before a validator is asked about it.
pub(super) fn there(path: &Path) -> Result<()> {
    let name = path.display();
    ensure!(
        path.exists(),
        "there is no {name} here: name a package's folder ({CONFIG_FILE} with {WEIGHTS_FILE} or {ONNX_FILE}), or an ONNX file"
    );
    Ok(())
}

/// Reads a package: a folder, or an ONNX file whatever it is called. `labels` are the competition's.
pub(super) fn read(path: &Path, labels: &[String]) -> Result<Given> {
    let is_there = |name: &str| path.join(name).is_file();
    match path.is_file() {
        true if !is_of_another_kind(path) => of_file(path, labels),
        _ if is_there(ONNX_FILE) && !is_there(WEIGHTS_FILE) => of_folder(path, labels),
        _ => {
            let files = PackageFiles::read(path)?;
            Ok(Given { files, folder: Some(path.to_owned()), made: Vec::new() })
        }
    }
}

/// Whether a file says by its name that it is no ONNX: why it is no package is told by whoever reads packages.
fn is_of_another_kind(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ending != "onnx" && files::foreign(&path.with_extension(ending)).is_some())
}

fn of_file(path: &Path, labels: &[String]) -> Result<Given> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|name| name.to_str()).context("the file's name is no text")?;
    ensure!(
        !is_numbers_beside_onnx(name),
        "{name} has the numbers of a model alone: name the {} beside it, into which they are put",
        name.trim_end_matches(".data").trim_end_matches("_data")
    );
    let (weights, mut made) = model(folder, name)?;
    made.push(format!("{CONFIG_FILE} was made for it"));
    let files =
        PackageFiles { format: Format::Onnx, config_json: config(labels)?, weights, readme: None, expected: None };
    Ok(Given { files, folder: None, made })
}

fn of_folder(folder: &Path, labels: &[String]) -> Result<Given> {
    let (weights, mut made) = model(folder, ONNX_FILE)?;
    let Beside { readme, expected } = files::beside(folder)?;
    let config_json = match folder.join(CONFIG_FILE).exists() {
        true => files::read(folder, CONFIG_FILE, CONFIG_BYTES_MAX)?,
        false => {
            made.push(format!("{CONFIG_FILE} was made for it"));
            config(labels)?
        }
    };
    let folder = made.is_empty().then(|| folder.to_owned());
    Ok(Given { files: PackageFiles { format: Format::Onnx, config_json, weights, readme, expected }, folder, made })
}

fn config(labels: &[String]) -> Result<Vec<u8>> {
    canonical_json(&OnnxConfig::new(labels)).context("write config.json")
}

/// The model in one piece, and what was put into it.
fn model(folder: &Path, name: &str) -> Result<(Vec<u8>, Vec<String>)> {
    let file = files::read(folder, name, files::MODEL_BYTES_MAX)?;
    // What is no ONNX the admission check names better.
    let names = onnx::beside(&file).unwrap_or_default();
    if names.is_empty() {
        return Ok((file, Vec::new()));
    }
    let mut beside = BTreeMap::new();
    for name in &names {
        // A model may name any file of this machine.
        if Path::new(name).file_name().is_none_or(|plain| plain != name.as_str()) {
            let detail = format!("the numbers are said to lie in {name:?}, which is no file beside the model");
            bail!("{}", advised(&Code::OnnxExternalData.because(detail)));
        }
        beside.insert(name.as_str(), files::read(folder, name, files::MODEL_BYTES_MAX)?);
    }
    let whole = onnx::inlined(&file, |name| beside.get(name).map(Vec::as_slice));
    let whole = whole.map_err(|refusal| anyhow::anyhow!("{}", advised(&refusal.into())))?;
    Ok((whole, vec![format!("{} was put into the file itself", names.join(", "))]))
}

/// A reason and what to do, and of a graph every operator that isn't read: the reason names the first thing alone.
pub(super) fn refused(files: &PackageFiles, rejection: &Rejection) -> String {
    let foreign = match files.format {
        Format::Onnx => onnx::foreign_operators(&files.weights).unwrap_or_default(),
        Format::Catalogue => BTreeMap::new(),
    };
    let told: Vec<String> = foreign.iter().map(|(operator, count)| format!("{operator} ({count})")).collect();
    match told.is_empty() {
        true => advised(rejection),
        false => format!("{}\noperators that aren't read: {}", advised(rejection), told.join(", ")),
    }
}

fn advised(rejection: &Rejection) -> String {
    format!("{rejection}. {}", rejection.code.hint())
}

/// Writes a package into a folder of its own.
pub(super) fn write(files: &PackageFiles, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    for (name, bytes) in files.iter() {
        let path = folder.join(name);
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
