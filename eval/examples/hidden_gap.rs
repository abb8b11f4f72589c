//! What the changes of a hidden round cost models: accuracy on clean items, under each change alone, under all of them.
//! Not part of any evaluation; docs/HIDDEN_ROUNDS.md holds its figures.
//!
//! ```text
//! cargo run -p eval --example hidden_gap -- [ITEMS] [FAMILY.json] [PACKAGE-DIR ...]
//! ```
//!
//! The pool is the hidden half of Fashion-MNIST's test images. The first package is the teacher, who labels mixtures;
//! without folders the repository's teacher and reference student are compared.

use burn::tensor::{Device, Tensor, TensorData};
use datasets::hidden::{Change, Draw, DrawSpec, Family, draw, relabel, render};
use datasets::split::{PUBLIC_COUNT_DEFAULT, Split};
use datasets::{FashionMnist, Images};
use models::{Network, Weights, fold_batch_norm};
use protocol::competition::HiddenPool;
use protocol::package::{CONFIG_FILE, PackageConfig, WEIGHTS_FILE};
use std::error::Error;
use std::path::{Path, PathBuf};

type Outcome<T> = Result<T, Box<dyn Error>>;

const BATCH: usize = 64;
const SPLIT_KEY: [u8; 32] = [1; 32];
const SEEDS: ([u8; 32], [u8; 32]) = ([2; 32], [3; 32]);

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    let items = arguments.next_if(|text| text.parse::<u32>().is_ok()).map_or(Ok(2_000), |text| text.parse())?;
    let family = match arguments.next_if(|text| text.ends_with(".json")) {
        Some(file) => serde_json::from_slice(&std::fs::read(file)?)?,
        None => Family::default(),
    };
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let mut folders: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    if folders.is_empty() {
        folders = vec![models.join("teacher"), models.join("reference")];
    }
    let models: Vec<Model> = folders.iter().map(|folder| Model::load(folder)).collect::<Outcome<_>>()?;

    let test = FashionMnist::load_test()?;
    let pool = test.select(&Split::new(&SPLIT_KEY, test.count, PUBLIC_COUNT_DEFAULT)?.hidden);
    println!("{items} items of a pool of {}", pool.count);
    println!("{}", serde_json::to_string_pretty(&family)?);
    print!("{:<22}", "accuracy, gap");
    models.iter().for_each(|model| print!("{:>24}", model.name));
    println!();
    compare(&models, &pool, &family, items)
}

/// One line for clean items, one for each change, one for all of them, one for mixtures.
fn compare(models: &[Model], pool: &Images, family: &Family, items: u32) -> Outcome<()> {
    let spec = |family| DrawSpec { family, ..DrawSpec::of_items(items) };
    let drawn = |family| draw(&SEEDS.0, &SEEDS.1, pool.count, &spec(family));
    let whole = drawn(*family)?;
    let clean = pool.select(&whole.items.iter().map(|item| item.source).collect::<Vec<_>>());
    let base: Vec<f64> = models.iter().map(|model| model.accuracy(&clean)).collect();
    line("clean", &base, &base);
    for (name, family) in alone(family) {
        if family.check(HiddenPool::Public).is_ok() {
            let images = render(pool, &drawn(family)?)?;
            line(name, &base, &models.iter().map(|model| model.accuracy(&images)).collect::<Vec<_>>());
        }
    }
    let mut images = render(pool, &whole)?;
    let logits: Vec<Vec<f32>> = models.iter().map(|model| model.logits(&images)).collect();
    let teacher = logits.first().ok_or("no model")?;
    relabel(&mut images.labels, &whole, teacher, models[0].classes as u32)?;
    let part = |mixed: bool, clean: &[f64]| {
        let chosen = |index: usize| matches!(whole.items[index].change, Change::Mixture { .. }) == mixed;
        let right: Vec<f64> =
            models.iter().zip(&logits).map(|(model, logits)| model.share_right(logits, &images, chosen)).collect();
        line(if mixed { "mixtures (teacher's)" } else { "all transforms" }, clean, &right);
    };
    part(false, &base);
    if count_mixtures(&whole) > 0 {
        part(true, &base);
    }
    Ok(())
}

