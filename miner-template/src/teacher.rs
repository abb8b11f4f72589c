//! The teacher's outputs on fixed views of the training images: computed once, cached by digest, reused by every run.

use crate::augment::{self, Augmentation};
use crate::progress::Preparation;
use crate::recipe::{Changes, Plain, Recipe};
use crate::source::Assets;
use crate::train::{Mixtures, TeacherOutputs};
use burn::tensor::Device;
use datasets::hidden::{Draw, DrawError, DrawSpec, RenderError, draw, relabel, render};
use datasets::{Images, Logits, arg_max};
use models::{Network, Weights, WeightsError, fold_batch_norm};
use protocol::Digest;
use protocol::architecture::Plan;
use protocol::competition::BY_ANSWERS_ONLY;
use protocol::submission::Rejection;
use protocol::transforms::Family;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Images per forward pass.
const BATCH: usize = 250;
/// The most mixtures that the teacher is asked about: that takes longer than to train a small student on each a few times.
const MIXTURES_MAX: u64 = 20_000;
/// Mixtures are the same in every run, so that the teacher is asked about them once.
const MIXTURES_SEED: [u8; 32] = *b"retort, mixtures to train on, v1";

/// A teacher that can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum TeacherError {
    /// There is none.
    #[error("this competition has no teacher yet; use `--loss cross-entropy`")]
    Missing,
    /// There are answers to images as they are, and nobody to be asked about others.
    #[error(
        "{BY_ANSWERS_ONLY}, and nobody can ask it about changed images: leave `--views` and `--shift` out, or use \
         `--loss cross-entropy`"
    )]
    AnswersOnly,
    /// Its configuration can't be built.
    #[error("build the teacher: {0}")]
    Config(#[from] Rejection),
    /// Its weights don't fit.
    #[error("load the teacher: {0}")]
    Weights(#[from] WeightsError),
    /// Mixtures can't be drawn.
    #[error("draw mixtures: {0}")]
    Draw(#[from] DrawError),
    /// Mixtures can't be made.
    #[error("make mixtures: {0}")]
    Render(#[from] RenderError),
    /// The cache can't be written.
    #[error("cache the teacher's outputs in {path}: {source}")]
    Cache {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a recipe needs of the teacher, from the competition, from `cache`, or computed on `device`: its logits on `images`
/// (the first training images or all) in `views` views, and for hidden rounds on mixtures of them.
///
/// `progress` hears what goes on, of images done and of all images.
///
/// # Errors
/// When the teacher can't be built or the cache can't be written.
pub fn outputs(
    assets: &Assets,
    images: &Images,
    recipe: &Recipe,
    views: usize,
    cache: &Path,
    device: &Device,
    mut progress: impl FnMut(Preparation, u64, u64),
) -> Result<TeacherOutputs, TeacherError> {
    let mut asked = Asked { assets, cache, device, network: None };
    match recipe.changes {
        Changes::Plain(plain) => {
            Ok(TeacherOutputs { views: asked.views(images, plain, views, progress)?, mixtures: None })
        }
        Changes::Rounds { family } => {
            let views = asked.views(images, Plain::default(), 1, &mut progress)?;
            // Each is shown once at least, and no image is the main one of two.
            let shown = u64::from(recipe.epochs) * images.len() as u64 * u64::from(family.mixture_ppm) / 1_000_000;
            let count = u32::try_from(shown.min(MIXTURES_MAX)).unwrap_or(u32::MAX).min(images.count);
            let mixtures = match count {
                0 => None,
                count => Some(asked.mixtures(images, family, count, progress)?),
            };
            Ok(TeacherOutputs { views, mixtures })
        }
    }
}

/// Why nobody can be asked.
fn missing(assets: &Assets) -> TeacherError {
    if assets.training_logits.is_some() { TeacherError::AnswersOnly } else { TeacherError::Missing }
}

/// A teacher that is built when the first answer is in no cache.
struct Asked<'a> {
    assets: &'a Assets,
    cache: &'a Path,
    device: &'a Device,
    network: Option<Network>,
}

impl Asked<'_> {
    fn views(
        &mut self,
        images: &Images,
        plain: Plain,
        views: usize,
        mut progress: impl FnMut(Preparation, u64, u64),
    ) -> Result<Vec<Vec<f32>>, TeacherError> {
        let all = views as u64 * u64::from(images.count);
        let mut results = Vec::with_capacity(views);
        for view in 0..views {
            let before = view as u64 * u64::from(images.count);
            let assets = self.assets;
            let published = assets.training_logits.as_ref().filter(|_| views == 1);
            let values = match published {
                Some(logits) => logits.values.iter().copied().take(images.len() * logits.classes as usize).collect(),
                None => {
                    let (Plain { shift, flip, .. }, count) = (plain, images.count);
                    let name = format!("{count}-shift{shift}-{flip}-view{view}");
                    let change = Augmentation::view(view, shift, flip);
                    self.answers(&name, images, change, |done| progress(Preparation::Teacher, before + done, all))?
                }
            };
            progress(Preparation::Teacher, before + u64::from(images.count), all);
            results.push(values);
        }
        Ok(results)
    }

    /// Mixtures of `images`, labelled by the teacher.
    fn mixtures(
        &mut self,
        images: &Images,
        family: Family,
        count: u32,
        mut progress: impl FnMut(Preparation, u64, u64),
    ) -> Result<Mixtures, TeacherError> {
        let family = Family { mixture_ppm: 1_000_000, ..family };
        let spec = DrawSpec::of_family(count, family);
        let drawn = draw(&MIXTURES_SEED, &MIXTURES_SEED, images.count, &spec)?;
        let mut mixtures = rendered(images, &drawn, |done| progress(Preparation::Mixtures, done, u64::from(count)))?;
        let name = format!("mixtures-{}", Digest::of(&mixtures.pixels).short());
        let report = |done| progress(Preparation::Teacher, done, u64::from(count));
        let logits = self.answers(&name, &mixtures, Augmentation::default(), report)?;
        relabel(&mut mixtures.labels, &drawn, &logits, self.assets.labels.len() as u32)?;
        Ok(Mixtures { images: mixtures, logits })
    }

    /// The teacher's logits on images under one change, from the cache if they are there under this name.
    fn answers(
        &mut self,
        name: &str,
        images: &Images,
        change: Augmentation,
        mut progress: impl FnMut(u64),
    ) -> Result<Vec<f32>, TeacherError> {
        let teacher = self.assets.teacher.as_ref().ok_or_else(|| missing(self.assets))?;
        let plan = teacher.config.plan()?;
        let file = self.cache.join(format!("{}-{name}.rtlog", Digest::of(&teacher.weights).short()));
        if let Some(values) = read_cached(&file, images.count, &plan) {
            return Ok(values);
        }
        progress(0);
        let network = match &self.network {
            Some(network) => network,
            None => self.network.insert(load(&plan, &teacher.weights, self.device)?),
        };
        let values = logits(network, images, change, &self.assets.input.normalisation(), self.device, progress);
        write_cached(&file, images.count, &plan, &values)?;
        Ok(values)
    }
}

/// Renders a draw in batches, so that it can be told how far it is.
fn rendered(images: &Images, drawn: &Draw, mut progress: impl FnMut(u64)) -> Result<Images, RenderError> {
    let (mut pixels, mut labels, mut count) = (Vec::new(), Vec::new(), 0);
    progress(0);
    for items in drawn.items.chunks(BATCH) {
        let more = render(images, &Draw { items: items.to_vec(), fixed: 0 })?;
        count += more.count;
        pixels.extend(more.pixels);
        labels.extend(more.labels);
        progress(count.into());
    }
    Ok(Images { count, pixels, labels, ..*images })
}

/// The teacher's logits on the training images as they are, computed anew.
///
/// # Errors
/// When there is no teacher or it can't be built.
pub fn training_logits(
    assets: &Assets,
    device: &Device,
    mut progress: impl FnMut(u64, u64),
) -> Result<Logits, TeacherError> {
    let teacher = assets.teacher.as_ref().ok_or_else(|| missing(assets))?;
    let plan = teacher.config.plan()?;
    let network = load(&plan, &teacher.weights, device)?;
    let (scale, all) = (assets.input.normalisation(), assets.training.len() as u64);
    let as_it_is = Augmentation::default();
    let values = logits(&network, &assets.training, as_it_is, &scale, device, |done| progress(done, all));
    Ok(Logits { count: assets.training.count, classes: plan.classes(), values })
}

/// Builds a network for inference, batch normalisation folded.
///
/// # Errors
/// When the weights don't fit the plan.
pub fn load(plan: &Plan, weights: &[u8], device: &Device) -> Result<Network, WeightsError> {
    let (plan, weights) = fold_batch_norm(plan, Weights::from_safetensors(weights, plan)?)?;
    Network::new(&plan, &weights, device)
}

/// The logits `[images * classes]` of all images under one change. `scale` has a table for each plane.
pub fn logits(
    network: &Network,
    images: &Images,
    change: Augmentation,
    scale: &[[f32; 256]],
    device: &Device,
    mut progress: impl FnMut(u64),
) -> Vec<f32> {
    let items: Vec<(u32, Augmentation)> = (0..images.count).map(|item| (item, change)).collect();
    let mut values = Vec::new();
    for (index, items) in items.chunks(BATCH).enumerate() {
        let data = network.forward(augment::batch(images, items, scale, device)).into_data().convert::<f32>();
        values.extend(data.try_into_vec::<f32>().expect("converted to f32; anything else is a bug"));
        progress((index * BATCH + items.len()) as u64);
    }
    values
}

/// How many of the images the logits classify rightly.
pub fn count_right(logits: &[f32], labels: &[u16]) -> usize {
    let classes = logits.len() / labels.len().max(1);
    logits.chunks(classes.max(1)).zip(labels).filter(|(row, label)| arg_max(row) == usize::from(**label)).count()
}

/// A cache that is missing, stale or corrupt is as good as none.
fn read_cached(file: &Path, count: u32, plan: &Plan) -> Option<Vec<f32>> {
    let logits = Logits::from_bytes(&fs::read(file).ok()?).ok()?;
    (logits.count == count && logits.classes == plan.classes()).then_some(logits.values)
}

fn write_cached(file: &Path, count: u32, plan: &Plan, values: &[f32]) -> Result<(), TeacherError> {
    let error = |source| TeacherError::Cache { path: file.to_owned(), source };
    let logits = Logits { count, classes: plan.classes(), values: values.to_vec() };
    let bytes = logits.to_bytes().map_err(|invalid| error(io::Error::new(io::ErrorKind::InvalidData, invalid)))?;
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(error)?;
    }
    let next = file.with_extension("next");
    fs::write(&next, bytes).and_then(|()| fs::rename(&next, file)).map_err(error)
}
