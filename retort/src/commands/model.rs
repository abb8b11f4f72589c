//! `retort model`: a package in another form. ONNX is what runs elsewhere: the canonical bytes of the graph that the engines
//! are given, with nothing of an exporter's in it.

use super::print_json;
use crate::cli::ModelCommand;
use anyhow::{Context, Result};
use miner_template::files::PackageFiles;
use models::Weights;
use program::{Costs, catalogue, onnx, package};
use protocol::Digest;
use protocol::package::{ONNX_FILE, PackageConfig};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// Where a repository on the Hub has its ONNX, and tools look for it.
const FILE: &str = "onnx/model.onnx";

pub(crate) fn run(command: &ModelCommand) -> Result<()> {
    let ModelCommand::Onnx { package, out, json } = command;
    let file = out.clone().unwrap_or_else(|| package.join(FILE));
    let Written { bytes, costs } = written(package)?;
    write(&file, &bytes)?;
    let digest = Digest::of(&bytes);
    if *json {
        return print_json(&json!({
            "file": file.display().to_string(), "sha256": digest, "bytes": bytes.len(), "parameters": costs.parameters,
            "macs": costs.macs, "activation_bytes": costs.activation_bytes_peak,
        }));
    }
    println!("{}  {} B  sha256:{digest}", file.display(), bytes.len());
    println!("in: `{}`, one image, normalised as config.json says; out: `{}`", package::IMAGES, package::LOGITS);
    Ok(())
}

/// Writes the package in `folder` as ONNX beside it, and says where.
pub(crate) fn onnx_beside(folder: &Path) -> Result<PathBuf> {
    // A graph that was pulled is the file already.
    let own = folder.join(ONNX_FILE);
    if own.is_file() {
        return Ok(own);
    }
    let file = folder.join(FILE);
    write(&file, &written(folder)?.bytes)?;
    Ok(file)
}

struct Written {
    bytes: Vec<u8>,
    costs: Costs,
}

fn written(folder: &Path) -> Result<Written> {
    let files = PackageFiles::read(folder)?;
    let plan = PackageConfig::of_package(&files.config_json, &files.weights)?.plan()?;
    let weights = Weights::from_safetensors(&files.weights, &plan)?;
    let graph = catalogue::lower(&plan, weights).with_context(|| format!("{} as a graph", folder.display()))?;
    let folded = graph.with_norms_folded()?;
    Ok(Written { bytes: onnx::write(&folded), costs: folded.costs()? })
}

pub(crate) fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or(Ok(()), fs::create_dir_all).with_context(|| format!("make the folder of {}", file.display()))?;
    fs::write(file, bytes).with_context(|| format!("write {}", file.display()))
}
