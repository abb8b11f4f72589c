//! What is timed: a package from a folder, the repository's models, or a student of the template with random weights.

use crate::commands::built_in::{FILES, MANIFEST};
use anyhow::{Context, Result, anyhow};
use datasets::FashionMnist;
use miner_template::files::PackageFiles;
use miner_template::students::student;
use models::Weights;
use protocol::competition::{InputSpec, Manifest};
use protocol::evaluation::{EvaluationRequest, Items, Order, PackageBytes, Scope};
use protocol::package::{Format, PackageConfig};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::ops::Range;
use std::path::Path;

/// Test images that are timed on and, where outputs matter, answered.
pub(super) const ITEMS: u32 = 1_000;

/// The longest that one measurement may take.
const WALL_SECONDS_MAX: u64 = 600;

/// What stands beside a graph.
const GRAPH_CONFIG: &[u8] = br#"{"format":"retort/2","kind":"onnx"}"#;

/// A model with the name that tables show.
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) package: PackageBytes,
}

impl Subject {
    /// The package in `folder`, or the model called `name`.
    pub(super) fn find(folder: Option<&Path>, name: &str) -> Result<Self> {
        if let Some(file) = folder.filter(|path| path.extension().is_some_and(|extension| extension == "onnx")) {
            let model = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
            let package = PackageBytes { config_json: GRAPH_CONFIG.into(), weights: model.into() };
            return Ok(Self { name: file.display().to_string(), package });
        }
        if let Some(folder) = folder {
            let files = PackageFiles::read(folder)?;
            let package = PackageBytes { config_json: files.config_json.into(), weights: files.weights.into() };
            return Ok(Self { name: folder.display().to_string(), package });
        }
        let package = match name {
            "teacher" | "reference" => of_repository(name)?,
            other => untrained(other)?,
        };
        Ok(Self { name: name.to_owned(), package })
    }

    /// Whether it is an ONNX file and not a package of the catalogue.
    pub(super) fn is_graph(&self) -> bool {
        Format::of_config(&self.package.config_json) == Format::Onnx
    }

    /// The reference student, which competitions measure against.
    pub(super) fn reference() -> Result<PackageBytes> {
        of_repository("reference")
    }

    /// A request to time this model beside `reference`.
    pub(super) fn request(&self, reference: &PackageBytes, seed: u64) -> Result<EvaluationRequest> {
        self.request_on(0..ITEMS, reference, seed)
    }

    /// How pixels become inputs; a graph has the built-in competition's way.
    fn input(&self) -> Result<InputSpec> {
        match self.is_graph() {
            true => Ok(Manifest::from_toml(MANIFEST)?.input),
            false => Ok(PackageConfig::from_json(&self.package.config_json)?.input),
        }
    }

    /// The same on other test images.
    pub(super) fn request_on(
        &self,
        items: Range<u32>,
        reference: &PackageBytes,
        seed: u64,
    ) -> Result<EvaluationRequest> {
        let images = FashionMnist::load_test()?.select(&items.collect::<Vec<u32>>());
        let public = images.count;
        let Items { inputs, truth } = images.asked(&self.input()?, public, None);
        let order = Order {
            candidate: self.package.clone(),
            reference: reference.clone(),
            inputs,
            probes: Default::default(),
            expected: None,
            engine: Default::default(),
            backends: Vec::new(),
            scope: Scope::Full,
            seed,
            wall_seconds_max: WALL_SECONDS_MAX,
            memory_bytes_max: 8 << 30,
        };
        Ok(EvaluationRequest::new(order, truth))
    }
}

/// A model that this program carries with it.
fn of_repository(name: &str) -> Result<PackageBytes> {
    let file = |file: &str| {
        let path = format!("models/{name}/{file}");
        let found = FILES.iter().find(|(candidate, _)| *candidate == path);
        found.map(|(_, bytes)| *bytes).with_context(|| format!("{path} isn't part of this program"))
    };
    Ok(PackageBytes { config_json: file("config.json")?.into(), weights: file("model.safetensors")?.into() })
}

/// Random weights: how long an inference takes doesn't depend on them.
fn untrained(name: &str) -> Result<PackageBytes> {
    let manifest = Manifest::from_toml(MANIFEST)?;
    let config = PackageConfig {
        format: "retort/1".into(),
        architecture: student(name).map_err(|problem| anyhow!("{problem}, or teacher, or reference"))?,
        input: manifest.input,
        labels: manifest.labels,
    };
    let weights = Weights::random(&config.plan()?, &mut StdRng::seed_from_u64(1)).to_safetensors()?;
    Ok(PackageBytes { config_json: serde_json::to_vec(&config)?.into(), weights: weights.into() })
}
