//! Runs models on the calibration's probes and on the items of a drawn round. It judges nothing.

use anyhow::{Context, Result};
use copies::{Evidence, Fingerprint, OutputEvidence, PROBES_DEFAULT, ProbeLogits, compare, compare_outputs};
use datasets::hidden::{DrawSpec, draw, render};
use datasets::split::{PUBLIC_COUNT_DEFAULT, Split};
use datasets::{FashionMnist, Images};
use miner_template::augment::Augmentation;
use miner_template::files::PackageFiles;
use miner_template::source::Assets;
use miner_template::teacher;
use models::{DeviceKind, Weights};
use protocol::architecture::Plan;
use protocol::competition::Manifest;
use protocol::nulls::Nulls;
use protocol::package::PackageConfig;
use std::path::Path;

/// The built-in competition.
const MANIFEST: &str = include_str!("../../../competitions/fashion-mnist/competition.toml");
/// The probes of the calibration: anyone can draw them again.
const SEED: [u8; 32] = *b"retort copies, calibration, 2026";
/// As in eval/examples/hidden_gap.rs.
const SPLIT_KEY: [u8; 32] = [1; 32];
const SEEDS: ([u8; 32], [u8; 32]) = ([2; 32], [3; 32]);
/// Fresh items of a round: as many as the best at screening are asked.
pub(crate) const FRESH: u32 = 1_000;

/// What runs a model, and what the teacher says.
pub(crate) struct Bench {
    device: burn::tensor::Device,
    scale: Vec<[f32; 256]>,
    probes: Images,
    fresh: Images,
    on_probes: Vec<f32>,
    on_fresh: Vec<f32>,
    pub(crate) classes: u32,
    pub(crate) teacher: Student,
    pub(crate) reference: Student,
    /// What the built-in competition states of honest students.
    pub(crate) nulls: Nulls,
}

/// A package with its weights read.
pub(crate) struct Student {
    pub(crate) name: String,
    pub(crate) files: PackageFiles,
    pub(crate) config: PackageConfig,
    pub(crate) plan: Plan,
    pub(crate) weights: Weights,
}

/// What was kept of a model.
pub(crate) struct Seen {
    pub(crate) print: Fingerprint,
    pub(crate) on_fresh: Vec<f32>,
}

impl Student {
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let files = PackageFiles::read(folder).with_context(|| format!("read {}", folder.display()))?;
        let config = PackageConfig::from_json(&files.config_json)?;
        let plan = config.plan()?;
        let weights = Weights::from_safetensors(&files.weights, &plan)?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, files, config, plan, weights })
    }

    /// All packages of a folder whose names begin so, in the order of names.
    pub(crate) fn all(folder: &Path, prefix: &str) -> Result<Vec<Self>> {
        let entries = std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
        let mut folders = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        folders.retain(|folder| folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
        folders.sort();
        folders.iter().map(|folder| Self::read(folder)).collect()
    }
}

impl Bench {
    pub(crate) fn new(competition: &str) -> Result<Self> {
        let assets = Assets::open(competition).context("open the competition")?;
        let shape = assets.input.shape();
        let probes = Images {
            count: PROBES_DEFAULT,
            channels: shape.channels,
            height: shape.height,
            width: shape.width,
            pixels: copies::probes(&SEED, shape, PROBES_DEFAULT),
            labels: Vec::new(),
        };
        let test = FashionMnist::load_test()?;
        let pool = test.select(&Split::new(&SPLIT_KEY, test.count, PUBLIC_COUNT_DEFAULT)?.hidden);
        let drawn = draw(&SEEDS.0, &SEEDS.1, pool.count, &DrawSpec { fixed_ppm: 0, ..DrawSpec::of_items(FRESH) })?;
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
        let mut bench = Self {
            device: DeviceKind::Flex.open()?,
            scale: assets.input.normalisation(),
            probes,
            fresh: render(&pool, &drawn)?,
            on_probes: Vec::new(),
            on_fresh: Vec::new(),
            classes: assets.labels.len() as u32,
            teacher: Student::read(&models.join("teacher"))?,
            reference: Student::read(&models.join("reference"))?,
            nulls: Manifest::from_toml(MANIFEST)?.nulls.context("the built-in competition states no nulls")?,
        };
        bench.on_probes = bench.logits(&bench.teacher.plan, &bench.teacher.files.weights, &bench.probes)?;
        bench.on_fresh = bench.logits(&bench.teacher.plan, &bench.teacher.files.weights, &bench.fresh)?;
        Ok(bench)
    }

    fn logits(&self, plan: &Plan, weights: &[u8], images: &Images) -> Result<Vec<f32>> {
        let network = teacher::load(plan, weights, &self.device)?;
        Ok(teacher::logits(&network, images, Augmentation::default(), &self.scale, &self.device, |_| {}))
    }

    /// Runs a model and keeps what comparisons need.
    pub(crate) fn see(&self, config_json: &[u8], weights: &[u8]) -> Result<Seen> {
        let plan = PackageConfig::from_json(config_json)?.plan()?;
        let on_probes = self.logits(&plan, weights, &self.probes)?;
        let logits = ProbeLogits { student: &on_probes, teacher: &self.on_probes };
        let print = Fingerprint::new(config_json, weights, Some(logits))?;
        Ok(Seen { print, on_fresh: self.logits(&plan, weights, &self.fresh)? })
    }

    /// Both models on fresh items.
    pub(crate) fn on_fresh(&self, a: &Seen, b: &Seen) -> Result<OutputEvidence> {
        Ok(compare_outputs(&a.on_fresh, &b.on_fresh, &self.on_fresh, self.classes)?)
    }

    /// All evidence, that of fresh items with it.
    pub(crate) fn compare(&self, a: &Seen, b: &Seen) -> Result<Evidence> {
        let fresh_residual_correlation_ppm = self.on_fresh(a, b)?.residual_correlation_ppm;
        Ok(Evidence { fresh_residual_correlation_ppm, ..compare(&a.print, &b.print) })
    }
}
