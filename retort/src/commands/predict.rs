//! `retort predict`: a package on real images, shown as pictures with label and confidence.

use super::print_json;
use crate::cli::PredictArgs;
use crate::picture;
use anyhow::{Context, Result, bail, ensure};
use datasets::{FashionMnist, Images};
use miner_template::augment::Augmentation;
use miner_template::files::PackageFiles;
use miner_template::teacher;
use models::DeviceKind;
use protocol::package::PackageConfig;
use serde::Serialize;
use std::path::Path;

/// PNG files larger than this are no inputs of a small model.
const PNG_BYTES_MAX: u64 = 4 << 20;

/// One answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Prediction {
    /// The input as given.
    pub(crate) input: String,
    /// The most likely class.
    pub(crate) label: String,
    /// Its probability in parts per million.
    pub(crate) confidence_ppm: i64,
    /// The right class, where it is known.
    pub(crate) truth: Option<String>,
}

pub(crate) fn run(args: &PredictArgs) -> Result<()> {
    let (images, predictions) = predict(&args.package, &args.inputs, args.device)?;
    if args.json {
        return print_json(&predictions);
    }
    println!("{}", show(&images, &predictions));
    Ok(())
}

/// Predicts test images `items` of Fashion-MNIST.
pub(crate) fn predict_test_images(package: &Path, items: &[u32]) -> Result<(Images, Vec<Prediction>)> {
    let inputs: Vec<String> = items.iter().map(|item| format!("fashion-mnist:{item}")).collect();
    predict(package, &inputs, DeviceKind::Flex)
}

/// Pictures with their labels and confidences.
pub(crate) fn show(images: &Images, predictions: &[Prediction]) -> String {
    let pictures: Vec<(Vec<String>, String)> = predictions
        .iter()
        .enumerate()
        .map(|(index, prediction)| {
            let mark = match &prediction.truth {
                Some(truth) if *truth == prediction.label => " ✓",
                Some(_) => " ✗",
                None => "",
            };
            let percent = prediction.confidence_ppm as f64 / 1e4;
            let lines = picture::text(images.image(index), images.height as usize, images.width as usize);
            (lines, format!("{} {percent:.0} %{mark}", prediction.label))
        })
        .collect();
    picture::gallery(&pictures, 4)
}

fn predict(package: &Path, inputs: &[String], device: DeviceKind) -> Result<(Images, Vec<Prediction>)> {
    let files = PackageFiles::read(package)?;
    let config = PackageConfig::from_json(&files.config_json)?;
    let (images, truths) = read_inputs(&config, inputs)?;
    let plan = config.plan()?;
    let device = device.open()?;
    let network = teacher::load(&plan, &files.weights, &device).context("load the weights")?;
    let scale = config.input.normalisation();
    let logits = teacher::logits(&network, &images, Augmentation::default(), &scale, &device, |_| {});
    let name = |class: usize| config.labels.get(class).cloned().unwrap_or_default();
    let predictions = logits
        .chunks(config.labels.len())
        .zip(inputs.iter().zip(&truths))
        .map(|(row, (input, truth))| {
            let (class, confidence) = most_likely(row);
            Prediction {
                input: input.clone(),
                label: name(class),
                confidence_ppm: (confidence * 1e6).round() as i64,
                truth: truth.map(|truth| name(usize::from(truth))),
            }
        })
        .collect();
    Ok((images, predictions))
}

/// The arg max and its softmax.
fn most_likely(logits: &[f32]) -> (usize, f64) {
    let class = teacher::answer(logits);
    let top = logits.get(class).map_or(0.0, |value| f64::from(*value));
    let sum: f64 = logits.iter().map(|value| (f64::from(*value) - top).exp()).sum();
    (class, 1.0 / sum)
}

/// The pixels of each input and its right class, where it is known.
fn read_inputs(config: &PackageConfig, inputs: &[String]) -> Result<(Images, Vec<Option<u8>>)> {
    let shape = config.input.shape();
    ensure!(shape.channels == 1, "only grey models can be shown so far; this one takes {} channels", shape.channels);
    let mut images = Images {
        count: inputs.len() as u32,
        channels: 1,
        height: shape.height,
        width: shape.width,
        pixels: Vec::new(),
        labels: Vec::new(),
    };
    let mut truths = Vec::new();
    let mut test = None;
    for input in inputs {
        let pixels = if let Some(item) = input.strip_prefix("fashion-mnist:") {
            let item: usize = item.parse().with_context(|| format!("read {input:?}: write fashion-mnist:N"))?;
            let test = match &test {
                Some(test) => test,
                None => test.insert(FashionMnist::load_test(&FashionMnist::embedded_dir())?),
            };
            ensure!(item < test.len(), "{input}: there are {} test images", test.len());
            truths.push(test.labels.get(item).copied());
            test.image(item).to_vec()
        } else {
            truths.push(None);
            read_png(Path::new(input)).with_context(|| format!("read {input}"))?
        };
        let expected = shape.values() as usize;
        ensure!(pixels.len() == expected, "{input} isn't {} x {} pixels", shape.height, shape.width);
        images.pixels.extend(pixels);
    }
    Ok((images, truths))
}

/// The grey values of a PNG, white on black as in Fashion-MNIST.
fn read_png(path: &Path) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path)?.len();
    ensure!(size <= PNG_BYTES_MAX, "{size} bytes, limit {PNG_BYTES_MAX}");
    let mut decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path)?));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let mut buffer = vec![0; reader.output_buffer_size().context("the picture is too large")?];
    let info = reader.next_frame(&mut buffer)?;
    let channels = info.color_type.samples();
    if channels == 0 {
        bail!("the picture has no channels");
    }
    Ok(buffer[..info.buffer_size()]
        .chunks_exact(channels)
        .map(|pixel| match pixel {
            [red, green, blue, ..] => {
                ((u32::from(*red) * 299 + u32::from(*green) * 587 + u32::from(*blue) * 114) / 1000) as u8
            }
            [grey, ..] => *grey,
            [] => 0,
        })
        .collect())
}