/// The family's changes one at a time.
fn alone(family: &Family) -> Vec<(&'static str, Family)> {
    let (none, all) = (Family::identity(), *family);
    vec![
        ("shift", Family { shift_px_max: all.shift_px_max, ..none }),
        ("rotation", Family { rotation_millidegrees_max: all.rotation_millidegrees_max, ..none }),
        ("scale", Family { scale_ppm_min: all.scale_ppm_min, scale_ppm_max: all.scale_ppm_max, ..none }),
        (
            "brightness",
            Family { brightness_ppm_min: all.brightness_ppm_min, brightness_ppm_max: all.brightness_ppm_max, ..none },
        ),
        ("noise", Family { noise_levels_max: all.noise_levels_max, ..none }),
        ("cutout", Family { cutout_px_max: all.cutout_px_max, ..none }),
    ]
}

fn count_mixtures(draw: &Draw) -> usize {
    draw.items.iter().filter(|item| item.partner().is_some()).count()
}

fn line(name: &str, clean: &[f64], found: &[f64]) {
    print!("{name:<22}");
    clean
        .iter()
        .zip(found)
        .for_each(|(clean, found)| print!("{:>14.2} % {:>7.2}", 100.0 * found, 100.0 * (clean - found)));
    println!();
}

struct Model {
    name: String,
    classes: usize,
    network: Network,
    scale: [f32; 256],
    device: Device,
}

impl Model {
    fn load(folder: &Path) -> Outcome<Self> {
        let config = PackageConfig::from_json(&std::fs::read(folder.join(CONFIG_FILE))?)?;
        let plan = config.plan()?;
        let weights = Weights::from_safetensors(&std::fs::read(folder.join(WEIGHTS_FILE))?, &plan)?;
        let (plan, weights) = fold_batch_norm(&plan, weights)?;
        let device = Device::flex();
        Ok(Model {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            classes: config.labels.len(),
            network: Network::new(&plan, &weights, &device)?,
            scale: config.input.normalisation().into_iter().next().ok_or("no planes")?,
            device,
        })
    }

    fn logits(&self, images: &Images) -> Vec<f32> {
        let (channels, height, width) = (images.channels as usize, images.height as usize, images.width as usize);
        let values: Vec<f32> = images.pixels.iter().map(|pixel| self.scale[usize::from(*pixel)]).collect();
        let batches = values.chunks(BATCH * images.image_bytes()).flat_map(|chunk| {
            let shape = [chunk.len() / images.image_bytes(), channels, height, width];
            let inputs = Tensor::<4>::from_data(TensorData::new(chunk.to_vec(), shape), &self.device);
            let logits = self.network.forward(inputs).into_data().convert::<f32>();
            logits.try_into_vec::<f32>().expect("converted to f32; anything else is a bug")
        });
        batches.collect()
    }

    fn accuracy(&self, images: &Images) -> f64 {
        self.share_right(&self.logits(images), images, |_| true)
    }

    /// Share of right answers among the chosen items.
    fn share_right(&self, logits: &[f32], images: &Images, chosen: impl Fn(usize) -> bool) -> f64 {
        let answer =
            |row: &[f32]| (0..row.len()).reduce(|best, class| if row[class] > row[best] { class } else { best });
        let rows = logits.chunks(self.classes).zip(&images.labels).enumerate().filter(|(index, _)| chosen(*index));
        let right: Vec<bool> = rows.map(|(_, (row, label))| answer(row) == Some(usize::from(*label))).collect();
        right.iter().filter(|right| **right).count() as f64 / right.len().max(1) as f64
    }
}
