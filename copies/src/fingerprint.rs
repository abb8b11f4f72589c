//! What is kept of a package to compare it with others: digests, the directions of its units, its answers to probes.
//!
//! A fingerprint is a pure function of the package, and of the logits on the probes if there are any: whoever
//! downloads the package gets the same bytes. This module judges nothing.
//!
//! File format `RTCOPY2`, little endian: 8 bytes `RTCOPY2\0`; u32 length of the head; the head, canonical JSON; i16
//! rows, layers in plan order, units in order; i16 residuals, then i16 standardised outputs, both probe-major.

use crate::FingerprintError;
use crate::residuals::{self, Answers, ProbeLogits};
use crate::rows::{self, Rows};
use program::package::Classifier;
use protocol::Digest;
use protocol::architecture::{ArchitectureError, Costs, ImageShape, Plan};
use protocol::digest::{Hasher, canonical_json};
use protocol::package::{Format, ModelKind, PackageConfig, package_digest};
use serde::{Deserialize, Serialize};
use weights::Weights;

const MAGIC: [u8; 8] = *b"RTCOPY2\0";
/// A head is an architecture and a few numbers.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Values that are made bytes at once to be hashed: a model's bytes aren't in memory a second time.
const VALUES_HASHED: usize = 16 * 1024;

/// A package, as it is compared. Two fingerprints of one package with the same probes are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    pub(crate) head: Head,
    pub(crate) layers: Vec<Rows>,
    pub(crate) answers: Answers,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    pub(crate) package: Digest,
    pub(crate) canonical: Digest,
    /// Of a graph with what it costs; for the catalogue that follows from the plan.
    pub(crate) architecture: ModelKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    costs: Option<Costs>,
    /// The numbers of a graph alone, sorted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) numbers: Option<Digest>,
    pub(crate) input: ImageShape,
    pub(crate) classes: u32,
    /// The digest of the teacher's logits: residuals on other probes can't be compared.
    pub(crate) probes: Option<Digest>,
    /// For each layer, how much it writes beside what its channels hold already, ppm ([`Rows::strength_ppm`]).
    strengths_ppm: Vec<u32>,
    /// Classes times probes: as many residuals, and as many outputs.
    answer_values: u32,
}

impl Head {
    fn plan(&self) -> Result<Option<Plan>, ArchitectureError> {
        self.architecture.architecture().map(|architecture| architecture.plan(self.input, self.classes)).transpose()
    }
}

impl Fingerprint {
    /// The fingerprint of a package of the catalogue that admission let through. Without probes there is nothing to say of its outputs.
    ///
    /// # Errors
    /// When the package is none, or the logits are not as many as the teacher's.
    pub fn new(
        config_json: &[u8],
        safetensors: &[u8],
        probes: Option<ProbeLogits<'_>>,
    ) -> Result<Self, FingerprintError> {
        let config = PackageConfig::from_json(config_json)?;
        let plan = config.plan()?;
        let weights = Weights::from_safetensors(safetensors, &plan)?;
        let answers = probes.map(|probes| residuals::answers(&probes, plan.classes())).transpose()?.unwrap_or_default();
        let canonical = canonical(&config, &weights)?;
        let layers = rows::of(&plan, weights)?;
        let head = Head {
            package: package_digest(&Digest::of(config_json), &Digest::of(safetensors)),
            canonical,
            input: config.input.shape(),
            classes: plan.classes(),
            architecture: config.architecture.into(),
            costs: None,
            numbers: None,
            probes: probes.map(|probes| probes.digest()),
            strengths_ppm: layers.iter().map(|layer| layer.strength_ppm).collect(),
            answer_values: answers.outputs.len() as u32,
        };
        Ok(Self { head, layers, answers })
    }

    /// The fingerprint of a package of either format, in a competition of this input and so many classes. Of a graph there are
    /// its digests and its answers; its units aren't matched with anybody's.
    ///
    /// # Errors
    /// As [`Fingerprint::new`].
    pub fn of_package(
        config_json: &[u8],
        model: &[u8],
        (input, classes): (ImageShape, usize),
        probes: Option<ProbeLogits<'_>>,
    ) -> Result<Self, FingerprintError> {
        if Format::of_config(config_json) == Format::Catalogue {
            return Self::new(config_json, model, probes);
        }
        let Classifier { model: graph, costs, numbers, .. } = Classifier::read(model, input, classes)?;
        let classes = classes as u32;
        let answers = probes.map(|probes| residuals::answers(&probes, classes)).transpose()?.unwrap_or_default();
        let head = Head {
            package: Format::Onnx.package_sha256(&Digest::of(config_json), &Digest::of(model)),
            canonical: graph.canonical_sha256,
            architecture: ModelKind::Onnx(graph),
            costs: Some(costs),
            numbers,
            input,
            classes,
            probes: probes.map(|probes| probes.digest()),
            strengths_ppm: Vec::new(),
            answer_values: answers.outputs.len() as u32,
        };
        Ok(Self { head, layers: Vec::new(), answers })
    }

