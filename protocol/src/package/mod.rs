//! The package that a miner hands in, and the admission check: one function for the miner's machine and the
//! validator's door.
//!
//! A submission is data, never code: `config.json` names an architecture of the catalogue and `model.safetensors` holds
//! exactly the tensors that it implies. The crate `program` does the same for a `model.onnx`, and asks here for the others. This module reads bytes that strangers sent; every number in them is checked
//! before it is used. It does not build models.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod beside;
mod canonical;
mod expected;
mod foreign;
mod format;
mod front;
mod names;
mod tensors;
mod text;

pub use canonical::CanonicalWeights;
pub use expected::{Asked, Claims, EXPECTED_BYTES_MAX, EXPECTED_FILE, EXPECTED_ITEMS_MAX, Expected, is_half_precision};
pub use foreign::{hides_zip, not_onnx};
pub use format::{
    Format, ModelKind, ONNX_FAMILY, ONNX_FILE, ONNX_FORMAT, OnnxConfig, OnnxKind, OnnxModel, is_numbers_beside_onnx,
    numbers_beside_onnx, package_sha256,
};
pub use front::{HEADER_BYTES_MAX, Header, TENSORS_MAX, TensorEntry, for_library, read_header};
pub use names::tensor_names;

use crate::Digest;
use crate::architecture::{Architecture, Costs, Plan};
use crate::competition::{InputSpec, LABELS_BYTES_MAX, Limits};
use crate::digest::canonical_json;
use crate::strict::{Object, object};
use crate::submission::{Code, Rejection};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// The format of packages of the catalogue.
pub const PACKAGE_FORMAT: &str = "retort/1";

/// `config.json` may have this many bytes: one with the names of ImageNet's thousand classes has some thirty thousand.
pub const CONFIG_BYTES_MAX: u64 = LABELS_BYTES_MAX + 16 * 1024;

/// `README.md` may have this many bytes.
pub const README_BYTES_MAX: u64 = 256 * 1024;

/// The files of a package.
pub const CONFIG_FILE: &str = "config.json";
/// The weights.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// The optional model card.
pub const README_FILE: &str = "README.md";

/// Names of files that a sentence shows.
const NAMES_SHOWN: usize = 4;
/// What is in many folders and says nothing about a model.
const NOISE: [&str; 7] =
    [".gitattributes", ".gitignore", ".DS_Store", "LICENSE", "LICENSE.md", "LICENSE.txt", "preprocessor_config.json"];

/// Whether a file of this name says nothing, whatever is in it.
pub fn is_noise(path: &str) -> bool {
    NOISE.contains(&path.rsplit('/').next().unwrap_or(path))
}

/// What of a folder is no package's, for whoever sends the folder; a file in a folder stands for that one. `None` where there
/// is nothing worth a word. The same words wherever a folder is sent.
pub fn left_out<'a>(paths: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let name = |path: &str| path.split_once('/').map_or_else(|| path.to_owned(), |(folder, _)| format!("{folder}/"));
    let names: BTreeSet<String> = paths.into_iter().filter(|path| !is_noise(path)).map(name).collect();
    let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).map(String::as_str).collect();
    let more = match names.len().saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let files =
        format!("{CONFIG_FILE}, {WEIGHTS_FILE} or {ONNX_FILE} and, if you like, {README_FILE} and {EXPECTED_FILE}");
    let stay = if names.len() == 1 { "stays where it is" } else { "stay where they are" };
    (!names.is_empty()).then(|| format!("{}{more} {stay}: a package is {files}", shown.join(", ")))
}

/// `config.json`: what the model is and what it expects. Strict: unknown fields are an error.
///
/// More fields may be there and mean nothing: those that `transformers` asks for and writes. `model_type` and `auto_map`
/// have exactly the values that a validator writes into them for its Hub repositories, so that what was downloaded can be
/// submitted; names of classes have to agree with `labels`, sizes with `input`, and what describes the model with the
/// architecture. They are not kept: nobody else's code can be named here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Written")]
pub struct PackageConfig {
    /// [`PACKAGE_FORMAT`].
    pub format: String,
    /// The architecture.
    pub architecture: Architecture,
    /// What goes in; must be the competition's.
    pub input: InputSpec,
    /// What the outputs mean; must be the competition's.
    pub labels: Vec<String>,
}

