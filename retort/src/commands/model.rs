//! `retort model`: a package in another form. ONNX is what runs elsewhere: the canonical bytes of the graph that the engines
//! are given, with nothing of an exporter's in it; in half the bytes or in whole numbers where that is asked for.

use super::answer::graph_logits;
use super::print_json;
use crate::cli::ModelCommand;
use crate::progress::Phases;
use anyhow::{Context, Result, ensure};
use datasets::Images;
use engine::rten::Rten;
use miner_template::files::PackageFiles;
use miner_template::source::Assets;
use models::Weights;
use program::package::{ANY, LOGITS};
use program::{Costs, Graph, Range, catalogue, onnx, package};
use protocol::Digest;
use protocol::api::ModelForm;
use protocol::evaluation::arg_max;
use protocol::package::{Format, ONNX_FILE, PackageConfig};
use serde::Serialize;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// Training images by which is seen between what values lie.
const CALIBRATION_ITEMS: u32 = 512;

pub(crate) fn run(command: &ModelCommand) -> Result<()> {
    let ModelCommand::Onnx { package, form, competition, out, json } = command;
    let form = ModelForm::from(*form);
    let file = out.clone().unwrap_or_else(|| package.join(form.path()));
    let float = float32(package)?;
    let (bytes, loss) = match (form, competition) {
        (ModelForm::Onnx, _) => (float, None),
        (ModelForm::OnnxF16, _) => (onnx::write(&onnx::read_as_stated(&float, &ANY)?.graph.in_half()?), None),
        (ModelForm::OnnxInt8, competition) => {
            let competition = competition.as_deref().context("clap demands a competition for int8; this is a bug")?;
            let (bytes, loss) = int8(&float, &Assets::open(&super::address_or_file(competition)?)?)?;
            (bytes, Some(loss))
        }
    };
    let Costs { parameters, macs, activation_bytes_peak, .. } = onnx::read_as_stated(&bytes, &ANY)?.costs;
    write(&file, &bytes)?;
    let digest = Digest::of(&bytes);
    if *json {
        return print_json(&json!({
            "file": file.display().to_string(), "form": form, "sha256": digest, "bytes": bytes.len(), "parameters": parameters,
            "macs": macs, "activation_bytes": activation_bytes_peak, "loss": loss,
        }));
    }
    println!("{}  {} B  sha256:{digest}", file.display(), bytes.len());
    println!("in: `{}`, one image, normalised as config.json says; out: `{}`", package::IMAGES, package::LOGITS);
    if let Some(Loss { items, right, right_before, same }) = loss {
        println!("of {items} public items {right} are right, {right_before} in float32; {same} have the same class");
    }
    Ok(())
}

/// What whole numbers cost.
#[derive(Clone, Copy, Debug, Serialize)]
struct Loss {
    /// Public items.
    items: usize,
    /// Right answers in whole numbers.
    right: usize,
    /// And in float32.
    right_before: usize,
    /// Items to which both say the same.
    same: usize,
}

/// The int8 form of a file in float32, and what it loses on public items.
fn int8(float: &[u8], assets: &Assets) -> Result<(Vec<u8>, Loss)> {
    let scale = assets.input.normalisation();
    let progress = Phases::new("int8");
    let answers = |file: &[u8], images: &Images, phase: &str| {
        graph_logits(&Rten, file, images, &scale, |done| progress.at(phase, done, images.len() as u64))
    };
    let lowered = onnx::read_as_stated(float, &ANY)?;
    let told = lowered.graph.with_ranges_told(LOGITS)?;
    let told = told.context("there is nothing in it that could be in whole numbers, or it is already")?;
    let calibration = calibration(&assets.training);
    let ranges = answers(&onnx::write(&told), &calibration, "calibrating")?;
    let columns = ranges.len().checked_div(calibration.len()).unwrap_or(0);
    let bytes = onnx::write(&lowered.graph.quantised(&Range::over(&ranges, columns))?);
    let asked = &assets.evaluation;
    let found = [answers(&bytes, asked, "in int8")?, answers(float, asked, "in float32")?];
    progress.finish();
    let classes = assets.labels.len().max(1);
    let [whole, before] = found.map(|logits| logits.chunks(classes).map(arg_max).collect::<Vec<_>>());
    let right = |found: &[usize]| found.iter().zip(&asked.labels).filter(|(a, b)| **a == usize::from(**b)).count();
    let same = whole.iter().zip(&before).filter(|(a, b)| a == b).count();
    Ok((bytes, Loss { items: asked.len(), right: right(&whole), right_before: right(&before), same }))
}

/// Images from all over the part: a folder's come class by class.
fn calibration(training: &Images) -> Images {
    let (all, wanted) = (training.len() as u64, u64::from(CALIBRATION_ITEMS));
    let places: Vec<u32> = (0..wanted.min(all)).map(|place| (place * all / wanted.min(all)) as u32).collect();
    training.select(&places)
}

/// Writes the package in `folder` as ONNX beside it, and says where.
pub(crate) fn onnx_beside(folder: &Path) -> Result<PathBuf> {
    // A graph that was pulled is the file already.
    let own = folder.join(ONNX_FILE);
    if own.is_file() {
        return Ok(own);
    }
    let file = folder.join(ModelForm::Onnx.path());
    write(&file, &float32(folder)?)?;
    Ok(file)
}

/// The canonical file of a package in `folder`, as its numbers are.
fn float32(folder: &Path) -> Result<Vec<u8>> {
    let files = PackageFiles::read(folder)?;
    let folded = |graph: &Graph<'_>| Ok(onnx::write(&graph.with_norms_folded()?));
    if Format::of_config(&files.config_json) == Format::Onnx {
        return folded(&onnx::read_as_stated(&files.weights, &ANY)?.graph);
    }
    let plan = PackageConfig::of_package(&files.config_json, &files.weights)?.plan()?;
    let weights = Weights::from_safetensors(&files.weights, &plan)?;
    folded(&catalogue::lower(&plan, weights).with_context(|| format!("{} as a graph", folder.display()))?)
}

pub(crate) fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or(Ok(()), fs::create_dir_all).with_context(|| format!("make the folder of {}", file.display()))?;
    ensure!(!file.is_dir(), "{} is a folder; name a file", file.display());
    fs::write(file, bytes).with_context(|| format!("write {}", file.display()))
}
