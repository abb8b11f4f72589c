//! The package that a miner hands in, and the admission check: one function for the miner's machine and the
//! validator's door.
//!
//! A submission is data, never code: `config.json` names an architecture of the catalogue and `model.safetensors` holds
//! exactly the tensors that it implies. This module reads bytes that strangers sent; every number in them is checked
//! before it is used. It does not build models.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod canonical;
mod expected;
mod foreign;
mod front;
mod names;
mod tensors;

pub use canonical::CanonicalWeights;
pub use expected::{Asked, EXPECTED_BYTES_MAX, EXPECTED_FILE, EXPECTED_ITEMS_MAX, Expected, is_half_precision};
pub use front::{HEADER_BYTES_MAX, Header, TENSORS_MAX, TensorEntry, read_header};
pub use names::tensor_names;

use crate::Digest;
use crate::architecture::{Architecture, Costs, Plan};
use crate::competition::{InputSpec, Limits};
use crate::digest::canonical_json;
use crate::strict::{Object, object};
use crate::submission::{Code, Rejection};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The format of packages that this version reads.
pub const PACKAGE_FORMAT: &str = "retort/1";

/// `config.json` may have this many bytes: one with the names of ImageNet's thousand classes has some thirty thousand.
pub const CONFIG_BYTES_MAX: u64 = 64 * 1024;

/// The labels of a competition may have this many bytes as JSON, so that the rest of `config.json` fits beside them.
pub const LABELS_BYTES_MAX: u64 = CONFIG_BYTES_MAX - 16 * 1024;

/// `README.md` may have this many bytes.
pub const README_BYTES_MAX: u64 = 256 * 1024;

/// The files of a package.
pub const CONFIG_FILE: &str = "config.json";
/// The weights.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// The optional model card.
pub const README_FILE: &str = "README.md";

/// `config.json`: what the model is and what it expects. Strict: unknown fields are an error.
///
/// A few more fields may be there and mean nothing: those that `transformers` asks for and writes. `model_type` and `auto_map`
/// have exactly the values that a validator writes into them for its Hub repositories, so that what was downloaded can be
/// submitted; names of classes have to agree with `labels`. They are not kept: nobody else's code can be named here.
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
#[serde(deny_unknown_fields)]
struct Written {
    format: String,
    #[serde(deserialize_with = "object")]
    architecture: Architecture,
    #[serde(deserialize_with = "object")]
    input: InputSpec,
    labels: Vec<String>,
    #[serde(default, rename = "model_type")]
    _model_type: Option<ModelType>,
    #[serde(default, rename = "auto_map")]
    _auto_map: Option<AutoMap>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default, rename = "dtype")]
    _dtype: Option<String>,
    #[serde(default, rename = "torch_dtype")]
    _torch_dtype: Option<String>,
    #[serde(default, rename = "transformers_version")]
    _transformers_version: Option<String>,
    #[serde(default, rename = "_name_or_path")]
    _name_or_path: Option<String>,
    #[serde(default, rename = "problem_type")]
    _problem_type: Option<String>,
    #[serde(default)]
    num_labels: Option<usize>,
    #[serde(default)]
    id2label: Option<BTreeMap<usize, String>>,
    #[serde(default)]
    label2id: Option<BTreeMap<String, usize>>,
}

/// The class that `transformers` is given for our models.
const MODEL_CLASS: &str = "RetortForImageClassification";

impl Written {
    /// What `transformers` wrote must say the same as our own fields.
    fn agree(&self) -> Result<(), &'static str> {
        let classes = self.labels.len();
        let listed = |map: &BTreeMap<usize, String>| {
            map.iter().map(|(id, label)| (*id, label)).eq(self.labels.iter().enumerate())
        };
        let counted = |map: &BTreeMap<String, usize>| {
            map.len() == classes && self.labels.iter().enumerate().all(|(id, label)| map.get(label) == Some(&id))
        };
        let is_ours = |names: &Vec<String>| names.iter().all(|name| name == MODEL_CLASS);
        match self {
            _ if self.architectures.as_ref().is_some_and(|names| !is_ours(names)) => {
                Err("`architectures` names another model than ours")
            }
            _ if self.num_labels.is_some_and(|count| count != classes) => {
                Err("`num_labels` isn't how many `labels` there are")
            }
            _ if self.id2label.as_ref().is_some_and(|map| !listed(map)) => {
                Err("`id2label` says otherwise than `labels`")
            }
            _ if self.label2id.as_ref().is_some_and(|map| !counted(map)) => {
                Err("`label2id` says otherwise than `labels`")
            }
            _ => Ok(()),
        }
    }
}

/// The one type of model.
#[derive(Deserialize)]
enum ModelType {
    #[serde(rename = "retort")]
    Retort,
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
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        written.agree()?;
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
        let Object(config): Object<Self> =
            serde_json::from_slice(unmarked(bytes)?).map_err(|error| Code::ConfigInvalid.because(error.to_string()))?;
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

/// A text without the byte order mark that editors on Windows write before UTF-8.
fn unmarked(bytes: &[u8]) -> Result<&[u8], Rejection> {
    match bytes {
        [0xef, 0xbb, 0xbf, text @ ..] => Ok(text),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            Err(Code::ConfigInvalid
                .because("it begins with the byte order mark of UTF-16: save it as UTF-8".to_owned()))
        }
        text => Ok(text),
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

/// The digest that names a package, over the digests of its two files.
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
        return Err(Code::LabelsMismatch.because(format!("expected {}", json(rules.labels))));
    }
    let size_bytes = weights.len() as u64;
    within(Code::FileTooLarge, "bytes of model.safetensors", size_bytes, rules.limits.size_bytes_max)?;
    check_costs(&config.plan()?, rules.limits)?;
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

fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