/// `config.json` as it may be written.
#[derive(Deserialize)]
struct Written {
    format: String,
    #[serde(deserialize_with = "object")]
    architecture: Architecture,
    #[serde(deserialize_with = "object")]
    input: InputSpec,
    labels: Vec<String>,
    #[serde(flatten)]
    beside: beside::Beside,
}

/// The classes beside a model in our Hub repositories.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AutoMap {
    #[serde(rename = "AutoConfig")]
    _config: ConfigClass,
    #[serde(rename = "AutoModelForImageClassification")]
    _model: ModelClass,
}

#[derive(Deserialize)]
enum ConfigClass {
    #[serde(rename = "configuration_retort.RetortConfig")]
    Ours,
}

#[derive(Deserialize)]
enum ModelClass {
    #[serde(rename = "modeling_retort.RetortForImageClassification")]
    Ours,
}

impl TryFrom<Written> for PackageConfig {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let said = beside::Said { architecture: &written.architecture, input: &written.input, labels: &written.labels };
        written.beside.agree(&said)?;
        let Written { format, architecture, input, labels, .. } = written;
        Ok(Self { format, architecture, input, labels })
    }
}

impl PackageConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// A [`Rejection`] when it is too large, isn't this structure, or has another format.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Rejection> {
        if bytes.len() as u64 > CONFIG_BYTES_MAX {
            return Err(Code::ConfigTooLarge.because(format!("{} bytes, limit {CONFIG_BYTES_MAX}", bytes.len())));
        }
        let invalid = |detail| Code::ConfigInvalid.because(detail);
        if Format::of_config(bytes) == Format::Onnx {
            return Err(invalid(format!("format is {ONNX_FORMAT:?}, of an ONNX file, not {PACKAGE_FORMAT:?}")));
        }
        let text = text::utf8(bytes).map_err(invalid)?;
        let Object(config): Object<Self> =
            serde_json::from_str(text).map_err(|error| invalid(text::told(text, &error)))?;
        if config.format != PACKAGE_FORMAT {
            return Err(Code::ConfigInvalid.because(format!("format is {:?}, not {PACKAGE_FORMAT:?}", config.format)));
        }
        Ok(config)
    }

    /// Reads a package's `config.json` and completes it by the names in its weights: whether batch normalisations were fused
    /// into their convolutions, and whether a perceptron has biases, a file shows by itself.
    ///
    /// # Errors
    /// As [`PackageConfig::from_json`]. Weights that fit neither form leave the description as it is.
    pub fn of_package(config_json: &[u8], weights: &[u8]) -> Result<Self, Rejection> {
        let config = Self::from_json(config_json)?;
        Ok(config.other_form(weights).unwrap_or(config))
    }

    /// The description in its other form, where that is what `weights` hold and this one isn't.
    fn other_form(&self, weights: &[u8]) -> Option<Self> {
        let holds = |config: &Self| tensor_names(weights, &config.plan().ok()?).ok();
        let other = Self { architecture: self.architecture.other_form()?, ..self.clone() };
        (holds(self).is_none() && holds(&other).is_some()).then_some(other)
    }

    /// Expands the architecture.
    ///
    /// # Errors
    /// A [`Rejection`] when it can't be built.
    pub fn plan(&self) -> Result<Plan, Rejection> {
        let classes = u32::try_from(self.labels.len())
            .map_err(|_| Code::ArchitectureInvalid.because("too many labels".to_owned()))?;
        self.architecture
            .plan(self.input.shape(), classes)
            .map_err(|error| Code::ArchitectureInvalid.because(error.to_string()))
    }
}

/// What a competition asks of a package.
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    /// The competition's input.
    pub input: &'a InputSpec,
    /// The competition's classes.
    pub labels: &'a [String],
    /// The competition's limits.
    pub limits: &'a Limits,
}

/// A package that passed admission.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The parsed configuration.
    pub config: PackageConfig,
    /// The expanded architecture.
    pub plan: Plan,
    /// What it costs.
    pub costs: Costs,
    /// SHA-256 of `config.json`.
    pub config_sha256: Digest,
    /// SHA-256 of `model.safetensors`.
    pub weights_sha256: Digest,
    /// Bytes of `model.safetensors`.
    pub size_bytes: u64,
}

impl Admitted {
    /// The digest that names the package: over the digests of both files.
    pub fn package_sha256(&self) -> Digest {
        package_digest(&self.config_sha256, &self.weights_sha256)
    }

