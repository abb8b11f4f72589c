//! The teacher's outputs on fixed views of the training images: computed once, cached by digest, reused by every run.

use crate::augment::{self, Augmentation};
use crate::recipe::Recipe;
use crate::source::Assets;
use crate::train::TeacherOutputs;
use burn::tensor::Device;
use datasets::{Images, Logits};
use models::{Network, Weights, WeightsError, fold_batch_norm};
use protocol::Digest;
use protocol::architecture::Plan;
use protocol::submission::Rejection;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Images per forward pass.
const BATCH: usize = 250;

/// A teacher that can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum TeacherError {
    /// There is none.
    #[error("this competition has no teacher yet; use `--loss cross-entropy`")]
    Missing,
    /// Its configuration can't be built.
    #[error("build the teacher: {0}")]
    Config(#[from] Rejection),
    /// Its weights don't fit.
    #[error("load the teacher: {0}")]
    Weights(#[from] WeightsError),
    /// The cache can't be written.
    #[error("cache the teacher's outputs in {path}: {source}")]
    Cache {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The teacher's logits for `views` views, from the competition, from `cache`, or computed on `device`.
///
/// `progress` hears of images done and of all images.
///
/// # Errors
/// When the teacher can't be built or the cache can't be written.
pub fn outputs(
    assets: &Assets,
    recipe: &Recipe,
    views: usize,
    cache: &Path,
    device: &Device,
    mut progress: impl FnMut(u64, u64),
) -> Result<TeacherOutputs, TeacherError> {
    let published = assets.training_logits.as_ref().filter(|_| views == 1);
    if let Some(logits) = published {
        return Ok(TeacherOutputs { views: vec![logits.values.clone()] });
    }
    let teacher = assets.teacher.as_ref().ok_or(TeacherError::Missing)?;
    let plan = teacher.config.plan()?;
    let name = Digest::of(&teacher.weights).short();
    let mut network = None;
    let all = (views * assets.training.len()) as u64;
    let mut results = Vec::with_capacity(views);
    for view in 0..views {
        let file = cache.join(format!("{name}-shift{}-{}-view{view}.rtlog", recipe.shift, recipe.flip));
        let values = match read_cached(&file, assets, &plan) {
            Some(values) => values,
            None => {
                let network = match &network {
                    Some(network) => network,
                    None => network.insert(load(&plan, &teacher.weights, device)?),
                };
                let change = Augmentation::view(view, recipe.shift, recipe.flip);
                let scale = assets.input.normalisation();
                let before = (view * assets.training.len()) as u64;
                let report = |done| progress(before + done, all);
                let values = logits(network, &assets.training, change, &scale, device, report);
                write_cached(&file, assets, &plan, &values)?;
                values
            }
        };
        progress(((view + 1) * assets.training.len()) as u64, all);
        results.push(values);
    }
    Ok(TeacherOutputs { views: results })
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
    let teacher = assets.teacher.as_ref().ok_or(TeacherError::Missing)?;
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

/// The class with the largest logit.
pub fn answer(logits: &[f32]) -> usize {
    logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(class, _)| class)
}

/// How many of the images the logits classify rightly.
pub fn count_right(logits: &[f32], labels: &[u8]) -> usize {
    let classes = logits.len() / labels.len().max(1);
    logits.chunks(classes.max(1)).zip(labels).filter(|(row, label)| answer(row) == usize::from(**label)).count()
}

/// A cache that is missing, stale or corrupt is as good as none.
fn read_cached(file: &Path, assets: &Assets, plan: &Plan) -> Option<Vec<f32>> {
    let logits = Logits::from_bytes(&fs::read(file).ok()?).ok()?;
    (logits.count == assets.training.count && logits.classes == plan.classes()).then_some(logits.values)
}

fn write_cached(file: &Path, assets: &Assets, plan: &Plan, values: &[f32]) -> Result<(), TeacherError> {
    let error = |source| TeacherError::Cache { path: file.to_owned(), source };
    let logits = Logits { count: assets.training.count, classes: plan.classes(), values: values.to_vec() };
    let bytes = logits.to_bytes().map_err(|invalid| error(io::Error::new(io::ErrorKind::InvalidData, invalid)))?;
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(error)?;
    }
    let next = file.with_extension("next");
    fs::write(&next, bytes).and_then(|()| fs::rename(&next, file)).map_err(error)
}
