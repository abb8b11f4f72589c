//! `retort predict`: a package on real images, shown as pictures with label and confidence; many of them as a table.

use super::answer::Model;
use super::{print_json, tally};
use crate::cli::{PredictArgs, at_home};
use crate::{once, picture, pictures, table, typed};
use anyhow::{Context, Result, bail, ensure};
use datasets::picture::{FORMATS, Picture};
use datasets::{FashionMnist, Images, arg_max};
use models::DeviceKind;
use protocol::architecture::ImageShape;
use protocol::competition::{Fit, Limits, PictureSpec};
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

/// More are told in a table: nobody reads as many thumbnails.
const FEW_MAX: usize = 12;

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
    let are_few = predictions.len() <= FEW_MAX;
    if are_few {
        println!("{}", show(&images, &predictions));
    }
    // Thumbnails say little of which file is which.
    if are_few && predictions.len() > 1 || args.each {
        predictions.iter().for_each(|prediction| println!("{}", line(prediction)));
    }
    if !are_few {
        println!("{}", tally::told(&predictions));
    }
    Ok(())
}

/// A picture in a line.
fn line(Prediction { input, label, confidence_ppm, truth }: &Prediction) -> String {
    let wrong = truth.as_ref().filter(|truth| *truth != label);
    let wrong = wrong.map_or_else(String::new, |truth| format!(", and is {truth}"));
    format!("{input}: {label} {:.0} %{wrong}", *confidence_ppm as f64 / 1e4)
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
    let Inputs { names, images, truths } = read_inputs(model, inputs, invert)?;
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
fn read_inputs(model: &Model, inputs: &[String], invert: bool) -> Result<Inputs> {
    let shape = model.input.shape();
    let (mut names, mut pixels, mut truths, mut test) = (Vec::new(), Vec::new(), Vec::new(), None);
    let mut remarks = Remarks::default();
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
        let path = at_home(input).map_err(anyhow::Error::msg)?;
        let found = pictures::find(&path)?;
        if found.left_out > 0 {
            let files = table::count(found.left_out, "file");
            eprintln!("{input}: {files} left out, no pictures by their names; known are {FORMATS}");
        }
        let (in_folder, before) = (found.files.len() > 1, names.len());
        for file in found.files {
            let name = file.display().to_string();
            let picture = match read_picture(&file, invert).with_context(|| format!("read {name}")) {
                Ok(picture) => picture,
                Err(problem) if in_folder => {
                    eprintln!("left out: {}", once(&problem));
                    continue;
                }
                Err(problem) => return Err(problem),
            };
            remarks.hear(&name, &picture, model, invert);
            names.push(name);
            truths.push(if path.is_dir() { class_of(&file, &model.labels) } else { None });
            pixels.extend(picture.fitted(shape, model.pictures.unwrap_or(BESIDE_BLACK))?);
        }
        ensure!(names.len() > before, "no picture in {input} can be read");
    }
    remarks.tell();
    let ImageShape { channels, height, width } = shape;
    let images = Images { count: names.len() as u32, channels, height, width, pixels, labels: Vec::new() };
    Ok(Inputs { names, images, truths })
}

/// The class that a picture's folder is called by, as ImageFolder has them.
fn class_of(file: &Path, labels: &[String]) -> Option<u16> {
    let folder = file.parent()?.file_name()?.to_str()?;
    labels.iter().position(|label| label == folder)?.try_into().ok()
}

fn read_picture(file: &Path, invert: bool) -> Result<Picture> {
    let mut picture = Picture::decode(&std::fs::read(file)?)?;
    if invert {
        picture.invert();
    }
    Ok(picture)
}

/// What becomes of pictures, and what may be wrong with them: of each kind the first, and how many are like it.
#[derive(Default)]
struct Remarks {
    resized: (Option<String>, usize),
    on_light: (Option<String>, usize),
}

impl Remarks {
    fn hear(&mut self, name: &str, picture: &Picture, model: &Model, invert: bool) {
        let takes = &model.input;
        let shape = takes.shape();
        let (width, height) = picture.size();
        if (width, height) != (shape.width, shape.height) {
            let how = match model.pictures.and_then(|spec| spec.fit) {
                Some(Fit::Crop) => "its middle, as the competition has it",
                Some(Fit::Stretch) => "stretched, as the competition has it",
                Some(Fit::Pad) => "black beside it, as the competition has it",
                None => "black beside it; --competition has it done as there",
            };
            let told = || {
                let (to_width, to_height) = (shape.width, shape.height);
                format!("{name}: resized from {width} x {height} to {to_width} x {to_height} pixels, {how}")
            };
            self.resized.0.get_or_insert_with(told);
            self.resized.1 += 1;
        }
        // Data whose mean is dark are drawings on black.
        let dark = takes.mean_ppm.iter().all(|mean| *mean < 500_000);
        if dark && picture.is_on_light() && shape.channels == 1 {
            let hint = if invert { "leave --invert out" } else { "--invert turns it round" };
            let told = || format!("{name}: its border is light, and the model learnt from light on dark; {hint}");
            self.on_light.0.get_or_insert_with(told);
            self.on_light.1 += 1;
        }
    }

    fn tell(&self) {
        for (first, count) in [&self.resized, &self.on_light] {
            let more = match count {
                0 | 1 => String::new(),
                2 => "; and 1 more is like it".to_owned(),
                count => format!("; and {} more are like it", count - 1),
            };
            first.iter().for_each(|first| eprintln!("{first}{more}"));
        }
    }
}