    /// What is published of the package whose weights these are. Publishing it again changes no byte.
    ///
    /// # Errors
    /// None for the weights that were admitted.
    pub fn published<'a>(&self, weights: &'a [u8]) -> Result<PublishedPackage<'a>, Rejection> {
        let config_json =
            canonical_json(&self.config).map_err(|error| Code::ConfigInvalid.because(error.to_string()))?;
        Ok(PublishedPackage { config_json, weights: CanonicalWeights::new(weights, &self.plan)? })
    }
}

/// An admitted package as it is published: the same model in bytes that we wrote. Receipts and the public log name the
/// package that was uploaded ([`Admitted::package_sha256`]); whoever downloads a model gets this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedPackage<'a> {
    /// `config.json` in canonical JSON.
    pub config_json: Vec<u8>,
    /// `model.safetensors` in canonical form.
    pub weights: CanonicalWeights<'a>,
}

impl PublishedPackage<'_> {
    /// The digest that names the published package.
    pub fn package_sha256(&self) -> Digest {
        package_digest(&Digest::of(&self.config_json), &self.weights.sha256())
    }
}

/// The digest that names a package of the catalogue, over the digests of its two files; [`Format::package_sha256`] is for all.
pub fn package_digest(config: &Digest, weights: &Digest) -> Digest {
    Digest::of(format!("retort/1\n{config}\n{weights}\n").as_bytes())
}

/// Admits or rejects a package. Pure: the same bytes and rules give the same answer everywhere.
///
/// Cheap checks come first; nothing is allocated that the limits don't allow.
///
/// # Errors
/// A [`Rejection`] with a stable code and the offending value.
pub fn admit(config_json: &[u8], weights: &[u8], rules: &Admission<'_>) -> Result<Admitted, Rejection> {
    let config = PackageConfig::from_json(config_json)?;
    if config.input != *rules.input {
        return Err(Code::InputMismatch.because(format!("expected {}", json(rules.input))));
    }
    if config.labels != rules.labels {
        return Err(Code::LabelsMismatch.because(labels_expected(&config.labels, rules.labels)));
    }
    // A file is mostly too large because its model is: whoever is told of parameters knows what to change.
    check_costs(&config.plan()?, rules.limits)?;
    let size_bytes = weights.len() as u64;
    within(Code::FileTooLarge, "bytes of model.safetensors", size_bytes, rules.limits.size_bytes_max)?;
    let config = config.other_form(weights).unwrap_or(config);
    let plan = config.plan()?;
    let costs = check_costs(&plan, rules.limits)?;
    let header = tensors::check(weights, &plan)?;
    // Written anew it must not become an archive either.
    CanonicalWeights::of(&header, weights, &plan)?;
    Ok(Admitted {
        config,
        plan,
        costs,
        config_sha256: Digest::of(config_json),
        weights_sha256: Digest::of(weights),
        size_bytes,
    })
}

fn check_costs(plan: &Plan, limits: &Limits) -> Result<Costs, Rejection> {
    let costs = plan.costs().map_err(|error| Code::ArchitectureInvalid.because(error.to_string()))?;
    within(Code::OverLimit, "parameters", costs.parameters, limits.parameters_max)?;
    within(Code::OverLimit, "multiply-accumulates", costs.macs, limits.macs_max)?;
    within(Code::OverLimit, "activation bytes", costs.activation_bytes_peak, limits.activation_bytes_max)?;
    Ok(costs)
}

fn within(code: Code, what: &str, value: u64, limit: u64) -> Result<(), Rejection> {
    if value <= limit { Ok(()) } else { Err(code.because(format!("{value} {what}, limit {limit}"))) }
}

/// Which labels a package should have: the first that is another, and all where they are few.
pub fn labels_expected(found: &[String], expected: &[String]) -> String {
    const SHOWN: usize = 100;
    let other = (1_usize..).zip(found.iter().zip(expected)).find(|(_, (found, expected))| found != expected);
    let first = match other {
        Some((number, (found, expected))) => format!("number {number} is {found:?}, expected {expected:?}"),
        None => format!("{} labels, expected {}", found.len(), expected.len()),
    };
    if expected.len() > SHOWN { first } else { format!("{first}; all of them: {}", json(expected)) }
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
