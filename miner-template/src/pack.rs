//! Writes a package: `config.json`, `model.safetensors` and a model card.

use datasets::Images;
use models::Weights;
use protocol::package::{
    CONFIG_FILE, EXPECTED_FILE, EXPECTED_ITEMS_MAX, PACKAGE_FORMAT, PackageConfig, README_FILE, WEIGHTS_FILE,
};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::{fs, io, path::Path};

/// Writes the package into `folder`, which is made if need be. Existing files of a package are replaced.
///
/// # Errors
/// When a file can't be written.
pub fn write(folder: &Path, config: &PackageConfig, weights: &Weights, card: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut json = serde_json::to_vec_pretty(config).map_err(io::Error::other)?;
    json.push(b'\n');
    fs::write(folder.join(CONFIG_FILE), json)?;
    fs::write(folder.join(WEIGHTS_FILE), weights.to_safetensors().map_err(io::Error::other)?)?;
    fs::write(folder.join(README_FILE), card)
}

/// Writes what the model answers to the first of `images`, `logits` `[images, classes]`, so that a validator that reads it as
/// another function says so. Made in the folder of a package.
///
/// # Errors
/// When the file can't be written.
pub fn write_expected(folder: &Path, images: &Images, logits: &[f32]) -> io::Result<()> {
    let items = images.len().min(EXPECTED_ITEMS_MAX);
    let classes = logits.len() / images.len().max(1);
    let bytes: Vec<u8> = logits.iter().take(items * classes).flat_map(|value| value.to_le_bytes()).collect();
    let pixels: Vec<u8> = (0..items).flat_map(|item| images.image(item).to_vec()).collect();
    let shape = [images.channels, images.height, images.width].map(|side| side as usize);
    let images = TensorView::new(Dtype::U8, [&[items], &shape[..]].concat(), &pixels).map_err(io::Error::other)?;
    let logits = TensorView::new(Dtype::F32, vec![items, classes], &bytes).map_err(io::Error::other)?;
    let file = safetensors::serialize([("images", images), ("logits", logits)], None).map_err(io::Error::other)?;
    fs::create_dir_all(folder)?;
    fs::write(folder.join(EXPECTED_FILE), file)
}

/// The configuration of a student of a competition.
pub fn config(assets: &crate::source::Assets, architecture: protocol::architecture::Architecture) -> PackageConfig {
    PackageConfig {
        format: PACKAGE_FORMAT.to_owned(),
        architecture,
        input: assets.input.clone(),
        labels: assets.labels.clone(),
    }
}

/// What a model card says.
#[derive(Debug)]
pub struct Card<'a> {
    /// The competition's name, or the data set's for a teacher.
    pub title: &'a str,
    /// The family.
    pub kind: &'a str,
    /// Learned values.
    pub parameters: u64,
    /// Right answers and items of the evaluation images.
    pub accuracy: (usize, usize),
    /// The recipe as JSON.
    pub recipe: &'a str,
    /// The seed.
    pub seed: u64,
    /// Device and wall-clock seconds of the training.
    pub cost: (&'a str, u64),
    /// The command that made it.
    pub command: &'a str,
    /// Loss and training accuracy after each epoch.
    pub curve: &'a [(f32, f32)],
}

impl Card<'_> {
    /// The card as Markdown with front matter.
    pub fn markdown(&self) -> String {
        let (right, items) = self.accuracy;
        let percent = 100.0 * right as f64 / items.max(1) as f64;
        let (device, seconds) = self.cost;
        let mut card = format!(
            "---\nlicense: mit\npipeline_tag: image-classification\ntags: [retort, {kind}]\n---\n\n# {title}: {kind}\n\n\
             | | |\n|---|---|\n| parameters | {parameters} |\n| evaluation accuracy | {percent:.2} % ({right} of {items}) |\n\
             | seed | {seed} |\n| trained on | `{device}`, {seconds} s |\n\nMade by `{command}` with the recipe\n\n\
             ```json\n{recipe}\n```\n\n## Curve\n\n| epoch | loss | training accuracy |\n|---|---|---|\n",
            kind = self.kind,
            title = self.title,
            parameters = self.parameters,
            seed = self.seed,
            command = self.command,
            recipe = self.recipe,
        );
        for (epoch, (loss, accuracy)) in self.curve.iter().enumerate() {
            card.push_str(&format!("| {} | {loss:.4} | {:.2} % |\n", epoch + 1, 100.0 * accuracy));
        }
        card
    }
}
