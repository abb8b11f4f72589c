//! The formats of packages: which file the model is in, what `config.json` says beside it, how a package is named.
//!
//! What is in a `model.onnx` the crate `program` reads; here are its names alone.

use super::{CONFIG_BYTES_MAX, PACKAGE_FORMAT, WEIGHTS_FILE, text};
use crate::Digest;
use crate::architecture::Architecture;
use crate::competition::Taken;
use crate::strict::Object;
use crate::submission::{Code, Rejection};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The format of packages whose model is an ONNX file.
pub const ONNX_FORMAT: &str = "retort/2";
/// The model of such a package: the computation and the numbers in one.
pub const ONNX_FILE: &str = "model.onnx";

/// What boards call the family of every graph.
pub const ONNX_FAMILY: &str = "onnx";

/// Which file a package's model is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `retort/1`: `config.json` names an architecture of the catalogue, `model.safetensors` has its tensors.
    Catalogue,
    /// `retort/2`: `model.onnx` has it all.
    Onnx,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 2] = [Self::Catalogue, Self::Onnx];

    /// The file that the model is in.
    pub fn file(self) -> &'static str {
        match self {
            Self::Catalogue => WEIGHTS_FILE,
            Self::Onnx => ONNX_FILE,
        }
    }

    /// What `config.json` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Catalogue => PACKAGE_FORMAT,
            Self::Onnx => ONNX_FORMAT,
        }
    }

    /// The format whose model lies in a file of this name.
    pub fn of_file(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.file() == name)
    }

    /// The format that a `config.json` states. Whatever states none is read as a catalogue's, which says what is wrong with it.
    pub fn of_config(config_json: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Stated {
            format: String,
        }
        let is_short = config_json.len() as u64 <= CONFIG_BYTES_MAX;
        let text = is_short.then(|| text::utf8(config_json).ok()).flatten();
        match text.and_then(|text| serde_json::from_str(text).ok()) {
            Some(Stated { format }) if format == ONNX_FORMAT => Self::Onnx,
            _ => Self::Catalogue,
        }
    }

    /// The format of the package that this digest names and these files are; `None` where it names another.
    pub fn named_by(package: &Digest, config: &Digest, model: &Digest) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.package_sha256(config, model) == *package)
    }

    /// The digest that names a package: over the digests of its files, which are sorted by name.
    pub fn package_sha256(self, config: &Digest, model: &Digest) -> Digest {
        match self {
            Self::Catalogue => super::package_digest(config, model),
            Self::Onnx => {
                Digest::of(format!("{ONNX_FORMAT}\n{} {config}\n{ONNX_FILE} {model}\n", super::CONFIG_FILE).as_bytes())
            }
        }
    }
}

impl From<Format> for Taken {
    fn from(format: Format) -> Self {
        match format {
            Format::Catalogue => Self::Catalogue,
            Format::Onnx => Self::Onnx,
        }
    }
}

/// The digest that names the package of these two files.
pub fn package_sha256(config_json: &[u8], model: &[u8]) -> Digest {
    Format::of_config(config_json).package_sha256(&Digest::of(config_json), &Digest::of(model))
}

/// `config.json` of a package whose model is an ONNX file. Ports and preparation are the competition's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OnnxConfig {
    /// [`ONNX_FORMAT`].
    pub format: String,
    /// Always `onnx`.
    pub kind: OnnxKind,
    /// What the outputs mean; must be the competition's, where they are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub labels: Option<Vec<String>>,
}

/// The kind of a model that is a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnnxKind {
    /// An ONNX graph.
    #[default]
    Onnx,
}

impl OnnxConfig {
    /// What is written beside a model whose outputs mean these.
    pub fn new(labels: &[String]) -> Self {
        Self { format: ONNX_FORMAT.to_owned(), kind: OnnxKind::Onnx, labels: Some(labels.to_vec()) }
    }

    /// Reads `config.json`.
    ///
    /// # Errors
    /// A [`Rejection`] when it is too large, isn't this structure, or has another format.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Rejection> {
        if bytes.len() as u64 > CONFIG_BYTES_MAX {
            return Err(Code::ConfigTooLarge.because(format!("{} bytes, limit {CONFIG_BYTES_MAX}", bytes.len())));
        }
        let invalid = |detail| Code::ConfigInvalid.because(detail);
        let text = text::utf8(bytes).map_err(invalid)?;
        let Object(config): Object<Self> =
            serde_json::from_str(text).map_err(|error| invalid(text::told(text, &error)))?;
        if config.format != ONNX_FORMAT {
            return Err(invalid(format!("format is {:?}, not {ONNX_FORMAT:?}", config.format)));
        }
        Ok(config)
    }
}

/// What a submission's model is: an architecture of the catalogue, or a graph of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ModelKind {
    /// A graph.
    Onnx(OnnxModel),
    /// An architecture.
    Catalogue(Architecture),
}

/// What is told of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OnnxModel {
    /// Always `onnx`.
    pub kind: OnnxKind,
    /// How many nodes there are of each operator, constants folded.
    pub operators: BTreeMap<String, u32>,
    /// What the file has beside the numbers: nodes, shapes, names. No score depends on it.
    pub graph_bytes: u64,
    /// The digest of the graph in canonical form: of the `model.onnx` that is published.
    pub canonical_sha256: Digest,
}

impl ModelKind {
    /// The name of the family, as `config.json` spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Onnx(_) => ONNX_FAMILY,
            Self::Catalogue(architecture) => architecture.kind(),
        }
    }

    /// Which format its package has.
    pub fn format(&self) -> Format {
        match self {
            Self::Onnx(_) => Format::Onnx,
            Self::Catalogue(_) => Format::Catalogue,
        }
    }

    /// What is told of it, where it is a graph.
    pub fn graph(&self) -> Option<&OnnxModel> {
        match self {
            Self::Onnx(graph) => Some(graph),
            Self::Catalogue(_) => None,
        }
    }

    /// The architecture, where it is one of the catalogue.
    pub fn architecture(&self) -> Option<&Architecture> {
        match self {
            Self::Onnx(_) => None,
            Self::Catalogue(architecture) => Some(architecture),
        }
    }
}

impl OnnxModel {
    /// Its operators for people, those that are there most first: `Conv 9, Relu 8, Add 3`.
    pub fn operators_told(&self) -> String {
        let mut operators: Vec<_> = self.operators.iter().collect();
        operators.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), name.as_str()));
        operators.into_iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    }
}

impl From<Architecture> for ModelKind {
    fn from(architecture: Architecture) -> Self {
        Self::Catalogue(architecture)
    }
}

/// Whether a file of this name is what exporters write beside a `model.onnx` with its numbers.
pub fn is_numbers_beside_onnx(path: &str) -> bool {
    path.ends_with(".onnx.data") || path.ends_with(".onnx_data")
}

/// Why such a file isn't taken, and what to send.
pub fn numbers_beside_onnx(path: &str) -> Rejection {
    let shown: String = path.chars().take(64).collect();
    Code::OnnxExternalData.because(format!(
        "{shown:?} has the numbers of a model beside it, where a package has them in {ONNX_FILE}: `retort miner check \
         {ONNX_FILE} --out DIR` puts them in"
    ))
}
