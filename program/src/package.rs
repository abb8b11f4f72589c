//! The admission check for packages of either format, and what is kept and published of one whose model is an ONNX file.
//!
//! One function for the miner's machine and the validator's door. An architecture of the catalogue is `protocol`'s to admit; here
//! a `model.onnx` is read, held against the competition's ports and limits, and written anew: nothing of its author's goes on
//! to an engine or to whoever downloads it.

use crate::costs::Limits;
use crate::graph::Graph;
use crate::onnx::{self, Lowered};
use crate::signature::{Port, Signature};
use crate::tensor::Dtype;
use protocol::Digest;
use protocol::architecture::{Costs, ImageShape};
use protocol::competition::Taken;
use protocol::digest::canonical_json;
use protocol::package::{
    self, Admission, Format, ModelKind, ONNX_FILE, OnnxConfig, OnnxKind, OnnxModel, PublishedPackage, hides_zip,
    labels_expected, not_onnx,
};
use protocol::submission::{Code, Rejection};
use std::collections::BTreeMap;

/// The names that engines are given for what goes into a classifier and what comes out.
pub const IMAGES: &str = "images";
/// One value for each class.
pub const LOGITS: &str = "logits";

/// What a graph may cost that was admitted: whatever it does.
pub const ANY: Limits =
    Limits { file_bytes_max: 8 << 30, parameters_max: u64::MAX, macs_max: u64::MAX, activation_bytes_max: 8 << 30 };

/// The two files of a package that decide about it.
#[derive(Clone, Copy, Debug)]
pub struct Package<'a> {
    /// Which of both the second one is, by its name.
    pub format: Format,
    /// `config.json`.
    pub config_json: &'a [u8],
    /// `model.safetensors` or `model.onnx`.
    pub model: &'a [u8],
}

impl<'a> Package<'a> {
    /// Of these bytes, whose names nobody knows: the second one is what the first one says.
    pub fn of(config_json: &'a [u8], model: &'a [u8]) -> Self {
        Self { format: Format::of_config(config_json), config_json, model }
    }
}

/// A package that passed admission.
#[derive(Clone, Debug)]
pub enum Admitted {
    /// An architecture of the catalogue.
    Catalogue(Box<package::Admitted>),
    /// A graph.
    Onnx(Box<AdmittedGraph>),
}

/// A graph that passed admission.
#[derive(Clone, Debug)]
pub struct AdmittedGraph {
    /// `config.json` as it is published: with the competition's labels.
    pub config: OnnxConfig,
    /// What is told of it.
    pub model: OnnxModel,
    /// What it costs.
    pub costs: Costs,
    /// The canonical file, which engines are given and everybody downloads.
    pub canonical: Vec<u8>,
    /// SHA-256 of `config.json` as it came.
    pub config_sha256: Digest,
    /// SHA-256 of `model.onnx` as it came.
    pub model_sha256: Digest,
    /// Bytes of `model.onnx` as it came.
    pub size_bytes: u64,
}

/// What is published of an admitted package: the same model in bytes that we wrote.
#[derive(Clone, Debug)]
pub enum Published<'a> {
    /// Of the catalogue: the tensors stay where they lie.
    Catalogue(PublishedPackage<'a>),
    /// A graph: `config.json` and `model.onnx`.
    Onnx(Vec<u8>, Vec<u8>),
}

/// Admits or rejects a package. Pure: the same bytes and rules give the same answer everywhere.
///
/// # Errors
/// A [`Rejection`] with a stable code and the offending value.
pub fn admit(given: &Package<'_>, rules: &Admission<'_>, taken: &[Taken]) -> Result<Admitted, Rejection> {
    let Package { format, config_json, model } = *given;
    let stated = Format::of_config(config_json);
    if (format, stated) == (Format::Catalogue, Format::Onnx) {
        let detail = format!("format is {:?}, whose model is {ONNX_FILE} and not {}", stated.name(), format.file());
        return Err(Code::ConfigInvalid.because(detail));
    }
    if !taken.contains(&format.into()) {
        let detail = match format {
            Format::Onnx => "an ONNX graph, where architectures of the catalogue are taken",
            Format::Catalogue => "an architecture of the catalogue, where ONNX graphs are taken",
        };
        return Err(Code::KindNotTaken.because(detail.to_owned()));
    }
    match format {
        Format::Catalogue => Ok(Admitted::Catalogue(Box::new(package::admit(config_json, model, rules)?))),
        Format::Onnx => Ok(Admitted::Onnx(Box::new(admit_graph(config_json, model, rules)?))),
    }
}

fn admit_graph(config_json: &[u8], file: &[u8], rules: &Admission<'_>) -> Result<AdmittedGraph, Rejection> {
    let config = OnnxConfig::from_json(config_json)?;
    if let Some(labels) = config.labels.filter(|labels| labels != rules.labels) {
        return Err(Code::LabelsMismatch.because(labels_expected(&labels, rules.labels)));
    }
    let (bytes, limit) = (file.len() as u64, rules.limits.size_bytes_max);
    if bytes > limit {
        return Err(Code::FileTooLarge.because(format!("{bytes} bytes of {ONNX_FILE}, limit {limit}")));
    }
    let signature = classifier(rules.input.shape(), rules.labels.len());
    // What has another name is told by it: protobuf reads a field or two into anything.
    let read = Read::of(file, &signature, &rules.limits.into());
    let Read { canonical, model, costs } =
        read.map_err(|refusal| not_onnx(file).map_or(refusal, |what| Code::OnnxUnreadable.because(what)))?;
    if hides_zip(&[&canonical]) {
        return Err(Code::OnnxUnreadable.because("written anew it would be a zip archive as well".to_owned()));
    }
    Ok(AdmittedGraph {
        config: OnnxConfig::new(rules.labels),
        model,
        costs,
        canonical,
        config_sha256: Digest::of(config_json),
        model_sha256: Digest::of(file),
        size_bytes: bytes,
    })
}

