//! The evaluation items of a competition: loaded, checked against the manifest, split by a key.
//!
//! It knows which data sets there are and nothing of models. Images of the publisher's own come from `source`.

use crate::error::DataSetError;
use datasets::published::Part;
use datasets::split::training_part;
use datasets::{FashionMnist, Labelled, Split, load_digits};
use protocol::competition::{HiddenPool, Manifest};

/// How many of the handwritten digits miners train on; the others are for evaluation.
const DIGITS_TRAINING: u32 = 1_000;

/// Everything about data that publishing needs.
pub(crate) struct Prepared {
    /// Labelled images for miners to train on.
    pub(crate) training: Labelled,
    /// The public evaluation items.
    pub(crate) public: Labelled,
    /// The hidden images that rounds draw from.
    pub(crate) pool: Labelled,
}

impl Prepared {
    /// Takes the publisher's `own` images, or loads the data set that the manifest names, and splits by
    /// `split_key`.
    pub(crate) fn load(manifest: &Manifest, own: Option<Own>, split_key: &[u8; 32]) -> Result<Self, DataSetError> {
        let data = &manifest.data;
        let (training, all) = match own {
            Some(Own::Parts { training, evaluation }) => (training, evaluation),
            Some(Own::Whole(all)) => divided(manifest, &all)?,
            None if data.hidden_pool == HiddenPool::Private => {
                return Err(DataSetError::KnownToTheWorld(data.source.clone()));
            }
            None => load(&data.source)?,
        };
        check_images(manifest, &training)?;
        check_evaluation(manifest, &all)?;
        check_answers(manifest, [&training, &all])?;
        let Split { public, hidden } = Split::new(split_key, all.count(), data.public_items)?;
        let hidden = &hidden[..data.hidden_items as usize];
        Ok(Self { training, public: all.select(&public), pool: all.select(hidden) })
    }
}

/// Labelled images that a publisher has, and perhaps nobody else.
#[derive(Clone)]
pub(crate) enum Own {
    /// In parts, as their source says.
    Parts {
        /// For miners to train on.
        training: Labelled,
        /// To be split into public and hidden ones.
        evaluation: Labelled,
    },
    /// In one part: the manifest's items are drawn from it, and the others are for training.
    Whole(Labelled),
}

/// Takes as many items as the manifest wants; the others are for training, in the order that they had.
fn divided(manifest: &Manifest, all: &Labelled) -> Result<(Labelled, Labelled), DataSetError> {
    let count = all.count();
    check_evaluation(manifest, all)?;
    let wanted = manifest.data.public_items.saturating_add(manifest.data.hidden_items);
    let (training, evaluation) = training_part(count, wanted)?;
    if training.is_empty() {
        return Err(DataSetError::NothingToTrainOn { data: manifest.data.source.clone(), found: count });
    }
    Ok((all.select(&training), all.select(&evaluation)))
}

/// Training images and evaluation images.
fn load(source: &str) -> Result<(Labelled, Labelled), DataSetError> {
    let unanswered = |images| Part { images, answers: None }.into();
    match source {
        "fashion-mnist" => {
            let FashionMnist { train, test } = FashionMnist::load()?;
            Ok((unanswered(train), unanswered(test)))
        }
        "digits" => {
            let all = load_digits()?;
            let (training, evaluation): (Vec<u32>, Vec<u32>) = (0..all.count).partition(|i| *i < DIGITS_TRAINING);
            Ok((unanswered(all.select(&training)), unanswered(all.select(&evaluation))))
        }
        unknown => Err(DataSetError::Unknown(unknown.to_owned())),
    }
}

fn check_images(manifest: &Manifest, items: &Labelled) -> Result<(), DataSetError> {
    let (data, input) = (manifest.data.source.clone(), &manifest.input);
    let shape = |channels: u32, height: u32, width: u32| format!("{channels}x{height}x{width}");
    let found = shape(items.shape.channels, items.shape.height, items.shape.width);
    let expected = shape(input.channels, input.height, input.width);
    if found != expected {
        return Err(DataSetError::Shape { data, found, expected });
    }
    if items.labels.is_empty() {
        return Err(DataSetError::NoLabels(data));
    }
    let largest = items.labels.iter().copied().max().unwrap_or(0);
    if usize::from(largest) >= manifest.labels.len() {
        return Err(DataSetError::Label { data, found: largest, labels: manifest.labels.len() });
    }
    Ok(())
}

/// Whether each part has the teacher's answers, where it is known by them only.
fn check_answers(manifest: &Manifest, parts: [&Labelled; 2]) -> Result<(), DataSetError> {
    let wanted = manifest.teacher.answers().is_some();
    let missing = ["training", "evaluation"].into_iter().zip(parts).find(|(_, part)| wanted && part.answers.is_none());
    match missing {
        Some((part, _)) => Err(DataSetError::unanswered(manifest, part)),
        None => Ok(()),
    }
}

fn check_evaluation(manifest: &Manifest, items: &Labelled) -> Result<(), DataSetError> {
    check_images(manifest, items)?;
    let data = manifest.data.source.clone();
    let expected = u64::from(manifest.data.public_items) + u64::from(manifest.data.hidden_items);
    if expected > u64::from(items.count()) {
        return Err(DataSetError::TooFew { data, found: items.count(), expected });
    }
    Ok(())
}
