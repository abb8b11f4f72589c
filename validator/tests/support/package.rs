//! Packages made from an architecture's own plan: right in every respect, small, and different for every seed.

use protocol::Digest;
use protocol::api::FileDeclaration;
use protocol::package::{CONFIG_FILE, PackageConfig, WEIGHTS_FILE, package_digest};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;
use std::path::Path;

/// The files of a package, with which tests do what they like.
#[derive(Clone)]
pub(crate) struct Package {
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// A tensor before it is written.
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Package {
    /// A multi-layer perceptron for the competition of [`competition_toml`]. Seeds equal modulo 97 give equal weights.
    pub(crate) fn mlp(hidden: &[u32], seed: u32) -> Self {
        Self::with_tensors(hidden, seed, |_| {})
    }

    /// One whose weights nobody else has.
    pub(crate) fn random(hidden: &[u32], seed: u64) -> Self {
        Self::with_tensors(hidden, 0, |tensors| {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            for byte in tensors.iter_mut().flat_map(|tensor| tensor.bytes.as_chunks_mut::<4>().0) {
                // xorshift64: numbers that differ are all that is wanted.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = ((state >> 40) as f32 / (1 << 24) as f32 - 0.5).to_le_bytes();
            }
        })
    }

    /// The same after `change` to its tensors.
    pub(crate) fn with_tensors(hidden: &[u32], seed: u32, change: impl FnOnce(&mut Vec<Tensor>)) -> Self {
        Self::configured(&config(hidden), seed, change)
    }

    /// One of other classes.
    pub(crate) fn labelled(hidden: &[u32], seed: u32, labels: &[String]) -> Self {
        let mut config = config(hidden);
        config["labels"] = json!(labels);
        Self::configured(&config, seed, |_| {})
    }

    fn configured(config: &serde_json::Value, seed: u32, change: impl FnOnce(&mut Vec<Tensor>)) -> Self {
        let parsed = PackageConfig::from_json(config.to_string().as_bytes()).unwrap();
        let mut tensors: Vec<Tensor> = parsed
            .plan()
            .unwrap()
            .tensors()
            .into_iter()
            .map(|spec| {
                let count: u64 = spec.shape.iter().product();
                let values = (0..count).map(|i| ((i * 31 + u64::from(seed) * 17) % 97) as f32 / 97.0 - 0.5);
                let bytes = values.flat_map(f32::to_le_bytes).collect();
                let shape = spec.shape.iter().map(|size| *size as usize).collect();
                Tensor { name: spec.name, dtype: Dtype::F32, shape, bytes }
            })
            .collect();
        change(&mut tensors);
        let views = tensors.iter().map(|tensor| {
            let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap();
            (tensor.name.clone(), view)
        });
        let weights = safetensors::serialize(views, None).unwrap();
        Self { files: vec![(CONFIG_FILE.into(), config.to_string().into_bytes()), (WEIGHTS_FILE.into(), weights)] }
    }

    /// The same with another `config.json`.
    pub(crate) fn with_config(mut self, change: impl FnOnce(&mut serde_json::Value)) -> Self {
        let mut config = serde_json::from_slice(self.file(CONFIG_FILE)).unwrap();
        change(&mut config);
        *self.file(CONFIG_FILE) = config.to_string().into_bytes();
        self
    }

    /// The same with other weights.
    pub(crate) fn with_weights(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(self.file(WEIGHTS_FILE));
        self
    }

    pub(crate) fn file(&mut self, path: &str) -> &mut Vec<u8> {
        &mut self.files.iter_mut().find(|(name, _)| name == path).unwrap().1
    }

    pub(crate) fn declarations(&self) -> Vec<FileDeclaration> {
        let declare = |(path, bytes): &(String, Vec<u8>)| FileDeclaration {
            path: path.clone(),
            size: bytes.len() as u64,
            sha256: Digest::of(bytes),
        };
        self.files.iter().map(declare).collect()
    }

    pub(crate) fn sha256(&mut self) -> Digest {
        package_digest(&Digest::of(self.file(CONFIG_FILE)), &Digest::of(self.file(WEIGHTS_FILE)))
    }

    pub(crate) fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        for (path, bytes) in &self.files {
            std::fs::write(folder.join(path), bytes).unwrap();
        }
    }
}

fn config(hidden: &[u32]) -> serde_json::Value {
    json!({
        "format": "retort/1",
        "architecture": { "kind": "mlp", "hidden": hidden },
        "input": { "channels": 1, "height": 8, "width": 8, "mean_ppm": [300_000], "deviation_ppm": [350_000] },
        "labels": ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    })
}

/// What honest perceptrons have in common, as if it had been measured on digits.
const NULLS: &str = r#"{ pairs = 136, source = "made up for tests", residual_correlation_max_ppm = 800000, fresh_residual_correlation_max_ppm = 930000, unexplained_min_ppm = 221000, fresh_unexplained_min_ppm = 82000, families.mlp = { weight_match_max_ppm = 770000, residual_correlation_max_ppm = 799230 } }"#;

/// A competition on handwritten digits; `extra` goes to the top level.
pub(crate) fn competition_toml(id: &str, extra: &str) -> String {
    let beacon = if extra.contains("beacon") { "" } else { "rounds.beacon = \"ledger\"" };
    format!(
        r#"
format = "retort-competition/1"
id = "{id}"
title = "Digits"
task = "image_classification"
labels = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
# The teacher is as small as its students.
teacher_distance = "none"
{beacon}
{extra}
input = {{ channels = 1, height = 8, width = 8, mean_ppm = [300000], deviation_ppm = [350000] }}
data = {{ source = "digits", public_items = 100, hidden_items = 300 }}
# Some hundred items show little: the default level is made for thousands.
dethrone = {{ alpha_hidden_ppm = 50000, epsilon_ppm = 2000 }}
nulls = {NULLS}
teacher = {{ package = "teacher" }}
reference = {{ package = "reference" }}

[limits]
size_bytes_max = 20000
parameters_max = 2000
macs_max = 2000
activation_bytes_max = 2000
submissions_per_day = 4
upload_seconds_max = 600
evaluation_seconds_max = 60
"#
    )
}
