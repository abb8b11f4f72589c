//! A package that answers pictures in this process: for whoever has it and trusts it, outside of any measurement.
//!
//! It passes the validator's own check first. Architectures of the catalogue run on burn; graphs on rten, from the canonical
//! bytes that we write of them. It does NOT know where pictures come from, nor what is made of the answers.

use super::predict::UNLIMITED;
use anyhow::{Context, Result};
use datasets::Images;
use engine::rten::Rten;
use engine::{Mode, Runtime, Tensor};
use miner_template::augment::Augmentation;
use miner_template::files::PackageFiles;
use miner_template::{source, teacher};
use models::DeviceKind;
use program::onnx;
use program::package::{ANY, Admitted, Package, admit};
use protocol::architecture::Plan;
use protocol::competition::{InputSpec, Manifest, PictureSpec, Taken};
use protocol::package::{Admission, Format, OnnxConfig, PackageConfig};
use std::path::Path;

const UNSAID: &str = "an ONNX model doesn't say how pictures become its inputs: name its competition, --competition \
                      http://HOST:PORT/competitions/ID or a competition.toml";

/// A model, what it takes and what its answers mean.
pub(crate) struct Model {
    pub(crate) input: InputSpec,
    pub(crate) labels: Vec<String>,
    /// What becomes of pictures of another size; `None` where no competition says it.
    pub(crate) pictures: Option<PictureSpec>,
    program: Program,
}

enum Program {
    /// With the weights as they lie in the package.
    Plan(Box<Plan>, Vec<u8>),
    /// As we wrote it.
    Graph(Vec<u8>),
}

impl Model {
    /// Reads a package. A graph doesn't say how pictures become its inputs: the competition that it was made for does.
    pub(crate) fn open(package: &Path, competition: Option<&str>) -> Result<Self> {
        let (files, manifest) = read(package, competition)?;
        let pictures = manifest.as_ref().map(|manifest| manifest.data.rows.pictures).filter(|spec| spec.fit.is_some());
        let (input, labels) = match Format::of_config(&files.config_json) {
            Format::Catalogue => {
                let config = PackageConfig::from_json(&files.config_json)?;
                (config.input, config.labels)
            }
            Format::Onnx => {
                let manifest = manifest.context(UNSAID)?;
                let own = OnnxConfig::from_json(&files.config_json)?.labels;
                (manifest.input, own.unwrap_or(manifest.labels))
            }
        };
        Ok(Self { pictures, ..Self::of((&files.config_json, files.weights), input, labels)? })
    }

    /// A package by its two files, held against the validator's own check but for what a competition limits.
    pub(crate) fn of((config_json, weights): (&[u8], Vec<u8>), input: InputSpec, labels: Vec<String>) -> Result<Self> {
        let any = Admission { input: &input, labels: &labels, limits: &UNLIMITED };
        let program = match admit(&Package::of(config_json, &weights), &any, &[Taken::Catalogue, Taken::Onnx])? {
            Admitted::Catalogue(admitted) => Program::Plan(Box::new(admitted.plan), weights),
            Admitted::Onnx(graph) => Program::Graph(graph.canonical),
        };
        Ok(Self { input, labels, pictures: None, program })
    }

    /// Logits `[images, classes]`. `device` is for the catalogue; graphs run on the processor.
    pub(crate) fn logits(&self, images: &Images, device: DeviceKind) -> Result<Vec<f32>> {
        let scale = self.input.normalisation();
        match &self.program {
            Program::Plan(plan, weights) => {
                let device = device.open()?;
                let network = teacher::load(plan, weights, &device).context("load the weights")?;
                Ok(teacher::logits(&network, images, Augmentation::default(), &scale, &device, |_| {}))
            }
            Program::Graph(canonical) => graph_logits(&Rten, canonical, images, &scale, |_| {}),
        }
    }
}

/// A package folder, or an ONNX file with what lies beside it; and the competition's manifest, where one is named.
fn read(package: &Path, competition: Option<&str>) -> Result<(PackageFiles, Option<Manifest>)> {
    let named = competition.map(super::address_or_file).transpose()?;
    let manifest = named.as_deref().map(source::manifest).transpose()?;
    if package.extension().is_none_or(|extension| extension != "onnx") {
        return Ok((PackageFiles::read(package)?, manifest));
    }
    let labels = &manifest.as_ref().context(UNSAID)?.labels;
    Ok((super::onnx::read(package, labels)?.files, manifest))
}

/// What a graph answers on an engine, from the canonical bytes of it; `told` hears of images done. That the engine doesn't
/// take the graph is a [`engine::Refused`].
pub(super) fn graph_logits(
    runtime: &dyn Runtime,
    canonical: &[u8],
    images: &Images,
    scale: &[[f32; 256]],
    told: impl Fn(u64),
) -> Result<Vec<f32>> {
    let lowered = onnx::read_as_stated(canonical, &ANY)?;
    runtime.prepare().context("prepare the engine")?;
    let mut session = runtime.load(&lowered.graph, Mode::Exact)?;
    let (_, ty) = session.ports().inputs.first().context("an admitted graph takes one input; this is a bug")?;
    let mut item = [Tensor::filled(ty, 0).context("an admitted graph takes floats; this is a bug")?];
    let plane = (images.height * images.width) as usize;
    let (mut answers, mut outputs) = (Vec::new(), Vec::new());
    for index in 0..images.len() {
        let planes = images.image(index).chunks(plane).zip(scale);
        let values = planes.flat_map(|(pixels, table)| pixels.iter().map(|pixel| table[usize::from(*pixel)]));
        let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
        anyhow::ensure!(
            item[0].fill(&bytes),
            "a picture has {} bytes as an input, and the model takes another size",
            bytes.len()
        );
        session.run(&item, &mut outputs)?;
        let said =
            outputs.first().and_then(Tensor::floats).context("an admitted graph answers floats; this is a bug")?;
        answers.extend_from_slice(said);
        told(index as u64 + 1);
    }
    Ok(answers)
}