/// The ports of a competition of images: one image in, a value for each class out.
pub fn classifier(input: ImageShape, classes: usize) -> Signature {
    let ImageShape { channels, height, width } = input;
    let classes = u32::try_from(classes).unwrap_or(u32::MAX);
    Signature {
        inputs: vec![Port::fixed(IMAGES, Dtype::F32, &[1, channels, height, width])],
        outputs: vec![Port::fixed(LOGITS, Dtype::F32, &[1, classes])],
    }
}

/// A graph that was admitted before, read again.
#[derive(Clone, Debug)]
pub struct Classifier {
    /// What is told of it.
    pub model: OnnxModel,
    /// What it costs.
    pub costs: Costs,
    /// The canonical file.
    pub canonical: Vec<u8>,
    /// The numbers alone, in whatever order and layout they lie; `None` where there are too few to say anything.
    pub numbers: Option<Digest>,
}

impl Classifier {
    /// Reads the model of a package that was admitted, by the ports of its competition.
    ///
    /// # Errors
    /// A [`Rejection`] when it couldn't have been admitted.
    pub fn read(file: &[u8], input: ImageShape, classes: usize) -> Result<Self, Rejection> {
        let mut lowered = onnx::read(file, &classifier(input, classes), &ANY)?;
        let numbers = lowered.first().and_then(|first| crate::numbers::digest(&first.graph));
        let Read { canonical, model, costs } = Read::first(&mut lowered)?;
        Ok(Self { model, costs, canonical, numbers })
    }
}

/// What was read of a file.
struct Read {
    canonical: Vec<u8>,
    model: OnnxModel,
    costs: Costs,
}

impl Read {
    fn of(file: &[u8], signature: &Signature, limits: &Limits) -> Result<Self, Rejection> {
        Self::first(&mut onnx::read(file, signature, limits)?)
    }

    /// Of the one length class that images have.
    fn first(lowered: &mut Vec<Lowered<'_>>) -> Result<Self, Rejection> {
        let Some(Lowered { graph, costs }) = lowered.pop() else {
            return Err(Code::OnnxInput.because("there is no length class".to_owned()));
        };
        let canonical = onnx::write(&graph);
        let model = OnnxModel {
            kind: OnnxKind::Onnx,
            operators: operators(&graph),
            graph_bytes: costs.graph_bytes,
            canonical_sha256: Digest::of(&canonical),
        };
        Ok(Self { canonical, model, costs: costs.into() })
    }
}

fn operators(graph: &Graph<'_>) -> BTreeMap<String, u32> {
    let mut operators = BTreeMap::new();
    for node in &graph.nodes {
        let count: &mut u32 = operators.entry(node.op.name().to_owned()).or_default();
        *count = count.saturating_add(1);
    }
    operators
}

impl Admitted {
    /// What it is.
    pub fn kind(&self) -> ModelKind {
        match self {
            Self::Catalogue(admitted) => admitted.config.architecture.clone().into(),
            Self::Onnx(graph) => ModelKind::Onnx(graph.model.clone()),
        }
    }

    /// What it costs.
    pub fn costs(&self) -> Costs {
        match self {
            Self::Catalogue(admitted) => admitted.costs,
            Self::Onnx(graph) => graph.costs,
        }
    }

    /// Bytes of the file that the model is in.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::Catalogue(admitted) => admitted.size_bytes,
            Self::Onnx(graph) => graph.size_bytes,
        }
    }

    /// The digest that names the package as it came.
    pub fn package_sha256(&self) -> Digest {
        match self {
            Self::Catalogue(admitted) => admitted.package_sha256(),
            Self::Onnx(graph) => Format::Onnx.package_sha256(&graph.config_sha256, &graph.model_sha256),
        }
    }

    /// What is published of the package whose model this is. Publishing it again changes no byte.
    ///
    /// # Errors
    /// None for the model that was admitted.
    pub fn published<'a>(&self, model: &'a [u8]) -> Result<Published<'a>, Rejection> {
        match self {
            Self::Catalogue(admitted) => Ok(Published::Catalogue(admitted.published(model)?)),
            Self::Onnx(graph) => {
                let config =
                    canonical_json(&graph.config).map_err(|error| Code::ConfigInvalid.because(error.to_string()))?;
                Ok(Published::Onnx(config, graph.canonical.clone()))
            }
        }
    }
}

impl Published<'_> {
    /// The digest that names the published package.
    pub fn package_sha256(&self) -> Digest {
        match self {
            Self::Catalogue(package) => package.package_sha256(),
            Self::Onnx(config, model) => Format::Onnx.package_sha256(&Digest::of(config), &Digest::of(model)),
        }
    }
}

impl From<crate::costs::Costs> for Costs {
    fn from(costs: crate::costs::Costs) -> Self {
        Self {
            parameters: costs.parameters,
            size_bytes: costs.size_bytes,
            macs: costs.macs,
            activation_bytes_peak: costs.activation_bytes_peak,
        }
    }
}