    /// The package's digest.
    pub fn package(&self) -> Digest {
        self.head.package
    }

    /// The digest of the decoded numbers: the same for each lossless encoding of one model.
    pub fn canonical(&self) -> Digest {
        self.head.canonical
    }

    /// What it is.
    pub fn model(&self) -> &ModelKind {
        &self.head.architecture
    }

    /// Whether it is a graph, whose units are matched with nobody's.
    pub fn is_graph(&self) -> bool {
        self.head.architecture.format() == Format::Onnx
    }

    /// What one inference costs.
    ///
    /// # Errors
    /// Never for a fingerprint of a package that was admitted.
    pub fn costs(&self) -> Result<Costs, ArchitectureError> {
        match (self.head.costs, self.plan()?) {
            (Some(costs), _) => Ok(costs),
            (None, Some(plan)) => plan.costs(),
            (None, None) => Ok(Costs::default()),
        }
    }

    /// The family, as `config.json` spells it.
    pub fn family(&self) -> &'static str {
        self.head.architecture.kind()
    }

    /// The plan, made again from the description; a graph has none.
    pub(crate) fn plan(&self) -> Result<Option<Plan>, ArchitectureError> {
        self.head.plan()
    }

    /// The file.
    ///
    /// # Errors
    /// When the head can't be written as JSON, which for these types it always can.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FingerprintError> {
        let head = canonical_json(&self.head).map_err(|error| FingerprintError::Format(error.to_string()))?;
        let Answers { residuals, outputs } = &self.answers;
        let count = self.layers.iter().map(|layer| layer.values.len()).sum::<usize>() + residuals.len() + outputs.len();
        let mut bytes = Vec::with_capacity(MAGIC.len() + size_of::<u32>() + head.len() + count * size_of::<i16>());
        bytes.extend(MAGIC);
        bytes.extend((head.len() as u32).to_le_bytes());
        bytes.extend(head);
        let values = self.layers.iter().flat_map(|layer| &layer.values).chain(residuals).chain(outputs);
        bytes.extend(values.flat_map(|value| value.to_le_bytes()));
        Ok(bytes)
    }

    /// Reads a file that [`Self::to_bytes`] wrote. Nothing is allocated beyond the input's own length.
    ///
    /// # Errors
    /// When a byte is missing, left over or out of place.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FingerprintError> {
        let wrong = |what: &str| FingerprintError::Format(what.to_owned());
        let rest = bytes.strip_prefix(&MAGIC).ok_or_else(|| wrong("it doesn't begin with RTCOPY2"))?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(|| wrong("the head's length is missing"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let (head, rest) = rest
            .split_at_checked(length)
            .filter(|_| length <= HEAD_BYTES_MAX)
            .ok_or_else(|| wrong("the head is longer than it may be"))?;
        let head: Head = serde_json::from_slice(head).map_err(|error| FingerprintError::Format(error.to_string()))?;
        let plan = head.plan()?;
        if plan.is_none() && head.costs.is_none() {
            return Err(wrong("it is of a graph and doesn't say what that costs"));
        }
        let (values, odd) = rest.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(wrong("half a number is left over"));
        }
        let mut values = values.iter().copied().map(i16::from_le_bytes);
        let layout = plan.as_ref().map(rows::layout).unwrap_or_default();
        if layout.len() != head.strengths_ppm.len() {
            return Err(wrong("it has another number of strengths than of layers"));
        }
        let mut layers = Vec::new();
        for ((name, count, width), strength_ppm) in layout.into_iter().zip(head.strengths_ppm.iter().copied()) {
            let expected = count.checked_mul(width).and_then(|n| usize::try_from(n).ok());
            let values: Vec<i16> = match expected {
                Some(expected) if expected <= values.len() => values.by_ref().take(expected).collect(),
                _ => return Err(wrong("it ends before its rows do")),
            };
            layers.push(Rows { name, count: count as usize, values, strength_ppm });
        }
        let mut answers = Answers { residuals: values.collect(), outputs: Vec::new() };
        let expected = head.answer_values as usize;
        if expected.checked_mul(2) != Some(answers.residuals.len()) {
            return Err(wrong("the answers to the probes are not as many as the head says"));
        }
        answers.outputs = answers.residuals.split_off(expected);
        Ok(Self { head, layers, answers })
    }
}

/// SHA-256 over what was decoded: architecture, then for each tensor in name order its name, shape and f32 values.
fn canonical(config: &PackageConfig, weights: &Weights) -> Result<Digest, FingerprintError> {
    let mut hasher = Hasher::default();
    hasher.update(&canonical_json(config).map_err(|error| FingerprintError::Format(error.to_string()))?);
    for (name, array) in weights.iter() {
        hasher.update(format!("\n{name} {:?}\n", array.shape).as_bytes());
        for values in array.values.chunks(VALUES_HASHED) {
            // -0 and 0 are one number.
            let bytes: Vec<u8> = values.iter().flat_map(|value| (value + 0.0).to_le_bytes()).collect();
            hasher.update(&bytes);
        }
    }
    Ok(hasher.finish())
}
