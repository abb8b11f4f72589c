//! The story of a distillation: ask the teacher, train, measure, pack.

use crate::augment::Augmentation;
use crate::checkpoint::Checkpoint;
use crate::files::PackageFiles;
use crate::outputs;
use crate::pack::{self, Card};
use crate::progress::{Event, Preparation};
use crate::recipe::Recipe;
use crate::source::Assets;
use crate::teacher;
use crate::train::{TeacherOutputs, Training};
use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use datasets::Images;
use models::{DeviceKind, Weights};
use protocol::architecture::{Architecture, Plan};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What to distil and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The student.
    pub architecture: Architecture,
    /// How it learns.
    pub recipe: Recipe,
    /// Views of each image whose teacher outputs are cached, under changes that aren't a hidden round's.
    pub views: usize,
    /// Use only the first so many training images.
    pub images_max: Option<u32>,
    /// A package of the same architecture whose weights to begin with.
    pub start_from: Option<PathBuf>,
    /// Decides everything that is random.
    pub seed: u64,
    /// Where to compute.
    pub device: DeviceKind,
    /// Where the package goes; checkpoints live there too.
    pub out: PathBuf,
    /// Where teacher outputs are cached.
    pub cache: PathBuf,
    /// The command for the model card.
    pub command: String,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Distilled {
    /// Learned values.
    pub parameters: u64,
    /// Right answers on the evaluation images.
    pub right: usize,
    /// Evaluation images.
    pub items: usize,
    /// Seconds of training in this run.
    pub seconds: u64,
}

/// Distils a student of the competition's teacher into a package in `options.out`.
///
/// An interrupted run goes on from its last epoch when it is called again with the same folder.
///
/// # Errors
/// When the student can't be built, the training diverges or a file can't be written.
pub fn distil(assets: &Assets, options: &Options, mut tell: impl FnMut(Event)) -> Result<Distilled> {
    for folder in [&options.out, &options.cache] {
        outputs::try_folder(folder).with_context(|| format!("{} can't be written", folder.display()))?;
    }
    let config = pack::config(assets, options.architecture.clone());
    let plan = config.plan().context("build the student")?;
    let device = options.device.open()?;
    let images = subset(assets, options.images_max);
    let outputs = ask_teacher(assets, options, &images, &device, &mut tell)?;

    let started = Instant::now();
    let checkpoint = Checkpoint::in_folder(&options.out);
    let start = match &options.start_from {
        Some(folder) => Some(Weights::from_safetensors(&PackageFiles::read(folder)?.weights, &plan)?),
        None => None,
    };
    let training = Training {
        plan: &plan,
        start: start.as_ref(),
        images: &images,
        teacher: outputs.as_ref(),
        recipe: options.recipe,
        seed: options.seed,
        device: &device,
        scale: assets.input.normalisation(),
        in_parts: options.device == DeviceKind::Flex,
    };
    let trained = training.run(&checkpoint, |progress| tell(Event::Step(progress)))?;
    let seconds = started.elapsed().as_secs();
    let all = u64::from(assets.evaluation.count);
    let told = |done| tell(Event::Preparing(Preparation::Answers, done, all));
    let logits = answers(assets, &plan, &trained.weights, &device, told)?;
    let made = Distilled {
        parameters: plan.costs().context("count the student's parameters")?.parameters,
        right: teacher::count_right(&logits, &assets.evaluation.labels),
        items: assets.evaluation.len(),
        seconds,
    };
    let card = card(assets, options, &made, &trained.curve)?;
    pack::write_expected(&options.out, &assets.evaluation, &logits).context("write what it answers")?;
    pack::write(&options.out, &config, &trained.weights, &card)
        .with_context(|| format!("write the package to {}", options.out.display()))?;
    checkpoint.clear();
    Ok(made)
}

/// The teacher's outputs, if the loss needs them.
fn ask_teacher(
    assets: &Assets,
    options: &Options,
    images: &Images,
    device: &Device,
    tell: &mut impl FnMut(Event),
) -> Result<Option<TeacherOutputs>> {
    if !options.recipe.loss.needs_teacher() {
        return Ok(None);
    }
    let report = |what, done, all| tell(Event::Preparing(what, done, all));
    let outputs = teacher::outputs(assets, images, &options.recipe, options.views, &options.cache, device, report)?;
    Ok(Some(outputs))
}

/// The student's logits on the evaluation images, of the weights as a package holds them.
fn answers(
    assets: &Assets,
    plan: &Plan,
    weights: &Weights,
    device: &Device,
    progress: impl FnMut(u64),
) -> Result<Vec<f32>> {
    let network = teacher::load(plan, &weights.to_safetensors()?, device)?;
    let scale = assets.input.normalisation();
    Ok(teacher::logits(&network, &assets.evaluation, Augmentation::default(), &scale, device, progress))
}

fn card(assets: &Assets, options: &Options, made: &Distilled, curve: &[(f32, f32)]) -> Result<String> {
    let card = Card {
        title: assets.id.as_ref(),
        kind: options.architecture.kind(),
        parameters: made.parameters,
        accuracy: (made.right, made.items),
        recipe: &serde_json::to_string_pretty(&options.recipe)?,
        seed: options.seed,
        cost: (&options.device.to_string(), made.seconds),
        command: &options.command,
        curve,
    };
    Ok(card.markdown())
}

/// The folder for caches: `$RETORT_CACHE_DIR`, or `retort` in this user's own (`$XDG_CACHE_HOME`, `~/.cache`), so that nothing is
/// left where a command happens to run.
pub fn default_cache() -> PathBuf {
    let named = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let users = || named("XDG_CACHE_HOME").or_else(|| Some(std::env::home_dir()?.join(".cache")));
    named("RETORT_CACHE_DIR")
        .or_else(|| Some(users()?.join("retort")))
        .unwrap_or_else(|| Path::new("target").join("retort-cache"))
}

/// Refuses a folder that holds something else than a package or a checkpoint.
///
/// # Errors
/// When the folder has other files in it.
pub fn check_out_folder(out: &Path) -> Result<()> {
    const OURS: [&str; 7] = [
        "config.json",
        "model.safetensors",
        "README.md",
        "expected.safetensors",
        "checkpoint",
        "checkpoint.next",
        "checkpoint.old",
    ];
    let Ok(entries) = std::fs::read_dir(out) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let known = OURS.iter().any(|ours| name == *ours);
        ensure!(
            known,
            "{} holds {}, which is no part of a package; choose another --out",
            out.display(),
            name.display()
        );
    }
    Ok(())
}

fn subset(assets: &Assets, images_max: Option<u32>) -> Cow<'_, Images> {
    match images_max {
        Some(max) if max < assets.training.count => Cow::Owned(assets.training.select(&(0..max).collect::<Vec<u32>>())),
        _ => Cow::Borrowed(&assets.training),
    }
}
