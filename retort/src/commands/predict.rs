//! `retort predict`: a package on real images, shown as pictures with label and confidence.

use super::answer::Model;
use super::print_json;
use crate::cli::{PredictArgs, at_home};
use crate::{picture, pictures, typed};
use anyhow::{Context, Result, bail, ensure};
use datasets::picture::{FORMATS, Picture};
use datasets::{FashionMnist, Images, arg_max};
use models::DeviceKind;
use protocol::architecture::ImageShape;
use protocol::competition::{Fit, InputSpec, Limits, PictureSpec};
use serde::Serialize;
use std::path::Path;

/// No limit of a competition holds where none is.
pub(crate) const UNLIMITED: Limits = Limits {
    size_bytes_max: u64::MAX,
    parameters_max: u64::MAX,
    macs_max: u64::MAX,
    activation_bytes_max: u64::MAX,
    submissions_per_day: u32::MAX,
    upload_seconds_max: u64::MAX,
    evaluation_seconds_max: u64::MAX,
};

/// A picture keeps its proportions, with black beside it.
const BESIDE_BLACK: PictureSpec = PictureSpec { fit: Some(Fit::Pad), shorter_side: None };

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
    let model = open(&args.package, args.competition.as_deref())?;
    let (images, predictions) = predict(&model, &args.inputs, args.invert, args.device)?;
    if args.json {
        return print_json(&predictions);
    }
    println!("{}", show(&images, &predictions));
    // Thumbnails say little of which file is which.
    let named = |prediction: &Prediction| format!("{}: {}", prediction.input, prediction.label);
    if predictions.len() > 1 {
        println!("{}", predictions.iter().map(named).collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}

/// Predicts test images `items` of Fashion-MNIST; `competition` is asked where the package is a graph.
pub(crate) fn predict_test_images(
    package: &Path,
    competition: Option<&str>,
    items: &[u32],
) -> Result<(Images, Vec<Prediction>)> {
    let inputs: Vec<String> = items.iter().map(|item| format!("fashion-mnist:{item}")).collect();
    predict(&open(package, competition)?, &inputs, false, DeviceKind::Flex)
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
            let (height, width) = (images.height as usize, images.width as usize);
            let lines = picture::text(&picture::grey(images.image(index), height * width), height, width);
            (lines, format!("{} {percent:.0} %{mark}", prediction.label))
        })
        .collect();
    picture::gallery(&pictures, 4)
}

fn open(package: &Path, competition: Option<&str>) -> Result<Model> {
    if !package.exists() {
        let name = package.display();
        let word = typed::word(package);
        bail!("there is no folder {name} with a package; `retort pull COMPETITION {word} --validator URL` makes one");
    }
    Model::open(package, competition)
}

fn predict(model: &Model, inputs: &[String], invert: bool, device: DeviceKind) -> Result<(Images, Vec<Prediction>)> {
    let Inputs { names, images, truths } = read_inputs(&model.input, inputs, invert)?;
    let logits = model.logits(&images, device)?;
    let name = |class: usize| model.labels.get(class).cloned().unwrap_or_default();
    let answer = |(row, (input, truth)): (&[f32], (&String, &Option<u16>))| {
        let finite = row.iter().all(|value| value.is_finite());
        ensure!(finite, "what it says of {input} isn't finite: a validator rejects such a model");
        let (class, confidence) = most_likely(row);
        Ok(Prediction {
            input: input.clone(),
            label: name(class),
            confidence_ppm: (confidence * 1e6).round() as i64,
            truth: truth.map(|truth| name(usize::from(truth))),
        })
    };
    let rows = logits.chunks(model.labels.len()).zip(names.iter().zip(&truths));
    let predictions = rows.map(answer).collect::<Result<_>>()?;
    Ok((images, predictions))
}

/// The arg max and its softmax.
fn most_likely(logits: &[f32]) -> (usize, f64) {
    let class = arg_max(logits);
    let top = logits.get(class).map_or(0.0, |value| f64::from(*value));
    let sum: f64 = logits.iter().map(|value| (f64::from(*value) - top).exp()).sum();
    (class, 1.0 / sum)
}

/// What is asked about.
struct Inputs {
    names: Vec<String>,
    images: Images,
    /// Right classes, where they are known.
    truths: Vec<Option<u16>>,
}

/// The pixels of each input. A folder stands for its pictures.
fn read_inputs(input_spec: &InputSpec, inputs: &[String], invert: bool) -> Result<Inputs> {
    let shape = input_spec.shape();
    let (mut names, mut pixels, mut truths, mut test) = (Vec::new(), Vec::new(), Vec::new(), None);
    for input in inputs {
        if let Some(item) = input.strip_prefix("fashion-mnist:") {
            let item: usize = item.parse().with_context(|| format!("read {input:?}: write fashion-mnist:N"))?;
            let test = match &test {
                Some(test) => test,
                None => test.insert(FashionMnist::load_test()?),
            };
            ensure!(item < test.len(), "{input}: there are {} test images", test.len());
            let found = test.image(item);
            let (takes, has) = (shape.values() as usize, found.len());
            ensure!(takes == has, "{input} has {has} values, and the model takes {takes}");
            names.push(input.clone());
            truths.push(test.labels.get(item).copied());
            pixels.extend_from_slice(found);
            continue;
        }
        let found = pictures::find(&at_home(input).map_err(anyhow::Error::msg)?)?;
        if found.left_out > 0 {
            eprintln!(
                "{input}: {} files are no pictures by their names and left out; known are {FORMATS}",
                found.left_out
            );
        }
        let (in_folder, before) = (found.files.len() > 1, names.len());
        for file in found.files {
            let name = file.display().to_string();
            let picture = match read_picture(&file, invert).with_context(|| format!("read {name}")) {
                Ok(picture) => picture,
                Err(problem) if in_folder => {
                    eprintln!("left out: {problem:#}");
                    continue;
                }
                Err(problem) => return Err(problem),
            };
            remark(&name, &picture, input_spec, invert);
            names.push(name);
            truths.push(None);
            pixels.extend(picture.fitted(shape, BESIDE_BLACK)?);
        }
        ensure!(names.len() > before, "no picture in {input} can be read");
    }
    let ImageShape { channels, height, width } = shape;
    let images = Images { count: names.len() as u32, channels, height, width, pixels, labels: Vec::new() };
    Ok(Inputs { names, images, truths })
}

fn read_picture(file: &Path, invert: bool) -> Result<Picture> {
    let mut picture = Picture::decode(&std::fs::read(file)?)?;
    if invert {
        picture.invert();
    }
    Ok(picture)
}

/// What becomes of a picture, and what may be wrong with it.
fn remark(name: &str, picture: &Picture, takes: &InputSpec, invert: bool) {
    let shape = takes.shape();
    let (width, height) = picture.size();
    if (width, height) != (shape.width, shape.height) {
        eprintln!("{name}: resized from {width} x {height} to {} x {} pixels", shape.width, shape.height);
    }
    // Data whose mean is dark are drawings on black.
    let dark = takes.mean_ppm.iter().all(|mean| *mean < 500_000);
    if dark && picture.is_on_light() && shape.channels == 1 {
        let hint = if invert { "leave --invert out" } else { "--invert turns it round" };
        eprintln!("{name}: its border is light, and the model learnt from light on dark; {hint}");
    }
}
